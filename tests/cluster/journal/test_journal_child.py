"""The writer as a process: group commit, independence of the three sockets, and deaths of either side."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError, FatalError
from cluster.journal import frames, wal
from cluster.journal.ballot import Ballot, read_ballot
from cluster.journal.ballot_file import BallotWriter, read_slots
from cluster.journal.child import Inbox, serve_ballot, serve_log, serve_snapshots
from cluster.journal.handle import Callbacks, WriterHandle
from cluster.journal.parent import ChildWriter
from cluster.journal.recovery import Recovered, recover, rewrite
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.journal.snapshot_file import SnapshotWriter, latest_snapshot, open_snapshot
from cluster.journal.writer import LogWriter
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


@pytest.mark.parametrize("what", ["log", "ballot", "snapshot"])
async def test_a_failed_write_of_any_file_ends_the_child(writer: ChildWriter, heard: Heard, what: str) -> None:
    """With its reason and without a completion: here no file may grow."""
    resource.prlimit(writer.child_pid, resource.RLIMIT_FSIZE, (0, 0))
    if what == "log":
        writer.append(100, 1, 1, b"x")
    elif what == "ballot":
        writer.ballot(1, Ballot())
    else:
        writer.snapshot_begin(b"x", 1, 1)
    await heard.until(lambda: bool(heard.failed))

    assert [os.strerror(27) in why for why in heard.failed] == [True]
    assert (heard.synced, heard.ballots, heard.snapshots) == ([], [], [])


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


# ---- the loops of the child, over a simulated disk


class Served:
    """A serve function in a thread of this process; `finish` ends its stream and waits for it."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.socket, self._theirs = socket.socketpair()
        self.socket.settimeout(20)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(serve,))
        self._reader = frames.FrameReader()
        self._arrived: list[tuple[int, bytes]] = []
        self._thread.start()

    def _run(self, serve: Callable[[socket.socket], None]) -> None:
        try:
            serve(self._theirs)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error
        self._theirs.close()

    def next(self) -> tuple[int, bytes]:
        while not self._arrived:
            data = self.socket.recv(65536)
            assert data, self.error
            self._arrived += self._reader.feed(data)
        return self._arrived.pop(0)

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.socket.close()


def log_writer(disk: SimDisk) -> LogWriter:
    return LogWriter(disk, segment_bytes=8 * 4096, start=rewrite(disk, recover(disk, segment_bytes=8 * 4096)))


def test_a_full_disk_delays_a_batch_until_there_is_room() -> None:
    """The parent hears of both; nothing is lost and nothing ends."""
    disk = SimDisk()
    writer = log_writer(disk)
    writer.tidy()
    disk.space_bytes = 2 * 8 * 4096
    served = Served(lambda sock: serve_log(sock, writer, idle_s=0.01, space_retry_s=0.01))
    told = []
    for index in range(1, 5):
        record = wal.append_record(100 + index, index, 1, bytes(4 * 4096))
        served.socket.sendall(frames.frame(100 + index, record))
        told.append(served.next())
        if told[-1] == (0, b"\0"):
            disk.space_bytes = None
            while told[-1] != (100 + index, b""):
                told.append(served.next())
    served.finish()

    assert served.error is None
    assert (0, b"\0") in told
    assert (0, b"\1") in told
    assert [index for index, _, _ in recover(disk, segment_bytes=8 * 4096).entries] == [1, 2, 3, 4]


def test_frames_that_arrived_together_are_one_batch() -> None:
    """One sync, one completion, that of the newest."""
    disk = SimDisk()
    writer = log_writer(disk)
    syncs: list[str] = []
    ours, theirs = socket.socketpair()
    for index in range(1, 6):
        ours.sendall(frames.frame(100 + index, wal.append_record(100 + index, index, 1, b"x")))
    ours.shutdown(socket.SHUT_WR)
    writer.tidy()
    disk.on_operation = syncs.append
    serve_log(theirs, writer)
    theirs.close()
    reader = frames.FrameReader()

    assert reader.feed(ours.recv(1000)) == [(105, b"")]
    assert syncs.count("sync") == 2  # the batch, and the last words of an idle log
    ours.close()


