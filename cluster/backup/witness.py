"""What a node itself knows of how far a sink reached: a small file that a restore compares with what the sink shows.

Blocking. Invariant: a file says what was a committed fact once; it is whole or not there.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ..errors import DamagedError
from ..files import read_file, write_file

if TYPE_CHECKING:
    from ..seams import Disk

MAGIC = b"SRBW"
FORMAT = 1
PREFIX = "backup-"


class Witness(msgspec.Struct, array_like=True, frozen=True):
    """The sink of that name held this at least."""

    sink: str
    generation: bytes
    last: int
    hash: bytes
    format: int = FORMAT


def write_witness(disk: Disk, witness: Witness) -> None:
    """The file says so, durably."""
    write_file(disk, _name(witness.sink), MAGIC + msgspec.msgpack.encode(witness))


def read_witnesses(disk: Disk) -> list[Witness]:
    """Every one that can be read; what cannot is left out, because a lost witness is no witness."""
    found = []
    for name in disk.names():
        if not name.startswith(PREFIX) or name.endswith(".partial"):
            continue
        try:
            found.append(_decode(read_file(disk, name) or b""))
        except DamagedError:
            continue
    return found


def _decode(data: bytes) -> Witness:
    try:
        witness = msgspec.msgpack.decode(data[len(MAGIC) :], type=Witness)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError("a witness file does not decode") from error
    if not data.startswith(MAGIC) or witness.format != FORMAT:
        raise DamagedError("a witness file has another format")
    return witness


def _name(sink: str) -> str:
    """A file name for any name of a sink."""
    return PREFIX + hashlib.sha256(sink.encode()).hexdigest()[:16]
