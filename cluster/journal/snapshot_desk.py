"""Snapshots being written, by their id: what the child process does with snapshot messages, without the process.

Plain and synchronous over a `seams.Disk`, so that the simulator runs exactly this code. A snapshot that cannot be
finished (no space, not what was announced) is *refused*: given up, its file removed, and said so once. An OSError of
writing or syncing leaves as it is and is final.
"""

from __future__ import annotations

from typing import Final

from .. import seams
from ..errors import DamagedError
from . import snapshot_file

_NO_ID: Final = "not a snapshot's id"  # a peer may announce anything


class SnapshotDesk:
    """Each call returns None, or the reason for which the snapshot was refused."""

    def __init__(self, disk: seams.Disk, *, check_chunks: bool = True) -> None:
        self._disk = disk
        self._check_chunks = check_chunks
        self._writers: dict[bytes, snapshot_file.SnapshotWriter] = {}
        self._receivers: dict[bytes, snapshot_file.SnapshotReceiver] = {}
        snapshot_file.remove_partials(disk)

    def begin(self, snapshot_id: bytes, index: int, term: int) -> str | None:
        """An own snapshot begins; one of the same id begins anew."""
        if not _possible(snapshot_id):
            return _NO_ID
        self.abort(snapshot_id)
        try:
            self._writers[snapshot_id] = snapshot_file.SnapshotWriter(self._disk, snapshot_id, index, term)
        except seams.NoSpaceError:
            snapshot_file.remove_partials(self._disk)
            return "no space"
        return None

    def chunk(self, snapshot_id: bytes, chunk: bytes) -> str | None:
        """The chunk follows the others; ignored if the snapshot was given up."""
        writer = self._writers.get(snapshot_id)
        if writer is None:
            return None
        try:
            writer.append(chunk)
        except seams.NoSpaceError:
            self.abort(snapshot_id)
            return "no space"
        return None

    def receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> str | None:
        """Raw bytes of a peer's snapshot; offset 0 begins it anew, any other must be where the last bytes ended."""
        if not _possible(snapshot_id):
            return _NO_ID
        try:
            if offset == 0:
                self.abort(snapshot_id)
                self._receivers[snapshot_id] = snapshot_file.SnapshotReceiver(self._disk, snapshot_id, index, term)
            receiver = self._receivers.get(snapshot_id)
            if receiver is None:
                return None
            at_its_place = receiver.append(offset, data)
        except seams.NoSpaceError:
            self.abort(snapshot_id)
            return "no space"
        if not at_its_place:
            self.abort(snapshot_id)
            return "bytes are missing"
        return None

    def commit(self, snapshot_id: bytes) -> str | None:
        """The snapshot is complete and durable (None), or refused."""
        own, received = self._writers.pop(snapshot_id, None), self._receivers.pop(snapshot_id, None)
        unfinished = own or received
        if unfinished is None:
            return "given up before"
        try:
            if own is not None:
                own.commit()
            elif received is not None:
                received.commit(check_chunks=self._check_chunks)
        except seams.NoSpaceError:
            unfinished.abort()
            return "no space"
        except DamagedError as error:
            return str(error)
        return None

    def abort(self, snapshot_id: bytes) -> None:
        """Nothing is left of an unfinished snapshot of that id."""
        for unfinished in (self._writers.pop(snapshot_id, None), self._receivers.pop(snapshot_id, None)):
            if unfinished is not None:
                unfinished.abort()

    def remove_before(self, index: int) -> None:
        """No complete snapshot below `index` is left."""
        snapshot_file.remove_snapshots_before(self._disk, index)


def _possible(snapshot_id: bytes) -> bool:
    return 0 < len(snapshot_id) <= snapshot_file.ID_BYTES_MAX
