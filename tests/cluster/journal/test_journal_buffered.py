"""The duty of a buffered log: reported when written, synced by time and at the end, and a failed sync is final."""

from __future__ import annotations

import random

import pytest

from chaos.sim.disk import SimDisk
from cluster.journal import frames, wal
from cluster.journal.duties import SYNCING, Duty, Receive, Rest, Step, log_duty
from cluster.journal.recovery import recover, rewrite
from cluster.journal.writer import LogWriter

SEGMENT_BYTES = 8 * 4096


class Worst(random.Random):
    """The draw by which a loss of power takes everything that was not synced."""

    def randrange(self, *_: int) -> int:  # type: ignore[override]
        return 0


class Run:
    """A duty of a log over a simulated disk, and the test's own clock."""

    def __init__(self, *, buffered: bool) -> None:
        self.disk = SimDisk()
        self.now_s = 0.0
        self.said: list[tuple[int, bytes]] = []
        self._reader = frames.FrameReader()
        start = rewrite(self.disk, recover(self.disk, segment_bytes=SEGMENT_BYTES))
        self.writer = LogWriter(self.disk, segment_bytes=SEGMENT_BYTES, start=start)
        self.syncs = 0
        self.duty: Duty = log_duty(
            self.writer, self._say, buffered=buffered, sync_s=1.0, now_s=lambda: self.now_s
        )
        self.step: Step = next(self.duty)

    def _say(self, data: bytes) -> None:
        self.said += self._reader.feed(data)

    def give(self, arrived: list[tuple[int, bytes]] | None) -> None:
        """Answer the step it waits at; syncs are let happen."""
        assert isinstance(self.step, Receive | Rest)
        self.step = self.duty.send(arrived)
        while self.step is SYNCING:
            self.syncs += 1
            self.step = self.duty.send([])

    def append(self, index: int, size: int = 10) -> None:
        self.give([(100 + index, wal.append_record(100 + index, index, 1, bytes(size)))])

    def end(self) -> None:
        with pytest.raises(StopIteration):
            self.give(None)

    def kept(self) -> list[int]:
        """Indexes that a loss of power leaves, if it takes all that it can."""
        self.disk.on_operation = lambda _operation: None
        self.disk.power_loss(Worst())
        return [index for index, _, _ in recover(self.disk, segment_bytes=SEGMENT_BYTES).entries]


def test_a_buffered_log_reports_what_is_only_written() -> None:
    """Its twin, a synced one, syncs before each report."""
    buffered, synced = Run(buffered=True), Run(buffered=False)
    for run in (buffered, synced):
        run.append(1)
        run.append(2)

    assert (buffered.said, synced.said) == ([(101, b""), (102, b"")], [(101, b""), (102, b"")])
    assert (buffered.syncs, synced.syncs) == (0, 2)
    assert (buffered.kept(), synced.kept()) == ([], [1, 2])


def test_a_buffered_log_is_synced_when_its_time_has_come_however_much_arrives() -> None:
    """The time is that since the oldest write that is not synced, and begins again after the sync."""
    run = Run(buffered=True)
    for index in range(1, 26):
        run.now_s += 0.125
        run.append(index)

    assert run.syncs == 2
    assert run.kept() == list(range(1, 19))


def test_a_buffered_log_that_falls_silent_is_synced_and_then_marked() -> None:
    """It goes on looking at the clock until nothing waits for the disk; then it waits for as long as it takes."""
    run = Run(buffered=True)
    run.append(1)
    waits = []
    for _ in range(8):
        assert isinstance(run.step, Receive)
        waits.append(run.step.timeout_s)
        run.now_s += 0.2
        run.give([])

    assert run.syncs == 1
    assert waits == [0.2] * 5 + [None] * 3
    assert run.step == Receive(None)
    assert recover(run.disk, segment_bytes=SEGMENT_BYTES).mark == 101


def test_a_buffered_log_is_synced_at_the_end_of_its_stream() -> None:
    """Everything that was reported is there after a clean stop."""
    run = Run(buffered=True)
    run.append(1)
    run.append(2)
    run.end()

    assert run.kept() == [1, 2]


def test_a_failed_sync_of_a_buffered_log_is_final() -> None:
    """The error leaves, and nothing is written or synced again."""
    run = Run(buffered=True)
    run.append(1)
    run.now_s += 2.0
    run.disk.fail_next_sync()
    with pytest.raises(OSError, match="failed"):
        run.append(2)
    operations = run.disk.operations

    assert list(run.duty) == []
    assert run.disk.operations == operations
    assert run.said == [(101, b""), (102, b"")]


def test_what_is_written_is_synced_while_a_write_waits_for_room() -> None:
    """A full disk delays what needs room, not what is written already."""
    run = Run(buffered=True)
    run.append(1)
    run.disk.space_bytes = 0
    run.now_s += 2.0
    run.append(2, 4 * SEGMENT_BYTES)
    assert isinstance(run.step, Rest)
    run.give([])

    assert run.syncs == 1
    assert (0, b"\0") in run.said
    assert run.kept() == [1]
