"""Lists: each kind of wrong list beside the right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.appends import Appends
from tests.chaos.histories import Story


def grown() -> Story:
    """Two acknowledged elements with one of unknown outcome between them, and one that failed."""
    story = Story().op("list", "l", None, [], version=0).op("append", "l", [0, "a"], version=1)
    story.op("append", "l", [1, "u"], outcome="info").op("append", "l", [1, "f"], outcome="fail", mismatch=True)
    return story.op("append", "l", [2, "b"], version=3)


def test_what_grows_at_its_end_holds(tmp_path: Path) -> None:
    """Every list is a beginning of the longest."""
    story = grown().op("list", "l", None, ["a", "u", "b"], version=3).op("read", "l", None, ["a", "u", "b"], version=3)
    verdict = Appends().check(story.run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"lists": 1, "acknowledged": 2, "reads": 3, "never_read": 0}


def test_overlapping_appends_may_stand_in_either_order(tmp_path: Path) -> None:
    """And a read beside an append may miss it."""
    story = (
        Story().op("append", "l", [1, "a"], version=2, at=(0, 100)).op("append", "l", [0, "b"], version=1, at=(10, 20))
    )
    story.op("list", "l", None, ["b"], version=1, at=(30, 40)).op("list", "l", None, ["b", "a"], version=2)

    assert Appends().check(story.run(tmp_path)).valid == "held"


def test_registers_are_none_of_its_business(tmp_path: Path) -> None:
    """A key without append or list is skipped."""
    story = grown().op("list", "l", None, ["a", "u", "b"], version=3).op("read", "k", None, "x", version=1)

    assert Appends().check(story.run(tmp_path)).valid == "held"


@pytest.mark.parametrize("outcomes", [("fail", "ok"), ("info", "fail"), ("fail", "info")])
def test_an_element_that_was_appended_twice_may_be_there_by_either(outcomes: tuple[str, str], tmp_path: Path) -> None:
    """One of the two did not surely fail."""
    story = Story().op("append", "l", [0, "z"], version=1)
    for outcome in outcomes:
        story.op("append", "l", [1, "a"], outcome=outcome)
    story.op("list", "l", None, ["z", "a"], version=2)

    assert Appends().check(story.run(tmp_path)).valid == "held"


def full(*elements: str, version: int = 3) -> Story:
    return grown().op("list", "l", None, list(elements), version=version)


WRONG = {
    "lost": (full("a", "u", version=2), "missing"),
    "all lost": (full(version=0), "missing"),
    "twice": (full("a", "u", "u", "b", version=4), "twice"),
    "nobody appended it": (full("a", "x", "b"), "nobody appended x"),
    "surely failed": (full("a", "f", "b"), "surely failed"),
    "against real time": (full("b", "a", version=2), "stands behind"),
    "neither is a beginning": (
        full("a", "u", "b").op("list", "l", None, ["a", "b", "u"], version=4), "neither list"
    ),
    "stale": (
        full("a", "u", "b").op("list", "l", None, ["a"], version=1).op("list", "l", None, ["a", "u", "b"], version=3),
        "missing",
    ),
    "shorter than what was read, beside an append": (
        Story().op("append", "l", [0, "a"], version=1, at=(0, 100)).op("list", "l", None, ["a"], version=1, at=(10, 20))
        .op("list", "l", None, [], version=0, at=(30, 40)),
        "missing",
    ),
    "too early": (
        Story().op("list", "l", None, ["a"], version=1, at=(0, 10)).op("append", "l", [0, "a"], version=1, at=(20, 30)),
        "before anybody",
    ),
    "one version, two lists": (
        Story().op("append", "l", [0, "a"], version=1, at=(0, 200)).op("list", "l", None, [], version=1, at=(0, 50))
        .op("list", "l", None, ["a"], version=1, at=(0, 60)),
        "their versions",
    ),
    "a newer version, a shorter list": (
        Story().op("append", "l", [0, "a"], version=1, at=(0, 200)).op("list", "l", None, ["a"], version=1, at=(0, 50))
        .op("list", "l", None, [], version=2, at=(0, 60)),
        "their versions",
    ),
    "a newer version, the same list": (
        Story().op("append", "l", [0, "a"], version=1).op("list", "l", None, ["a"], version=1)
        .op("list", "l", None, ["a"], version=2),
        "their versions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_violated_and_told(name: str, tmp_path: Path) -> None:
    """With the operations that show it."""
    story, told = WRONG[name]
    verdict = Appends().check(story.run(tmp_path))

    assert verdict.valid == "violated"
    assert told in verdict.details[0]
    assert verdict.operations


def test_an_element_that_no_list_was_read_after_makes_it_unknown(tmp_path: Path) -> None:
    """The run was cut short before the last read."""
    verdict = Appends().check(grown().run(tmp_path))

    assert verdict.valid == "unknown"
    assert verdict.numbers["never_read"] == 2


def test_nothing_appended_is_unknown(tmp_path: Path) -> None:
    """Empty lists prove nothing."""
    assert Appends().check(Story().op("list", "l", None, [], version=0).run(tmp_path)).valid == "unknown"
