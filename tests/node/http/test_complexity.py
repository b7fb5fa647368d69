"""Counting on raw bytes against counting on the parsed value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http import HttpLimits
from node.http.complexity import check_complexity
from node.http.errors import BadRequestError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\[]{},:é', max_size=8),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(alphabet='k"\\', max_size=3), children, max_size=4)
    ),
    max_leaves=25,
)


def strings(value: Any) -> int:
    if isinstance(value, dict):
        return sum(1 + strings(child) for child in value.values())
    if isinstance(value, list):
        return sum(map(strings, value))
    return int(isinstance(value, str))


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def accepts(raw: bytes, **limits: int) -> bool:
    try:
        check_complexity(raw, HttpLimits(**limits))
    except BadRequestError:
        return False
    return True


@given(value=st.dictionaries(st.text(max_size=3), VALUES, max_size=4), ascii_only=st.booleans())
def test_counts_on_bytes_are_those_of_the_value(value, ascii_only):
    """For any JSON: exactly the strings and the depth, escapes and brackets in strings included."""
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert accepts(raw, json_strings=strings(value))
    assert accepts(raw, json_depth=depth(value))
    assert strings(value) == 0 or not accepts(raw, json_strings=strings(value) - 1)
    assert not accepts(raw, json_depth=depth(value) - 1)


@given(st.binary(max_size=60) | st.text(alphabet='"\\[]{},:', max_size=60).map(str.encode))
def test_any_bytes_are_counted_without_another_error(raw):
    """Junk is the parser's to refuse."""
    accepts(raw, json_strings=2, json_depth=2, json_elements=3)


@pytest.mark.parametrize(
    "raw", [b"[" * (1 << 20), b"[]," * 350_000, b"]" * (1 << 20), b'"' * (1 << 20), b"1," * 500_000]
)
def test_a_hostile_mebibyte_is_judged_or_left_to_the_parser(raw):
    """None of them gets a long Python loop; closing brackets alone are no nesting."""
    assert accepts(raw) == raw.startswith(b"]")
