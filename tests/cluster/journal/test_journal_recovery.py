"""The start of a node: reading a log, rewriting its tail, and a crash at every step of it."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from chaos.sim.disk import SimDisk
from cluster.journal import wal
from cluster.journal.recovery import LogStart, recover, rewrite
from cluster.journal.writer import LogWriter
from cluster.seams import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENT_BYTES = 8 * 4096


class CrashError(Exception):
    """The process ends here."""


def opened(disk: SimDisk) -> LogStart:
    return rewrite(disk, recover(disk, segment_bytes=SEGMENT_BYTES))


def writer_on(disk: SimDisk) -> LogWriter:
    return LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=opened(disk))


def put(writer: LogWriter, index: int, entry: bytes = b"sealed", *, sync: bool = True) -> None:
    sequence = writer.last_sequence + 1
    writer.write([wal.append_record(sequence, index, 1, entry)], sequence)
    if sync:
        writer.sync()


def segments(disk: SimDisk) -> list[str]:
    return [f"{wal.FOLDER}/{name}" for name in disk.names(wal.FOLDER)]


def entries(disk: SimDisk) -> list[tuple[int, int, bytes]]:
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
    assert not recovered.damaged
    return recovered.entries


def test_an_empty_folder_is_a_missing_log() -> None:
    """Nothing was read; whether that is a loss, the ballot knows."""
    recovered = recover(SimDisk(), segment_bytes=SEGMENT_BYTES)

    assert (recovered.missing, recovered.damaged, recovered.entries) == (True, False, [])


def test_a_new_log_is_there_after_the_next_power_loss() -> None:
    """Neither missing nor damaged, and empty behind (0, 0)."""
    disk = SimDisk()
    opened(disk)
    disk.power_loss(random.Random(1))
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)

    assert (recovered.missing, recovered.damaged, recovered.base, recovered.entries) == (False, False, (0, 0), [])


def test_a_lost_log_is_missing_and_a_log_without_its_beginning_is_damaged() -> None:
    """All files gone, or only the one that says where the log begins."""
    disk = SimDisk()
    writer = writer_on(disk)
    for index in range(1, 20):
        put(writer, index)
        writer.tidy()
    disk.lose(segments(disk)[0])
    disk.kill()
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)

    assert (recovered.damaged, recovered.missing, recovered.entries) == (True, False, [])
    for name in segments(disk):
        disk.lose(name)
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
    assert (recovered.damaged, recovered.missing) == (False, True)


def test_entries_are_stored_verbatim() -> None:
    """The sealed bytes that come in are the bytes in the file and the bytes that come back."""
    disk, marker = SimDisk(), b"SEALED-MARKER-\x00\xff-" * 40
    writer = writer_on(disk)
    put(writer, 1, marker)
    file = disk.open(segments(disk)[0])

    assert marker in file.read_at(0, file.size())
    assert entries(disk) == [(1, 1, marker)]


def test_what_was_read_counts_only_after_the_rewrite() -> None:
    """A batch whose sync failed is readable and lost at once if the pages are dropped, and durable once rewritten."""
    disk = SimDisk()
    writer = writer_on(disk)
    put(writer, 1)
    put(writer, 2, sync=False)
    disk.fail_next_sync()
    with pytest.raises(OSError, match="sync failed"):
        writer.sync()
    disk.kill()

    assert [index for index, _, _ in entries(disk)] == [1, 2]
    opened(disk)
    disk.power_loss(random.Random(0))
    assert [index for index, _, _ in entries(disk)] == [1, 2]


def test_a_sync_alone_would_not_have_saved_it() -> None:
    """The twin: after a failed sync a later one returns success and writes nothing, so reading is not enough."""
    disk = SimDisk()
    writer = writer_on(disk)
    put(writer, 1)
    put(writer, 2, sync=False)
    disk.fail_next_sync()
    with pytest.raises(OSError, match="sync failed"):
        writer.sync()
    disk.kill()
    recover(disk, segment_bytes=SEGMENT_BYTES)  # syncs every segment
    disk.power_loss(random.Random(0))

    assert [index for index, _, _ in entries(disk)] == [1]


def test_rot_of_the_copy_is_seen() -> None:
    """A rewrite names itself as synced, so rot in it is damage and not a torn tail."""
    disk = SimDisk()
    writer = writer_on(disk)
    put(writer, 1)
    put(writer, 2, b"x" * 500, sync=False)
    disk.kill()
    start = opened(disk)
    disk.corrupt(wal.segment_name(start.number), wal.BLOCK_BYTES + 200)

    assert recover(disk, segment_bytes=SEGMENT_BYTES).damaged


def test_rot_of_the_empty_part_of_a_block_is_nothing() -> None:
    """The twin: bytes that say nothing may change."""
    disk = SimDisk()
    writer = writer_on(disk)
    put(writer, 1)
    writer.idle()
    for offset in (4095, 2 * 4096 - 1):
        disk.corrupt(segments(disk)[0], offset)

    assert [index for index, _, _ in entries(disk)] == [1]


def crashes(build: Callable[[], SimDisk]) -> list[tuple[SimDisk, int]]:
    """The disk after a crash before each change that a rewrite makes, with and without a loss of power."""
    found = []
    for step in itertools.count(1):
        for power in (None, 0, 1, 2):
            disk = build()
            recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
            limit = disk.operations + step

            def look(_: str, disk: SimDisk = disk, limit: int = limit) -> None:
                if disk.operations >= limit:
                    raise CrashError

            disk.on_operation = look
            try:
                rewrite(disk, recovered)
            except CrashError:
                pass
            else:
                return found
            disk.on_operation = lambda _: None
            if power is None:
                disk.kill()
            else:
                disk.power_loss(random.Random(step * 10 + power))
            found.append((disk, step))
    raise AssertionError


def with_a_tail() -> SimDisk:
    """Three entries named as synced, one synced and not named, one not synced; an old spare; an earlier rewrite."""
    disk = SimDisk()
    writer = writer_on(disk)
    for index in (1, 2, 3, 4):
        put(writer, index, b"x" * 5000)
        writer.tidy()
    put(writer, 5, b"x" * 5000, sync=False)
    disk.kill()
    return disk


def with_damage() -> SimDisk:
    """Entry 3 of five is rotten and was acknowledged."""
    disk = with_a_tail()
    opened(disk)
    for name in segments(disk):
        file = disk.open(name)
        content = file.read_at(0, file.size())
        record = wal.append_header(4, 3, 1, 5000)
        if record in content:
            disk.corrupt(name, content.index(record) + 100)
    disk.kill()
    return disk


def test_a_crash_at_any_step_of_a_rewrite_loses_nothing_acknowledged() -> None:
    """Entries 1 to 4 were; entry 5 may be there or not, nothing else, and the next start succeeds."""
    found = crashes(with_a_tail)
    for disk, _ in found:
        indexes = [index for index, _, _ in entries(disk)]
        opened(disk)
        disk.power_loss(random.Random(4))

        assert indexes in ([1, 2, 3, 4], [1, 2, 3, 4, 5])
        assert [index for index, _, _ in entries(disk)] == indexes
    assert len(found) > 30


def test_a_crash_at_any_step_of_a_cut_leaves_it_damaged_or_cut() -> None:
    """Never half: either the damage is seen again, or the log ends cleanly before it."""
    found = crashes(with_damage)
    seen = set()
    for disk, _ in found:
        recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
        seen.add(recovered.damaged)

        assert [index for index, _, _ in recovered.entries] == [1, 2]
    assert seen == {True, False}


def with_a_dropped_beginning() -> SimDisk:
    """Every segment left was synced and is named by no mark: what is on disk begins with what will be copied."""
    disk = SimDisk()
    writer = writer_on(disk)
    for index in (1, 2, 3, 4):
        put(writer, index, b"x" * 15000, sync=False)
    sequence = writer.last_sequence + 1
    writer.write([wal.trim_record(sequence, 2, 1)], sequence)
    writer.sync()
    writer.tidy()
    disk.kill()
    return disk


def test_a_crash_at_any_step_keeps_a_log_whose_beginning_was_dropped() -> None:
    """The segment that begins the row goes last."""
    found = crashes(with_a_dropped_beginning)
    for disk, _ in found:
        recovered = recover(disk, segment_bytes=SEGMENT_BYTES)

        assert (recovered.damaged, recovered.base) == (False, (2, 1))
        assert [index for index, _, _ in recovered.entries] == [3, 4]
    assert len(found) > 20


def test_evidence_of_damage_is_on_stable_storage_before_it_is_judged() -> None:
    """Else a loss of power could take the page that names a rotten batch as synced, and it would look torn."""
    for seed in range(40):
        disk = SimDisk()
        writer = writer_on(disk)
        put(writer, 1)
        put(writer, 2, b"y" * 500)
        put(writer, 3, sync=False)  # names 2 as synced
        name = segments(disk)[0]
        file = disk.open(name)
        disk.corrupt(name, file.read_at(0, file.size()).index(b"yyyy"))
        disk.kill()
        seen = recover(disk, segment_bytes=SEGMENT_BYTES).damaged
        disk.power_loss(random.Random(seed))

        assert (seen, recover(disk, segment_bytes=SEGMENT_BYTES).damaged) == (True, True)


def test_an_old_tail_that_was_cut_stays_cut() -> None:
    """On stable storage before anything is written behind it."""
    for seed in range(40):
        disk = with_a_tail()
        opened(disk)
        sizes = [disk.open(name).size() for name in segments(disk)]
        disk.power_loss(random.Random(seed))

        assert [disk.open(name).size() for name in segments(disk)] == sizes


def test_writing_goes_on_after_a_cut() -> None:
    """Sequences of the lost stretch may come again: it is superseded where it stood, not by number."""
    disk = with_damage()
    writer = writer_on(disk)
    put(writer, 3, b"another")
    put(writer, 4, b"another")
    disk.power_loss(random.Random(2))

    assert [(index, len(entry)) for index, _, entry in entries(disk)] == [(1, 5000), (2, 5000), (3, 7), (4, 7)]


def test_many_restarts_leave_few_segments() -> None:
    """A rewrite that says nothing new takes the place of the one before."""
    disk = with_a_tail()
    counts = []
    for _ in range(12):
        opened(disk)
        disk.kill()
        counts.append(len(segments(disk)))

    assert counts[-1] == counts[2]
    assert [index for index, _, _ in entries(disk)] == [1, 2, 3, 4, 5]


def test_a_full_disk_at_the_start_changes_nothing() -> None:
    """The rewrite is refused before anything is written and may be tried again."""
    disk = with_a_tail()
    before = segments(disk)
    disk.space_bytes = sum(disk.open(name).size() for name in before) + SEGMENT_BYTES - 1
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
    with pytest.raises(NoSpaceError):
        rewrite(disk, recovered)

    assert segments(disk) == before
    disk.space_bytes += 1
    rewrite(disk, recovered)
    assert [index for index, _, _ in entries(disk)] == [1, 2, 3, 4, 5]


def test_a_tail_larger_than_a_segment_is_copied_whole() -> None:
    """The new segment is as large as it has to be, and the writer goes on in the next."""
    disk = SimDisk()
    writer = writer_on(disk)
    put(writer, 1, b"y" * (3 * SEGMENT_BYTES), sync=False)
    disk.kill()
    writer = writer_on(disk)
    put(writer, 2)

    assert [(index, len(entry)) for index, _, entry in entries(disk)] == [(1, 3 * SEGMENT_BYTES), (2, 6)]


def test_files_that_are_not_segments_are_left_alone() -> None:
    """Neither read nor removed."""
    disk = with_a_tail()
    disk.open(f"{wal.FOLDER}/notes", create=True)
    opened(disk)

    assert f"{wal.FOLDER}/notes" in segments(disk)


@pytest.mark.parametrize(
    "operations",
    [
        [wal.append_record(2, 1, 1, b""), wal.append_record(3, 3, 1, b"")],
        [wal.reset_record(2, 10, 1), wal.truncate_record(3, 10)],
    ],
)
def test_operations_that_cannot_follow_each_other_are_damage(operations: list[bytes]) -> None:
    """A hole between entries, a truncation behind the base: what came before stays, the rest is not guessed."""
    disk = SimDisk()
    writer = writer_on(disk)
    writer.write([operations[0]], 2)
    writer.write([operations[1]], 3)
    writer.sync()
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)

    assert (recovered.damaged, recovered.last_sequence) == (True, 2)
    rewrite(disk, recovered)
    again = recover(disk, segment_bytes=SEGMENT_BYTES)
    assert (again.damaged, again.base, again.entries) == (False, recovered.base, recovered.entries)
