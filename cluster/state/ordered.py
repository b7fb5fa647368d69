"""Keys in order, for lists of a table that has none: the names that begin so, from a place on, so many of them.

Pure. A flat list would move half of itself at each change, and its names may hold what a path tree takes for folders;
so the keys stand in parts. Invariants
  O1  the keys of all parts, one after the other, are sorted and no key stands twice; no part is empty
  O2  what is in it is a function of the set of keys; how it is parted is not, and nobody sees that
  O3  keys are the table's own objects: 8 bytes each
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 512  # of keys, at most twice as many: what one change moves


class OrderedKeys:
    """See the module's paragraph."""

    __slots__ = ("_lasts", "_parts")

    def __init__(self) -> None:
        self._parts: list[list[bytes]] = []
        self._lasts: list[bytes] = []  # the last key of each part

    def add(self, key: bytes) -> None:
        """The key, which was not there, is."""
        if not self._parts:
            self._parts, self._lasts = [[key]], [key]
            return
        at = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        part = self._parts[at]
        insort(part, key)
        if len(part) > 2 * PART:
            self._parts.insert(at + 1, part[PART:])
            self._lasts.insert(at + 1, part[-1])
            del part[PART:]
        self._lasts[at] = part[-1]

    def remove(self, key: bytes) -> None:
        """The key, which was there, is gone."""
        at = bisect_left(self._lasts, key)
        part = self._parts[at]
        del part[bisect_left(part, key)]
        if part:
            self._lasts[at] = part[-1]
        else:
            del self._parts[at], self._lasts[at]

    def names(self, start: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """Sorted, what follows `start` in keys that begin so and have more; behind `after`, at most `limit` (0: all).

        Costs what it gives. `start` is not empty, and its last byte is not 255.
        """
        place, stop, cut = start + after, start[:-1] + bytes((start[-1] + 1,)), len(start)
        at = bisect_right(self._lasts, place)
        found: list[bytes] = []
        while at < len(self._parts):
            part = self._parts[at]
            first = bisect_right(part, place) if not found else 0
            last = len(part) if self._lasts[at] < stop else bisect_left(part, stop)
            if limit:
                last = min(last, first + limit - len(found))
            found += [key[cut:] for key in part[first:last]]
            if last < len(part) or (limit and len(found) >= limit):
                break
            at += 1
        return found

    def __iter__(self) -> Iterator[bytes]:
        """Every key, sorted. Nothing may change meanwhile."""
        for part in self._parts:
            yield from part
