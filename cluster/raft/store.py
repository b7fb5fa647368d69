"""Snapshot files of one member: written through the journal's writer, read from the disk directly.

Invariant: `latest` and `chunks` give complete, durable files only; what is being written has another name.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from ..errors import DamagedError
from ..journal.snapshot_file import FOLDER, SnapshotReader, open_snapshot, parse_name

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

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

    def __init__(self, disk: Disk, writing: SnapshotWriting, damaged: Iterable[bytes] = ()) -> None:
        self._disk = disk
        self._writing = writing
        self._damaged = set(damaged)

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait to be written."""
        return self._writing.snapshot_backlog_bytes

    def latest(self) -> Stored | None:
        """The newest durable one that is not known to be damaged."""
        return next(newest_first(self._disk, without=self._damaged), None)

    def damaged(self, snapshot_id: bytes) -> None:
        """Not given again; its file goes with the others when a newer one is there."""
        self._damaged.add(snapshot_id)

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


def newest_first(disk: Disk, *, without: Container[bytes] = ()) -> Iterator[Stored]:
    """The durable snapshots of a folder, the newest first, each open; those without a readable head are left out."""
    found = [(parsed, name) for name in disk.names(FOLDER) if (parsed := parse_name(name)) is not None]
    for (_, snapshot_id), name in sorted(found, reverse=True):
        if snapshot_id not in without:
            with contextlib.suppress(DamagedError):
                yield Stored(open_snapshot(disk, f"{FOLDER}/{name}"))
