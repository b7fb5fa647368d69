"""Thinning, quantiles and rates."""

from __future__ import annotations

import math
from typing import Any

import pytest

from chaos.history import Operation, Outcome
from chaos.report.series import bucket_ns, quantiles, rates, thinned, waited_ns
from chaos.report.story import Call

MS = 1_000_000
S = 1000 * MS


def call(called_ns: int, waited: int | None = MS, outcome: Outcome = "ok", index: int = 0, **more: Any) -> Call:
    done = None if waited is None else called_ns + waited
    returned = math.inf if outcome == "info" or done is None else done
    op = Operation(
        0, "write", "k", None, None, outcome, called_ns, returned, "n1", None, None, "", more, index,
    )  # fmt: skip
    return Call(op, done)


def calls(count: int) -> list[Call]:
    """Latencies that repeat; the slowest of all in the middle, the fastest at the end."""
    found = [call(at * MS, (at % 97 + 2) * MS, index=at) for at in range(count)]
    found[count // 2] = call(count // 2 * MS, 5 * S, index=count // 2)
    found[-1] = call((count - 1) * MS, 1000, index=count - 1)
    return found


def test_few_operations_are_all_drawn() -> None:
    """In their order."""
    few = calls(100)

    assert thinned(few, S, 100) == few


def test_thinning_keeps_the_slowest_the_fastest_and_what_failed() -> None:
    """A graph that hides the outliers would be no graph of a fault."""
    many = calls(5000)
    many[1234] = call(1234 * MS, 3 * MS, "info", index=1234)
    many[2345] = call(2345 * MS, 3 * MS, "fail", index=2345)

    kept = thinned(many, 5 * S, 600)

    assert len(kept) == 600
    assert [one.op.index for one in kept] == sorted({one.op.index for one in kept})
    assert {2500, 4999, 1234, 2345} <= {one.op.index for one in kept}
    slowest = sorted(many, key=lambda one: -waited_ns(one, 5 * S))[:100]
    assert {one.op.index for one in slowest} <= {one.op.index for one in kept}


def test_thinning_is_even_over_the_run() -> None:
    """No stretch of an even run is emptier than half of its share."""
    kept = thinned(calls(6000), 6 * S, 600)

    tenths = [sum(place * 600 <= one.op.index < (place + 1) * 600 for one in kept) for place in range(10)]
    assert min(tenths) >= 30


def test_a_refused_operation_is_not_kept_before_others() -> None:
    """The cluster said no as it should: there may be thousands."""
    many = [call(at * MS, 10 * MS, index=at) for at in range(1000)]
    many[1] = call(MS, 9 * MS, "fail", index=1, mismatch=True)
    many[3] = call(3 * MS, 9 * MS, "fail", index=3)

    kept = {one.op.index for one in thinned(many, S, 12)}

    assert 3 in kept
    assert len(kept) == 12
    assert many[1].outcome == "refused"
    assert many[3].outcome == "fail"


def test_all_of_one_kind_are_thinned_like_any() -> None:
    """A run in which nothing was ever acknowledged."""
    kept = thinned([call(at * MS, None, "info", index=at) for at in range(1000)], S, 60)

    assert len(kept) == 60


@pytest.mark.parametrize(("length_s", "bucket_s"), [(1, 0.2), (12, 0.2), (60, 1.0), (600, 10.0), (3600, 50.0)])
def test_buckets_are_round_and_not_too_many(length_s: int, bucket_s: float) -> None:
    """So that steps can be named."""
    assert bucket_ns(length_s * S) == pytest.approx(bucket_s * S)


def test_quantiles_are_of_acknowledged_operations_by_the_time_of_their_call() -> None:
    """One that was called before an outage and answered after it is part of the outage."""
    some = [call(10 * MS, at * MS) for at in range(1, 101)]
    some += [call(20 * MS, 900 * MS, "info"), call(20 * MS, 900 * MS, "fail")]

    found = quantiles(some, 10 * S)

    first = {name: line[0] for name, line in found.items()}
    assert first == {
        "p50": (0.1 * S, 50 * MS), "p95": (0.1 * S, 95 * MS), "p99": (0.1 * S, 99 * MS), "max": (0.1 * S, 100 * MS),
    }  # fmt: skip
    assert {len(line) for line in found.values()} == {1}


def test_quantiles_have_a_gap_where_nothing_was_acknowledged() -> None:
    """A line over an outage would say that all was well."""
    found = quantiles([call(0, 450 * MS), call(500 * MS, MS, "fail"), call(900 * MS)], 10 * S)

    assert [point is None for point in found["p50"]] == [False, True, True, True, False]


def test_rates_count_completions_of_each_outcome() -> None:
    """A second's worth; what never completed is in none."""
    some = [call(at * MS) for at in range(10)]
    some += [call(0, MS, "fail"), call(0, MS, "fail", denied=True), call(0, 250 * MS, "info"), call(0, None, "info")]

    found = rates(some, 10 * S)

    assert {outcome: [rate for _, rate in line] for outcome, line in found.items()} == {
        "ok": [50.0, 0.0], "refused": [5.0, 0.0], "fail": [5.0, 0.0], "info": [0.0, 5.0],
    }  # fmt: skip


def test_nothing_makes_no_lines() -> None:
    """A run that was cut short at once."""
    assert rates([], S) == {}
    assert set(map(len, quantiles([], S).values())) == {0}
    assert thinned([], S) == []
