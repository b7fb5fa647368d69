"""The log that a row of operations describes. Pure: no file, no clock.

The oldest segments may be gone, so the first operations may speak of entries that are not here: an entry is accepted
behind an unknown beginning, and only the end must be a log: entries without a hole behind a known base.
"""

from __future__ import annotations

from ..errors import DamagedError
from . import wal

Entry = tuple[int, int, bytes]  # index, term, sealed bytes


class Replay:
    """The log so far: `base` = (index, term) before the first entry, None while unknown."""

    def __init__(self) -> None:
        self.base: tuple[int, int] | None = None
        self.entries: list[Entry] = []

    def apply(self, record: wal.Record, payload: bytes) -> None:
        """The operation has happened. Raises DamagedError where it cannot follow what was before, changing nothing."""
        index = record.index
        if record.kind == wal.APPEND:
            if self.entries and index != self.entries[-1][0] + 1:
                raise DamagedError("an entry of the log does not follow the one before it")
            self.entries.append((index, record.term, wal.entry_of(payload, record)))
        elif record.kind == wal.TRUNCATE:
            if self.base is not None and index <= self.base[0]:
                raise DamagedError("a truncation of the log reaches behind its base")
            if self.entries:
                del self.entries[max(0, index - self.entries[0][0]) :]
        elif record.kind == wal.TRIM:
            self.base = (index, record.term)
            if self.entries:
                del self.entries[: max(0, index + 1 - self.entries[0][0])]
        else:
            self.base = (index, record.term)
            self.entries.clear()

    def whole(self) -> bool:
        """The operations end in a log: its base is known and its entries follow it."""
        return self.base is not None and (not self.entries or self.entries[0][0] == self.base[0] + 1)
