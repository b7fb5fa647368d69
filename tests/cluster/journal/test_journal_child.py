"""The writer as a process: group commit, independence of the three sockets, and deaths of either side."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

from cluster.journal import wal
from cluster.journal.ballot import Ballot, read_ballot
from cluster.journal.handle import Callbacks, WriterHandle
from cluster.journal.parent import ChildWriter
from cluster.journal.recovery import Recovered, recover, rewrite
from cluster.journal.snapshot_file import SnapshotWriter, latest_snapshot, open_snapshot
from cluster.seams import SystemDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SEGMENT_BYTES = 1 << 20


class Heard:
    """Everything the callbacks were told, and a way to wait for it."""

    def __init__(self) -> None:
        self.synced: list[int] = []
        self.ballots: list[int] = []
        self.snapshots: list[bytes] = []
        self.refused: list[tuple[bytes, str]] = []
        self.space: list[bool] = []
        self.failed: list[str] = []
        self._changed = asyncio.Event()
        self.callbacks = Callbacks(
            on_synced=self._note(self.synced.append),
            on_ballot=self._note(self.ballots.append),
            on_failed=self._note(self.failed.append),
            on_snapshot=self._note(self.snapshots.append),
            on_snapshot_refused=self._note(lambda snapshot_id, why: self.refused.append((snapshot_id, why))),
            on_space=self._note(self.space.append),
        )

    def _note(self, append: Callable[..., None]) -> Callable[..., None]:
        def note(*what: object) -> None:
            append(*what)
            self._changed.set()

        return note

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "node"


def started(root: Path, heard: Heard, *, buffered: bool = False) -> ChildWriter:
    disk = SystemDisk(root)
    start = rewrite(disk, recover(disk, segment_bytes=SEGMENT_BYTES))
    return ChildWriter.start(
        root, segment_bytes=SEGMENT_BYTES, start=start, callbacks=heard.callbacks, buffered=buffered
    )


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def writer(root: Path, heard: Heard) -> AsyncIterator[ChildWriter]:
    writer = started(root, heard)
    yield writer
    writer.close()


def recovered(root: Path) -> Recovered:
    return recover(SystemDisk(root), segment_bytes=SEGMENT_BYTES)


def ended(pid: int) -> bool:
    """The process ends within 20 s (a zombie has ended)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 20)[0])
    finally:
        os.close(fd)


def files(root: Path) -> list[Path]:
    return [root, *sorted(root.rglob("*"))]


def of_process(pid: int, what: str) -> bytes:
    return Path(f"/proc/{pid}/{what}").read_bytes()


# ---- the process


async def test_one_turn_of_the_loop_is_one_completion(root: Path, writer: ChildWriter, heard: Heard) -> None:
    """Whatever was handed over together is synced together; entries are in the file verbatim."""
    handle: WriterHandle = writer
    first = recovered(root).last_sequence + 1
    entries = [(index, 3, os.urandom(index * 37)) for index in range(1, 301)]
    for index, term, entry in entries:
        handle.append(first + index, index, term, entry)
    backlog_bytes = handle.backlog_bytes
    await heard.until(lambda: bool(heard.synced) and heard.synced[-1] == first + 300)

    assert backlog_bytes == sum(wal.APPEND_HEADER_BYTES + len(entry) for _, _, entry in entries)
    assert (len(heard.synced), handle.backlog_bytes) == (1, 0)
    assert recovered(root).entries == entries


async def test_operations_keep_their_order(root: Path, writer: ChildWriter, heard: Heard) -> None:
    """Appends, a truncation, a trim and a reset, over several turns of the loop."""
    for sequence, index in enumerate(range(1, 6), start=10):
        writer.append(sequence, index, 1, b"e%d" % index)
        await asyncio.sleep(0)
    writer.truncate(20, 4)
    writer.append(21, 4, 2, b"new")
    writer.trim(22, 2, 1)
    await heard.until(lambda: heard.synced[-1:] == [22])

    assert (recovered(root).base, recovered(root).entries) == ((2, 1), [(3, 1, b"e3"), (4, 2, b"new")])
    writer.reset(23, 50, 2)
    await heard.until(lambda: heard.synced[-1:] == [23])
    assert (recovered(root).base, recovered(root).entries) == ((50, 2), [])


