"""Text on its way into a page."""

from __future__ import annotations

import math

import pytest

from chaos.report.markup import clean, colour, esc, latency, many, number, seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("a\x00b\x1b[2J", "a\\x00b\\x1b[2J"),
        ("line\nbreak", "line\\x0abreak"),
        ("right\u202eleft", "right\\u202eleft"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("lone \ud800", "lone \\ud800"),
        ("grüß 秘密 ✓", "grüß 秘密 ✓"),
        (None, ""),
        (0, "0"),
        (True, "true"),
        ([1, "<i>"], "[1, &quot;&lt;i&gt;&quot;]"),
        ({"a": None}, "{&quot;a&quot;: null}"),
    ],
)
def test_a_value_becomes_text_that_does_nothing(value: object, shown: str) -> None:
    """Markup is escaped, what cannot be seen is shown by its number, all other writing stays."""
    assert esc(value) == shown
    shown.encode()


def test_what_is_cut_is_cut_before_it_is_escaped() -> None:
    """Half an entity would be markup again."""
    assert esc("&&&&", 3) == "&amp;&amp;…"
    assert clean("abcd", 4) == "abcd"
    assert clean("abcde", 4) == "abc…"


def test_what_json_does_not_know_is_still_text() -> None:
    """Facts of a plug-in may hold anything."""
    assert clean([{1}]) == '["{1}"]'


@pytest.mark.parametrize("value", ["red", "#12345", "#1234567", "#12345g", '#123456"', "#123456\n", None, ["#123456"]])
def test_a_colour_that_is_none_is_grey(value: object) -> None:
    """It stands in a style."""
    assert colour(value) == "#7f7f7f"


def test_a_colour_stays() -> None:
    """The allowed twin."""
    assert colour("#a0B1c2") == "#a0B1c2"


@pytest.mark.parametrize("value", [True, "1", None, [], {}, math.inf, -math.inf, math.nan, 10**30, 1 << 63])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    """Coordinates come of it."""
    assert number(value) is None


@pytest.mark.parametrize("value", [0, -5, 2.5, 1 << 52])
def test_a_number_stays(value: float) -> None:
    """The allowed twin."""
    assert number(value) == value


@pytest.mark.parametrize(
    ("ns", "shown"),
    [(None, ""), (120_000, "0.12 ms"), (1_500_000, "1.5 ms"), (250_000_000, "250 ms"), (2_340_000_000, "2.34 s")],
)
def test_a_latency_has_three_digits(ns: float | None, shown: str) -> None:
    """Its unit is the one that fits."""
    assert latency(ns) == shown


def test_times_and_counts_are_for_people() -> None:
    """What never ended says so."""
    assert seconds(1_234_567_890) == "1.23 s"
    assert seconds(math.inf) == "never"
    assert many(1, "fault") == "1 fault"
    assert many(1234, "fault") == "1,234 faults"
    assert many(2, "is", "are") == "2 are"
