"""Instants as clients read them: RFC 3339 in UTC, nanoseconds without trailing zeros.

Pure: an instant is an integer of ns since 1970, never a clock reading.
Source: Go's time.RFC3339Nano.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

_EPOCH = dt.datetime(1970, 1, 1)  # naive on purpose: isoformat then adds no offset


@lru_cache(maxsize=4096)
def rfc3339(time_ns: int) -> str:
    """For example "2026-11-24T09:41:00.25Z"."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    text = (_EPOCH + dt.timedelta(0, seconds)).isoformat()
    if rest_ns == 0:
        return text + "Z"
    return f"{text}.{rest_ns:09d}".rstrip("0") + "Z"
