"""Where things stand in a log, for whoever looks into it: the place of each entry, and what lies behind the end.

Reads through a `seams.Disk`. A log ends where `judge` says; in the segments there are only zeros behind that, unless
something was being written when its writer ended (a torn tail), or what stood there is damaged: which of the two is
`judge`'s to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from . import wal
from .judge import judge
from .scan import scan_segment
from .segments import segment_numbers

if TYPE_CHECKING:
    from .. import seams
    from .judge import Judgement

READ_BYTES: Final = 1 << 20
Place = tuple[int, int]
"""(number of a segment, byte in it)"""


class Tail(NamedTuple):
    """`entries`: index → the batch that put the entry there; `behind`: where the first thing behind `end` stands."""

    entries: dict[int, Place]
    end: Place
    behind: Place | None


def look(disk: seams.Disk) -> Tail:
    """The places in the log that is on the disk."""
    numbers = segment_numbers(disk)
    first = (numbers[0] if numbers else 0, wal.BLOCK_BYTES)
    judgement = _judged(disk, numbers, first)
    entries = {
        record.index: (kept.batch.number, kept.batch.offset)
        for kept in judgement.kept
        for record in kept.records
        if record.kind == wal.APPEND
    }
    end = first
    if judgement.kept:
        last = judgement.kept[-1].batch
        end = (last.number, last.end)
    return Tail(entries, end, _behind(disk, numbers, end))


def told(place: Place) -> str:
    """In words: the file, and the byte."""
    return f"{wal.segment_name(place[0])}, byte {place[1]}"


def _judged(disk: seams.Disk, numbers: list[int], first: Place) -> Judgement:
    batches = []
    for number in numbers:
        file = disk.open(wal.segment_name(number))
        batches += scan_segment(file, number)
        file.close()
    return judge(batches, first)


def _behind(disk: seams.Disk, numbers: list[int], end: Place) -> Place | None:
    for number in numbers:
        if number < end[0]:
            continue
        file = disk.open(wal.segment_name(number))
        found = _first_byte(file, end[1] if number == end[0] else wal.BLOCK_BYTES)
        file.close()
        if found is not None:
            return number, found
    return None


def _first_byte(file: seams.File, offset: int) -> int | None:
    """The first byte from there on that is not zero."""
    while data := file.read_at(offset, READ_BYTES):
        rest = data.lstrip(b"\x00")
        if rest:
            return offset + len(data) - len(rest)
        offset += len(data)
    return None
