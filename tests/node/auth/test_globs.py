"""Patterns in which a star stands for any text."""

import time

import pytest

from node.auth.globs import fits, fits_one


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "anything", True),
        ("a*", "abc", True),
        ("a*", "ba", False),
        ("*c", "abc", True),
        ("*c", "cb", False),
        ("a*c", "ac", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*b*b", "ab", False),
        ("**", "x", True),
        ("a.c", "abc", False),
        ("[a]", "a", False),
    ],
)
def test_a_pattern_is_the_whole_text(pattern, text, expected):
    """And nothing but the star means more than itself."""
    assert fits(pattern, text) == expected
    assert fits_one(["other", pattern], text) == expected


def test_no_list_of_patterns_fits_nothing():
    """Whoever takes an empty list for "all" says so."""
    assert not fits_one([], "")


def test_many_stars_cost_no_more_than_their_number():
    """A pattern is somebody's input, and so is the text."""
    begun_s = time.perf_counter()
    assert not fits("*a" * 1_000 + "b", "a" * 20_000)
    assert time.perf_counter() - begun_s < 1
