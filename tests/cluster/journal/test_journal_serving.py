"""The loops of the child process over a simulated disk: batches, space, idleness, errors, and frames."""

from __future__ import annotations

import random
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError, FatalError
from cluster.journal import frames, wal
from cluster.journal.ballot_file import BallotWriter, read_slots
from cluster.journal.child import Inbox, serve_ballot, serve_log, serve_snapshots
from cluster.journal.recovery import recover, rewrite
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.journal.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable


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
