"""Which objects of a sink are not needed any more.

Pure. Decided from the bases alone: of batches, however many, each is judged for itself. Invariants
  T1  what stays is whole: the newest run to its end, and every point from the oldest base that is kept on
  T2  a base is kept if it is one of the newest `keep_bases`, or if a point within `keep_days` needs it
  T3  an unfinished base goes once a later one is complete; one that may still be growing stays
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .chain import complete_bases
from .format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .sinks.base import Stored

NS_PER_DAY = 86_400 * 10**9


class Kept(NamedTuple):
    """What stays: everything from the oldest base that is kept on. `complete`: index and name of each whole base."""

    oldest: int
    newest: int
    complete: frozenset[tuple[int, bytes]]

    def lets_go(self, one: Stored) -> bool:
        """Whether the object is not needed any more."""
        if one.kind == Kind.BATCH:
            return one.last <= self.oldest
        return one.last < (self.oldest if (one.last, one.base) in self.complete else self.newest)


def kept(bases: Iterable[Stored], now_ns: int, *, keep_bases: int, keep_days: int) -> Kept | None:
    """Decided from the parts of all bases; None: nothing may go. What is no part of a base is not looked at."""
    found = [parts[0] for parts in complete_bases(one for one in bases if one.kind == Kind.BASE)]
    if not found:
        return None
    by_count = found[-keep_bases:][0].last if keep_bases > 0 else found[-1].last
    since_ns = now_ns - keep_days * NS_PER_DAY
    before = [one for one in found if one.time_ns <= since_ns]
    by_days = before[-1].last if before else found[0].last
    return Kept(min(by_count, by_days), found[-1].last, frozenset((one.last, one.base) for one in found))


def removable(stored: list[Stored], now_ns: int, *, keep_bases: int, keep_days: int) -> list[Stored]:
    """The objects that may go, in an order in which a sink that is interrupted still satisfies T1."""
    stay = kept(stored, now_ns, keep_bases=keep_bases, keep_days=keep_days)
    return [] if stay is None else in_order([one for one in stored if stay.lets_go(one)])


def in_order(going: list[Stored]) -> list[Stored]:
    """Bases first, from their beginning: what is left of one is no base. Then batches, oldest first."""
    return sorted(going, key=lambda one: (one.kind != Kind.BASE, one.last, one.base, one.part))
