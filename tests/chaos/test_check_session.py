"""One process, what it saw and made: by version and by index, each guarantee with its breach."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.session import Session
from tests.chaos.histories import Story


def sane() -> Story:
    """One process on three nodes, and another that is behind it, which is its right."""
    story = (
        Story()
        .op("write", "k", "a", process=1, version=1, index=10)
        .op("read", "k", None, "a", process=1, version=1, index=10, node="n2")
    )
    story.op("read", "other", process=1, version=0, index=12).op(
        "cas", "k", [1, "b"], process=1, version=2, index=14, node="n3"
    )
    return story.op("read", "k", None, "a", process=2, version=1, index=11)


def test_a_process_that_never_goes_back_holds(tmp_path: Path) -> None:
    """What it is compared with is its own past alone."""
    verdict = Session().check(sane().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"processes": 2, "compared": 5}


@pytest.mark.parametrize(
    ("again", "told"),
    [
        ({"f": "read", "result": "a", "version": 1}, "its own write"),
        ({"f": "list", "result": [], "version": 0}, "its own write"),
        ({"f": "write", "argument": "c", "version": 2}, "not newer"),
        ({"f": "append", "argument": [0, "c"], "version": 1}, "not newer"),
        ({"f": "read", "result": "b", "version": 2, "index": 13}, "index 13"),
        ({"f": "members", "result": [], "index": 9}, "index 9"),
    ],
)
def test_going_back_is_violated(again: dict, told: str, tmp_path: Path) -> None:
    """By version, by index, for reads and for writes, and both operations are named."""
    verdict = Session().check(sane().op(key="k", process=1, **again).run(tmp_path))

    assert verdict.valid == "violated"
    assert told in verdict.details[0]
    assert len(verdict.operations) == 2


def test_a_read_that_goes_back_behind_a_read_is_violated(tmp_path: Path) -> None:
    """Monotonic reads."""
    story = Story().op("read", "k", None, "b", process=1, version=2).op("read", "k", None, "a", process=1, version=1)
    verdict = Session().check(story.run(tmp_path))

    assert verdict.valid == "violated"
    assert "what it had read" in verdict.details[0]


def test_failed_and_stale_by_choice_say_nothing(tmp_path: Path) -> None:
    """A refusal's index, an unknown write's version, and a local read."""
    story = sane().op("read", "k", process=1, outcome="fail", index=1)
    story.op("read", "k", None, "a", process=1, version=1, index=5, local=True)

    assert Session().check(story.run(tmp_path)).valid == "held"


def test_answers_of_different_processes_are_not_compared(tmp_path: Path) -> None:
    """So they prove nothing here."""
    story = (
        Story().op("read", "k", None, "b", process=1, version=2, index=9).op("read", "k", process=2, version=0, index=1)
    )

    assert Session().check(story.run(tmp_path)).valid == "unknown"
