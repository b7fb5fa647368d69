"""The log's writer: what the child process does with operations, without the process.

Plain and synchronous over a `seams.Disk`, so that the simulator runs exactly this code. One owner, no thread of its
own. Writing and syncing are two calls: whatever was written before one `sync` is durable together (group commit).

Invariants
  L1  `sync` returns a sequence only when every operation up to it is on stable storage
  L2  after a failed write or sync nothing is written again: the error leaves, and every later call raises FatalError
  L3  a full disk is found while space is allocated, before anything is written; that is no failed write, and the same
      call may be repeated
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .. import seams
from ..errors import FatalError
from ..failpoints import failpoint
from . import wal
from .segments import SegmentMap, create_segment

Start = tuple[int, int, int, Sequence[tuple[int, int, int]], int]  # recovery.LogStart, as plain numbers


class LogWriter:
    """Appends batches to the newest segment. `last_sequence` is written, `synced_sequence` durable."""

    def __init__(self, disk: seams.Disk, *, segment_bytes: int, start: Start) -> None:
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._number, self._offset, last, live, base_segment = start
        self.last_sequence = self.synced_sequence = self._marked = last
        self._map = SegmentMap(live, base_segment)
        self._file = disk.open(wal.segment_name(self._number))
        self._size = self._file.size()
        self._spare: tuple[int, seams.File, int] | None = None  # number, file, size
        self._unsynced: list[seams.File] = []  # oldest first, each once
        self._broken = False

    def write(self, frames: Sequence[wal.Part], last_sequence: int) -> None:
        """The operations of the frames (whole records each) stand in the log as one batch, not yet durable.

        Raises NoSpaceError and changes nothing if the batch needs a segment that cannot be allocated.
        """
        with self._final():
            records = [record for frame in frames for record in wal.records(frame)]
            newest = self.last_sequence
            for record in records:
                assert record.sequence > newest, "sequences of operations grow"
                newest = record.sequence
            assert newest == last_sequence, "a batch ends with its last operation"
            failpoint("journal.before-write")
            self._write_batch(frames, last_sequence)
            failpoint("journal.after-write")
            for record in records:
                self._map.note(self._number, record)

    @property
    def unsynced(self) -> bool:
        """Something is written and not known to be on stable storage."""
        return bool(self._unsynced)

    def sync(self) -> int:
        """Everything written is on stable storage; returns the sequence of the last operation."""
        with self._final():
            failpoint("journal.before-sync")
            for file in self._unsynced:
                file.sync()
                if file is not self._file:
                    file.close()
            failpoint("journal.after-sync")
            self._unsynced.clear()
            self.synced_sequence = self.last_sequence
            return self.synced_sequence

    def idle(self) -> bool:
        """An empty batch that names everything as synced is on stable storage; False if the log already said so.

        For the moment when no operation waits: it shrinks what a rot of the newest batch could pass off as torn.
        """
        if self._marked == self.last_sequence or self._unsynced:
            return False
        with self._final():
            self._write_batch([], self.last_sequence)
        self.sync()
        return True

    def tidy(self) -> None:
        """Segments that the durable log no longer needs are gone and a spare one waits.

        Call it when nothing waits for a completion. Raises NoSpaceError if the spare cannot be allocated.
        """
        with self._final():
            if not self._unsynced:
                for number in self._map.droppable():
                    failpoint("compaction.before-remove")
                    self._disk.remove(wal.segment_name(number))
                    failpoint("compaction.after-remove")
                    self._disk.sync_folder(wal.FOLDER)  # one by one: a hole in the row would look like damage
                    self._map.forget(number)
            if self._spare is None:
                self._spare = self._create(self._segment_bytes)

    def close(self) -> None:
        """The files are closed; what was not synced may or may not be there."""
        for file in {id(file): file for file in (*self._unsynced, self._file)}.values():
            file.close()
        if self._spare is not None:
            self._spare[1].close()

    def _write_batch(self, frames: Sequence[wal.Part], last: int) -> None:
        length = wal.BATCH_HEADER_BYTES + sum(map(len, frames))
        assert length <= wal.BATCH_BYTES_MAX, "the caller bounds a batch"
        if self._offset + length > self._size:
            self._advance(wal.BLOCK_BYTES + wal.blocks_end(length))
        header = wal.batch_header(
            self._number, self._offset, frames, previous=self.last_sequence, last=last, mark=self.synced_sequence
        )
        if self._file not in self._unsynced:
            self._unsynced.append(self._file)
        self._file.write_at(self._offset, [header, *frames])
        self._offset = wal.blocks_end(self._offset + length)
        self.last_sequence, self._marked = last, self.synced_sequence

    def _advance(self, bytes_needed: int) -> None:
        """Go on in the spare segment, which has room for the batch whatever its size."""
        if self._spare is None:
            self._spare = self._create(max(self._segment_bytes, bytes_needed))
        number, file, size = self._spare
        if size < bytes_needed:
            file.allocate(bytes_needed)
            size = bytes_needed
        self._spare = None
        if self._file not in self._unsynced:
            self._file.close()
        self._number, self._file, self._size, self._offset = number, file, size, wal.BLOCK_BYTES
        self._map.begin(number)

    def _create(self, size: int) -> tuple[int, seams.File, int]:
        number = self._number + 1
        return number, create_segment(self._disk, number, size), size

    @contextmanager
    def _final(self) -> Iterator[None]:
        if self._broken:
            raise FatalError("the journal failed before; the process must end")
        try:
            yield
        except seams.NoSpaceError:
            raise
        except BaseException:
            self._broken = True
            raise
