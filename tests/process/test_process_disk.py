"""A disk without room, and one that fails: the first pauses writes, the second ends the process, neither loses one.

Room is taken in two ways: by a limit on the size of the journal writer's files, which needs no privilege, and, where
this process may mount one, by a small file system that is really full.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.process.harness import Cluster, Reply, Server, make_cluster, running, uuid7, wait_until
from tests.process.machine import processes_naming
from tests.process.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

SEGMENT_BYTES = 256 * 1024
LARGE = "x" * (SEGMENT_BYTES + 64 * 1024)  # needs a segment of its own, larger than the others


class Room(Protocol):
    """The space of one node's disk."""

    def take(self) -> None:
        """The next segment cannot be allocated."""

    def give_back(self) -> None:
        """It can."""


def writer_pid(server: Server) -> int:
    """The process that writes the node's journal."""
    pids = [pid for pid in processes_naming(str(server.data)) if pid != server.pid]
    assert len(pids) == 1, pids
    return pids[0]


def limit_files(server: Server, size: int) -> None:
    hard = resource.prlimit(writer_pid(server), resource.RLIMIT_FSIZE)[1]
    resource.prlimit(writer_pid(server), resource.RLIMIT_FSIZE, (size, hard))


class LimitedFiles:
    """The writer's files may be as large as a segment, so ordinary writes go on and a large one has no room."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def take(self) -> None:
        limit_files(self._server, SEGMENT_BYTES)

    def give_back(self) -> None:
        limit_files(self._server, resource.RLIM_INFINITY)


class SmallFileSystem:
    """The data folder is a file system of a few MB; a file of somebody else's fills it."""

    def __init__(self, server: Server) -> None:
        self._filler = server.data / "filler"

    def take(self) -> None:
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def give_back(self) -> None:
        self._filler.unlink()


@contextlib.contextmanager
def mounted(servers: list[Server]) -> Iterator[None]:
    """Each data folder is a file system of its own."""
    done: list[Path] = []
    try:
        for server in servers:
            server.data.mkdir(mode=0o700)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "none", server.data], check=True)
            done.append(server.data)
        yield
    finally:
        for folder in done:
            subprocess.run(["umount", "-l", folder], check=True)


def may_mount() -> bool:
    if os.getuid() != 0:
        return False
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    return tried.returncode == 0


KINDS: list[Callable[[Server], Room]] = [LimitedFiles, *([SmallFileSystem] if may_mount() else [])]


@contextlib.contextmanager
def with_rooms(
    tmp_path: Path, kind: Callable[[Server], Room], **sections: dict[str, int]
) -> Iterator[tuple[Cluster, dict[str, Room]]]:
    made = make_cluster(tmp_path, sections={"journal": {"segment_bytes": SEGMENT_BYTES}, **sections})
    mounts = mounted(made.servers) if kind is SmallFileSystem else contextlib.nullcontext()
    with mounts, running(made) as cluster:
        yield cluster, {server.node_id: kind(server) for server in cluster.servers}


def full(cluster: Cluster, server: Server) -> bool:
    """The node says that its disk is full."""
    if not server.alive:
        raise AssertionError(f"{server.node_id} ended: {server.log_text[-2000:]}")
    reply = server.ask("GET", "/readyz")
    return reply.status == 503 and any("disk is full" in sentence for sentence in reply.json["why"])


def write_large(cluster: Cluster, at: Server, number: int) -> int:
    reply = cluster.ask("PUT", f"secret/data/large/{number}", {"data": {"x": LARGE}}, at=at, timeout_s=30.0)
    assert reply.status in {200, 503, 504}, reply
    return reply.status


def fill(cluster: Cluster, at: Server) -> None:
    """Writes until a node of the cluster has no room for more."""
    for number in range(20):
        write_large(cluster, at, number)
        if full(cluster, at):
            return
    wait_until(lambda: full(cluster, at), "the node says that its disk is full")