async def test_a_large_backlog_is_bounded_by_nobody_here_and_arrives(
    root: Path, writer: ChildWriter, heard: Heard
) -> None:
    """More than the socket takes at once; the newest completion empties the backlog."""
    blob = os.urandom(1 << 20)
    for index in range(1, 25):
        writer.append(100 + index, index, 1, blob)
    await heard.until(lambda: heard.synced[-1:] == [124])

    assert writer.backlog_bytes == 0
    assert [entry == blob for _, _, entry in recovered(root).entries] == [True] * 24


async def test_the_newest_ballot_is_the_one_that_is_written(root: Path, writer: ChildWriter, heard: Heard) -> None:
    """Ballots of one turn are merged; a completion speaks for every older one."""
    for sequence in range(1, 51):
        writer.ballot(sequence, Ballot(term=sequence))
    await heard.until(lambda: heard.ballots[-1:] == [50])

    assert heard.ballots == [50]
    assert read_ballot(SystemDisk(root)) == (50, Ballot(term=50))


async def test_snapshots_are_written_and_received(
    root: Path, writer: ChildWriter, heard: Heard, tmp_path: Path
) -> None:
    """An own one by chunks, a peer's as raw bytes, one refused, one given up, older ones removed."""
    peer = SystemDisk(tmp_path / "peer")
    sent = SnapshotWriter(peer, b"peer", 20, 2)
    sent.append(b"theirs")
    with open_snapshot(peer, sent.commit()) as reader:
        raw = reader.read(0, reader.size)
    writer.snapshot_begin(b"own", 10, 1)
    writer.snapshot_chunk(b"own", b"ours")
    writer.snapshot_commit(b"own")
    await heard.until(lambda: heard.snapshots == [b"own"])
    writer.snapshot_receive(b"peer", 20, 2, 0, raw[:30])
    writer.snapshot_receive(b"peer", 20, 2, 30, raw[30:])
    writer.snapshot_receive(b"bad", 30, 2, 0, raw)
    writer.snapshot_begin(b"never", 40, 2)
    writer.snapshot_abort(b"never")
    writer.snapshot_commit(b"peer")
    writer.snapshot_commit(b"bad")
    writer.snapshot_remove_before(20)
    writer.snapshot_commit(b"none")
    await heard.until(lambda: len(heard.refused) == 2)
    disk = SystemDisk(root)

    assert heard.snapshots == [b"own", b"peer"]
    assert heard.refused == [
        (b"bad", "the snapshot received is not the one announced"),
        (b"none", "given up before"),
    ]
    assert disk.names("snapshots") == ["0000000000000014-70656572.snapshot"]
    assert list(open_snapshot(disk, latest_snapshot(disk) or "").chunks()) == [b"theirs"]
    assert writer.snapshot_backlog_bytes == 0


async def test_files_are_readable_by_nobody_but_the_owner(root: Path, writer: ChildWriter, heard: Heard) -> None:
    """Log, ballot, snapshot, and the folders they are in."""
    writer.append(100, 1, 1, b"x")
    writer.ballot(1, Ballot())
    writer.snapshot_begin(b"id", 1, 1)
    writer.snapshot_commit(b"id")
    await heard.until(lambda: bool(heard.synced and heard.ballots and heard.snapshots))
    found = files(root)

    assert {path.name for path in found} >= {"ballot", "journal", "snapshots"}
    assert len(found) >= 6
    assert [path for path in found if path.stat().st_mode & 0o077] == []


async def test_a_closed_writer_has_written_what_it_was_given(root: Path, heard: Heard) -> None:
    """And says nothing more; the log ends with a mark for all of it."""
    writer = started(root, heard)
    writer.append(100, 1, 1, b"last words")
    writer.ballot(3, Ballot(term=9, clean_stop=True))
    writer.close()
    writer.close()
    writer.append(101, 2, 1, b"too late")
    log = recovered(root)

    assert (log.entries, log.mark) == ([(1, 1, b"last words")], 100)
    assert read_ballot(SystemDisk(root)) == (3, Ballot(term=9, clean_stop=True))
    assert ended(writer.child_pid)
    assert (heard.synced, heard.failed) == ([], [])


async def test_a_buffered_log_is_synced_after_it_was_reported(root: Path, heard: Heard) -> None:
    """The same files, and everything is there after a clean end."""
    writer = started(root, heard, buffered=True)
    writer.append(100, 1, 1, b"x")
    await heard.until(lambda: heard.synced == [100])
    writer.close()

    assert (recovered(root).mark, recovered(root).entries) == (100, [(1, 1, b"x")])


