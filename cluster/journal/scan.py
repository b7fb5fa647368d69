"""Reading segments: every batch that can be read, in the order in which it was written.

Reads through a `seams.Disk` and judges nothing. Behind something unreadable each further block is tried, because pages
that were never synced reach the disk in any order, and because what stands behind a hole is the evidence by which
judge.py tells a torn tail from damage.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import DamagedError
from . import wal

if TYPE_CHECKING:
    from .. import seams

_SCAN_BYTES: Final = 1 << 20


class Batch(NamedTuple):
    """A batch that was read whole. `rewrite` = it stands for all operations behind `previous` written before it."""

    number: int  # of its segment
    offset: int
    end: int  # the next block boundary behind it
    previous: int
    last: int
    mark: int
    rewrite: bool
    payload: bytes
    records: list[wal.Record]


def scan_segment(file: seams.File, number: int) -> list[Batch]:
    """The readable batches of a segment."""
    found = []
    offset, size = wal.BLOCK_BYTES, file.size()
    while offset < size:
        batch = _read_batch(file, number, offset, size)
        if batch is None:
            offset = _next_candidate(file, offset + wal.BLOCK_BYTES, size)
        else:
            found.append(batch)
            offset = batch.end
    return found


def _read_batch(file: seams.File, number: int, offset: int, size: int) -> Batch | None:
    header = wal.read_batch_header(file.read_at(offset, wal.BATCH_HEADER_BYTES), number, offset)
    if header is None:
        return None
    start = offset + wal.BATCH_HEADER_BYTES
    if header.payload_bytes > size - start:
        return None
    payload = file.read_at(start, header.payload_bytes)
    if zlib.crc32(payload) != header.payload_crc:
        return None
    try:
        records = list(wal.records(payload))
    except DamagedError:
        return None
    kinds = [record.kind for record in records if record.kind in {wal.REWRITE_BEGIN, wal.REWRITE_END}]
    rewrite = bool(kinds)
    if rewrite and (
        kinds != [wal.REWRITE_BEGIN, wal.REWRITE_END]
        or records[0].kind != wal.REWRITE_BEGIN
        or records[-1].kind != wal.REWRITE_END
    ):
        return None
    end = wal.blocks_end(start + header.payload_bytes)
    return Batch(number, offset, end, header.previous, header.last, header.mark, rewrite, payload, records)


def _next_candidate(file: seams.File, offset: int, size: int) -> int:
    """The next block that may begin a batch, or `size`."""
    while offset < size:
        data = file.read_at(offset, _SCAN_BYTES)
        for at in range(0, len(data), wal.BLOCK_BYTES):
            if wal.starts_like_a_batch(data, at):
                return offset + at
        offset += _SCAN_BYTES
    return size
