"""Which objects of a sink are not needed any more.

Pure. Invariants
  T1  what stays is whole: the newest run to its end, and every point from the oldest base that is kept on
  T2  a base is kept if it is one of the newest `keep_bases`, or if a point within `keep_days` needs it
  T3  an unfinished base goes once a later one is complete; one that may still be growing stays
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import runs
from .format import Kind

if TYPE_CHECKING:
    from .sinks.base import Stored

NS_PER_DAY = 86_400 * 10**9


def removable(stored: list[Stored], now_ns: int, *, keep_bases: int, keep_days: int) -> list[Stored]:
    """The objects that may go, in an order in which a sink that is interrupted still satisfies T1."""
    found = runs(stored)
    if not found:
        return []
    by_count = found[-keep_bases:][0].first if keep_bases > 0 else found[-1].first
    since_ns = now_ns - keep_days * NS_PER_DAY
    before = [run for run in found if run.base[0].time_ns <= since_ns]
    by_days = before[-1].first if before else found[0].first
    oldest = min(by_count, by_days)
    complete = {one.name for run in found for one in run.base}
    newest = found[-1].first
    going = [
        one
        for one in stored
        if (one.kind == Kind.BATCH and one.last <= oldest)
        or (one.kind == Kind.BASE and one.name in complete and one.last < oldest)
        or (one.kind == Kind.BASE and one.name not in complete and one.last < newest)
    ]
    # Bases first, from their beginning: what is left of one is no base. Then batches, oldest first.
    return sorted(going, key=lambda one: (one.kind != Kind.BASE, one.last, one.base, one.part))
