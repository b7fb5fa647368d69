"""The table and its JSON."""

from __future__ import annotations

import json

import pytest

from bench import plot
from bench.figures import Figure, Results, Target, Yardstick
from bench.report import as_json, figure_lines, missed, number_text

MACHINE = {
    "processor": "Some CPU",
    "cores": 2,
    "memory_gib": 24.0,
    "kernel": "6.1",
    "python": "3.11.7",
    "sync_p50_ms": 0.2,
    "load_average": 1.0,
    "time": "2026-11-24 10:00:00 +0000",
}
TARGETS = (Target("KV puts", "per_s", must=5_000, aim=9_000, at_most=False),)


def puts(per_s):
    return Figure("commits", "KV puts", {"per_s": per_s}, Yardstick("etcd", {"per_s": 4_000.0}), load_average=1.5)


@pytest.mark.parametrize(
    ("value", "expected"), [(12_345.6, "12,346"), (99.94, "99.9"), (10.0, "10.0"), (1.5, "1.5"), (0.01234, "0.0123")]
)
def test_numbers_have_the_digits_that_mean_something(value, expected):
    """No more."""
    assert expected == number_text(value)


def test_a_figure_stands_above_its_yardstick_and_its_target():
    """With the load average at which it was taken."""
    lines = figure_lines(puts(6_000.0), TARGETS)

    assert [line.strip() for line in lines] == [
        f"{'KV puts':<52}  6,000 per_s  (load 1.5)",
        "yardstick etcd: 4,000 per_s; x1.5 per_s",
        "target per_s: must >= 5000, aim >= 9000: must met with 6,000",
    ]


def test_a_missing_yardstick_is_said():
    """The figure is printed all the same."""
    lines = figure_lines(Figure("gets", "GET", {"per_s": 1.0}, missing="nginx is not installed"), TARGETS)

    assert lines[1].strip() == "yardstick: nginx is not installed"


def test_what_was_missed_is_listed_at_the_end():
    """A must that is not met, and a group that could not be measured."""
    results = Results(MACHINE, [puts(4_999.0)], {"gets": "BenchError: wrk is not installed"})

    assert missed(results, TARGETS) == [
        "KV puts: target per_s: must >= 5000, aim >= 9000: MUST MISSED with 4,999",
        "gets could not be measured: BenchError: wrk is not installed",
    ]


def test_a_must_that_is_met_is_not_listed():
    """Nor is an aim that is not."""
    assert missed(Results(MACHINE, [puts(5_000.0)]), TARGETS) == []


def test_the_json_holds_machine_figures_ratios_and_verdicts():
    """Everything the table says, for programs."""
    stored = json.loads(as_json(Results(MACHINE, [puts(9_500.0)]), TARGETS))

    assert stored["machine"] == MACHINE
    assert stored["figures"][0]["ratios"] == {"per_s": 2.375}
    assert stored["figures"][0]["targets"][0]["verdict"] == "aim met"


def test_the_picture_is_drawn_of_whatever_was_measured(tmp_path):
    """A run of one group has no rates, or no latencies, or no targets."""
    plot.draw(Results(MACHINE, [Figure("failover", "failover", {"p50_s": 0.6})]), TARGETS, tmp_path / "a.svg")
    plot.draw(Results(MACHINE, [puts(1.0)]), TARGETS, tmp_path / "b.png")

    assert (tmp_path / "a.svg").read_bytes()[:5] == b"<?xml"
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
