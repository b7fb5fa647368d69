"""Durations and instants: Go's texts, both ways."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.durations import NS, DurationError, format_duration, parse_duration, parse_duration_s
from node.engines.instants import rfc3339


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("", 0),
        ("0", 0),
        ("-0", 0),
        ("90", 90 * NS),
        ("-1", -NS),
        ("1d", 86_400 * NS),
        ("3h25m19s", (3 * 3600 + 25 * 60 + 19) * NS),
        ("1.5h", 5400 * NS),
        (".5s", NS // 2),
        ("1.s", NS),
        ("-1m", -60 * NS),
        ("+1m", 60 * NS),
        ("1ns", 1),
        ("1us", 1000),
        ("1\u00b5s", 1000),
        ("1\u03bcs", 1000),
        ("2ms", 2_000_000),
        ("1s1s", 2 * NS),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text, duration_ns):
    """Bare numbers are seconds, days are Vault's addition."""
    assert parse_duration(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("banana", 'time: invalid duration "banana"'),
        ("-", 'time: invalid duration "-"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("1.5", 'time: missing unit in duration "1.5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("1.5d", 'time: unknown unit "d" in duration "1.5d"'),
        (" 5s", 'time: invalid duration " 5s"'),
        ("9223372036854775", 'time: invalid duration "9223372036854775"'),
        ("9223372036854775807", "time: invalid duration"),
        ("99999999999999999999h", "time: invalid duration"),
        ('a"\n', 'time: invalid duration "a\\"\\n"'),
        ("x" * 16, f'time: invalid duration "{"x" * 16}"'),
        ("x" * 17, "time: invalid duration"),
        ("hvs." + "x" * 24, "time: invalid duration"),
        ("17" + "x" * 15, "time: unknown unit in duration"),
        ("1h" + "1" * 15, "time: missing unit in duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_gos_text(text, message):
    """And shown only if it is short, because it may be a secret in the wrong field."""
    with pytest.raises(DurationError) as caught:
        parse_duration(text)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0, "0s"), (1, "1s"), (90, "1m30s"), (3600, "1h0m0s"), (12_319, "3h25m19s"), (2_764_800, "768h0m0s"), (-1, "-1s")],
)
def test_a_duration_is_written_as_go_writes_it(duration_s, text):
    """Zero parts in the middle stay."""
    assert format_duration(duration_s) == text


@given(st.integers(-(10**9), 10**9))
def test_a_written_duration_reads_back(duration_s):
    """Format and parse are inverses on whole seconds."""
    assert parse_duration(format_duration(duration_s)) == duration_s * NS


@pytest.mark.parametrize(("text", "duration_s"), [("1999ms", 1), ("-1999ms", -1), ("999ms", 0), ("2s", 2)])
def test_parts_of_a_second_are_cut_off_toward_zero(text, duration_s):
    """As Go's conversion to an integer does."""
    assert parse_duration_s(text) == duration_s


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_duration_error(text):
    """Nothing else is ever raised."""
    with contextlib.suppress(DurationError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_763_977_260_250_000_000, "2025-11-24T09:41:00.25Z"),
        (1_763_977_260_123_456_789, "2025-11-24T09:41:00.123456789Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
    ],
)
def test_an_instant_has_nanoseconds_without_trailing_zeros(time_ns, text):
    """Go's RFC3339Nano."""
    assert rfc3339(time_ns) == text


@given(st.integers(0, 2**63 - 1))
def test_an_instant_names_the_second_it_is_in(time_ns):
    """Checked against the standard library's reading of the whole second."""
    read = dt.datetime.fromisoformat(rfc3339(time_ns - time_ns % NS))

    assert int(read.timestamp()) == time_ns // NS
