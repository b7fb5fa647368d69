"""Which objects of a sink lead to a point, and what can be restored at all: decided from the clear columns.

Pure. Nothing here is believed: replay.py checks every object against what was planned with it.

Invariants
  C1  a plan is one complete base and batches without a gap, each naming its predecessor
  C2  whoever cannot have the point asked for hears why, and which points there are
Source: docs/backup.md.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from ..errors import StrongroomError
from .format import NO_HASH, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .sinks.base import Stored


class RestoreError(StrongroomError):
    """The point cannot be restored. The text is a sentence that says why and what can be."""


class Run(NamedTuple):
    """A complete base and the batches that follow it: every point from the base's index to `last` can be restored."""

    base: list[Stored]
    batches: list[Stored]

    @property
    def first(self) -> int:
        """Lowest index."""
        return self.base[0].last

    @property
    def last(self) -> int:
        """Highest index."""
        return self.batches[-1].last if self.batches else self.first

    @property
    def time_ns(self) -> int:
        """Stamp of the newest entry."""
        return self.batches[-1].time_ns if self.batches else self.base[0].time_ns


def runs(stored: Iterable[Stored]) -> list[Run]:
    """Every complete base with what follows it, lowest base first."""
    every = list(stored)
    by_previous = {(one.first, one.previous): one for one in every if one.kind == Kind.BATCH}
    found = []
    for parts in complete_bases(every):
        batches = []
        last, tip = parts[0].last, parts[-1].hash if parts[0].fresh else parts[0].previous
        while (batch := by_previous.get((last + 1, tip))) is not None:
            batches.append(batch)
            last, tip = batch.last, batch.hash
        found.append(Run(parts, batches))
    return found


def complete_bases(stored: Iterable[Stored]) -> list[list[Stored]]:
    """The parts, in order, of every base of which all are there, lowest base first."""
    bases: dict[tuple[int, bytes], list[Stored]] = {}
    for one in stored:
        if one.kind == Kind.BASE:
            bases.setdefault((one.last, one.base), []).append(one)
    found = []
    for _, parts in sorted(bases.items()):
        parts.sort(key=lambda one: one.part)
        if _is_complete(parts):
            found.append(parts)
    return found


def _is_complete(parts: list[Stored]) -> bool:
    """Parts in order, each naming the one before, the final one last."""
    if [one.part for one in parts] != list(range(len(parts))) or not parts[-1].final:
        return False
    if parts[0].fresh and parts[0].previous != NO_HASH:
        return False
    return all(after.previous == before.hash for before, after in itertools.pairwise(parts))


def plan(
    stored: Iterable[Stored], *, to_index: int | None = None, to_time_ns: int | None = None, below: int | None = None
) -> Run:
    """The shortest run that reaches the point: by index, by time, or the newest one.

    The run's batches end with the one that holds the point. `below` keeps the plan to indexes below it (what the given
    shares can open). Raises RestoreError.
    """
    every = list(stored)
    found = runs(every)
    if below is not None:
        found = [_cut(run, below - 1) for run in found if run.first < below]
    if not found:
        raise RestoreError(_why_nothing(every))
    if to_index is not None:
        fitting = [run for run in found if run.first <= to_index <= run.last]
        if not fitting:
            raise RestoreError(f"index {to_index} cannot be restored: {spans(found)}")
        return _cut(max(fitting, key=lambda run: run.first), to_index)
    if to_time_ns is not None:
        fitting = [run for run in found if run.base[0].time_ns <= to_time_ns]
        if not fitting:
            raise RestoreError(f"that time lies before everything stored: {spans(found)}")
        best = max(fitting, key=lambda run: (min(run.time_ns, to_time_ns), run.first))
        return Run(best.base, list(_until(best, to_time_ns)))
    return max(found, key=lambda run: (run.last, run.first))


def _until(run: Run, time_ns: int) -> Iterator[Stored]:
    """The batches that may hold an entry of that time or an earlier one."""
    before_ns = run.base[0].time_ns
    for batch in run.batches:
        if before_ns > time_ns:
            return
        yield batch
        before_ns = batch.time_ns


def _cut(run: Run, last: int) -> Run:
    return Run(run.base, [batch for batch in run.batches if batch.first <= last])


def spans(found: list[Run]) -> str:
    """What can be restored, as words."""
    merged: list[list[int]] = []
    for run in sorted(found, key=lambda run: run.first):
        if merged and run.first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], run.last)
        else:
            merged.append([run.first, run.last])
    words = ", ".join(f"{first} to {last}" if first != last else f"{first}" for first, last in merged)
    return f"what can be restored is {words}"


def _why_nothing(stored: list[Stored]) -> str:
    if not stored:
        return "nothing is stored"
    if not any(one.kind == Kind.BASE for one in stored):
        return "there are batches and no base: nothing can be restored"
    return "no base is complete: nothing can be restored"


def newest_gap(stored: Iterable[Stored]) -> tuple[int, int] | None:
    """(last restorable index, highest index of anything stored), if there is more than can be restored."""
    every = list(stored)
    last = max((run.last for run in runs(every)), default=0)
    highest = max((one.last for one in every), default=0)
    return (last, highest) if highest > last else None