def test_an_idle_log_names_everything_as_synced() -> None:
    """Without the end of its stream: the mark is there after a while of silence."""
    disk = SimDisk()
    writer = log_writer(disk)
    marked = threading.Event()
    idle = writer.idle
    writer.idle = lambda: marked.set() if idle() else None  # type: ignore[assignment,method-assign]
    served = Served(lambda sock: serve_log(sock, writer, idle_s=0.01))
    served.socket.sendall(frames.frame(100, wal.append_record(100, 1, 1, b"x")))

    assert served.next() == (100, b"")
    assert marked.wait(20)
    served.finish()


@pytest.mark.parametrize("failing", ["fail_next_write", "fail_next_sync"])
def test_a_failed_write_or_sync_completes_nothing(failing: str) -> None:
    """The loop ends with the error, for log and ballot alike."""
    disk = SimDisk()
    writer = log_writer(disk)
    writer.tidy()
    ballots = BallotWriter(disk)
    ballots.write(1, b"1")
    for serve, body in (
        (lambda sock: serve_log(sock, writer), wal.append_record(100, 1, 1, b"x")),
        (lambda sock: serve_ballot(sock, ballots), b"2"),
    ):
        ours, theirs = socket.socketpair()
        ours.sendall(frames.frame(100, body))
        getattr(disk, failing)()
        with pytest.raises(OSError, match="failed"):
            serve(theirs)
        theirs.close()

        assert ours.recv(100) == b""
        ours.close()


def test_an_idle_ballot_is_in_both_slots() -> None:
    """After a while of silence, or at the end of the stream."""
    disk = SimDisk()
    served = Served(lambda sock: serve_ballot(sock, BallotWriter(disk), idle_s=0.01))
    for sequence in (1, 2):
        served.socket.sendall(frames.frame(sequence, b"%d" % sequence))
        assert served.next() == (sequence, b"")
    served.finish()
    disk.power_loss(random.Random(0))
    disk.corrupt("ballot", 20)

    assert read_slots(disk) == (2, b"2")


def test_the_first_ballot_waits_for_space() -> None:
    """Nothing was promised yet; it is written when there is room."""
    disk = SimDisk(space_bytes=0)
    served = Served(lambda sock: serve_ballot(sock, BallotWriter(disk), space_retry_s=0.01))
    waited = threading.Event()
    disk.on_operation = lambda what: waited.set() if what == "remove" and disk.operations > 8 else None
    served.socket.sendall(frames.frame(1, b"1"))

    assert waited.wait(20)
    disk.space_bytes = None
    assert served.next() == (1, b"")
    served.finish()


def test_an_unknown_verb_ends_the_process() -> None:
    """Both ends are one program: this is a mistake of ours."""
    ours, theirs = socket.socketpair()
    ours.sendall(frames.frame(99, frames.with_id(b"x")))
    with pytest.raises(FatalError):
        serve_snapshots(theirs, SnapshotDesk(SimDisk()))
    ours.close()
    theirs.close()


def test_an_inbox_waits_only_as_long_as_it_is_told() -> None:
    """Nothing arrived: an empty list; half a frame too; the end is None, after everything before it."""
    ours, theirs = socket.socketpair()
    inbox = Inbox(theirs)

    assert inbox.receive(0) == []
    whole = frames.frame(1, b"body")
    ours.sendall(whole[:5])
    assert inbox.receive(0) == []
    ours.sendall(whole[5:])
    ours.close()
    assert inbox.receive(0) == [(1, b"body")]
    assert inbox.receive(0) is None
    theirs.close()


@given(st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.binary(max_size=40)), max_size=6), st.data())
def test_frames_survive_any_split_of_the_stream(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Whatever pieces the socket gives."""
    stream = b"".join(frames.frame(tag, body) for tag, body in sent)
    reader, found, at = frames.FrameReader(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 30))
        found += reader.feed(stream[at : at + size])
        at += size

    assert found == sent


@pytest.mark.parametrize("body", [b"", b"\x05abc"])
def test_a_body_without_its_id_is_refused(body: bytes) -> None:
    """Cut off before or inside it."""
    with pytest.raises(DamagedError):
        frames.split_id(body)
