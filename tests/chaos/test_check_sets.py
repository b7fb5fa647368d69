"""Sets: each kind of wrong listing beside the right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.sets import Sets
from tests.chaos.histories import Story


def grown() -> Story:
    """Two acknowledged elements, one unknown that is there, one failed that is not."""
    story = Story().op("members", "s", None, []).op("add", "s", "a").op("members", "s", None, ["a"])
    return story.op("add", "s", "u", outcome="info").op("add", "s", "f", outcome="fail").op("add", "s", "b")


def test_what_is_all_there_holds(tmp_path: Path) -> None:
    """An element of unknown outcome may be there or not, and once seen it must stay."""
    verdict = Sets().check(grown().op("members", "s", None, ["a", "b", "u"]).run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"sets": 1, "acknowledged": 2, "listings": 3, "never_listed": 0}
    (tmp_path / "b").mkdir()
    assert Sets().check(grown().op("members", "s", None, ["a", "b"]).run(tmp_path / "b")).valid == "held"


def test_overlapping_operations_may_be_seen_or_not(tmp_path: Path) -> None:
    """While an add is under way."""
    story = Story().op("add", "s", "a", at=(0, 100)).op("members", "s", None, [], at=(10, 20))
    story.op("members", "s", None, ["a"], at=(30, 40)).op("members", "s", None, ["a"])

    assert Sets().check(story.run(tmp_path)).valid == "held"


@pytest.mark.parametrize("outcomes", [("fail", "ok"), ("info", "fail"), ("fail", "info")])
def test_an_element_that_was_added_twice_may_be_there_by_either(outcomes: tuple[str, str], tmp_path: Path) -> None:
    """One of the two did not surely fail."""
    story = Story().op("add", "s", "z")
    for outcome in outcomes:
        story.op("add", "s", "a", outcome=outcome)

    assert Sets().check(story.op("members", "s", None, ["a", "z"]).run(tmp_path)).valid == "held"


def test_all_that_is_missing_is_counted(tmp_path: Path) -> None:
    """The first is named, by its name."""
    story = Story().op("add", "s", "a").op("add", "s", "b").op("add", "s", "c").op("members", "s", None, [])
    one = Story().op("add", "s", "a").op("members", "s", None, [])
    (tmp_path / "b").mkdir()

    assert "a and 2 more is missing (lost)" in Sets().check(story.run(tmp_path)).details[0]
    assert Sets().check(one.run(tmp_path / "b")).details[0].startswith("a is missing (lost)")


WRONG = {
    "lost": (grown().op("members", "s", None, ["b"]), "(lost)"),
    "stale": (grown().op("members", "s", None, ["a"]).op("members", "s", None, ["a", "b"]), "(stale)"),
    "nobody added it": (grown().op("members", "s", None, ["a", "b", "x"]), "nobody added x"),
    "of another set": (
        grown().op("add", "t", "y").op("members", "t", None, ["y"]).op("members", "s", None, ["a", "b", "y"]),
        "nobody added y",
    ),
    "surely failed": (grown().op("members", "s", None, ["a", "b", "f"]), "surely failed"),
    "twice": (grown().op("members", "s", None, ["a", "b", "b"]), "twice"),
    "too early": (
        Story().op("members", "s", None, ["a"], at=(0, 10)).op("add", "s", "a", at=(20, 30))
        .op("members", "s", None, ["a"]),
        "before anybody",
    ),
    "seen and gone": (
        Story().op("add", "s", "a", at=(0, 100)).op("members", "s", None, ["a"], at=(10, 20))
        .op("members", "s", None, [], at=(30, 40)).op("members", "s", None, ["a"]),
        "(stale)",
    ),
    "an unknown one seen and gone": (
        Story().op("add", "s", "b").op("add", "s", "u", outcome="info").op("members", "s", None, ["b", "u"])
        .op("members", "s", None, ["b"]),
        "(lost)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_violated_and_told(name: str, tmp_path: Path) -> None:
    """With both operations where there are two."""
    story, told = WRONG[name]
    verdict = Sets().check(story.run(tmp_path))

    assert verdict.valid == "violated"
    assert told in verdict.details[0]
    assert verdict.operations


def test_an_element_that_no_listing_began_after_makes_it_unknown(tmp_path: Path) -> None:
    """The run was cut short before the last listing."""
    verdict = Sets().check(grown().run(tmp_path))

    assert verdict.valid == "unknown"
    assert verdict.numbers["never_listed"] == 1


def test_no_listing_or_no_element_is_unknown(tmp_path: Path) -> None:
    """Nothing was looked at."""
    (tmp_path / "b").mkdir()

    assert Sets().check(Story().op("add", "s", "a").run(tmp_path)).valid == "unknown"
    assert Sets().check(Story().op("members", "s", None, []).run(tmp_path / "b")).valid == "unknown"
