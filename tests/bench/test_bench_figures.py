"""Figures: quantiles, ratios to the yardstick, verdicts."""

from __future__ import annotations

import pytest

from bench.figures import Figure, Target, Verdict, Yardstick, judge, latency_numbers, medians, quantile
from bench.targets import TARGETS


@pytest.mark.parametrize(
    ("part", "expected"),
    [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)],
)
def test_a_quantile_is_a_value_that_was_measured(part, expected):
    """Nearest rank over 1 … 100."""
    ordered = [float(number) for number in range(1, 101)]

    assert expected == quantile(ordered, part)


def test_a_quantile_of_nothing_is_zero():
    """A load in which everything failed has no latency."""
    assert quantile([], 0.5) == 0.0


def test_latencies_are_told_in_milliseconds():
    """In any order; the longest is told, too."""
    expected = {"p50_ms": 2.0, "p99_ms": 4.0, "max_ms": 4.0}

    assert expected == latency_numbers([0.004, 0.001, 0.002])


def test_medians_are_taken_number_by_number():
    """One noisy round moves none of them."""
    rounds = [{"per_s": 100.0, "p50_ms": 1.0}, {"per_s": 5.0, "p50_ms": 90.0}, {"per_s": 90.0, "p50_ms": 2.0}]

    assert medians(rounds) == {"per_s": 90.0, "p50_ms": 2.0}


def test_ratios_are_of_the_numbers_both_have():
    """A number that only one has, or a yardstick of zero, gives none."""
    yardstick = Yardstick("other", {"per_s": 200.0, "p50_ms": 0.0, "cpu_us": 5.0})
    figure = Figure("gets", "GET", {"per_s": 50.0, "p50_ms": 1.0}, yardstick)

    assert figure.ratios == {"per_s": 0.25}


def test_without_a_yardstick_there_are_no_ratios():
    """The figure itself is still there."""
    assert Figure("gets", "GET", {"per_s": 50.0}, missing="not installed").ratios == {}


@pytest.mark.parametrize(
    ("must", "aim", "at_most", "value", "expected"),
    [
        (10.0, 5.0, True, 5.0, Verdict.AIM),
        (10.0, 5.0, True, 5.1, Verdict.MUST),
        (10.0, 5.0, True, 10.1, Verdict.MISSED),
        (5_000.0, 9_000.0, False, 9_000.0, Verdict.AIM),
        (5_000.0, 9_000.0, False, 8_999.0, Verdict.MUST),
        (5_000.0, 9_000.0, False, 4_999.0, Verdict.MISSED),
        (None, 1.5, True, 1.6, Verdict.SHORT),
        (30.0, None, True, 30.0, Verdict.MUST),
        (30.0, None, True, 30.5, Verdict.MISSED),
    ],
)
def test_a_verdict_follows_from_must_and_aim(must, aim, at_most, value, expected):
    """The bound itself is good enough; without a must nothing is missed."""
    target = Target("figure", "number", must=must, aim=aim, at_most=at_most)

    assert expected == target.verdict(value)


def test_a_figure_is_judged_by_the_targets_that_name_it():
    """By a number of its own or by a ratio; targets of other figures and of absent numbers say nothing."""
    figure = Figure("gets", "GET", {"per_s": 20.0}, Yardstick("nginx", {"per_s": 100.0}))
    targets = [
        Target("GET", "ratio:per_s", must=0.12, at_most=False),
        Target("GET", "p50_ms", must=1.0),
        Target("GET", "ratio:p50_ms", must=1.0),
        Target("PUT", "per_s", must=1.0, at_most=False),
    ]

    assert [(one.target, one.value) for one in judge(figure, targets)] == [(targets[0], 0.2)]


def test_every_target_has_a_bound():
    """A target without must and aim would judge nothing."""
    assert [target for target in TARGETS if target.must is None and target.aim is None] == []
