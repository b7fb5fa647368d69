"""The log's writer: batches, marks, segments that come and go, and errors that are final."""

from __future__ import annotations

import pytest

from chaos.sim.disk import SimDisk
from cluster.errors import FatalError
from cluster.journal import wal
from cluster.journal.recovery import recover, rewrite
from cluster.journal.scan import Batch, scan_segment
from cluster.journal.segments import SegmentMap, segment_numbers
from cluster.journal.writer import LogWriter
from cluster.seams import NoSpaceError

SEGMENT_BYTES = 8 * 4096


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk()


@pytest.fixture
def writer(disk: SimDisk) -> LogWriter:
    return LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=rewrite(disk, recover(disk, segment_bytes=SEGMENT_BYTES)))


def put(writer: LogWriter, *indexes: int, size: int = 10) -> int:
    records = []
    sequence = writer.last_sequence
    for index in indexes:
        sequence += 1
        records.append(wal.append_record(sequence, index, 1, bytes(size)))
    writer.write(records, sequence)
    return sequence


def batches(disk: SimDisk) -> list[Batch]:
    found = []
    for number in segment_numbers(disk):
        found += scan_segment(disk.open(wal.segment_name(number)), number)
    return [batch for batch in found if not batch.rewrite]


def test_everything_written_before_a_sync_is_one_completion(disk: SimDisk, writer: LogWriter) -> None:
    """Group commit: two batches, one sync, the newest sequence."""
    put(writer, 1)
    sequence = put(writer, 2, 3)

    assert writer.synced_sequence < sequence
    assert writer.sync() == sequence
    assert writer.synced_sequence == sequence


def test_each_batch_names_what_was_synced_when_it_was_written(disk: SimDisk, writer: LogWriter) -> None:
    """And the sequence before it; each begins on a block."""
    put(writer, 1)
    put(writer, 2, 3)
    writer.sync()
    put(writer, 4)
    found = [(b.previous, b.last, b.mark) for b in batches(disk)]

    assert found == [(1, 1, 1), (1, 2, 1), (2, 4, 1), (4, 5, 4)]
    assert {b.offset % wal.BLOCK_BYTES for b in batches(disk)} == {0}


def test_an_idle_writer_says_once_that_everything_is_synced(disk: SimDisk, writer: LogWriter) -> None:
    """An empty batch, itself synced; nothing while a batch is not synced or when it was said before."""
    sequence = put(writer, 1)

    assert writer.idle() is False
    writer.sync()
    assert writer.idle() is True
    assert writer.idle() is False
    newest = batches(disk)[-1]
    assert (newest.previous, newest.last, newest.mark, newest.payload) == (sequence, sequence, sequence, b"")


def test_a_batch_that_does_not_fit_goes_to_the_next_segment(disk: SimDisk, writer: LogWriter) -> None:
    """Whole; one larger than a segment gets a segment of its own size."""
    for index in range(1, 4):
        put(writer, index, size=3 * 4096)
        writer.sync()
    put(writer, 4, size=3 * SEGMENT_BYTES)
    writer.sync()
    sizes = [disk.open(wal.segment_name(number)).size() for number in segment_numbers(disk)]

    assert [b.number for b in batches(disk) if b.payload] == [1, 2, 3, 4]
    assert sizes[:3] == [SEGMENT_BYTES] * 3
    assert sizes[3] > 3 * SEGMENT_BYTES


def test_a_spare_segment_waits_and_is_used_next(disk: SimDisk, writer: LogWriter) -> None:
    """So a batch seldom waits for an allocation; a spare too small for a huge batch grows."""
    writer.tidy()
    writer.tidy()

    assert segment_numbers(disk) == [1, 2]
    put(writer, 1, size=2 * SEGMENT_BYTES)
    writer.sync()
    assert segment_numbers(disk) == [1, 2]
    assert batches(disk)[-1].number == 2


def test_segments_behind_a_synced_trim_go_and_others_stay(disk: SimDisk, writer: LogWriter) -> None:
    """Only when the trim is durable, only those without a needed entry."""
    for index in range(1, 7):
        put(writer, index, size=3 * 4096)
        writer.sync()
    sequence = writer.last_sequence + 1
    writer.write([wal.trim_record(sequence, 4, 1)], sequence)
    before = segment_numbers(disk)
    writer.tidy()

    assert segment_numbers(disk)[: len(before)] == before
    writer.sync()
    writer.tidy()
    holding_five = next(b.number for b in batches(disk) if any(r.index == 5 for r in b.records))
    assert segment_numbers(disk)[0] == holding_five
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
    assert (recovered.damaged, recovered.base) == (False, (4, 1))
    assert [index for index, _, _ in recovered.entries] == [5, 6]


