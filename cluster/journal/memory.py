"""The journal of mode `memory`: the log and snapshots of a node stay in this process, ballots alone go to the disk.

The log itself is held by raft/log.py in every mode, so here an operation needs no more than its completion. Snapshots
are the same files as on a disk, in a folder of memory: a peer of any mode is sent them, and compaction has one to
stand on. Used from one thread, the one that owns Raft.

Invariants
  M1  no callback runs inside a call: `soon` runs it later, in the order of the calls
  M2  nothing but ballots leaves this process
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .snapshot_desk import SnapshotDesk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .ballot import Ballot
    from .handle import Callbacks


class Ballots(Protocol):
    """What is left for a disk: a handle.WriterHandle that is given no operation of a log."""

    def ballot(self, sequence: int, ballot: Ballot) -> None: ...  # noqa: D102 - see handle.py
    def close(self) -> bool: ...  # noqa: D102


class MemoryWriter:
    """A handle.WriterHandle. `disk` is where its snapshots are; nothing ever waits to be written."""

    backlog_bytes = 0
    snapshot_backlog_bytes = 0

    def __init__(
        self, ballots: Ballots, callbacks: Callbacks, soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._ballots = ballots
        self._callbacks = callbacks
        self._soon = soon
        self._sequence = 0
        self._scheduled = False
        self._over = False
        self.disk = MemoryDisk()
        self._desk = SnapshotDesk(self.disk, check_chunks=False)  # whoever loads it checks every one

    # ---- the log
    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:  # noqa: ARG002 - see WriterHandle
        """See WriterHandle."""
        self._operation(sequence)

    def truncate(self, sequence: int, first_removed_index: int) -> None:  # noqa: ARG002 - see WriterHandle
        """See WriterHandle."""
        self._operation(sequence)

    def trim(self, sequence: int, index: int, term: int) -> None:  # noqa: ARG002 - see WriterHandle
        """See WriterHandle."""
        self._operation(sequence)

    def reset(self, sequence: int, index: int, term: int) -> None:  # noqa: ARG002 - see WriterHandle
        """See WriterHandle."""
        self._operation(sequence)

    def _operation(self, sequence: int) -> None:
        assert sequence > self._sequence, "sequences of operations grow"
        self._sequence = sequence
        if not self._scheduled:
            self._scheduled = True
            self._soon(self._report)

    def _report(self) -> None:
        self._scheduled = False
        if not self._over:
            self._callbacks.on_synced(self._sequence)

    # ---- the ballot
    def ballot(self, sequence: int, ballot: Ballot) -> None:
        """See WriterHandle."""
        self._ballots.ballot(sequence, ballot)

    # ---- snapshots
    def snapshot_begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        """See WriterHandle."""
        self._refused(snapshot_id, self._desk.begin(snapshot_id, index, term))

    def snapshot_chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        """See WriterHandle."""
        self._refused(snapshot_id, self._desk.chunk(snapshot_id, chunk))

    def snapshot_receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> None:
        """See WriterHandle."""
        self._refused(snapshot_id, self._desk.receive(snapshot_id, index, term, offset, data))

    def snapshot_commit(self, snapshot_id: bytes) -> None:
        """See WriterHandle."""
        why = self._desk.commit(snapshot_id)
        if why is None:
            self._later(lambda: self._callbacks.on_snapshot(snapshot_id))
        self._refused(snapshot_id, why)

    def snapshot_abort(self, snapshot_id: bytes) -> None:
        """See WriterHandle."""
        self._desk.abort(snapshot_id)

    def snapshot_remove_before(self, index: int) -> None:
        """See WriterHandle."""
        self._desk.remove_before(index)

    def _refused(self, snapshot_id: bytes, why: str | None) -> None:
        if why is not None:
            self._later(lambda: self._callbacks.on_snapshot_refused(snapshot_id, why))

    def _later(self, call: Callable[[], None]) -> None:
        self._soon(lambda: None if self._over else call())

    def close(self) -> bool:
        """See WriterHandle."""
        self._over = True
        return self._ballots.close()


class MemoryDisk:
    """A seams.Disk without a disk: files live as long as the process, or longer than their name if one is open."""

    def __init__(self) -> None:
        self._files: dict[str, MemoryFile] = {}

    def open(self, name: str, *, create: bool = False) -> MemoryFile:
        """See Disk."""
        if name not in self._files:
            if not create:
                raise FileNotFoundError(name)
            self._files[name] = MemoryFile()
        return self._files[name]

    def names(self, folder: str = "") -> list[str]:
        """See Disk."""
        pairs = (name.rpartition("/") for name in self._files)
        return sorted(name for where, _, name in pairs if where == folder)

    def rename(self, old: str, new: str) -> None:
        """See Disk."""
        self._files[new] = self._files.pop(old)

    def remove(self, name: str) -> None:
        """See Disk."""
        self._files.pop(name, None)

    def make_folder(self, folder: str) -> None:
        """See Disk."""

    def sync_folder(self, folder: str = "") -> None:
        """See Disk."""


class MemoryFile:
    """A seams.File: bytes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write_at(self, offset: int, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        """See File."""
        data = b"".join(parts)
        self.allocate(offset)
        self._data[offset : offset + len(data)] = data
        return len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        """See File."""
        with memoryview(self._data) as view:
            return bytes(view[offset : offset + count])

    def allocate(self, size: int) -> None:
        """See File. What it asks for is memory."""
        self._data.extend(bytes(max(0, size - len(self._data))))

    def truncate(self, size: int) -> None:
        """See File."""
        self.allocate(size)
        del self._data[size:]

    def sync(self) -> None:
        """See File."""

    def size(self) -> int:
        """See File."""
        return len(self._data)

    def close(self) -> None:
        """See File."""
