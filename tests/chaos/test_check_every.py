"""All checkers together: the order, the exit code, and that one that fails hides no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check import every
from chaos.check.base import Verdict, merged
from tests.chaos.histories import Story

NAMES = [
    "logs", "rates", "witness", "wgl", "acked", "session", "sets", "appends", "revocation", "single_use", "policies",
    "audit", "plaintext", "converge", "live", "recover", "backup",
]  # fmt: skip


def test_every_checker_is_known_by_its_name_and_says_what_it_does_not_verify() -> None:
    """For the header of reports."""
    assert [name for name in every.CHECKERS if name in NAMES] == NAMES
    for name, checker in every.CHECKERS.items():
        assert checker.name == name
        assert len(checker.verified) > 20
        assert len(checker.not_verified) > 10


def test_whether_it_was_a_run_is_always_asked_and_asked_first(tmp_path: Path) -> None:
    """Whatever the order of the names."""
    verdicts = every.judge(Story().run(tmp_path), ["live", "witness"])

    assert [one.checker for one in verdicts] == ["logs", "rates", "witness", "live"]


def test_an_empty_folder_is_unknown_to_every_checker(tmp_path: Path) -> None:
    """No checker holds of nothing, and none fails of it."""
    verdicts = every.judge(Story().cut_short().run(tmp_path), NAMES)

    assert {one.valid for one in verdicts} <= {"unknown", "skipped"}
    assert not [one for one in verdicts if "the checker failed" in one.summary]
    assert every.exit_code(verdicts) == 2


def test_a_dead_run_is_not_green_whatever_else_holds(tmp_path: Path) -> None:
    """Every write is where it should be, and nothing took effect."""
    story = (
        Story(exit_codes={"n1": 0, "n2": 0, "n3": 0})
        .op("write", "k", "a", version=1)
        .op("read", "k", None, "a", version=1)
    )
    verdicts = every.judge(story.fault("kill", ("n1",), 50, 60, took_effect=False).run(tmp_path), ["witness"])

    assert {one.checker: one.valid for one in verdicts}["witness"] == "held"
    assert every.exit_code(verdicts) == 2


def test_an_unknown_name_is_an_error() -> None:
    """It names those that there are."""
    with pytest.raises(every.UnknownCheckerError, match="nonsense; there are logs, rates"):
        every.judge(Story().run(Path("/nonexistent")) if False else None, ["nonsense"])  # type: ignore[arg-type]


def test_a_checker_that_fails_is_unknown_and_the_others_are_asked(tmp_path: Path) -> None:
    """A history that it cannot read."""
    story = Story().op("cas", "k", None, version=2).op("add", "s", "a").op("members", "s", None, ["a"])
    verdicts = {one.checker: one for one in every.judge(story.run(tmp_path), ["witness", "sets"])}

    assert verdicts["witness"].valid == "unknown"
    assert "the checker failed: TypeError" in verdicts["witness"].summary
    assert verdicts["sets"].valid == "held"


@pytest.mark.parametrize(
    ("valid", "code"),
    [
        (["held", "skipped"], 0),
        (["held", "unknown"], 2),
        (["unknown", "violated", "held"], 1),
        (["skipped"], 2),
        ([], 2),
    ],
)
def test_the_exit_code_is_of_the_worst(valid: list, code: int) -> None:
    """Violated before unknown before held; all skipped is unknown."""
    verdicts = [Verdict("x", one, "") for one in valid]

    assert every.exit_code(verdicts) == code
    assert merged(verdicts) == {0: "held", 1: "violated", 2: "unknown"}[code]