def test_segments_go_oldest_first_each_on_stable_storage(disk: SimDisk, writer: LogWriter) -> None:
    """A hole in the row of segments would look like damage after a power loss."""
    for index in range(1, 7):
        put(writer, index, size=5 * 4096)
        writer.sync()
    sequence = writer.last_sequence + 1
    writer.write([wal.reset_record(sequence, 6, 1)], sequence)
    writer.sync()
    done: list[str] = []
    disk.on_operation = done.append
    writer.tidy()

    assert [what for what in done if what in {"remove", "sync_folder"}][:6] == ["remove", "sync_folder"] * 3


def test_a_full_disk_is_found_before_anything_is_written(disk: SimDisk, writer: LogWriter) -> None:
    """The same batch succeeds when there is room; the spare is the first to be missed."""
    put(writer, 1, size=4 * 4096)
    writer.sync()
    disk.space_bytes = SEGMENT_BYTES
    sequence = writer.last_sequence + 1
    batch = [wal.append_record(sequence, 2, 1, bytes(5 * 4096))]
    with pytest.raises(NoSpaceError):
        writer.tidy()
    with pytest.raises(NoSpaceError):
        writer.write(batch, sequence)

    assert (writer.last_sequence, segment_numbers(disk)) == (sequence - 1, [1])
    disk.space_bytes = None
    writer.write(batch, sequence)
    assert writer.sync() == sequence


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_after_a_failed_write_or_sync_nothing_is_done_again(disk: SimDisk, writer: LogWriter, failing: str) -> None:
    """The error leaves as it is; whoever goes on gets FatalError, and no completion."""
    put(writer, 1)
    if failing == "write":
        disk.fail_next_write()
    else:
        disk.fail_next_sync()

    def write_and_sync() -> None:
        put(writer, 2)
        writer.sync()

    with pytest.raises(OSError, match="failed"):
        write_and_sync()
    operations = disk.operations
    for call in (writer.sync, writer.tidy, lambda: writer.write([], 9)):
        with pytest.raises(FatalError):
            call()

    assert disk.operations == operations


@pytest.mark.parametrize(
    ("frames", "last_sequence"),
    [
        ([wal.append_record(1, 1, 1, b"")], 1),  # 1 is the sequence of the start
        ([wal.append_record(3, 1, 1, b""), wal.append_record(2, 2, 1, b"")], 2),
        ([wal.append_record(2, 1, 1, b"")], 3),
    ],
)
def test_sequences_that_do_not_grow_are_refused(writer: LogWriter, frames: list[bytes], last_sequence: int) -> None:
    """A mistake of ours ends the writer before a byte is written."""
    with pytest.raises(AssertionError):
        writer.write(frames, last_sequence)
    with pytest.raises(FatalError):
        writer.sync()


def note(segments: SegmentMap, number: int, *raws: bytes) -> None:
    for raw in raws:
        for record in wal.records(raw):
            segments.note(number, record)


def test_the_map_keeps_the_segment_of_the_newest_base() -> None:
    """Even if no entry is left in it: without it nobody knows where the log begins."""
    segments = SegmentMap()
    note(segments, 1, wal.reset_record(1, 0, 0), wal.append_record(2, 1, 1, b""))
    note(segments, 2, wal.trim_record(3, 1, 1), wal.append_record(4, 2, 1, b""))
    note(segments, 3, wal.truncate_record(5, 2), wal.append_record(6, 2, 2, b""))

    assert segments.droppable() == [1]
    assert segments.rows() == [(1, 2, 1), (2, 2, 1), (3, 2, 2)]
    note(segments, 4, wal.reset_record(7, 10, 2))
    assert segments.droppable() == [1, 2, 3]


def test_the_map_keeps_a_segment_that_holds_a_present_entry() -> None:
    """However far the base moves in others; a truncated entry does not hold its segment."""
    segments = SegmentMap()
    note(segments, 1, wal.reset_record(1, 0, 0), *(wal.append_record(1 + i, i, 1, b"") for i in range(1, 9)))
    note(segments, 2, wal.append_record(10, 9, 1, b""))
    note(segments, 3, wal.trim_record(11, 5, 1))

    assert segments.droppable() == []
    note(segments, 4, wal.truncate_record(12, 6), wal.append_record(13, 6, 2, b""))
    assert segments.droppable() == [1, 2]


def test_an_empty_segment_does_not_outlive_its_neighbours() -> None:
    """It goes in its turn: left behind, it would be the beginning of a row with a hole."""
    segments = SegmentMap([(1, 1, 3), (2, 1, 0), (3, 4, 5)], base_segment=1)
    segments.begin(4)
    note(segments, 5, wal.trim_record(9, 5, 1))

    assert segments.droppable() == [1, 2, 3, 4]
    segments.forget(1)
    assert segments.droppable() == [2, 3, 4]
