"""Failpoints of real processes: they die where they were told to, come back whole, and production has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cluster.failpoints import NAMES, VARIABLE
from tests.process.harness import make_cluster, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.harness import Cluster, Server

pytestmark = pytest.mark.process

HERE = {name for name in NAMES if name.partition(".")[0] not in {"snapshot", "compaction"}}
"""Reached by a cluster that writes; the others need as much as fills a snapshot: tests/cluster/test_failpoints.py."""
DEADLY = ("journal.before-write", "journal.after-sync", "ballot.after-sync", "audit.before-write")


def with_sink(cluster: Cluster, url: str) -> None:
    for server in cluster.servers:
        lines = ["[[backup.sinks]]", 'name = "main"', f"url = {json.dumps(url)}"]
        with (server.folder / "node.toml").open("a") as file:
            file.write("\n".join(lines) + "\n")


def with_audit(cluster: Cluster) -> None:
    reply = cluster.ask("PUT", "sys/audit/file", {"type": "file", "options": {"file_path": "audit.log"}})
    assert reply.status == 204, reply


def test_a_cluster_that_writes_reaches_every_place_on_its_way(tmp_path: Path) -> None:
    """In the node and in the process of its journal; each is said once, and nothing is lost by waiting there."""
    made = make_cluster(tmp_path, sections={"backup": {"batch_interval_ms": 50}})
    with_sink(made, f"sqlite://{tmp_path / 'sink.db'}")
    for server in made.servers:
        server.environ[VARIABLE] = ",".join(f"{name}=sleep:1:once" for name in sorted(NAMES))

    def missing(cluster: Cluster) -> set[str]:
        said = "".join(server.log_text for server in cluster.servers)
        return {name for name in HERE if f"failpoint {name}: waits\n" not in said}

    with running(made) as cluster:
        with_audit(cluster)
        cluster.ask("PUT", "secret/data/x", {"data": {"n": "1"}})
        wait_until(lambda: not missing(cluster), "every place is reached")
        cluster.equal_digests()

        assert "killed" not in "".join(server.log_text for server in cluster.servers)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all who die: each of them is whole again at the end."""
    with running(make_cluster(tmp_path_factory.mktemp("deadly"))) as started:
        with_audit(started)
        yield started


@pytest.mark.parametrize("name", DEADLY)
def test_a_node_dies_at_its_place_and_comes_back_whole(audited: Cluster, name: str) -> None:
    """Its log says where; started without the variable it has what the others have."""
    victim = audited.followers()[0]
    victim.kill()
    before = len(victim.log_text)
    victim.environ[VARIABLE] = f"{name}=kill:1"
    victim.start()
    _until_dead(audited, victim)
    said = victim.log_text[before:]
    victim.environ.clear()
    audited.restart(victim)
    audited.wait_ready()
    audited.equal_digests()

    assert f"failpoint {name}: killed\n" in said


def _until_dead(cluster: Cluster, victim: Server) -> None:
    """It is given its keys and something to do, as long as it lives."""

    def dead() -> bool:
        for share in cluster.shares:
            if victim.alive:
                victim.ask("PUT", "sys/unseal", {"key": share}, timeout_s=5.0)
        if victim.alive:
            cluster.ask("PUT", "secret/data/x", {"data": {"n": "1"}})
            cluster.ask("GET", "secret/data/x", at=victim, timeout_s=2.0)
        return not victim.alive

    wait_until(dead, "it dies")


def test_production_refuses_to_have_failpoints(tmp_path: Path) -> None:
    """The variable alone keeps a production node from starting, and the log says so."""
    server = make_cluster(tmp_path, nodes=1, profile="production").servers[0]
    server.environ[VARIABLE] = ""
    server.start()
    assert server.process is not None
    try:
        code = server.process.wait(30)
    finally:
        server.kill()

    assert code == 1
    assert VARIABLE in server.log_text
