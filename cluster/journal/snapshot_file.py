"""Snapshot files: sealed chunks in a row, complete or not there.

Written aside (`.partial`), synced, renamed, and the folder synced: a file with the final name is a whole snapshot.
Works through a `seams.Disk`; uses the standard library only, because the child process runs it.

    file    header | chunks | footer
    header  magic, format u16, id length u16, index u64, term u64, id, CRC u32
    chunk   length u32 (never 0), sealed bytes
    footer  0 u32, count of chunks u64, their bytes u64, CRC u32 of the file up to the footer, magic
The CRC finds accidents; a chunk is believed by its AEAD alone.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ..errors import DamagedError
from ..failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import seams

FOLDER: Final = "snapshots"
ID_BYTES_MAX: Final = 64
SYNC_BYTES: Final = 8 << 20  # so that the last sync, and the log's syncs meanwhile, do not wait for a gigabyte
ALLOCATE_BYTES: Final = 4 << 20
_SUFFIX: Final = ".snapshot"
_PARTIAL_SUFFIX: Final = ".partial"
_MAGIC: Final = b"SRSNAPSH"
_END_MAGIC: Final = b"SRSNAPED"
_FORMAT: Final = 1
_HEADER = struct.Struct(">8sHHQQ")
_LENGTH = struct.Struct(">I")
_FOOTER = struct.Struct(">IQQI8s")


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """The state up to and with the entry at (index, term)."""

    snapshot_id: bytes
    index: int
    term: int


# ---- names


def snapshot_name(snapshot_id: bytes, index: int) -> str:
    """The final name of a snapshot in the node's folder."""
    return f"{FOLDER}/{index:016x}-{snapshot_id.hex()}{_SUFFIX}"


def parse_name(name: str) -> tuple[int, bytes] | None:
    """(index, id) of a snapshot's file name without folder; None for every other file."""
    head, _, tail = name.removesuffix(_SUFFIX).partition("-")
    try:
        parsed = int(head, 16), bytes.fromhex(tail)
    except ValueError:
        return None
    return parsed if f"{FOLDER}/{name}" == snapshot_name(parsed[1], parsed[0]) else None


def latest_snapshot(disk: seams.Disk) -> str | None:
    """The name of the complete snapshot with the highest index, or None."""
    found = [(parsed, name) for name in disk.names(FOLDER) if (parsed := parse_name(name)) is not None]
    return f"{FOLDER}/{max(found)[1]}" if found else None


def remove_snapshots_before(disk: seams.Disk, index: int) -> None:
    """No snapshot below `index` is left; one that is open can still be read to its end."""
    for name in disk.names(FOLDER):
        if (parsed := parse_name(name)) is not None and parsed[0] < index:
            disk.remove(f"{FOLDER}/{name}")


def remove_all_snapshots(disk: seams.Disk) -> None:
    """No snapshot is left, complete or not, on stable storage."""
    names = disk.names(FOLDER)
    for name in names:
        disk.remove(f"{FOLDER}/{name}")
    if names:
        disk.sync_folder(FOLDER)


def remove_partials(disk: seams.Disk) -> None:
    """What an earlier life left unfinished is gone. For the start, before anything is written."""
    for name in disk.names(FOLDER):
        if name.endswith(_PARTIAL_SUFFIX):
            disk.remove(f"{FOLDER}/{name}")


# ---- writing


def encode_header(header: SnapshotHeader) -> bytes:
    """The first bytes of the file. Raises ValueError for an id that is empty or too long."""
    if not 0 < len(header.snapshot_id) <= ID_BYTES_MAX:
        raise ValueError(f"a snapshot's id has 1 to {ID_BYTES_MAX} bytes")
    head = _HEADER.pack(_MAGIC, _FORMAT, len(header.snapshot_id), header.index, header.term) + header.snapshot_id
    return head + _LENGTH.pack(zlib.crc32(head))


class _PartialFile:
    """A file that gets its name when it is complete. Space is allocated ahead, so a full disk is no failed write."""

    def __init__(self, disk: seams.Disk, header: SnapshotHeader) -> None:
        self._disk = disk
        self._name = snapshot_name(header.snapshot_id, header.index)
        disk.make_folder(FOLDER)
        disk.sync_folder()
        disk.remove(self.partial_name)
        self._file = disk.open(self.partial_name, create=True)
        self._allocated = self._synced = self.size = 0

    @property
    def partial_name(self) -> str:
        return self._name + _PARTIAL_SUFFIX

    def append(self, *parts: bytes) -> None:
        """The parts stand at the end. Raises NoSpaceError and changes nothing if they cannot."""
        end = self.size + sum(map(len, parts))
        if end > self._allocated:
            size = max(end, self._allocated + ALLOCATE_BYTES)
            self._file.allocate(size)
            self._allocated = size
        self._file.write_at(self.size, parts)
        self.size = end
        if self.size - self._synced >= SYNC_BYTES:
            self._file.sync()
            self._synced = self.size

    def cut(self) -> None:
        """The file is as long as what was written."""
        self._file.truncate(self.size)

    def commit(self) -> str:
        """The file is on stable storage under its final name, which is returned."""
        self.cut()
        self._file.sync()
        self._file.close()
        failpoint("snapshot.before-rename")
        self._disk.rename(self.partial_name, self._name)
        failpoint("snapshot.after-rename")
        self._disk.sync_folder(FOLDER)
        return self._name

    def abort(self) -> None:
        """Nothing is left."""
        self._file.close()
        self._disk.remove(self.partial_name)


