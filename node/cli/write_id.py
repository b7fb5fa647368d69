"""The id of a write: with it a repetition is recognised instead of applied again. Source: RFC 9562, UUID version 7."""

from __future__ import annotations

import os
import time
import uuid


def uuid7(wall_ms: int, random: bytes) -> str:
    """48 bits of time, 74 of randomness (`random` is 10 bytes), version and variant between. Pure."""
    number = (wall_ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))


def fresh() -> str:
    """A new id of this moment."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))
