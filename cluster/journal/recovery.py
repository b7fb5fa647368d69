"""The start of a node: read the log, judge it, and make what was read durable. Blocking; runs before Raft does.

Order is everything. The segments are synced before they are read, because the evidence of damage may itself be an
unsynced page. What was read behind the newest mark is copied, not just synced: after a failed sync the kernel holds the
pages as clean, and a later sync, of a later process too, returns success without writing them. The old tail goes only
when its copy is on stable storage.

`rewrite` is apart from `recover` because the cut of a *damaged* log may be written only when the ballot that says
`recovering` is durable. A crash anywhere in between loses nothing that was acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError
from . import wal
from .judge import Judgement, Kept, judge
from .replay import Entry, Replay
from .scan import Batch, scan_segment
from .segments import SegmentMap, create_segment, segment_numbers

if TYPE_CHECKING:
    from .. import seams


@dataclass(frozen=True, slots=True)
class Recovered:
    """The log as it was found. The first six fields are for Raft, the rest is what `rewrite` needs.

    damaged: something acknowledged is lost; `entries` is what stood before it (nothing, if the base is unknown).
    missing: no segment holds anything readable; whether the log ever existed is known by the ballot (`born`).
    """

    base: tuple[int, int]
    entries: list[Entry]
    last_sequence: int
    mark: int
    damaged: bool
    missing: bool
    segment_bytes: int
    numbers: list[int] = field(repr=False)  # of all segment files
    ends: dict[int, int] = field(repr=False)  # segment -> end of its last batch that is needed
    tail: list[bytes] = field(repr=False)  # records behind the mark, verbatim
    live: SegmentMap = field(repr=False)  # as it is after the rewrite


class LogStart(NamedTuple):
    """Where the writer goes on: everything up to `last_sequence` is durable. Plain numbers, fit for JSON.

    The next operation's sequence is higher than this one, which may be beyond `Recovered.last_sequence`.
    """

    number: int
    offset: int
    last_sequence: int
    live: list[tuple[int, int, int]]
    base_segment: int


def recover(disk: seams.Disk, *, segment_bytes: int) -> Recovered:
    """Sync, read and judge the log; nothing but the sync changes a file. An OSError is final: the process must end."""
    numbers = segment_numbers(disk)
    for number in numbers:
        file = disk.open(wal.segment_name(number))
        file.sync()
        file.close()
    if numbers:
        disk.sync_folder(wal.FOLDER)
    batches: list[Batch] = []
    for number in numbers:
        file = disk.open(wal.segment_name(number))
        batches += scan_segment(file, number)
        file.close()
    first_place = (numbers[0] if numbers else 0, wal.BLOCK_BYTES)
    return _replayed(judge(batches, first_place), numbers, segment_bytes, missing=not batches)


def _replayed(judgement: Judgement, numbers: list[int], segment_bytes: int, *, missing: bool) -> Recovered:
    replay, live = Replay(), SegmentMap()
    last, damaged = judgement.last, judgement.damaged
    copy = max(numbers, default=0) + 1  # the segment that `rewrite` makes
    done = 0
    try:
        for kept in judgement.kept:
            for record in kept.records:
                replay.apply(record, kept.batch.payload)
                live.note(copy if record.sequence > judgement.mark else kept.batch.number, record)
                done = record.sequence
    except DamagedError:
        last, damaged = done, True
    kept_batches = judgement.kept
    if not replay.whole():
        # without its base no entry has a place: what is left of the log is of no use to Raft
        last, damaged, kept_batches = 0, not missing, []
        replay, live = Replay(), SegmentMap()
    mark = min(judgement.mark, last)
    ends = _needed(kept_batches, mark)
    for number in (*ends, copy):
        live.begin(number)
    return Recovered(
        base=replay.base or (0, 0),
        entries=replay.entries,
        last_sequence=last,
        mark=mark,
        damaged=damaged,
        missing=missing,
        segment_bytes=segment_bytes,
        numbers=numbers,
        ends=ends,
        tail=[
            kept.batch.payload[record.start : record.end]
            for kept in kept_batches
            for record in kept.records
            if mark < record.sequence <= last
        ],
        live=live,
    )


def _needed(kept_batches: list[Kept], mark: int) -> dict[int, int]:
    """Which segments hold an operation that a rewrite behind `mark` does not copy, and where the last one ends."""
    return {
        kept.batch.number: kept.batch.end
        for kept in kept_batches
        if any(record.sequence <= mark for record in kept.records)
    }


def rewrite(disk: seams.Disk, recovered: Recovered) -> LogStart:
    """Everything recovered is durable, nothing else can come back, and the writer may go on from the result.

    One batch in a new segment stands for every operation behind the mark; an incomplete one cannot be read and is
    ignored by the next start. Raises NoSpaceError and changes nothing if the disk is full.
    """
    disk.make_folder(wal.FOLDER)
    disk.sync_folder()
    number = max(recovered.numbers, default=0) + 1
    last, mark = recovered.last_sequence, recovered.mark
    live = SegmentMap(recovered.live.rows(), recovered.live.base_segment)
    copied = recovered.tail
    if not live.base_segment:
        last += 1  # an empty log begins with an operation of its own
        copied = [wal.reset_record(last, *recovered.base)]
        live.note(number, next(wal.records(copied[0])))
    payload = wal.rewrite_payload(mark, last, copied)
    header = wal.batch_header(number, wal.BLOCK_BYTES, [payload], previous=mark, last=last, mark=mark)
    offset = wal.blocks_end(wal.BLOCK_BYTES + len(header) + len(payload))
    size = max(recovered.segment_bytes, offset + wal.BLOCK_BYTES)
    file = create_segment(disk, number, size, [header, payload])
    # Now that the copy is durable, say so: without this mark a later rot of the copy would look like a torn tail.
    file.write_at(offset, [wal.batch_header(number, offset, [], previous=last, last=last, mark=last)])
    file.sync()
    file.close()
    _drop_old(disk, recovered)
    return LogStart(number, offset + wal.BLOCK_BYTES, last, live.rows(), live.base_segment)


def drop_all(disk: seams.Disk) -> None:
    """No segment is left, newest first: what an interruption leaves is the beginning of the log."""
    for number in reversed(segment_numbers(disk)):
        disk.remove(wal.segment_name(number))
        disk.sync_folder(wal.FOLDER)


def _drop_old(disk: seams.Disk, recovered: Recovered) -> None:
    """Segments that hold nothing needed are gone and the others end where they are needed.

    On stable storage before the writer starts: later starts rely on an old tail that was cut staying cut.
    """
    for number in reversed(recovered.numbers):
        name = wal.segment_name(number)
        if number in recovered.ends:
            file = disk.open(name)
            if file.size() > recovered.ends[number]:
                file.truncate(recovered.ends[number])
                file.sync()
            file.close()
        else:
            disk.remove(name)
            disk.sync_folder(wal.FOLDER)  # newest first, one by one: what begins the row must not go before the rest
