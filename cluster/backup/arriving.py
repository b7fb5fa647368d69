"""A snapshot that somebody sends: kept sealed, as it comes, in a file without a name, until it was read through.

A shell. Invariants
  A1  only ciphertext reaches the disk, in files without names: nothing is left by an end of the process
  A2  the disk keeps FREE_BYTES_MIN for what the node itself has to write, and no more than `bytes_max` is taken
  A3  writing and unpacking run in a thread, one after the other; nothing is held in memory but a piece
Source: docs/decisions/0010-a-snapshot-is-put-back-by-writes.md.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from ..errors import TooLargeError
from .archive import Archive, read_archive
from .saving import FREE_BYTES_MIN, NoRoomError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

PIECE_BYTES = 1 << 20


class Arrived(NamedTuple):
    """A whole snapshot, not verified with keys: the archive, and the file in which its state.bin stands."""

    archive: Archive
    state: BinaryIO


class Arriving:
    """Feed it what comes, then have it unpacked. Close it in any case: what it unpacked is closed with it."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` closes it
        self._state: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the same

    async def add(self, part: bytes) -> None:
        """The next bytes. Raises TooLargeError, NoRoomError, OSError (A2)."""
        self._bytes += len(part)
        if self._bytes > self._bytes_max:
            raise TooLargeError("the snapshot is larger than one may be")
        self._waiting.append(part)
        self._waiting_bytes += len(part)
        if self._waiting_bytes >= PIECE_BYTES:
            await self._write()

    async def _write(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        await asyncio.to_thread(_append, self._file, b"".join(waiting))

    async def unpack(self) -> Arrived:
        """What came is a whole snapshot. Raises DamagedError, TooLargeError, NoRoomError, OSError."""
        await self._write()
        archive = await asyncio.to_thread(self._unpack)
        self._file.close()
        return Arrived(archive, self._state)

    def _unpack(self) -> Archive:
        return read_archive(self._file, self._state, lambda size_bytes: check_room(self._state, size_bytes))

    def close(self) -> None:
        """Nothing is left. May be said twice."""
        self._file.close()
        self._state.close()


def check_room(file: BinaryIO, size_bytes: int) -> None:
    """So much can be written to the file. Raises NoRoomError (A2)."""
    left = os.fstatvfs(file.fileno())
    if left.f_bavail * left.f_frsize < FREE_BYTES_MIN + size_bytes:
        raise NoRoomError("this node's disk has too little room to take a snapshot in")


def _append(file: BinaryIO, data: bytes) -> None:
    check_room(file, len(data))
    file.write(data)


__all__ = ["Arrived", "Arriving"]
