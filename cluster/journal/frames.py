"""Frames on the three socket pairs between a node and the child that writes its journal. Pure.

    frame   length u32 | tag u64 | body
    log       to the child: tag = last sequence, body = whole records; back: tag = synced sequence, no body,
              or tag = 0, body = one byte, 1 if there is space, 0 if not
    ballot    to the child: tag = sequence, body = encoded ballot; back: tag = durable sequence, no body
    snapshot  to the child: tag = verb, body = id length u8, id, then index u64 and term u64 (BEGIN, RECEIVE), offset
              u64 (RECEIVE), bytes (CHUNK, RECEIVE); REMOVE_BEFORE has an empty id and an index
              back: tag = DONE or REFUSED, body = id length u8, id, reason
Both ends are one program of one version: the frames carry no format number and never reach a disk or a network.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ..errors import DamagedError

if TYPE_CHECKING:
    from .wal import Part

HEADER_BYTES: Final = 12
BODY_BYTES_MAX: Final = (1 << 32) - 1
BEGIN, CHUNK, COMMIT, ABORT, RECEIVE, REMOVE_BEFORE = 1, 2, 3, 4, 5, 6
DONE, REFUSED = 1, 2
PLACE = struct.Struct(">QQ")  # index, term
OFFSET = struct.Struct(">QQQ")  # index, term, offset

_HEADER = struct.Struct(">IQ")


def header(tag: int, body_bytes: int) -> bytes:
    """What stands before a body of that size."""
    return _HEADER.pack(body_bytes, tag)


def frame(tag: int, body: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEADER.pack(len(body), tag) + body


def with_id(snapshot_id: bytes, rest: bytes = b"") -> bytes:
    """A body that begins with an id."""
    return bytes((len(snapshot_id),)) + snapshot_id + rest


def split_id(body: bytes) -> tuple[bytes, bytes]:
    """The id at the beginning of a body, and the rest."""
    end = 1 + body[0] if body else 1
    if len(body) < end:
        raise DamagedError("a frame to or from the journal's writer is cut off")
    return body[1:end], body[end:]


class FrameReader:
    """Puts frames together from the bytes of one stream."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: Part) -> list[tuple[int, bytes]]:
        """(tag, body) of every frame that is complete now."""
        self._bytes += data
        frames = []
        start = 0
        with memoryview(self._bytes) as view:
            while len(view) - start >= HEADER_BYTES:
                length, tag = _HEADER.unpack_from(view, start)
                end = start + HEADER_BYTES + length
                if end > len(view):
                    break
                frames.append((tag, bytes(view[start + HEADER_BYTES : end])))
                start = end
        del self._bytes[:start]
        return frames
