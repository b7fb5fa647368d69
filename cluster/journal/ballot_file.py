"""The file of the ballot: two slots, the higher valid sequence wins. What a ballot says is ballot.py's business.

Knows bytes only, so that the child process needs nothing but the standard library.

Invariants
  B1  the file appears complete (written aside, synced, renamed): if it is there, it was once valid
  B2  a write touches only the slot that does not hold the newest durable value: torn, it leaves that value
  B3  a new life writes the newest value to a new file before anything else, because what it read may be the page of a
      failed sync, which the kernel never writes again: overwriting the other slot could then lose both
  B4  when nothing waits, the other slot becomes a copy of the newest one, so that rot of either loses nothing

    slot  4,096 bytes: magic, format u16, CRC u32, sequence u64, length u16, value; CRC of all but itself
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from .. import seams
from ..errors import DamagedError, FatalError
from ..failpoints import failpoint

BALLOT_NAME: Final = "ballot"
SLOT_BYTES: Final = 4096
_PARTIAL: Final = "ballot.partial"
_MAGIC: Final = b"SRBALLOT"
_FORMAT: Final = 1
_SLOT = struct.Struct(">8sHIQH")
VALUE_BYTES_MAX: Final = SLOT_BYTES - _SLOT.size


def encode_slot(sequence: int, value: bytes) -> bytes:
    """A whole slot. Raises ValueError if the value does not fit."""
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"a ballot has at most {VALUE_BYTES_MAX} bytes, not {len(value)}")
    head = _SLOT.pack(_MAGIC, _FORMAT, 0, sequence, len(value))
    return (_SLOT.pack(_MAGIC, _FORMAT, zlib.crc32(head + value), sequence, len(value)) + value).ljust(
        SLOT_BYTES, b"\0"
    )


def decode_slot(data: bytes) -> tuple[int, bytes] | None:
    """(sequence, value), or None if the slot is not valid."""
    if len(data) < _SLOT.size:
        return None
    _, _, _, sequence, length = _SLOT.unpack_from(data)
    value = data[_SLOT.size : _SLOT.size + length]
    valid = length <= VALUE_BYTES_MAX and encode_slot(sequence, value) == data
    return (sequence, value) if valid else None


def read_slots(disk: seams.Disk) -> tuple[int, bytes] | None:
    """The newest (sequence, value); None if the file was never completed. Raises DamagedError if no slot is valid."""
    if BALLOT_NAME not in disk.names():
        return None
    file = disk.open(BALLOT_NAME)
    slots = [decode_slot(file.read_at(at, SLOT_BYTES)) for at in (0, SLOT_BYTES)]
    file.close()
    valid = [slot for slot in slots if slot is not None]
    if not valid:
        raise DamagedError("neither slot of the ballot can be read")
    return max(valid)


class BallotWriter:
    """Writes ballots; the file is made by the first one. `synced_sequence` is durable."""

    def __init__(self, disk: seams.Disk) -> None:
        self._disk = disk
        self._file: seams.File | None = None
        self._slot = 0
        self._newest: tuple[int, bytes] | None = None
        self._mirrored = True
        self._broken = False
        self.synced_sequence = 0
        if (newest := read_slots(disk)) is not None:
            self._create(*newest)  # B3

    def write(self, sequence: int, value: bytes) -> None:
        """The value stands in the file, durable after `sync`. Raises NoSpaceError and changes nothing if it cannot."""
        self._check()
        assert self._newest is None or sequence > self._newest[0], "sequences of ballots grow"
        if self._file is None:
            self._create(sequence, value)
            return
        slot = encode_slot(sequence, value)
        self._broken = True  # until the sync has succeeded
        self._slot ^= 1
        self._file.write_at(self._slot * SLOT_BYTES, [slot])
        self._newest, self._mirrored, self._broken = (sequence, value), False, False

    def sync(self) -> int:
        """The newest value is on stable storage; returns its sequence."""
        self._check()
        assert self._file is not None and self._newest is not None, "written before it is synced"  # noqa: PT018 - one fact
        self._broken = True
        failpoint("ballot.before-sync")
        self._file.sync()
        failpoint("ballot.after-sync")
        self._broken = False
        self.synced_sequence = self._newest[0]
        return self.synced_sequence

    def idle(self) -> bool:
        """Both slots hold the newest value (B4); False if they already did. Only when it is synced."""
        self._check()
        if self._mirrored or self._newest is None or self._newest[0] != self.synced_sequence or self._file is None:
            return False
        self._broken = True
        self._file.write_at((self._slot ^ 1) * SLOT_BYTES, [encode_slot(*self._newest)])
        self._file.sync()
        self._mirrored, self._broken = True, False
        return True

    def close(self) -> None:
        """The file is closed."""
        if self._file is not None:
            self._file.close()

    def _create(self, sequence: int, value: bytes) -> None:
        """A new file with the value in both slots has taken the name, on stable storage (B1)."""
        slot = encode_slot(sequence, value)
        self._disk.remove(_PARTIAL)
        file = self._disk.open(_PARTIAL, create=True)
        try:
            file.allocate(2 * SLOT_BYTES)
        except seams.NoSpaceError:
            file.close()
            self._disk.remove(_PARTIAL)
            raise
        self._broken = True
        file.write_at(0, [slot, slot])
        file.sync()
        self._disk.rename(_PARTIAL, BALLOT_NAME)
        self._disk.sync_folder()
        self._file, self._newest, self._mirrored, self._broken = file, (sequence, value), True, False
        self.synced_sequence = sequence

    def _check(self) -> None:
        if self._broken:
            raise FatalError("the ballot failed before; the process must end")
