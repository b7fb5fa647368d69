"""The format of the log's segments: records, batches, segment headers. Pure.

    segment  one header block, then batches, each at a multiple of 4,096 bytes, so that a torn write of one batch
             cannot touch another
    batch    header, then records; previous = last sequence of the batch before it, mark = last sequence that was on
             stable storage when this batch was written
    record   length u32 | kind u8 | sequence u64 | payload

Invariants
  W1  sequences of operations grow, over restarts too
  W2  a mark is the last sequence of a batch that had been synced: a batch that cannot be read, followed by one whose
      mark is beyond the last sequence readable before it, was acknowledged and is damage
  W3  a header's CRC covers the segment's number and the batch's offset: a batch is believed at its own place only
CRCs find accidents; what an entry says is believed by its AEAD alone. All numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BLOCK_BYTES: Final = 4096
FOLDER: Final = "journal"
BATCH_BYTES_MAX: Final = (1 << 32) - 1  # payload length is a u32

APPEND: Final = 1
TRUNCATE: Final = 2
TRIM: Final = 3
RESET: Final = 4
REWRITE_BEGIN: Final = 5
REWRITE_END: Final = 6

_SEGMENT_MAGIC: Final = b"SRSEGMNT"
_BATCH_MAGIC: Final = b"SRBT"
_FORMAT: Final = 1
_SUFFIX: Final = ".segment"

_SEGMENT = struct.Struct(">8sHQI")  # magic, format, number, CRC
_BATCH = struct.Struct(">4sHxxIIIQQQ")  # magic, format, header CRC, payload length, payload CRC, previous, last, mark
_PLACE = struct.Struct(">QQ")  # segment number, offset
_RECORD = struct.Struct(">IBQ")  # payload length, kind, sequence
_APPEND = struct.Struct(">IBQQQ")  # record, index, term; the sealed entry follows
_PAIR = struct.Struct(">IBQQQ")  # record, index, term
_ONE = struct.Struct(">IBQQ")  # record, index or mark

BATCH_HEADER_BYTES: Final = _BATCH.size
APPEND_HEADER_BYTES: Final = _APPEND.size
PAYLOAD_BYTES_OF_KIND: Final = {TRUNCATE: 8, TRIM: 16, RESET: 16, REWRITE_BEGIN: 8, REWRITE_END: 0}

Part = bytes | bytearray | memoryview


@dataclass(slots=True)
class Record:
    """One operation. `index` is the first removed index of a truncate, the mark of a rewrite_begin."""

    kind: int
    sequence: int
    index: int
    term: int
    start: int  # where the record stands in its payload, in bytes
    end: int


class BatchHeader(NamedTuple):
    """What a batch says about itself. `payload_bytes` long, operations in (previous, last], synced up to `mark`."""

    payload_bytes: int
    payload_crc: int
    previous: int
    last: int
    mark: int


# ---- records


def append_header(sequence: int, index: int, term: int, entry_bytes: int) -> bytes:
    """What stands before a sealed entry of `entry_bytes` bytes; header and entry together are the record."""
    return _APPEND.pack(16 + entry_bytes, APPEND, sequence, index, term)


def append_record(sequence: int, index: int, term: int, entry: bytes) -> bytes:
    """The sealed entry stands at (index, term)."""
    return append_header(sequence, index, term, len(entry)) + entry


def truncate_record(sequence: int, first_removed_index: int) -> bytes:
    """No entry stands at `first_removed_index` or behind it."""
    return _ONE.pack(8, TRUNCATE, sequence, first_removed_index)


def trim_record(sequence: int, index: int, term: int) -> bytes:
    """The log begins behind (index, term); a durable snapshot covers it."""
    return _PAIR.pack(16, TRIM, sequence, index, term)


def reset_record(sequence: int, index: int, term: int) -> bytes:
    """The log is empty and begins behind (index, term)."""
    return _PAIR.pack(16, RESET, sequence, index, term)


def rewrite_payload(mark: int, last: int, records: Sequence[bytes]) -> bytes:
    """The payload of a batch that stands for every operation behind `mark` written before it."""
    return b"".join(
        (_ONE.pack(8, REWRITE_BEGIN, mark, mark), *records, _RECORD.pack(0, REWRITE_END, last)),
    )


def records(payload: Part) -> Iterator[Record]:
    """The records of a payload or frame, in order; raises DamagedError where it is not a row of records."""
    start, size = 0, len(payload)
    while start < size:
        if size - start < _RECORD.size:
            raise DamagedError("a record of the log is cut off")
        length, kind, sequence = _RECORD.unpack_from(payload, start)
        end = start + _RECORD.size + length
        if end > size:
            raise DamagedError("a record of the log is cut off")
        index = term = 0
        if kind == APPEND:
            if length < 16:
                raise DamagedError("a record of the log has a wrong length")
            index, term = _PLACE.unpack_from(payload, start + _RECORD.size)
        elif PAYLOAD_BYTES_OF_KIND.get(kind) != length:
            raise DamagedError("a record of the log has an unknown kind or a wrong length")
        elif length == 16:
            index, term = _PLACE.unpack_from(payload, start + _RECORD.size)
        elif length == 8:
            index = int.from_bytes(payload[start + _RECORD.size : end])
        yield Record(kind, sequence, index, term, start, end)
        start = end


def entry_of(payload: bytes, record: Record) -> bytes:
    """The sealed entry of an append, verbatim."""
    return payload[record.start + APPEND_HEADER_BYTES : record.end]


# ---- batches


def batch_header(number: int, offset: int, parts: Iterable[Part], *, previous: int, last: int, mark: int) -> bytes:
    """The header of the batch of these payload parts at `offset` of segment `number`."""
    length = crc = 0
    for part in parts:
        length += len(part)
        crc = zlib.crc32(part, crc)
    fields = (length, crc, previous, last, mark)
    return _BATCH.pack(_BATCH_MAGIC, _FORMAT, _header_crc(number, offset, fields), *fields)


def read_batch_header(data: bytes, number: int, offset: int) -> BatchHeader | None:
    """The header that was written at this place of this segment, or None if what stands there is not one."""
    if len(data) < _BATCH.size or not data.startswith(_BATCH_MAGIC):
        return None
    _, version, crc, *fields = _BATCH.unpack_from(data)
    if version != _FORMAT or crc != _header_crc(number, offset, fields):
        return None
    return BatchHeader(*fields)


def starts_like_a_batch(data: bytes, at: int) -> bool:
    """A batch may begin here; a cheap question asked of every block behind a hole."""
    return data.startswith(_BATCH_MAGIC, at)


def blocks_end(offset: int) -> int:
    """The first block boundary at or behind `offset`."""
    return -(-offset // BLOCK_BYTES) * BLOCK_BYTES


def _header_crc(number: int, offset: int, fields: Sequence[int]) -> int:
    return zlib.crc32(_BATCH.pack(_BATCH_MAGIC, _FORMAT, 0, *fields), zlib.crc32(_PLACE.pack(number, offset)))


# ---- segments


def segment_header(number: int) -> bytes:
    """The first bytes of segment `number`."""
    head = _SEGMENT.pack(_SEGMENT_MAGIC, _FORMAT, number, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4)


def read_segment_header(data: bytes) -> int | None:
    """The number in a segment's header, or None if it is not one."""
    if len(data) < _SEGMENT.size:
        return None
    magic, version, number, _ = _SEGMENT.unpack_from(data)
    known = magic == _SEGMENT_MAGIC and version == _FORMAT
    return int(number) if known and segment_header(number) == data[: _SEGMENT.size] else None


def segment_name(number: int) -> str:
    """The name of segment `number` in the node's folder."""
    return f"{FOLDER}/{number:016x}{_SUFFIX}"


def segment_number(name: str) -> int | None:
    """The number in a segment's file name, or None if the file is not a segment."""
    stem = name.removesuffix(_SUFFIX)
    try:
        number = int(stem, 16)
    except ValueError:
        return None
    return number if name == segment_name(number).removeprefix(FOLDER + "/") else None
