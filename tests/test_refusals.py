"""docs/refusals.md: each promise names the test that shows it, and the test is there.

Tests are found by reading their files, so that a page about everything needs nothing to run.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "refusals.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


class Row(NamedTuple):
    """A line of a table: what is promised, what shows it, and whatever else stands in that cell."""

    promise: str
    tests: tuple[tuple[str, str], ...]
    rest: str


def rows(text: str) -> list[Row]:
    """Every line of every table but the heads."""
    found = []
    for line in text.splitlines():
        if not line.startswith("|") or line.startswith(("|---", "| promise |")):
            continue
        promise, _, shown = line.strip("|").partition("|")
        found.append(Row(promise.strip(), tuple(NAMED.findall(shown)), NAMED.sub("", shown).strip(" ,|")))
    return found


@cache
def functions_of(file: str) -> frozenset[str]:
    """Names of the test functions of a file, empty if there is none."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))


def objections(text: str) -> list[str]:
    """What is wrong with the page, in sentences."""
    found = []
    for row in rows(text):
        if not row.tests:
            found.append(f"no test shows: {row.promise}")
        if row.rest:
            found.append(f"this names no test: {row.rest}")
        found += [f"there is no {name} in {file}" for file, name in row.tests if name not in functions_of(file)]
    return found


def test_every_promise_names_a_test_that_is_there() -> None:
    """A test that is renamed or removed is noticed here."""
    assert objections(PAGE.read_text(encoding="utf-8")) == []


def test_every_promise_stands_once_and_is_a_sentence() -> None:
    """And none is empty; the page is read by people."""
    promises = [row.promise for row in rows(PAGE.read_text(encoding="utf-8"))]

    assert len(promises) > 90
    assert [promise for promise in promises if promises.count(promise) > 1 or not promise.endswith(".")] == []


HERE = "`tests/test_refusals.py::test_every_promise_names_a_test_that_is_there`"


@pytest.mark.parametrize(
    ("cell", "wrong"),
    [
        (HERE, []),
        (f"{HERE}, {HERE}", []),
        ("", ["no test shows: Promised."]),
        ("by hand", ["no test shows: Promised.", "this names no test: by hand"]),
        (f"{HERE}, and by hand", ["this names no test: and by hand"]),
        ("`tests/test_refusals.py::test_of_nothing`", ["there is no test_of_nothing in tests/test_refusals.py"]),
        ("`tests/test_nothing.py::test_x`", ["there is no test_x in tests/test_nothing.py"]),
        ("`tests/test_refusals.py`", ["no test shows: Promised.", "this names no test: `tests/test_refusals.py`"]),
    ],
)
def test_a_promise_without_a_test_is_noticed(cell: str, wrong: list[str]) -> None:
    """The twin."""
    assert objections(f"| promise | shown by |\n|---|---|\n| Promised. | {cell} |\n") == wrong
