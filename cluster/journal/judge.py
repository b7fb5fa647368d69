"""What the readable batches of a log mean: which operations count, where they end, and whether any were lost. Pure.

A batch that cannot be read is damage if and only if a readable later batch names a synced sequence at or beyond it;
else it and everything behind it were never acknowledged and are cut. "Anything readable behind it" would be wrong:
pages of batches that were never synced reach the disk in any order.

Invariants
  J1  a rewrite stands for all operations behind its mark written before it: those count no more, and neither do holes
      among them
  J2  the row is whole where each batch's `previous` is the last sequence before it
  J3  everything up to `Judgement.mark` is on stable storage in the segments where it was found
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import wal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .scan import Batch


@dataclass(frozen=True, slots=True)
class Kept:
    """A batch of the log and the records of it that count."""

    batch: Batch
    records: list[wal.Record]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The log up to `last`, of which everything up to `mark` is durable."""

    kept: list[Kept]
    last: int
    mark: int
    damaged: bool


def judge(batches: Sequence[Batch], first_place: tuple[int, int]) -> Judgement:
    """Decide on all readable batches in their order; `first_place` = (number, offset) where the log must begin.

    A log whose first batch stands there follows segments that were dropped; one that begins later has lost its
    beginning.
    """
    limits = _limits(batches)
    counting = [(batch, limit) for batch, limit in zip(batches, limits, strict=True) if batch.previous <= limit]
    kept: list[Kept] = []
    position = dropped = 0
    damaged = False
    if counting and (counting[0][0].number, counting[0][0].offset) == first_place:
        position = dropped = counting[0][0].previous  # only what was durable is ever dropped
    for at, (batch, limit) in enumerate(counting):
        if batch.previous != position:
            damaged = batch.previous < position or any(later.mark > position for later, _ in counting[at:])
            break
        records = [
            record
            for record in batch.records
            if record.sequence <= limit and record.kind not in {wal.REWRITE_BEGIN, wal.REWRITE_END}
        ]
        kept.append(Kept(batch, records))
        position = min(batch.last, limit)
    mark = max((batch.mark for batch, limit in counting if batch.mark <= limit), default=0)
    return Judgement(kept, position, min(max(mark, dropped), position), damaged)


def _limits(batches: Sequence[Batch]) -> list[int]:
    """For each batch: the highest sequence that no later rewrite takes back."""
    limits = []
    limit = (1 << 64) - 1
    for batch in reversed(batches):
        limits.append(limit)
        if batch.rewrite:
            limit = min(limit, batch.previous)
    return limits[::-1]
