"""Which segments the present log still needs, and how a segment is made.

The entries of the present log that stand in one segment are always one range of indexes, so the map keeps a range per
segment. Invariants
  M1  a segment may go when every older one is gone, it holds no entry of the present log, and the newest base (trim or
      reset) stands in a later one: replaying what is left then gives the same log
  M2  the caller drops on the strength of synced operations only, oldest first, each removal on stable storage before
      the next: a hole in the row of segments is never ours
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import seams
from . import wal

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Live:
    """The entries of the present log in one segment: [first, last], none if last < first."""

    number: int
    first: int = 1
    last: int = 0


class SegmentMap:
    """Segments in the order of their numbers, with what the present log has in each."""

    def __init__(self, live: Iterable[tuple[int, int, int]] = (), base_segment: int = 0) -> None:
        self._live = [Live(*row) for row in live]
        self.base_segment = base_segment  # where the newest trim or reset stands

    def rows(self) -> list[tuple[int, int, int]]:
        """The map as plain numbers, as the constructor takes them."""
        return [(live.number, live.first, live.last) for live in self._live]

    def begin(self, number: int) -> None:
        """The segment exists, whether or not the log has anything in it: without it the row would have a hole."""
        if all(live.number != number for live in self._live):
            self._live.append(Live(number))
            self._live.sort(key=lambda live: live.number)

    def note(self, number: int, record: wal.Record) -> None:
        """The operation was written to segment `number`, which is the newest so far."""
        if not self._live or self._live[-1].number != number:
            self.begin(number)
        if record.kind == wal.APPEND:
            live = self._live[-1]
            if live.last < live.first:
                live.first = record.index
            live.last = record.index
        elif record.kind == wal.TRUNCATE:
            for live in self._live:
                live.last = min(live.last, record.index - 1)
        elif record.kind in {wal.TRIM, wal.RESET}:
            self.base_segment = number
            for live in self._live:
                live.first = max(live.first, record.index + 1)
                if record.kind == wal.RESET:
                    live.last = record.index

    def droppable(self) -> list[int]:
        """Numbers of the segments that may go now (M1), oldest first."""
        needed = min([self.base_segment, *(live.number for live in self._live if live.first <= live.last)])
        return [live.number for live in self._live if live.number < needed]

    def forget(self, number: int) -> None:
        """The segment is gone."""
        self._live = [live for live in self._live if live.number != number]


def segment_numbers(disk: seams.Disk) -> list[int]:
    """Numbers of the segments in the node's folder, in order; other files are not looked at."""
    return sorted(number for name in disk.names(wal.FOLDER) if (number := wal.segment_number(name)) is not None)


def create_segment(disk: seams.Disk, number: int, size: int, batch: Iterable[wal.Part] = ()) -> seams.File:
    """A new segment of `size` bytes, with a first batch if given, is on stable storage, name included.

    Raises NoSpaceError and leaves nothing behind if the disk is full.
    """
    name = wal.segment_name(number)
    file = disk.open(name, create=True)
    try:
        file.allocate(size)
    except seams.NoSpaceError:
        file.close()
        disk.remove(name)
        raise
    file.write_at(0, [wal.segment_header(number)])
    file.write_at(wal.BLOCK_BYTES, batch)
    file.sync()
    disk.sync_folder(wal.FOLDER)
    return file
