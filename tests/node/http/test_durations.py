"""Durations as Go and Vault read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http.durations import DurationError, parse_duration_ns

S = 1_000_000_000

GOOD = [
    ("0", 0),
    ("60", 60 * S),
    ("-60", -60 * S),
    ("5m", 300 * S),
    ("1h30m", 5400 * S),
    ("1.5h", 5400 * S),
    ("1d", 86400 * S),
    ("+5s", 5 * S),
    ("-5s", -5 * S),
    (".5s", S // 2),
    ("1.s", S),
    ("1us", 1000),
    ("1µs", 1000),
    ("1ns", 1),
    ("2ms3us", 2_003_000),
]

BAD = [
    ("", "time: invalid duration"),
    ("abc", 'time: invalid duration "abc"'),
    ("1.5", 'time: missing unit in duration "1.5"'),
    ("1x", 'time: unknown unit in duration "1x"'),
    ("-", 'time: invalid duration "-"'),
    (".s", 'time: invalid duration ".s"'),
    ("1s ", "time: unknown unit in duration"),
    ("9" * 30, "time: missing unit in duration"),
    ("9" * 300 + "s", "time: invalid duration"),
    ("9999999999h", 'time: invalid duration "9999999999h"'),
    ("1.5d", 'time: unknown unit in duration "1.5d"'),
    ("hvs.0123456789abc", "time: invalid duration"),
    ("٣s", "time: invalid duration"),
    ("1s\x00", "time: invalid duration"),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_a_duration_is_exact(text, expected):
    """In nanoseconds."""
    assert parse_duration_ns(text) == expected


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_no_duration_has_go_s_text(text, message):
    """And repeats the input only if it is short and plain."""
    with pytest.raises(DurationError) as raised:
        parse_duration_ns(text)

    assert str(raised.value) == message


@given(st.text(alphabet="0123456789.-+hmsdµun٣ ", max_size=20))
def test_any_text_is_a_duration_or_an_error_of_ours(text):
    """Never another exception, never beyond 64 bits."""
    try:
        found = parse_duration_ns(text)
    except DurationError:
        return

    assert -(2**63) < found < 2**63
