"""How records lie in memory: stored records, and slots of secrets.

Pure. A stored record is its index (8) and its bytes as logged. A slot is everything under one KV path: a tuple of
elements, each number (4) | index (8) | record as logged, all big-endian; number 0 is the metadata.

Invariants
  L1  a slot is never empty; its metadata, if any, comes first, then versions, newest first
  L2  a slot is immutable: whoever holds one holds the path as it was
  L3  nobody re-encodes a record: its bytes are a slice of what was logged
A tuple of bytes and not one blob, because a put replaces two small elements and leaves the old values where they are.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from . import records
from .tables import VERSION_BYTES, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

Slot = tuple[bytes, ...]
SHARDS = 1024
METADATA = b"\x00" * VERSION_BYTES
INDEX_BYTES = 8
HEAD_BYTES = VERSION_BYTES + INDEX_BYTES
SECRET = int(Table.SECRET)
VERSION = int(Table.VERSION)

_INDEX = struct.Struct(">Q")
pack_index = _INDEX.pack
unpack_index = _INDEX.unpack_from


def shard_of(key: bytes) -> int:
    """Number of the key's shard; keyed per process, so nobody can aim paths at one shard, and never written down."""
    return hash(key) >> 40 & SHARDS - 1


def split(stored: bytes) -> tuple[int, bytes]:
    """(index, record) of a stored record."""
    return _INDEX.unpack_from(stored)[0], stored[INDEX_BYTES:]


def split_element(element: bytes) -> tuple[int, bytes]:
    """(index, record) of an element of a slot."""
    return _INDEX.unpack_from(element, VERSION_BYTES)[0], element[HEAD_BYTES:]


def element(number: bytes, index: int, record: bytes) -> bytes:
    """One element of a slot."""
    return b"%b%b%b" % (number, _INDEX.pack(index), record)


def find(slot: Slot, number: bytes) -> bytes | None:
    """The element with this number (4 bytes; zeros: the metadata), or None."""
    for candidate in slot:
        if candidate.startswith(number):
            return candidate
    return None


def place_of(slot: list[bytes], number: bytes) -> tuple[int, bool]:
    """(where the element with this number stands or would stand, whether it is there). Keeps L1."""
    for place, candidate in enumerate(slot):
        if candidate.startswith(number):
            return place, True
        if number == METADATA or (candidate < number and not candidate.startswith(METADATA)):
            return place, False
    return len(slot), False


def logical(key: bytes, slot: Slot) -> Iterator[tuple[int, bytes, int, bytes]]:
    """(table, key, index, record) of everything in a slot."""
    for held in slot:
        index, record = split_element(held)
        if held.startswith(METADATA):
            yield SECRET, key, index, record
        else:
            yield VERSION, key + held[:VERSION_BYTES], index, record


def read(slot: Slot, number: int = 0) -> tuple[records.Secret, int, records.Version | None] | None:
    """(metadata, number of the version, the version or None if it is not there); number 0 means the current one.

    None if the path has no metadata. Raises as `records.decode` if the bytes have another shape.
    """
    if not slot[0].startswith(METADATA):
        return None
    metadata = records.decode(records.Secret, slot[0][HEAD_BYTES:])
    number = number or metadata.current
    if not 0 < number < 1 << 32:
        return metadata, number, None
    held = find(slot, number.to_bytes(VERSION_BYTES, "big"))
    return metadata, number, None if held is None else records.decode(records.Version, held[HEAD_BYTES:])
