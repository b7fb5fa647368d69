"""A saved snapshot as a sink that can only be read: one line of history with one base, and nothing behind it.

Blocking work runs in a thread; the state is unpacked, sealed as it is, into a nameless file. Invariants
  D1  nothing is ever written to the file: whatever would is refused
  D2  what is given away was whole when it was opened; `checked` also compares the sealed sums, once there are keys
Source: docs/backup.md; archive.py.
"""

from __future__ import annotations

import asyncio
import tempfile
from typing import TYPE_CHECKING, NoReturn

from ...errors import DamagedError, WrongKeyError
from ..archive import Archive, read_archive, verify
from .base import Claim, Generation, Position, SinkError, SinkRefusedError, stored_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import BinaryIO

    from ...keyring.seal import Unsealed
    from ...seams import Random
    from ..format import Parsed
    from .base import Sink, Stored


class SnapshotSink:
    """See Sink."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._archive: Archive | None = None

    @property
    def url(self) -> str:
        """See Sink."""
        return f"snapshot://{self._path}"

    async def open(self) -> None:
        """See Sink."""
        await self.look()

    async def look(self) -> None:
        """See Sink."""
        if self._archive is None:
            await asyncio.to_thread(self._read)

    def _read(self) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        try:
            self._archive = read_archive(str(self._path), file)
        except DamagedError as error:
            file.close()
            raise SinkRefusedError(f"{self.url}: {error}") from None
        except OSError as error:
            file.close()
            raise SinkError(f"{self.url}: {error.strerror}") from None
        self._file = file

    async def close(self) -> None:
        """See Sink."""
        if self._file is not None:
            self._file.close()
        self._file = self._archive = None

    @property
    def archive(self) -> Archive:
        """What was read. Raises SinkError if nothing was."""
        if self._archive is None:
            raise SinkError(f"{self.url}: not opened")
        return self._archive

    async def generations(self) -> list[Generation]:
        """See Sink."""
        header = self.archive.places[0].parsed.header
        return [Generation(header.generation, b"", 0, header.time_ns)]

    async def objects(self, generation: bytes) -> AsyncIterator[Stored]:
        """See Sink."""
        for place in self.archive.places:
            if place.parsed.header.generation == generation:
                yield stored_of(place.parsed, place.size, str(place.offset))

    async def read(self, generation: bytes, stored: Stored) -> bytes:
        """See Sink."""
        del generation
        file = self._file
        if file is None:
            raise SinkError(f"{self.url}: not opened")
        return await asyncio.to_thread(_piece, file, int(stored.name), stored.size)

    async def begin(self, generation: Generation, *, fork: bool = False) -> None:
        """See Sink (D1)."""
        del generation, fork
        self._refuse()

    async def claim(self, claim: Claim) -> Position | None:
        """See Sink (D1)."""
        del claim
        self._refuse()

    async def claimant(self, generation: bytes) -> Claim | None:
        """See Sink."""
        del generation
        return None

    async def store(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """See Sink (D1)."""
        del claim, data, parsed
        self._refuse()

    async def remove(self, claim: Claim, stored: list[Stored]) -> None:
        """See Sink (D1)."""
        del claim, stored
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise SinkRefusedError(f"{self.url}: a snapshot is only read")


def _piece(file: BinaryIO, offset: int, size_bytes: int) -> bytes:
    file.seek(offset)
    return file.read(size_bytes)


def is_snapshot(sink: Sink) -> bool:
    """What comes behind its newest entry is not known to it, and nothing can be written there."""
    return isinstance(sink, SnapshotSink)


def checked(sink: Sink, open_with: Callable[[bytes], Unsealed], random: Random) -> Callable[[bytes], Unsealed]:
    """`open_with`, and of a snapshot the sealed sums are compared with the keys that come out (D2)."""
    if not isinstance(sink, SnapshotSink):
        return open_with

    def opened(envelope: bytes) -> Unsealed:
        unsealed = open_with(envelope)
        try:
            verify(sink.archive, unsealed.keyring, random)
        except DamagedError as error:
            unsealed.wipe()
            raise WrongKeyError(str(error)) from None
        return unsealed

    return opened


__all__ = ["SnapshotSink", "checked", "is_snapshot"]