@pytest.mark.parametrize("kind", KINDS)
def test_a_leader_without_room_hands_over_and_goes_on_when_there_is_room(
    tmp_path: Path, kind: Callable[[Server], Room]
) -> None:
    """Nobody restarts anything: another leads meanwhile, the node catches up when it can write again."""
    with with_rooms(tmp_path, kind) as (cluster, rooms):
        leader = cluster.leader()
        with Workload(cluster, writers=4) as workload:
            rooms[leader.node_id].take()
            fill(cluster, leader)
            other = wait_until(lambda: (found := cluster.leader()) is not leader and found, "another leads")
            assert isinstance(other, Server)
            meanwhile = cluster.ask("PUT", "secret/data/meanwhile", {"data": {}}, at=other, timeout_s=30.0)
            rooms[leader.node_id].give_back()
            wait_until(lambda: not full(cluster, leader), "the node has room again")
            cluster.wait_ready()
        cluster.equal_digests()
        workload.verify()

        assert meanwhile.status == 200
        assert workload.unresolved == []
        assert leader.alive


def test_without_room_anywhere_writes_are_refused_and_go_on_when_there_is_room(tmp_path: Path) -> None:
    """The write that met the end is unknown, those after it `no` with Retry-After; none is lost, none doubled.

    However long it takes, the leader stays: no term is lost, and reads are served.
    """
    with with_rooms(tmp_path, LimitedFiles, limits={"request_timeout_s": 5}) as (cluster, rooms):
        assert cluster.ask("PUT", "secret/data/kept", {"data": {"n": "1"}}).status == 200
        for room in rooms.values():
            room.take()
        named = {"X-Strongroom-Write-Id": uuid7()}

        def large() -> Reply:
            return cluster.ask("PUT", "secret/data/large", {"data": {"x": LARGE}}, headers=named, timeout_s=100.0)

        first = large()
        for server in cluster.servers:
            wait_until(partial(full, cluster, server), f"{server.node_id} says that its disk is full")
        leader = cluster.leader()
        terms = {status["term"] for status in cluster.statuses().values()}
        end_s, answers = time.monotonic() + 4.0, []
        while time.monotonic() < end_s or len(answers) < 20:
            refused = cluster.ask("PUT", "secret/data/kept", {"data": {"n": "2"}}, timeout_s=30.0)
            read = cluster.ask("GET", "secret/data/kept")
            answers.append((refused.status, read.status))
            terms |= {status["term"] for status in cluster.statuses().values()}
        stayed = cluster.leader() is leader
        for room in rooms.values():
            room.give_back()
        cluster.wait_ready()
        again = wait_until(lambda: (reply := large()).status == 200 and reply, "the write is resolved")
        kept = cluster.ask("GET", "secret/data/kept")
        cluster.equal_digests()

        assert (first.status, first.json["applied"]) == (504, "unknown")
        assert (refused.status, refused.json["applied"], "retry-after" in refused.headers) == (503, "no", True)
        assert set(answers) == {(503, 200)}
        assert (len(terms), stayed) == (1, True)
        assert isinstance(again, Reply)
        assert again.data["version"] == 1
        assert kept.data["data"] == {"n": "1"}


def test_a_journal_that_cannot_be_written_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    """A failed write is no lack of room: the leader ends at once, another leads, and the node starts again later."""
    with running(make_cluster(tmp_path)) as cluster:
        leader = cluster.leader()
        with Workload(cluster, writers=4) as workload:
            wait_until(lambda: len(workload.acknowledged) > 50, "some writes")
            limit_files(leader, 4096)
            assert leader.process is not None
            code = leader.process.wait(30)
            workload.wait_for_writes(time.monotonic())
            cluster.restart(leader)
            cluster.wait_ready()
        cluster.equal_digests()
        workload.verify()

        assert code != 0
        assert "journal" in leader.log_text
        assert workload.unresolved == []
