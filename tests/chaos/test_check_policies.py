"""Policies that flip: what a try may show in real time, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.policies import Policies
from tests.chaos.histories import Story


def flipped() -> Story:
    """Denied at first, then allowed; each try shows it."""
    story = Story().op("try", "p", None, "deny").op("flip", "p", "allow").op("try", "p", None, "allow", node="n2")
    return story.op("flip", "p", "deny").op("try", "p", None, "deny", node="n3")


def test_tries_that_show_the_newest_flip_hold(tmp_path: Path) -> None:
    """The first state is not in the history, and a try before any flip is not judged."""
    verdict = Policies().check(flipped().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"policies": 1, "flips": 2, "tries": 3, "tries_after_a_flip": 2}


ALLOWED = {
    "old, of a try that began at the instant of the flip's answer": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", at=(100, 200))
        .op("try", "p", None, "deny", at=(200, 210))
    ),
    "new, of a try that ended at the instant at which the flip began": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", at=(100, 200))
        .op("try", "p", None, "allow", at=(90, 100))
    ),
    "the older of two of which one ended at the instant at which the other began": (
        Story().op("flip", "p", "deny", at=(0, 100)).op("flip", "p", "allow", at=(100, 200))
        .op("try", "p", None, "deny")
    ),
    "old, while the flip is under way": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", at=(100, 200))
        .op("try", "p", None, "deny", at=(150, 160))
    ),
    "new, while the flip is under way": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", at=(100, 200))
        .op("try", "p", None, "allow", at=(150, 160))
    ),
    "either of two that overlapped": (
        Story().op("flip", "p", "allow", at=(0, 100)).op("flip", "p", "deny", at=(10, 50)).op("try", "p", None, "allow")
        .op("flip", "q", "allow", at=(0, 100)).op("flip", "q", "deny", at=(10, 50)).op("try", "q", None, "deny")
    ),
    "an unknown flip that was done": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", outcome="info").op("try", "p", None, "allow")
    ),
    "an unknown flip that was not done": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", outcome="info").op("try", "p", None, "deny")
    ),
    "an unknown flip that was done late": (
        Story().op("flip", "p", "allow", outcome="info").op("flip", "p", "deny").op("try", "p", None, "allow")
    ),
    "a try that began before the flip had returned": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", at=(100, 200))
        .op("try", "p", None, "deny", at=(199, 900))
    ),
    "a failed try": Story().op("flip", "p", "deny").op("try", "p", None, "deny").op("try", "p", outcome="fail"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_what_may_be_holds(name: str, tmp_path: Path) -> None:
    """Each alone."""
    verdict = Policies().check(ALLOWED[name].run(tmp_path))

    assert verdict.valid == "held", verdict


WRONG = {
    "old after an acknowledged flip": flipped().op("try", "p", None, "allow"),
    "old on another node": flipped().op("flip", "p", "allow").op("try", "p", None, "deny", node="n2"),
    "what a failed flip would have made": (
        Story().op("flip", "p", "deny").op("flip", "p", "allow", outcome="fail").op("try", "p", None, "allow")
    ),
    "what only a later flip made": (
        Story().op("flip", "p", "deny").op("try", "p", None, "allow").op("flip", "p", "allow")
    ),
    "what another policy says": (
        Story().op("flip", "p", "deny").op("flip", "q", "allow").op("try", "p", None, "allow")
    ),
    "what was replaced before another flip began": (
        Story().op("flip", "p", "allow").op("flip", "p", "deny").op("flip", "p", "deny", at=(100, 200))
        .op("try", "p", None, "allow", at=(150, 160))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_violated(name: str, tmp_path: Path) -> None:
    """The newest acknowledged flip and the try are named."""
    verdict = Policies().check(WRONG[name].run(tmp_path))

    assert verdict.valid == "violated"
    assert len(verdict.operations) == 2


def test_no_try_after_an_acknowledged_flip_is_unknown(tmp_path: Path) -> None:
    """Cut short."""
    story = Story().op("try", "p", None, "deny").op("flip", "p", "allow", outcome="info").op("try", "p", None, "deny")

    assert Policies().check(story.run(tmp_path)).valid == "unknown"
