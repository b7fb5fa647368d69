"""What a sink keeps: sealed objects, each a base part or a batch, chained by hash.

Pure. Layout (big-endian):
  "SRBK" | format u16 | header length u32 | header (msgpack array) | nonce 12 | ciphertext | tag 16
The header can be read without keys and is authenticated with the box; what a sink shows beside an object is a copy.

Invariants
  B1  an object opens only as what it was sealed as: generation, kind, indexes, term, time, place in its base and the
      hash of its predecessor are in the authenticated data
  B2  batches of a generation follow each other without a gap: `first` is the predecessor's `last` + 1, `previous` its
      hash; a batch is all its entries or nothing
  B3  the parts of a base are chained among themselves; its first part names the batch that ends at its index. If none
      does, the base is fresh: its first part names nothing, and the first batch behind it names its final part
  B4  a base, each batch that holds a change of the keyring, and the first one that is sealed with another key term
      carry the keyring's envelope: an object and a threshold of shares suffice to open what comes next
Source: docs/backup.md; docs/threat-model.md, keys.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from typing import TYPE_CHECKING, Annotated

import msgspec

from ..errors import DamagedError
from ..keyring.purposes import KEY_TERM_ID_BYTES
from ..state.digest import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"SRBK"
FORMAT = 1
GENERATION_BYTES = 16
HASH_BYTES = 32
BASE_ID_BYTES = 8
NO_HASH = b"\x00" * HASH_BYTES
OBJECT_BYTES_MAX = 16 << 20  # an entry is at most 1.5 MiB, a part of a base about 1 MB

_HEAD = struct.Struct(">4sHI")
Natural = Annotated[int, msgspec.Meta(ge=0)]


class Kind(enum.IntEnum):
    """What an object is."""

    BASE = 1
    BATCH = 2


class Header(msgspec.Struct, array_like=True, frozen=True):
    """What everybody may know of an object. New fields go at the end, with a default.

    `first` and `last` are log indexes (equal in a base), `term` is the Raft term of `last`, `time_ns` its stamp,
    `from_ns` that of the entry before `first`. `base` is the random name of a base (8; empty in a batch), `part` counts
    its parts from 0, `final` is true of its last and of every batch. `fresh` is true of a base that the batches behind
    it follow, because none ends at its index. `place` is key term id (8) | salt (16) of the box.
    `envelope` is the keyring's, or empty.
    """

    generation: bytes
    kind: Natural
    first: Natural
    last: Natural
    term: Natural
    from_ns: Natural
    time_ns: Natural
    previous: bytes
    base: bytes
    part: Natural
    final: bool
    fresh: bool
    place: bytes
    node_id: str
    envelope: bytes = b""


class Entries(msgspec.Struct, array_like=True, frozen=True):
    """What a batch says: (term, transaction as logged; empty for an entry that says nothing) of each index from
    `first`, and the state's digest behind the last of them.
    """

    first: Natural
    entries: list[tuple[int, bytes]]
    digest: bytes


class Parsed(msgspec.Struct, frozen=True):
    """An object taken apart; nothing of it is verified. `head` is everything before the box."""

    header: Header
    head: bytes
    box: bytes
    hash: bytes

    def __repr__(self) -> str:
        return f"<Parsed {Kind(self.header.kind).name} {self.header.first}-{self.header.last}>"


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_entries = msgspec.msgpack.Decoder(Entries).decode


def key_term_of(place: bytes) -> bytes:
    """Id of the key term in a header's `place`."""
    return place[:KEY_TERM_ID_BYTES]


def head_of(header: Header) -> bytes:
    """Everything before the box: what the box authenticates."""
    raw = _encode(header)
    return _HEAD.pack(MAGIC, FORMAT, len(raw)) + raw


def hash_of(data: bytes) -> bytes:
    """The name of an object in its successor (SHA-256)."""
    return hashlib.sha256(data).digest()


def parse(data: bytes) -> Parsed:
    """The object's parts. Raises DamagedError for bytes that are no object, or of another format."""
    if len(data) > OBJECT_BYTES_MAX:
        raise DamagedError("a backup object is larger than any may be")
    try:
        magic, number, length = _HEAD.unpack_from(data)
    except struct.error:
        raise DamagedError("a backup object is cut short") from None
    if magic != MAGIC:
        raise DamagedError("not a backup object")
    if number != FORMAT:
        raise DamagedError(f"a backup object of format {number}; this program reads {FORMAT}")
    end = _HEAD.size + length
    if end > len(data):
        raise DamagedError("a backup object is cut short")
    try:
        header = _decode_header(data[_HEAD.size : end])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("the header of a backup object does not decode") from None
    if not is_sound(header):
        raise DamagedError("the header of a backup object contradicts itself")
    return Parsed(header, data[:end], data[end:], hash_of(data))


def is_sound(header: Header) -> bool:
    """Whether the fields can stand beside each other."""
    lengths = len(header.generation) == GENERATION_BYTES and len(header.previous) == HASH_BYTES
    if header.kind == Kind.BASE:
        return lengths and header.first == header.last and len(header.base) == BASE_ID_BYTES
    plain = header.final and not header.part and not header.base and not header.fresh
    return lengths and header.kind == Kind.BATCH and 0 < header.first <= header.last and plain


def encode_entries(first: int, entries: Sequence[tuple[int, bytes]], digest: bytes) -> bytes:
    """The payload of a batch."""
    return _encode(Entries(first, list(entries), digest))


def decode_entries(payload: bytes, header: Header) -> Entries:
    """What the payload of this batch says. Raises DamagedError where it is not what the header announces."""
    try:
        found = _decode_entries(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("a batch does not decode") from None
    if found.first != header.first or len(found.entries) != header.last - header.first + 1:
        raise DamagedError("a batch holds other entries than it says")
    if len(found.digest) != DIGEST_BYTES:
        raise DamagedError("a batch has no digest")
    return found
