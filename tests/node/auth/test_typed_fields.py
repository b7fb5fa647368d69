"""Weakly typed parameters: text, names, pairs, times to live."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.auth.typed_fields import short_duration, shown, to_names, to_pairs, to_text, to_ttl_s
from node.engines.durations import DurationError
from node.engines.fields import FieldError


def raw(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [(None, ""), (raw(None), ""), (raw("a"), "a"), (raw(5), "5"), (b"1.10", "1.10"), (raw(True), "1"), ("q", "q")],
)
def test_text(given_value, expected):
    """Scalars become text as they were written."""
    assert to_text("f", given_value) == expected


@pytest.mark.parametrize("given_value", [{"a": 1}, ["a"]])
def test_text_is_no_object_and_no_list(given_value):
    """The sentence names the field and the kind, never the value."""
    with pytest.raises(FieldError, match="expected type 'string', got unconvertible type"):
        to_text("f", raw(given_value))


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (None, []),
        (raw(None), []),
        (raw(""), []),
        (raw("a"), ["a"]),
        (raw("a, b,,c "), ["a", "b", "c"]),
        (raw(["a", " b ", ""]), ["a", "b"]),
        (raw(["a,b"]), ["a,b"]),
        (raw([1, True]), ["1", "1"]),
        (raw(7), ["7"]),
        ("a,b", ["a", "b"]),
        (raw([]), []),
    ],
)
def test_names(given_value, expected):
    """A list, or text with commas."""
    assert to_names("f", given_value) == expected


def test_names_that_are_none_are_numbered():
    """Each wrong element has its line."""
    with pytest.raises(FieldError) as refused:
        to_names("f", raw(["a", {}, []]))

    assert str(refused.value).count("expected type 'string'") == 2
    assert "'[1]'" in str(refused.value)


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (None, {}),
        (raw(None), {}),
        (raw({"a": "b", "n": 5, "t": True, "z": None}), {"a": "b", "n": "5", "t": "1", "z": ""}),
        (raw(["a=b", "c = d=e"]), {"a": "b", "c": "d=e"}),
        (raw("a=b"), {"a": "b"}),
    ],
)
def test_pairs(given_value, expected):
    """An object, or `k=v`."""
    assert to_pairs("f", given_value) == expected


def test_a_wrong_pair_is_repeated_only_where_it_is_short():
    """A token in the wrong field does not come back (CVE-2025-4166, CVE-2025-52893)."""
    secret = "hvs.abcdefghijklmnopqrstuvwx"
    with pytest.raises(FieldError, match='invalid key pair "text"'):
        to_pairs("meta", raw("text"))
    with pytest.raises(FieldError) as refused:
        to_pairs("meta", raw(secret))

    assert secret not in str(refused.value)


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("60", 60), ("1h30m", 5400), ("1d", 86400), ("-1h", -3600)])
def test_times_to_live(text, seconds):
    """Seconds, Go durations, days."""
    assert to_ttl_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("banana", 'time: invalid duration "banana"'),
        ("bad", 'strconv.ParseInt: parsing "ba": invalid syntax'),
        ("1x", 'time: unknown unit "x" in duration "1x"'),
    ],
)
def test_wrong_times_to_live_have_gos_words(text, said):
    """What ends in `d` was read as days."""
    with pytest.raises(DurationError) as refused:
        to_ttl_s(text)

    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (60, "1m"),
        (90, "1m30s"),
        (3600, "1h"),
        (3660, "1h1m"),
        (3601, "1h0m1s"),
        (2764800, "768h"),
    ],
)
def test_short_durations(seconds, text):
    """Without the units that are zero at the end."""
    assert short_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_a_short_duration_reads_back(seconds):
    """Nothing is lost by leaving zeros out."""
    assert to_ttl_s(short_duration(seconds)) == seconds


@given(st.text(max_size=16), st.text(min_size=17))
def test_nothing_of_a_long_text_is_shown(short, long):
    """A part of a secret is a part too many."""
    assert (shown(short), shown(long)) == (short, "...")
