"""What the readable batches of a log mean, as a table."""

from __future__ import annotations

import pytest

from cluster.journal import wal
from cluster.journal.judge import judge
from cluster.journal.scan import Batch


def batch(previous: int, last: int, mark: int, *, rewrite: bool = False, number: int = 1, offset: int = 0) -> Batch:
    sequences = range(previous + 1, last + 1)
    records = [wal.Record(wal.APPEND, sequence, sequence, 1, 0, 0) for sequence in sequences]
    return Batch(number, offset, 0, previous, last, mark, rewrite, b"", records)


def first(previous: int, last: int, mark: int) -> Batch:
    return batch(previous, last, mark, offset=wal.BLOCK_BYTES)


# each row: readable batches, then (last, mark, damaged)
JUDGED = {
    "nothing": ([], (0, 0, False)),
    "a row": ([first(0, 2, 0), batch(2, 5, 2), batch(5, 6, 5)], (6, 5, False)),
    "an idle mark": ([first(0, 2, 0), batch(2, 2, 2)], (2, 2, False)),
    "dropped segments before it": ([first(50, 52, 0), batch(52, 55, 10)], (55, 50, False)),
    "an unsynced batch is gone, its successor is there": ([first(0, 2, 0), batch(4, 6, 2)], (2, 2, False)),
    "two unsynced batches are gone": ([first(0, 2, 0), batch(2, 3, 2), batch(7, 9, 2)], (3, 2, False)),
    "a batch that its successor names as synced is gone": ([first(0, 2, 0), batch(4, 6, 4)], (2, 2, True)),
    "a batch that a far later one names is gone": (
        [first(0, 2, 0), batch(4, 6, 2), batch(6, 8, 2), batch(8, 9, 8)],
        (2, 2, True),
    ),
    "only the evidence's idle batch is left": ([first(0, 2, 0), batch(6, 6, 6)], (2, 2, True)),
    "an idle batch is gone": ([first(0, 2, 0), batch(2, 4, 2)], (4, 2, False)),
    "the beginning is gone and was acknowledged": ([batch(2, 4, 2, offset=8192)], (0, 0, True)),
    "the beginning is gone and never was": ([batch(2, 4, 0, offset=8192)], (0, 0, False)),
    "a rewrite of everything behind a mark": (
        [first(0, 2, 0), batch(2, 5, 2), batch(2, 5, 2, rewrite=True), batch(5, 7, 5)],
        (7, 5, False),
    ),
    "a hole that a rewrite stands for": ([first(0, 2, 0), batch(4, 6, 2), batch(2, 2, 2, rewrite=True)], (2, 2, False)),
    "a damaged stretch that was cut": (
        [first(0, 2, 0), batch(4, 9, 4), batch(9, 12, 9), batch(2, 2, 2, rewrite=True), batch(2, 3, 2)],
        (3, 2, False),
    ),
    "a rewrite twice": (
        [first(0, 2, 0), batch(2, 5, 2), batch(2, 5, 2, rewrite=True), batch(2, 5, 2, rewrite=True)],
        (5, 2, False),
    ),
    "rot before a rewrite": ([first(0, 2, 0), batch(4, 6, 4, rewrite=True)], (2, 2, True)),
    "a row that goes back": ([first(0, 5, 0), batch(2, 7, 0)], (5, 0, True)),
}


@pytest.mark.parametrize("name", JUDGED)
def test_a_torn_tail_is_told_from_damage(name: str) -> None:
    """Damage if and only if a readable later batch names a mark beyond what is readable before the hole."""
    batches, (last, mark, damaged) = JUDGED[name]
    judgement = judge(batches, (1, wal.BLOCK_BYTES))

    assert (judgement.last, judgement.mark, judgement.damaged) == (last, mark, damaged)


def test_each_operation_counts_once_after_a_rewrite() -> None:
    """What a rewrite copied no longer counts where it stood before."""
    batches, _ = JUDGED["a rewrite twice"]
    sequences = [[record.sequence for record in kept.records] for kept in judge(batches, (1, wal.BLOCK_BYTES)).kept]

    assert sequences == [[1, 2], [], [], [3, 4, 5]]
