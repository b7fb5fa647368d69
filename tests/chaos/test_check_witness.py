"""The witness rejects what cannot be and nothing else: each kind of wrong history, and right ones close to it."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from chaos.check.random_histories import Shape, history
from chaos.check.witness import Witness, impossible
from tests.chaos.histories import Story


def right() -> Story:
    """Writes, a cas, reads, one refusal and one unknown write."""
    story = Story().op("read", version=0).op("write", "k", "a", version=1).op("read", "k", None, "a", version=1)
    story.op("cas", "k", [1, "b"], version=2).op("cas", "k", [1, "c"], outcome="fail", mismatch=True)
    story.op("write", "k", "d", outcome="info").op("read", "k", None, "d", version=3)
    return story.op("read", "other", version=0).op("write", "other", "x", version=1)


def test_a_right_history_holds_and_is_counted(tmp_path: Path) -> None:
    """Keys, operations and writes of unknown outcome are in the numbers."""
    verdict = Witness().check(right().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"keys": 2, "operations": 9, "unknown": 1}


def test_a_violation_names_both_operations(tmp_path: Path) -> None:
    """The read that is stale, and the write that it should have seen."""
    story = right().op("read", "k", None, "a", version=1)
    verdict = Witness().check(story.run(tmp_path))

    assert verdict.valid == "violated"
    stale = story.operations[-1]
    assert stale.index in verdict.operations
    assert len(verdict.operations) == 2
    assert f"#{stale.index} process {stale.process} read k" in verdict.details[0]


def test_nothing_acknowledged_is_unknown(tmp_path: Path) -> None:
    """An empty history, and one of unknown writes alone."""
    assert Witness().check(Story().run(tmp_path)).valid == "unknown"
    (tmp_path / "b").mkdir()
    assert Witness().check(Story().op("write", "k", "a", outcome="info").run(tmp_path / "b")).valid == "unknown"


def test_acknowledgements_without_versions_are_unknown_and_not_held(tmp_path: Path) -> None:
    """Nothing was proven of them."""
    verdict = Witness().check(right().op("write", "k", "z").op("read", "k", None, "z").run(tmp_path))

    assert verdict.valid == "unknown"
    assert "2 acknowledged" in verdict.summary


def test_lists_are_not_registers(tmp_path: Path) -> None:
    """A key with appends is left to appends.py."""
    story = right().op("append", "l", [0, "e"], version=1).op("read", "l", None, ["other"], version=1)

    assert Witness().check(story.run(tmp_path)).valid == "held"


WRONG = {
    "a version made twice": Story().op("write", "k", "a", version=1).op("write", "k", "b", version=1),
    "a cas that made a version it cannot make": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [0, "b"], version=2)
    ),
    "version zero made": Story().op("write", "k", "a", version=0),
    "a value of another version": Story().op("write", "k", "a", version=1).op("read", "k", None, "b", version=1),
    "a value before any write": Story().op("read", "k", None, "a", version=0),
    "nothing read at a version": Story().op("write", "k", "a", version=1).op("read", "k", None, None, version=1),
    "a version nobody wrote": Story().op("read", "k", None, "a", version=1),
    "a read of a failed write": Story().op("write", "k", "a", outcome="fail").op("read", "k", None, "a", version=1),
    "more versions than writes": Story().op("write", "k", "a", version=3).op("write", "k", "b", outcome="info"),
    "an older read after a newer write": (
        Story().op("write", "k", "a", version=1).op("write", "k", "b", version=2).op("read", "k", None, "a", version=1)
    ),
    "an older read after a newer read": (
        Story().op("write", "k", "a", version=1, at=(0, 100)).op("read", "k", None, "a", version=1, at=(10, 20))
        .op("read", "k", None, None, version=0, at=(30, 40))
    ),
    "an older read after the first of two newer reads": (
        Story().op("write", "k", "a", version=1, at=(0, 100)).op("read", "k", None, "a", version=1, at=(10, 20))
        .op("read", "k", None, "a", version=1, at=(11, 90)).op("read", "k", None, None, version=0, at=(30, 40))
    ),
    "a read before its write was invoked": (
        Story().op("read", "k", None, "a", version=1, at=(0, 10)).op("write", "k", "a", version=1, at=(20, 30))
    ),
    "writes against real time": Story().op("write", "k", "a", version=2).op("write", "k", "b", version=1),
    "writes against real time, beside a read that began early": (
        Story().op("write", "k", "b", version=2, at=(0, 30)).op("write", "k", "a", version=1, at=(50, 60))
        .op("read", "k", None, "a", version=1, at=(10, 70))
    ),
    "another value, among right ones": (
        Story().op("write", "k", "a", version=1, at=(0, 100)).op("read", "k", None, "b", version=1, at=(10, 20))
        .op("read", "k", None, "a", version=1, at=(10, 20)).op("read", "k", None, "a", version=1, at=(10, 20))
    ),
    "a lost write": (
        Story().op("write", "k", "a", version=1).op("read", "k", None, "a", version=1).op("read", "k", version=0)
    ),
    "a refusal of what stood": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "b"], outcome="fail", mismatch=True)
    ),
    "a refusal of what stood between two writes": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "x"], outcome="fail", mismatch=True)
        .op("write", "k", "b", version=2)
    ),
    "a refusal that an unknown cas of another version does not explain": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [5, "u"], outcome="info")
        .op("cas", "k", [1, "x"], outcome="fail", mismatch=True)
    ),
    "a refusal of what stood at first": (
        Story().op("cas", "k", [0, "b"], outcome="fail", mismatch=True).op("write", "k", "a", version=1)
    ),
    "a refusal of what a read proves": (
        Story().op("write", "k", "a", outcome="info").op("read", "k", None, "a", version=1)
        .op("cas", "k", [1, "b"], outcome="fail", mismatch=True)
    ),
    "an unknown write that came before it was invoked": (
        Story().op("read", "k", None, "u", version=1, at=(0, 10)).op("write", "k", "u", outcome="info", at=(20, 30))
    ),
    "an unknown cas that cannot have made it": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [5, "u"], outcome="info")
        .op("read", "k", None, "u", version=2)
    ),
    "one unknown write that made two versions": (
        Story().op("write", "k", "u", outcome="info").op("read", "k", None, "u", version=1)
        .op("read", "k", None, "u", version=2)
    ),
    "a hole that only a later write can fill": (
        Story().op("write", "k", "a", version=2, at=(0, 10)).op("write", "k", "u", outcome="info", at=(20, 30))
    ),
    "two holes and a second write that came too late": (
        Story().op("write", "k", "u", outcome="info", at=(0, 5)).op("write", "k", "a", version=3, at=(0, 10))
        .op("write", "k", "v", outcome="info", at=(20, 30))
    ),
    "a hole that an unknown cas of another version cannot fill": (
        Story().op("cas", "k", [4, "u"], outcome="info").op("write", "k", "a", version=2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_rejected(name: str) -> None:
    """Each alone is enough."""
    found = impossible(WRONG[name].operations)

    assert found is not None
    assert found.why


RIGHT = {
    "overlapping write and read, old": (
        Story().op("write", "k", "a", version=1, at=(0, 50)).op("read", "k", version=0, at=(10, 20))
    ),
    "overlapping write and read, new": (
        Story().op("write", "k", "a", version=1, at=(0, 50)).op("read", "k", None, "a", version=1, at=(10, 20))
    ),
    "overlapping writes, later first": (
        Story().op("write", "k", "a", version=2, at=(0, 50)).op("write", "k", "b", version=1, at=(10, 20))
    ),
    "equal instants in either order": (
        Story().op("write", "k", "a", version=2, at=(0, 10)).op("write", "k", "b", version=1, at=(10, 20))
    ),
    "a refusal at the instant at which the version began": (
        Story().op("write", "k", "a", version=1, at=(0, 10))
        .op("cas", "k", [1, "b"], outcome="fail", mismatch=True, at=(10, 20))
    ),
    "a refusal at the instant at which the next version began": (
        Story().op("write", "k", "a", version=1, at=(0, 10))
        .op("cas", "k", [1, "b"], outcome="fail", mismatch=True, at=(15, 20))
        .op("write", "k", "c", version=2, at=(20, 30))
    ),
    "an unknown write that was done": (
        Story().op("write", "k", "u", outcome="info").op("write", "k", "a", version=2)
        .op("read", "k", None, "a", version=2)
    ),
    "an unknown write that was not done": (
        Story().op("write", "k", "u", outcome="info").op("write", "k", "a", version=1)
    ),
    "an unknown write that was done much later": (
        Story().op("write", "k", "u", outcome="info").op("write", "k", "a", version=1).op("write", "k", "b", version=3)
    ),
    "an operation without a completion": (
        Story().op("write", "k", "u", cut=True).op("read", "k", None, "u", version=1)
    ),
    "an unknown cas that was done": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "u"], outcome="info")
        .op("write", "k", "b", version=3)
    ),
    "an unknown cas that was done and read": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "u"], outcome="info")
        .op("read", "k", None, "u", version=2)
    ),
    "a failed write": Story().op("write", "k", "u", outcome="fail").op("write", "k", "a", version=1),
    "a failed read": Story().op("write", "k", "a", version=1).op("read", "k", outcome="fail"),
    "a refusal beside a write": (
        Story().op("write", "k", "a", version=1, at=(0, 50))
        .op("cas", "k", [0, "b"], outcome="fail", mismatch=True, at=(10, 20))
    ),
    "a refusal beside a later write": (
        Story().op("write", "k", "a", version=1, at=(0, 10)).op("write", "k", "b", version=2, at=(20, 50))
        .op("cas", "k", [1, "c"], outcome="fail", mismatch=True, at=(30, 60))
    ),
    "a refusal that an unknown write explains": (
        Story().op("write", "k", "a", version=1).op("write", "k", "u", outcome="info")
        .op("cas", "k", [1, "c"], outcome="fail", mismatch=True)
    ),
    "a cas that failed for another reason": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "c"], outcome="fail")
    ),
    "a refusal of a version that never was": Story().op("cas", "k", [7, "c"], outcome="fail", mismatch=True),
    "two unknown writes of one value, of which one fits only the first version": (
        Story().op("cas", "k", [0, "u"], outcome="info").op("write", "k", "u", outcome="info")
        .op("read", "k", None, "u", version=1).op("read", "k", None, "u", version=2)
    ),
    "two unknown writes of one value": (
        Story().op("write", "k", "u", outcome="info").op("write", "k", "u", outcome="info")
        .op("read", "k", None, "u", version=1).op("read", "k", None, "u", version=2)
    ),
}  # fmt: skip


def test_a_version_out_of_this_world_is_rejected_at_once() -> None:
    """Nobody counts up to it."""
    story = Story().op("write", "k", "a", version=10**12).op("write", "k", "u", outcome="info")
    found = impossible(story.operations)

    assert found is not None
    assert found.operations == (story.operations[0],)


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_is_accepted(name: str) -> None:
    """Even if it looks strange."""
    assert impossible(RIGHT[name].operations) is None


def calls_of(count: int) -> int:
    """Functions of Python and C that judging so many operations of one key calls."""
    operations = history(Shape(count, 20, 0.01), Random(1))
    calls = 0

    def count_call(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count_call)
    try:
        assert impossible(operations) is None
    finally:
        sys.setprofile(None)
    return calls


def test_a_long_history_takes_work_by_its_length() -> None:
    """Of one key: four times the operations are four times the work, and a hundred thousand are judged."""
    assert calls_of(20_000) < 4.4 * calls_of(5_000)
    assert impossible(history(Shape(100_000, 20, 0.01), Random(1))) is None
