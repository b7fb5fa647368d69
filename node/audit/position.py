"""How far a device is whose lines are elsewhere: the head it is sure of, and the head that may have arrived.

A shell: a small file below the directory for audit files, written before and after each sending, so that a process
that is killed goes on where it was. It is not synced: a power cut may take the newest of it, and then the chain tells.
Invariant: a file of another node or device, or one that does not decode, is refused and left as it is.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from .chain import GENESIS, SEQUENCE_MAX, Head
from .file import open_below
from .options import POSITIONS
from .sink import SinkError

if TYPE_CHECKING:
    from pathlib import PurePath

FORMAT = 1
TYPE = "strongroom audit position"
FILE_BYTES = 4096
NAME_BYTES_MAX = 255


class _Head(msgspec.Struct):
    sequence: int
    chain: str

    def head(self, file: str) -> Head:
        mac = bytes.fromhex(self.chain)
        if len(mac) != len(GENESIS) or not 0 <= self.sequence <= SEQUENCE_MAX:
            raise ValueError("no head")
        return Head(self.sequence, mac, file)


class _Told(msgspec.Struct):
    type: str
    format: int
    node: str
    device: str
    sure: _Head
    unsure: _Head


class Position:
    """One device's. `file` is what its heads call the place its lines go to."""

    def __init__(self, directory: PurePath, node: str, device: str, file: str) -> None:
        self._directory = directory
        self._who = (node, device)
        self._file = file
        self._fd = -1

    def open(self) -> tuple[Head, Head]:
        """The head that is sure, and the newest that may have arrived; nobody else may open it. Raises SinkError."""
        self.close()
        name = quote(self._who[1], safe="")
        if len(name) > NAME_BYTES_MAX:
            raise SinkError("the path of the device is too long to keep its position")
        try:
            self._fd = open_below(self._directory, (POSITIONS, name), 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.fcntl(self._fd, fcntl.F_SETFL, 0)  # not for adding: it is written over
            raw = os.pread(self._fd, FILE_BYTES, 0)
        except BlockingIOError:
            self.close()
            raise SinkError("another audit device keeps its position there") from None
        except OSError as error:
            self.close()
            raise SinkError(f"the position cannot be kept: {error.strerror}") from None
        if not raw:
            return Head(file=self._file), Head(file=self._file)
        try:
            return self.heads(raw)
        except SinkError:
            self.close()
            raise

    def put(self, sure: Head, unsure: Head) -> None:
        """The file says so. Raises OSError."""
        told = _Told(TYPE, FORMAT, *self._who, _told(sure), _told(unsure))
        os.pwrite(self._fd, msgspec.json.encode(told).ljust(FILE_BYTES), 0)

    def close(self) -> None:
        """Others may open it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def heads(self, raw: bytes) -> tuple[Head, Head]:
        """What the bytes of a file say, as `open` does. Raises SinkError."""
        try:
            told = msgspec.json.decode(raw, type=_Told)
            if (told.type, told.format, told.node, told.device) == (TYPE, FORMAT, *self._who):
                return told.sure.head(self._file), told.unsure.head(self._file)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        raise SinkError("the position is damaged or of another node or device: move it away")


def _told(head: Head) -> _Head:
    return _Head(head.sequence, head.mac.hex())
