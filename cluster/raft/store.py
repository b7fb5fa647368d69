"""Snapshot files of one member: written through the journal's writer, read from the disk directly.

Invariant: `latest` and `chunks` give complete, durable files only; what is being written has another name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from ..journal.snapshot_file import SnapshotReader, latest_snapshot, open_snapshot, parse_name

if TYPE_CHECKING:
    from ..seams import Disk


class SnapshotWriting(Protocol):
    """The part of the journal's writer that this uses; see cluster/journal/handle.py."""

    @property
    def snapshot_backlog_bytes(self) -> int: ...  # noqa: D102
    def snapshot_begin(self, snapshot_id: bytes, index: int, term: int) -> None: ...  # noqa: D102
    def snapshot_chunk(self, snapshot_id: bytes, chunk: bytes) -> None: ...  # noqa: D102
    def snapshot_receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> None: ...  # noqa: D102
    def snapshot_commit(self, snapshot_id: bytes) -> None: ...  # noqa: D102
    def snapshot_abort(self, snapshot_id: bytes) -> None: ...  # noqa: D102
    def snapshot_remove_before(self, index: int) -> None: ...  # noqa: D102


class Stored:
    """A durable snapshot, open for reading."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader
        self.snapshot_id = reader.header.snapshot_id
        self.index = reader.header.index
        self.term = reader.header.term
        self.size = reader.size

    def read(self, offset: int, count: int) -> bytes:
        """Raw bytes of the file."""
        return self._reader.read(offset, count)

    def chunks(self) -> Iterator[bytes]:
        """Its sealed chunks; raises DamagedError where the file is not whole."""
        return self._reader.chunks()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class FileSnapshots:
    """See replica.Store."""

    def __init__(self, disk: Disk, writing: SnapshotWriting) -> None:
        self._disk = disk
        self._writing = writing

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait to be written."""
        return self._writing.snapshot_backlog_bytes

    def latest(self) -> Stored | None:
        """The newest durable one."""
        return latest(self._disk)

    def begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        """An own snapshot begins."""
        self._writing.snapshot_begin(snapshot_id, index, term)

    def chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        """The next chunk of an own snapshot."""
        self._writing.snapshot_chunk(snapshot_id, chunk)

    def commit(self, snapshot_id: bytes) -> None:
        """An own snapshot is complete."""
        self._writing.snapshot_commit(snapshot_id)

    def receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes, size: int) -> None:
        """Bytes of a leader's file; the last of them complete it."""
        self._writing.snapshot_receive(snapshot_id, index, term, offset, data)
        if offset + len(data) == size:
            self._writing.snapshot_commit(snapshot_id)

    def abort(self, snapshot_id: bytes) -> None:
        """Not wanted."""
        self._writing.snapshot_abort(snapshot_id)

    def remove_before(self, index: int) -> None:
        """Older ones go."""
        self._writing.snapshot_remove_before(index)

    def chunks(self, snapshot_id: bytes) -> Iterator[bytes]:
        """Sealed chunks of the durable file with that id."""
        for name in self._disk.names("snapshots"):
            parsed = parse_name(name)
            if parsed is not None and parsed[1] == snapshot_id:
                with open_snapshot(self._disk, f"snapshots/{name}") as reader:
                    yield from reader.chunks()
                return
        raise FileNotFoundError("the snapshot is gone")


def latest(disk: Disk) -> Stored | None:
    """The newest durable snapshot of a folder."""
    name = latest_snapshot(disk)
    return None if name is None else Stored(open_snapshot(disk, name))
