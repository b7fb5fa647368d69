"""The journal's modes, and a data folder that was put back, in real processes: what each end leaves.

A process is killed with SIGKILL; a machine that starts again is shown by another boot id in the node's ballot.
"""

from __future__ import annotations

import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from cluster.journal.ballot import Ballot, read_ballot, write_ballot
from cluster.seams import SystemDisk
from tests.process.harness import Cluster, Server, make_cluster, running, wait_until
from tests.process.machine import processes_naming
from tests.process.workload import Workload

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

SEGMENT_BYTES = 1 << 20
RECOVERING = "is recovering"
WHOLE = "whole again"


def of_mode(tmp_path: Path, mode: str, nodes: int = 3) -> Cluster:
    return make_cluster(tmp_path, nodes=nodes, sections={"journal": {"segment_bytes": SEGMENT_BYTES, "mode": mode}})


def set_mode(server: Server, mode: str) -> None:
    """The next start of the node is of that mode."""
    file = server.folder / "node.toml"
    lines = [f'mode = "{mode}"' if line.startswith("mode = ") else line for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


def kill(server: Server) -> None:
    """The node and its writer are gone."""
    server.kill()
    wait_until(lambda: not processes_naming(str(server.data)), f"nothing of {server.node_id} runs")


def ballot(server: Server) -> Ballot:
    found = read_ballot(SystemDisk(server.data))
    assert found is not None
    return found[1]


def restart_machine(server: Server) -> None:
    """While the node is down: its ballot is of another boot than the one that runs."""
    disk = SystemDisk(server.data)
    found = read_ballot(disk)
    assert found is not None
    write_ballot(disk, found[0] + 1, msgspec.structs.replace(found[1], boot_id="another boot"))


def files(server: Server) -> set[str]:
    return {path.relative_to(server.data).as_posix() for path in server.data.rglob("*") if path.is_file()}


def log_since(server: Server, size: int) -> str:
    return server.log_text[size:]


def why(server: Server) -> list[str]:
    found: list[str] = server.ask("GET", "/readyz").json["why"]
    return found


def test_buffered_nodes_that_are_all_killed_at_once_lose_nothing(tmp_path: Path) -> None:
    """Under load, in one boot; and one of them whose machine started again is made whole by the others."""
    with running(of_mode(tmp_path, "buffered")) as cluster:
        sizes = [len(server.log_text) for server in cluster.servers]
        with Workload(cluster, writers=4) as workload:
            wait_until(lambda: len(workload.acknowledged) > 100, "some writes")
            for server in cluster.servers:
                kill(server)
            for server in cluster.servers:
                cluster.restart(server)
            cluster.wait_ready()
            same_boot = [RECOVERING in log_since(s, size) for s, size in zip(cluster.servers, sizes, strict=True)]
            other = cluster.followers()[0]
            size = len(other.log_text)
            kill(other)
            restart_machine(other)
            cluster.restart(other)
            cluster.wait_ready()
            workload.wait_for_writes(0.0)
        cluster.equal_digests()
        workload.verify()

        assert same_boot == [False] * 3
        assert RECOVERING in log_since(other, size)
        assert WHOLE in log_since(other, size)
        assert workload.unresolved == []


def test_a_buffered_node_that_stops_leaves_its_mark(tmp_path: Path) -> None:
    """SIGTERM syncs journal and mark: another boot believes it. Its twin: SIGKILL leaves none."""
    with running(of_mode(tmp_path, "buffered", nodes=1)) as cluster:
        server = cluster.servers[0]
        assert cluster.ask("PUT", "secret/data/kept", {"data": {"n": "1"}}).status == 200
        code = server.end(signal.SIGTERM)
        stopped = ballot(server)
        restart_machine(server)
        cluster.restart(server)
        cluster.wait_ready()
        kept = cluster.ask("GET", "secret/data/kept")
        kill(server)
        killed = ballot(server)

        assert (code, stopped.clean_stop, killed.clean_stop) == (0, True, False)
        assert kept.data["data"] == {"n": "1"}
        assert len(killed.boot_id) == 36


def test_nodes_in_memory_that_restart_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    """Each killed under load, and ready again before the next; no log is on any disk. Two at once lead nobody."""
    with running(of_mode(tmp_path, "memory")) as cluster:
        with Workload(cluster, writers=4) as workload:
            for server in cluster.servers:
                wait_until(lambda: len(workload.acknowledged) > 30, "some writes")
                kill(server)
                cluster.restart(server)
                cluster.wait_ready()
            workload.wait_for_writes(0.0)
        cluster.equal_digests()
        workload.verify()
        left = [files(server) for server in cluster.servers]
        two = cluster.followers()
        leader = cluster.leader()
        for server in two:
            kill(server)
        wait_until(lambda: why(leader) != [], "the leader has nobody behind it")
        for server in two:
            cluster.restart(server)
        for server in cluster.servers:
            wait_until(
                partial(lambda s: any("a majority of the members lost" in one for one in why(s)), server),
                f"{server.node_id} says that nobody may lead",
            )
        refused = cluster.ask("PUT", "secret/data/x", {"data": {}}, at=leader, timeout_s=30.0)

        assert [found - {"security.log"} for found in left] == [
            {"ballot", "keyring", "bootstrap", "profile", "lock"}
        ] * 3
        assert refused.status == 503
        assert workload.unresolved == []


def test_a_lone_node_in_memory_that_restarts_says_what_is_lost(tmp_path: Path) -> None:
    """It never leads with nothing; the sentence ends with what to type."""
    with running(of_mode(tmp_path, "memory", nodes=1)) as cluster:
        server = cluster.servers[0]
        assert cluster.ask("PUT", "secret/data/lost", {"data": {}}).status == 200
        server.end(signal.SIGTERM)
        cluster.restart(server)
        sentences = wait_until(lambda: why(server), "it says why it does not serve")
        read = cluster.ask("GET", "secret/data/lost", timeout_s=30.0)

        assert any("strongroom operator recover" in sentence for sentence in sentences)
        assert read.status == 503


def test_the_mode_of_a_node_changes_between_starts(tmp_path: Path) -> None:
    """From fsync to memory and back, one node after the other, under load."""
    with running(of_mode(tmp_path, "fsync")) as cluster:
        with Workload(cluster, writers=2) as workload:
            for mode in ("memory", "fsync"):
                for server in cluster.servers:
                    server.end(signal.SIGTERM)
                    set_mode(server, mode)
                    cluster.restart(server)
                    cluster.wait_ready()
                assert [ballot(server).journal for server in cluster.servers] == [mode] * 3
            workload.wait_for_writes(0.0)
        cluster.equal_digests()
        workload.verify()

        assert workload.unresolved == []


# ---- a folder that was put back
@pytest.mark.parametrize("part", [".", "journal"])
def test_a_node_whose_folder_was_put_back_is_made_whole(tmp_path: Path, part: str) -> None:
    """Under load: an old copy of everything, or of the journal alone. Its twin is the restart behind the copy."""
    with running(of_mode(tmp_path, "fsync")) as cluster:
        with Workload(cluster, writers=4) as workload:
            wait_until(lambda: len(workload.acknowledged) > 50, "some writes")
            server = cluster.followers()[0]
            server.end(signal.SIGTERM)
            shutil.copytree(server.data, server.folder / "copy")
            first = len(server.log_text)
            cluster.restart(server)
            cluster.wait_ready()
            before = len(workload.acknowledged)
            wait_until(lambda: len(workload.acknowledged) > before + 100, "more writes")
            cluster.ask("PUT", "sys/step-down", at=cluster.leader())
            cluster.wait_ready()
            before = len(workload.acknowledged)
            wait_until(lambda: len(workload.acknowledged) > before + 100, "and more")
            server.end(signal.SIGTERM)
            second = len(server.log_text)
            shutil.rmtree(server.data / part)
            shutil.copytree(server.folder / "copy" / part, server.data / part)
            cluster.restart(server)
            wait_until(lambda: WHOLE in log_since(server, second), "it is whole again")
            cluster.wait_ready()
            workload.wait_for_writes(0.0)
        cluster.equal_digests()
        workload.verify()

        assert RECOVERING not in log_since(server, first)[: second - first]
        assert RECOVERING in log_since(server, second)
        assert workload.unresolved == []
