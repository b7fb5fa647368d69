"""What an operator does when something is lost: each page of the runbook, done once with real processes."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from cluster.journal.ballot import read_ballot
from cluster.links.certs import write_certificates
from cluster.seams import SystemDisk
from tests.process.harness import CLUSTER_NAME, Cluster, Server, make_cluster, running, wait_until
from tests.process.machine import HOST
from tests.process.workload import Workload

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process


def recovering(server: Server) -> bool:
    """What the node's ballot file says."""
    found = read_ballot(SystemDisk(server.data))
    return found is not None and found[1].recovering


def links_of(cluster: Cluster, server: Server) -> dict[str, object]:
    """Each other member, and when it was last heard; None: no link."""
    status = cluster.status(server) or {"members": []}
    return {one["id"]: one["last_contact_ms"] for one in status["members"] if one["id"] != server.node_id}


def test_a_node_whose_folder_is_lost_is_brought_up_by_the_others(cluster: Cluster) -> None:
    """Empty disk: it finds its cluster, is recovering until it holds everything, then serves like the others."""
    lost = cluster.followers()[0]
    with Workload(cluster, writers=6) as workload:
        wait_until(lambda: len(workload.acknowledged) > 200, "some writes")
        lost.kill()
        shutil.rmtree(lost.data)
        lost.start()
        lost.wait_listening()
        refused = lost.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        wait_until(lambda: lost.ask("GET", "sys/seal-status").json["initialized"], "it finds its cluster")
        before = recovering(lost)
        lost.unseal(cluster.shares)
        cluster.wait_ready([lost])
        wait_until(lambda: not recovering(lost), "it holds everything")
    cluster.equal_digests()
    workload.verify([lost])

    assert refused.status in {400, 503}
    assert before is True
    assert (cluster.status(lost) or {})["recovering"] is False
    assert workload.unresolved == []


def test_a_brought_up_node_counts_for_the_majority_again(cluster: Cluster) -> None:
    """After it is back, another may be lost, and what was acknowledged is there."""
    first, second = cluster.followers()
    assert cluster.ask("PUT", "secret/data/kept", {"data": {"n": "1"}}).status == 200
    first.kill()
    shutil.rmtree(first.data)
    cluster.restart(first)
    cluster.wait_ready([first])
    wait_until(lambda: not recovering(first), "it holds everything")
    cluster.equal_digests()
    second.kill()
    shutil.rmtree(second.data)
    cluster.leader().kill()
    cluster.restart(second)
    leaderless = cluster.ask("PUT", "secret/data/kept", {"data": {"n": "2"}}, at=first, timeout_s=60.0)
    third = next(server for server in cluster.servers if not server.alive)
    cluster.restart(third)
    cluster.wait_ready()
    kept = [cluster.ask("GET", "secret/data/kept", at=server).data["data"] for server in cluster.servers]

    assert (leaderless.status, leaderless.json["applied"]) == (503, "no")  # one of two is recovering: nobody leads
    assert kept == [{"n": "1"}] * 3


def test_a_forgotten_share_costs_nothing_while_a_threshold_remains(tmp_path: Path) -> None:
    """Five shares, three needed: two open nothing, a wrong one costs the progress, three others open the node."""
    with running(make_cluster(tmp_path), shares=5, threshold=3) as cluster:
        assert cluster.ask("PUT", "secret/data/kept", {"data": {"n": "1"}}).status == 200
        node = cluster.followers()[0]
        node.kill()
        node.start()
        node.wait_listening()
        forgotten, *others = cluster.shares
        wrong = others[0][:-4] + ("AAA=" if not others[0].endswith("AAA=") else "BBA=")
        two = [node.ask("PUT", "sys/unseal", {"key": share}).json for share in others[:2]]
        twice = node.ask("PUT", "sys/unseal", {"key": others[1]}).json
        sealed = cluster.ask("GET", "secret/data/kept", at=node)
        spoilt = node.ask("PUT", "sys/unseal", {"key": wrong})
        reset = node.ask("GET", "sys/seal-status").json
        node.unseal([others[1], others[2], others[3]])
        cluster.wait_ready([node])

        assert [one["progress"] for one in two] == [1, 2]
        assert (twice["progress"], twice["sealed"]) == (2, True)
        assert sealed.status == 503
        assert (spoilt.status, reset["progress"], reset["sealed"]) == (400, 0, True)
        assert cluster.ask("GET", "secret/data/kept", at=node).data["data"] == {"n": "1"}
        assert forgotten not in others


@pytest.mark.parametrize("node_id", ["n1", "n3"])  # n1 is dialled by the others, n3 dials them
def test_an_expired_node_certificate_refuses_links_until_it_is_replaced(cluster: Cluster, node_id: str) -> None:
    """The log says why; new files and a start later the node serves."""
    certs = cluster.servers[0].folder.parent / "certs"
    node = cluster[node_id]
    node.kill()
    _replace_certificate(certs, node, days=0)
    cluster.restart(node)
    others = [server for server in cluster.servers if server is not node]
    cluster.wait_ready(others)
    saying = node if node_id == "n3" else cluster["n3"]
    said = wait_until(
        lambda: [line for line in saying.log_text.splitlines() if "certificate" in line], "the log says why"
    )
    unready = node.ask("GET", "/readyz")
    alone = {server.node_id: links_of(cluster, server)[node_id] for server in others}
    written = cluster.ask("PUT", "secret/data/on", {"data": {"n": "1"}}, at=others[0])

    assert any(("has ended" if node_id == "n3" else "has expired") in line for line in said), said
    assert (unready.status, bool(unready.json["why"])) == (503, True)
    assert alone == {server.node_id: None for server in others}
    assert written.status == 200

    node.kill()
    _replace_certificate(certs, node, days=30)
    cluster.restart(node)
    cluster.wait_ready()

    assert cluster.ask("GET", "secret/data/on", at=node).data["data"] == {"n": "1"}


def _replace_certificate(certs: Path, node: Server, *, days: int) -> None:
    for suffix in ("pem", "key"):
        (certs / f"{node.node_id}.{suffix}").unlink()
    write_certificates(certs, {node.node_id: [HOST]}, certs, CLUSTER_NAME, days=days)
    time.sleep(1.0 if days == 0 else 0.0)  # a certificate ends at a whole second