class SnapshotWriter:
    """A snapshot of this node's own state, chunk by chunk."""

    def __init__(self, disk: seams.Disk, snapshot_id: bytes, index: int, term: int) -> None:
        head = encode_header(SnapshotHeader(snapshot_id, index, term))
        self._file = _PartialFile(disk, SnapshotHeader(snapshot_id, index, term))
        self._chunks = self._bytes = 0
        self._crc = zlib.crc32(head)
        self._file.append(head)

    def append(self, chunk: bytes) -> None:
        """The sealed chunk follows the others, verbatim. Raises NoSpaceError and changes nothing if it cannot."""
        if not chunk:
            raise ValueError("a chunk is not empty")
        length = _LENGTH.pack(len(chunk))
        self._file.append(length, chunk)
        self._crc = zlib.crc32(chunk, zlib.crc32(length, self._crc))
        self._chunks += 1
        self._bytes += len(chunk)

    def commit(self) -> str:
        """The snapshot is complete and on stable storage; returns its name."""
        self._file.append(_FOOTER.pack(0, self._chunks, self._bytes, self._crc, _END_MAGIC))
        return self._file.commit()

    def abort(self) -> None:
        """Nothing is left."""
        self._file.abort()


class SnapshotReceiver:
    """A snapshot of a peer, as the raw bytes of its file."""

    def __init__(self, disk: seams.Disk, snapshot_id: bytes, index: int, term: int) -> None:
        self._disk = disk
        self._header = SnapshotHeader(snapshot_id, index, term)
        encode_header(self._header)
        self._file = _PartialFile(disk, self._header)

    @property
    def offset(self) -> int:
        """Where the next bytes belong."""
        return self._file.size

    def append(self, offset: int, data: bytes) -> bool:
        """The bytes stand at `offset`; False, and nothing changed, if that is not where the next ones belong."""
        if offset != self._file.size:
            return False
        self._file.append(data)
        return True

    def commit(self, *, check_chunks: bool = True) -> str:
        """The snapshot is whole, the announced one, and on stable storage; returns its name.

        Raises DamagedError, and nothing is left, if it is not. Without `check_chunks` what lies between header and
        footer is left to whoever reads it.
        """
        self._file.cut()
        try:
            self._check(chunks=check_chunks)
        except DamagedError:
            self._file.abort()
            raise
        return self._file.commit()

    def abort(self) -> None:
        """Nothing is left."""
        self._file.abort()

    def _check(self, *, chunks: bool) -> None:
        with open_snapshot(self._disk, self._file.partial_name) as reader:
            if reader.header != self._header:
                raise DamagedError("the snapshot received is not the one announced")
            for _ in reader.chunks() if chunks else ():
                pass


# ---- reading


class SnapshotReader:
    """A complete snapshot, open: a later removal of its name does not disturb it. Close it, or use it in a `with`."""

    def __init__(self, file: seams.File) -> None:
        self._file = file
        self.size = file.size()
        self.header, self._first = self._read_header()
        self._end = self.size - _FOOTER.size
        if self._end < self._first:
            raise DamagedError("the snapshot has no footer")
        zero, self.chunk_count, self._bytes, self._crc, magic = _FOOTER.unpack(file.read_at(self._end, _FOOTER.size))
        if zero or magic != _END_MAGIC:
            raise DamagedError("the snapshot has no footer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, offset: int, count: int) -> bytes:
        """Raw bytes of the file, for sending it to a peer; shorter only at its end."""
        return self._file.read_at(offset, count)

    def chunks(self) -> Iterator[bytes]:
        """Every chunk in order, verbatim; raises DamagedError at the end if they are not what was written."""
        offset, count, total = self._first, 0, 0
        crc = zlib.crc32(self._file.read_at(0, self._first))
        while offset < self._end:
            length = self._file.read_at(offset, _LENGTH.size)
            size = int.from_bytes(length)
            start = offset + _LENGTH.size
            if not 0 < size <= self._end - start:
                raise DamagedError("a chunk of the snapshot has an impossible length")
            chunk = self._file.read_at(start, size)
            crc = zlib.crc32(chunk, zlib.crc32(length, crc))
            offset, count, total = start + size, count + 1, total + size
            yield chunk
        if (count, total, crc) != (self.chunk_count, self._bytes, self._crc):
            raise DamagedError("the snapshot is not what was written")

    def close(self) -> None:
        """The file is closed."""
        self._file.close()

    def _read_header(self) -> tuple[SnapshotHeader, int]:
        head = self._file.read_at(0, _HEADER.size + ID_BYTES_MAX + _LENGTH.size)
        if len(head) < _HEADER.size:
            raise DamagedError("the snapshot has no header")
        _, _, id_bytes, index, term = _HEADER.unpack_from(head)
        header = SnapshotHeader(head[_HEADER.size : _HEADER.size + id_bytes], index, term)
        first = _HEADER.size + id_bytes + _LENGTH.size
        whole = 0 < id_bytes <= ID_BYTES_MAX and first <= len(head)
        if not whole or encode_header(header) != head[:first]:
            raise DamagedError("the snapshot has no valid header")
        return header, first


def open_snapshot(disk: seams.Disk, name: str) -> SnapshotReader:
    """The snapshot of that name, open. Raises DamagedError if header or footer cannot be read."""
    file = disk.open(name)
    try:
        return SnapshotReader(file)
    except DamagedError:
        file.close()
        raise
