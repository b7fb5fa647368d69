"""What leaves a sink: never anything that a point which is kept needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.backup.chain import plan, runs
from cluster.backup.retention import NS_PER_DAY, removable
from cluster.backup.sinks.base import Stored
from tests.cluster.backup.test_backup_chain import batch, part

DAY = NS_PER_DAY


def history(bases: int = 5, batches: int = 3) -> list[Stored]:
    """A base a day, and batches of ten entries between them."""
    found = []
    index, tip = 10, "p0"
    found.append(part(10, 0, None, "p0", final=True, fresh=True)._replace(time_ns=0))
    for number in range(bases):
        for _ in range(batches):
            name = f"b{index}"
            found.append(batch(index + 1, index + 10, tip, name, time_ns=number * DAY + index))
            index, tip = index + 10, name
        base = part(index, 0, tip, f"q{index}", final=True, fresh=False, base=f"{index}")
        found.append(base._replace(time_ns=(number + 1) * DAY))
    return found


def left(stored: list[Stored], going: list[Stored]) -> list[Stored]:
    names = {one.name for one in going}
    return [one for one in stored if one.name not in names]


@pytest.mark.parametrize(
    ("keep_bases", "keep_days", "bases"),
    [
        (1, 0, [160]),
        (3, 0, [100, 130, 160]),
        (1, 2, [100, 130, 160]),
        (99, 0, [10, 40, 70, 100, 130, 160]),
        (1, 99, [10, 40, 70, 100, 130, 160]),
    ],
)
def test_bases_stay_by_number_and_by_age(keep_bases: int, keep_days: int, bases: list[int]) -> None:
    """Whichever keeps more."""
    stored = history()
    rest = left(stored, removable(stored, 5 * DAY, keep_bases=keep_bases, keep_days=keep_days))

    assert [run.first for run in runs(rest)] == bases
    assert runs(rest)[-1].last == runs(stored)[-1].last


@given(st.integers(1, 8), st.integers(0, 9), st.integers(0, 40), st.integers(0, 9))
def test_every_point_from_the_oldest_base_that_stays_can_be_restored(
    keep_bases: int, keep_days: int, stopped: int, now_days: int
) -> None:
    """Also if the removal is interrupted anywhere."""
    stored = history()
    going = removable(stored, now_days * DAY, keep_bases=keep_bases, keep_days=keep_days)
    rest = left(stored, going[:stopped])
    last = runs(stored)[-1].last

    assert plan(rest).last == last
    for index in range(min(run.first for run in runs(left(stored, going))), last + 1):
        assert plan(rest, to_index=index).last >= index


def test_nothing_goes_where_nothing_can_be_restored() -> None:
    """An unfinished first base, or batches alone."""
    assert removable([], DAY, keep_bases=1, keep_days=0) == []
    assert removable([batch(1, 5, "a", "b")], DAY, keep_bases=1, keep_days=0) == []


def test_an_unfinished_base_goes_once_a_later_one_is_whole() -> None:
    """The newest one may still be growing."""
    stored = history(2)
    old = part(20, 0, "b10", "x", final=False, fresh=False, base="x")
    new = part(75, 0, "b70", "y", final=False, fresh=False, base="y")
    going = {one.name for one in removable([*stored, old, new], 0, keep_bases=99, keep_days=99)}

    assert going == {"x"}
