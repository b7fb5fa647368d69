"""Whole lives of a log over a disk that loses power, kills, fails and is full: nothing reported is ever lost.

A model keeps every operation handed over. After each start the log must be exactly what the operations up to one point
describe, that point must lie at or behind the newest completion, and an intact disk must never be called damaged.
"""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.sim.disk import SimDisk
from cluster.journal import wal
from cluster.journal.recovery import LogStart, Recovered, recover, rewrite
from cluster.journal.replay import Replay
from cluster.journal.writer import LogWriter
from cluster.seams import NoSpaceError

SEGMENT_BYTES = 8 * 4096


class CrashError(Exception):
    """The process ends here."""


class Model:
    """Operations as records, in order. `reported`: the newest sequence that was said to be durable."""

    def __init__(self) -> None:
        self.records: list[bytes] = [wal.reset_record(1, 0, 0)]  # what a new log begins with
        self.sequence = 1
        self.reported = 0
        self.base = (0, 0)
        self.last = 0
        self.term = 1

    def log(self, last_sequence: int) -> tuple[tuple[int, int], list[tuple[int, int, bytes]]]:
        """The log that the operations up to and with `last_sequence` describe."""
        replay = Replay()
        replay.base = (0, 0)
        for raw in self.records:
            record = next(wal.records(raw))
            if record.sequence <= last_sequence:
                replay.apply(record, raw)
        assert replay.base is not None
        return replay.base, replay.entries

    def next(self, rng: random.Random) -> bytes:
        """Another operation that a Raft log could make."""
        self.sequence += rng.choice((1, 1, 1, 1000))
        draw = rng.random()
        if draw < 0.75 or self.last == self.base[0]:
            self.last += 1
            size = rng.choice((0, 10, 10, 300, 5000, 9000))
            raw = wal.append_record(self.sequence, self.last, self.term, rng.randbytes(size))
        elif draw < 0.87:
            first = rng.randint(self.base[0] + 1, self.last)
            self.last = first - 1
            self.term += 1
            raw = wal.truncate_record(self.sequence, first)
        elif draw < 0.97:
            self.base = (rng.randint(self.base[0] + 1, self.last), self.term)
            raw = wal.trim_record(self.sequence, *self.base)
        else:
            self.base = (self.last + rng.randint(1, 50), self.term)
            self.last = self.base[0]
            raw = wal.reset_record(self.sequence, *self.base)
        self.records.append(raw)
        return raw

    def forget_behind(self, recovered: Recovered, begin: LogStart) -> None:
        """A new life goes on from what was recovered; all of it is durable now."""
        self.records = [raw for raw in self.records if next(wal.records(raw)).sequence <= recovered.last_sequence]
        self.sequence = self.reported = begin.last_sequence
        self.base, entries = self.log(self.sequence)
        self.last = entries[-1][0] if entries else self.base[0]


def start(disk: SimDisk, model: Model) -> LogStart:
    """Recover and rewrite, comparing with the model."""
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
    assert not recovered.damaged
    assert model.reported <= recovered.last_sequence <= model.sequence
    assert (recovered.base, recovered.entries) == model.log(recovered.last_sequence)
    begin = rewrite(disk, recovered)
    model.forget_behind(recovered, begin)
    return begin


def live(disk: SimDisk, model: Model, begin: LogStart, rng: random.Random) -> None:
    """One life: batches, syncs, idleness and housekeeping until the draw ends it."""
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=begin)
    for _ in range(rng.randint(1, 25)):
        batch = [model.next(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
        writer.write([b"".join(batch[:2]), b"".join(batch[2:])], model.sequence)
        while rng.random() < 0.7:
            model.reported = writer.sync()
            if rng.random() < 0.3:
                writer.idle()
            if rng.random() < 0.5:
                writer.tidy()


def end(disk: SimDisk, rng: random.Random) -> None:
    """The life is over, by one of the ways in which that happens."""
    draw = rng.random()
    if draw < 0.6:
        disk.power_loss(rng)
    else:
        disk.kill()
        if draw < 0.7:
            disk.drop_clean_pages()


def crash_after(disk: SimDisk, operations: int) -> None:
    """The `operations`-th change from now does not happen."""
    limit = disk.operations + operations

    def look(_: str) -> None:
        if disk.operations >= limit:
            raise CrashError

    disk.on_operation = look


def run_lives(seed: int) -> None:
    """Several lives on one disk."""
    rng = random.Random(seed)
    disk, model = SimDisk(), Model()
    for _ in range(rng.randint(2, 8)):
        fault = rng.random()
        if fault < 0.3:
            crash_after(disk, rng.randint(1, 40))
        elif fault < 0.5:
            failing = disk.operations + rng.randint(1, 40)
            disk.on_operation = lambda _, at=failing: disk.fail_next_sync() if disk.operations == at else None
        with contextlib.suppress(CrashError, OSError):
            live(disk, model, start(disk, model), rng)
        disk.on_operation = lambda _: None
        disk.sync_error = None
        end(disk, rng)
    start(disk, model)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=150, deadline=None)
def test_no_reported_operation_is_lost_and_no_intact_log_is_called_damaged(seed: int) -> None:
    """Whatever ends a life, the next one finds a log between the newest completion and the newest operation."""
    run_lives(seed)


@pytest.mark.parametrize("full_at_blocks", range(8, 40, 3))
def test_a_full_disk_delays_batches_and_loses_none(full_at_blocks: int) -> None:
    """No space is found before anything is written: the same batch succeeds when there is room again."""
    rng = random.Random(full_at_blocks)
    disk, model = SimDisk(), Model()
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=start(disk, model))
    disk.space_bytes = full_at_blocks * 4096
    refused = 0
    for _ in range(30):
        batch = model.next(rng)
        try:
            writer.write([batch], model.sequence)
        except NoSpaceError:
            refused += 1
            disk.space_bytes += 20 * 4096
            writer.write([batch], model.sequence)
        model.reported = writer.sync()
    disk.power_loss(rng)
    disk.space_bytes = None

    assert refused > 0
    start(disk, model)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=60, deadline=None)
def test_a_batch_that_a_later_mark_names_is_damage_when_it_cannot_be_read(seed: int) -> None:
    """Rot of anything that was acknowledged and is still needed is seen, and what stood before it is kept."""
    rng = random.Random(seed)
    disk = SimDisk()
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=start(disk, Model()))
    written = []
    for index in range(1, rng.randint(3, 20)):
        entry = rng.randbytes(rng.choice((1, 200, 6000)))
        written.append((writer.last_sequence + 1, index, 1, entry))
        writer.write([wal.append_record(*written[-1])], writer.last_sequence + 1)
        writer.sync()
    writer.idle()
    victim = rng.randrange(len(written))
    record = wal.append_record(*written[victim])
    for name in disk.names(wal.FOLDER):
        file = disk.open(f"{wal.FOLDER}/{name}")
        at = file.read_at(0, file.size()).find(record)
        if at >= 0:
            disk.corrupt(f"{wal.FOLDER}/{name}", at + rng.randrange(len(record)), 1 << rng.randrange(8))
    disk.power_loss(rng)
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)

    assert recovered.damaged
    assert recovered.last_sequence == written[victim][0] - 1
    assert recovered.entries == [(index, term, entry) for _, index, term, entry in written[:victim]]
    rewrite(disk, recovered)
    again = recover(disk, segment_bytes=SEGMENT_BYTES)
    assert (again.damaged, again.entries) == (False, recovered.entries)
