"""What can be restored, told from the clear columns: runs, plans, gaps, and sentences for whoever asks for too much."""

from __future__ import annotations

import hashlib

import pytest

from cluster.backup.chain import RestoreError, newest_gap, plan, runs, spans
from cluster.backup.format import NO_HASH, Kind
from cluster.backup.sinks.base import Stored


def named(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def batch(first: int, last: int, previous: str, name: str, time_ns: int | None = None) -> Stored:
    when = last * 10 if time_ns is None else time_ns
    return Stored(Kind.BATCH, first, last, 1, when, b"", 0, True, False, 5, named(previous), named(name), False, name)


def part(
    index: int, number: int, previous: str | None, name: str, *, final: bool, fresh: bool, base: str = "b"
) -> Stored:
    before = NO_HASH if previous is None else named(previous)
    return Stored(
        Kind.BASE, index, index, 1, index * 10, base.encode(), number, final, fresh, 5, before, named(name), True, name
    )


def a_chain() -> list[Stored]:
    """A fresh base of two parts at 10, batches to 30, and a base at 20 that follows the second batch."""
    return [
        part(10, 0, None, "p0", final=False, fresh=True),
        part(10, 1, "p0", "p1", final=True, fresh=True),
        batch(11, 15, "p1", "b1"),
        batch(16, 20, "b1", "b2"),
        part(20, 0, "b2", "q0", final=True, fresh=False, base="c"),
        batch(21, 25, "b2", "b3"),
        batch(26, 30, "b3", "b4"),
    ]


def without(name: str) -> list[Stored]:
    return [one for one in a_chain() if one.name != name]


def names(found: object) -> list[str]:
    return [one.name for one in (*found.base, *found.batches)]  # type: ignore[attr-defined]


def test_a_chain_is_a_run_from_each_complete_base() -> None:
    """The later base reaches as far as the earlier one."""
    assert [(run.first, run.last, run.time_ns) for run in runs(a_chain())] == [(10, 30, 300), (20, 30, 300)]


@pytest.mark.parametrize(
    ("to_index", "expected"),
    [
        (10, ["p0", "p1"]),
        (11, ["p0", "p1", "b1"]),
        (19, ["p0", "p1", "b1", "b2"]),
        (20, ["q0"]),
        (26, ["q0", "b3", "b4"]),
        (None, ["q0", "b3", "b4"]),
    ],
)
def test_a_plan_is_the_shortest_way_to_a_point(to_index: int | None, expected: list[str]) -> None:
    """From the nearest base below it."""
    assert names(plan(a_chain(), to_index=to_index)) == expected


@pytest.mark.parametrize(
    ("to_time_ns", "expected"),
    [
        (100, ["p0", "p1", "b1"]),
        (149, ["p0", "p1", "b1"]),
        (155, ["p0", "p1", "b1", "b2"]),
        (10**9, ["q0", "b3", "b4"]),
    ],
)
def test_a_plan_for_a_time_has_every_batch_that_may_hold_it(to_time_ns: int, expected: list[str]) -> None:
    """The replay stops where the stamps pass it."""
    assert names(plan(a_chain(), to_time_ns=to_time_ns)) == expected


@pytest.mark.parametrize(
    ("stored", "to_index", "says"),
    [
        ([], None, "nothing is stored"),
        ([batch(1, 5, "x", "y")], None, "no base"),
        ([part(10, 0, None, "p0", final=False, fresh=True)], None, "no base is complete"),
        ([part(10, 1, "p0", "p1", final=True, fresh=True)], None, "no base is complete"),
        (a_chain(), 9, "10 to 30"),
        (a_chain(), 31, "10 to 30"),
        (without("b1"), 15, "10, 20 to 30"),
        (without("b3"), 25, "10 to 20"),
        (without("p1"), 12, "20 to 30"),
    ],
)
def test_a_point_that_cannot_be_had_is_refused_with_what_can(
    stored: list[Stored], to_index: int | None, says: str
) -> None:
    """A missing batch, a missing part, a point outside."""
    with pytest.raises(RestoreError, match=says):
        plan(stored, to_index=to_index)


def test_a_time_before_everything_is_refused() -> None:
    """With what there is."""
    with pytest.raises(RestoreError, match="10 to 30"):
        plan(a_chain(), to_time_ns=99)


@pytest.mark.parametrize(
    ("change", "reach"),
    [
        (lambda one: one._replace(previous=named("other")) if one.name == "b2" else one, [(10, 15), (20, 30)]),
        (lambda one: one._replace(first=22) if one.name == "b3" else one, [(10, 20), (20, 20)]),
        (lambda one: one._replace(previous=named("other")) if one.name == "p1" else one, [(20, 30)]),
        (lambda one: one._replace(previous=named("other")) if one.name == "p0" else one, [(20, 30)]),
        (lambda one: one._replace(final=False) if one.name == "p1" else one, [(20, 30)]),
        (lambda one: one._replace(part=2) if one.name == "p1" else one, [(20, 30)]),
    ],
)
def test_what_does_not_follow_is_no_part_of_a_run(change: object, reach: list[tuple[int, int]]) -> None:
    """Whatever its indexes say. A base is whole by itself, whatever became of the batches before it."""
    changed = [change(one) for one in a_chain()]  # type: ignore[operator]

    assert [(run.first, run.last) for run in runs(changed)] == reach


def test_a_plan_below_a_key_change_stops_there() -> None:
    """What the given shares cannot open is left out."""
    assert plan(a_chain(), below=26).last == 25
    with pytest.raises(RestoreError):
        plan(a_chain(), below=10)


def test_what_lies_behind_a_gap_is_told() -> None:
    """So that somebody looks for it."""
    assert newest_gap(a_chain()) is None
    assert newest_gap(without("b3")) == (20, 30)


def test_spans_are_merged() -> None:
    """One from 10 on, however many bases."""
    assert spans(runs(a_chain())) == "what can be restored is 10 to 30"
