"""Frames: how messages become bytes on a connection, and back.

frame = length u32 (of what follows) | lane-and-flags u8 | payload. A frame is at most FRAME_BYTES_MAX long; a longer
message is split, and the two lanes of a connection are put together apart, so that a heartbeat never waits behind a
long append. Within a lane order is kept. Pure: no socket here.

Invariants
  W1  a message is at most MESSAGE_BYTES_MAX long, however many frames it came in: more is damage; what waits for its
      end takes no more memory than its bytes
  W2  an unfinished message of one lane does not disturb the other
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ..errors import DamagedError, StrongroomError

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME_BYTES_MAX = 64 * 1024
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
FORMAT = 1
MAGIC = b"SRLK"

_HEAD = struct.Struct(">IB")
HEAD_BYTES = _HEAD.size
PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - HEAD_BYTES
MORE = 1  # another frame of the same message follows
DATA_LANE = 2  # else the control lane


class OversizeError(StrongroomError):
    """A message is longer than any peer accepts."""


def frames(message: bytes, *, data_lane: bool) -> list[bytes]:
    """The frames of one message, in order. Raises OversizeError."""
    lane = DATA_LANE if data_lane else 0
    if len(message) <= PAYLOAD_BYTES_MAX:
        return [b"%b%b" % (_HEAD.pack(len(message) + 1, lane), message)]
    if len(message) > MESSAGE_BYTES_MAX:
        raise OversizeError(f"a message of {len(message)} bytes is longer than any peer accepts")
    out = []
    for at in range(0, len(message), PAYLOAD_BYTES_MAX):
        part = message[at : at + PAYLOAD_BYTES_MAX]
        more = MORE if at + PAYLOAD_BYTES_MAX < len(message) else 0
        out.append(b"%b%b" % (_HEAD.pack(len(part) + 1, lane | more), part))
    return out


class Reader:
    """Puts frames together. `feed` what arrived; iterate over whole messages, none of them longer than the bound."""

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.message_bytes_max = message_bytes_max
        self._buffer = bytearray()
        self._partial = (bytearray(), bytearray())  # one buffer a lane: a frame of one byte costs one byte

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole messages that `data` completes. Raises DamagedError for a length or flag that cannot be."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= HEAD_BYTES:
                length, flags = _HEAD.unpack_from(buffer, at)
                if not 1 <= length <= PAYLOAD_BYTES_MAX + 1 or flags > (MORE | DATA_LANE):
                    raise DamagedError("a frame's head cannot be")
                end = at + HEAD_BYTES + length - 1
                if len(buffer) < end:
                    break
                payload = bytes(memoryview(buffer)[at + HEAD_BYTES : end])
                at = end
                message = self._put(payload, 1 if flags & DATA_LANE else 0, more=bool(flags & MORE))
                if message is not None:
                    yield message
        finally:
            del buffer[:at]

    def _put(self, payload: bytes, lane: int, *, more: bool) -> bytes | None:
        partial = self._partial[lane]
        if len(partial) + len(payload) > self.message_bytes_max:
            raise DamagedError("a message is too long")
        if not partial and not more:
            return payload
        partial += payload
        if more:
            return None
        message = bytes(partial)
        partial.clear()
        return message