async def test_without_a_log_only_ballots_and_snapshots_are_written(root: Path, heard: Heard) -> None:
    """For a journal that lives in memory."""
    SystemDisk(root)
    writer = ChildWriter.start(root, segment_bytes=SEGMENT_BYTES, start=None, callbacks=heard.callbacks)
    writer.ballot(1, Ballot(term=1))
    await heard.until(lambda: heard.ballots == [1])
    writer.close()

    assert [path.name for path in files(root)] == [root.name, "ballot"]


async def test_the_death_of_the_child_is_one_failure(writer: ChildWriter, heard: Heard) -> None:
    """Then silence, and calls that do nothing."""
    os.kill(writer.child_pid, signal.SIGKILL)
    await heard.until(lambda: bool(heard.failed))
    writer.append(100, 1, 1, b"x")
    writer.ballot(1, Ballot())
    writer.snapshot_begin(b"x", 1, 1)
    await asyncio.sleep(0)
    writer.close()

    assert len(heard.failed) == 1
    assert "signal 9" in heard.failed[0]
    assert (heard.synced, heard.ballots) == ([], [])


@pytest.mark.parametrize("what", ["log", "ballot"])
async def test_a_failed_write_of_any_file_ends_the_child(writer: ChildWriter, heard: Heard, what: str) -> None:
    """With its reason and without a completion: here nothing may be written any more, though there is space for it."""
    writer.ballot(1, Ballot())
    await heard.until(lambda: heard.ballots == [1])
    resource.prlimit(writer.child_pid, resource.RLIMIT_FSIZE, (0, 0))
    if what == "log":
        writer.append(100, 1, 1, b"x")
    else:
        writer.ballot(2, Ballot())
    await heard.until(lambda: bool(heard.failed))

    assert [os.strerror(27) in why for why in heard.failed] == [True]
    assert (heard.synced, heard.ballots) == ([], [1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_to_the_whole_group_are_the_parents_to_answer(
    writer: ChildWriter, heard: Heard, number: int
) -> None:
    """The child goes on writing while the node drains."""
    writer.append(100, 1, 1, b"x")
    await heard.until(lambda: heard.synced == [100])
    os.kill(writer.child_pid, number)
    writer.append(101, 2, 1, b"y")
    await heard.until(lambda: heard.synced == [100, 101])

    assert heard.failed == []


PARENT = """
import asyncio, sys
from pathlib import Path
from cluster.journal.handle import Callbacks
from cluster.journal.parent import ChildWriter
from cluster.journal.recovery import recover, rewrite
from cluster.seams import SystemDisk

async def main():
    root = Path(sys.argv[1])
    disk = SystemDisk(root)
    start = rewrite(disk, recover(disk, segment_bytes=1 << 20))
    done = asyncio.Event()
    callbacks = Callbacks(lambda _: done.set(), print, print)
    writer = ChildWriter.start(root, segment_bytes=1 << 20, start=start, callbacks=callbacks)
    writer.append(100, 1, 1, b"x")
    await done.wait()
    print(writer.child_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_child_does_not_outlive_its_parent(root: Path) -> None:
    """Kill -9 of the node: the kernel takes the child along, and what was reported is there."""
    here = Path(__file__).parents[3]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(root)], stdout=subprocess.PIPE, cwd=here, env={"PYTHONPATH": str(here)}
    )
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert ended(child_pid)
    assert recovered(root).entries == [(1, 1, b"x")]


def test_it_works_on_uvloop(root: Path) -> None:
    """The loop of production."""

    async def session() -> list[int]:
        heard = Heard()
        writer = started(root, heard)
        for index in range(1, 4):
            writer.append(100 + index, index, 1, bytes(3 << 20))
        await heard.until(lambda: heard.synced[-1:] == [103])
        writer.close()
        return heard.synced

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(session())[-1] == 103
    assert len(recovered(root).entries) == 3


async def test_a_reference_to_the_writer_shows_no_entry(writer: ChildWriter) -> None:
    """Its repr holds numbers only."""
    writer.append(100, 1, 1, b"sealed-marker")

    assert "sealed-marker" not in repr(writer)


async def test_the_child_loads_neither_the_cluster_nor_third_parties(writer: ChildWriter) -> None:
    """A small process: no key, no library that could hold one, is mapped into it."""
    maps = of_process(writer.child_pid, "maps")
    arguments = of_process(writer.child_pid, "cmdline").split(b"\0")

    assert arguments[1:3] == [b"-I", b"-S"]
    assert b"site-packages" not in maps
