"""What is good for one use: twice, never and again are violations; contention with one winner is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.single_use import SingleUse
from tests.chaos.histories import Story


def contended() -> Story:
    """Three clients at three nodes; one gets it."""
    story = Story().op("issue", "w", "wrap")
    story.op("use", "w", outcome="fail", denied=True, at=(20, 60), node="n1")
    story.op("use", "w", None, True, at=(20, 50), node="n2")
    return story.op("use", "w", outcome="fail", denied=True, at=(70, 80), node="n3")


def test_one_good_use_of_many_holds(tmp_path: Path) -> None:
    """A denial that overlaps it, and one after it."""
    verdict = SingleUse().check(contended().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"issued": 1, "uses": 3, "good": 1, "denied": 2, "contended": 1}


ALLOWED = {
    "all denied beside an unanswered use": (
        Story().op("issue", "o", "once").op("use", "o", outcome="info").op("use", "o", outcome="fail", denied=True)
    ),
    "denied before the issue had returned": (
        Story().op("issue", "o", "once", at=(0, 100)).op("use", "o", outcome="fail", denied=True, at=(10, 20))
    ),
    "denied after its revocation": (
        Story().op("issue", "o", "once").op("revoke", "o").op("use", "o", outcome="fail", denied=True)
    ),
    "denied after its time": (
        Story().op("issue", "o", "once", ttl_s=1).op("use", "o", outcome="fail", denied=True, at=(1200, 1210))
    ),
    "failed, and then good": Story().op("issue", "o", "once").op("use", "o", outcome="fail").op("use", "o", None, True),
    "denied of what was issued with unknown outcome": (
        Story().op("issue", "o", "once", outcome="info").op("use", "o", outcome="fail", denied=True)
    ),
    "denied at the instant of the issue's answer": (
        Story().op("issue", "o", "once", at=(0, 100)).op("use", "o", outcome="fail", denied=True, at=(100, 110))
    ),
    "good at the instant of a denial's answer": (
        Story().op("issue", "o", "once").op("use", "o", outcome="fail", denied=True, at=(100, 200))
        .op("use", "o", None, True, at=(200, 210))
    ),
    "tokens are not its business": Story()
    .op("issue", "t", "token")
    .op("use", "t", None, True)
    .op("use", "t", None, True),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_may_be_is_not_violated(name: str, tmp_path: Path) -> None:
    """Beside a contended wrap that makes the run worth anything."""
    story = ALLOWED[name]
    story.op("issue", "z", "wrap").op("use", "z", None, True).op("use", "z", outcome="fail", denied=True)

    assert SingleUse().check(story.run(tmp_path)).valid == "held"


WRONG = {
    "good twice": contended().op("use", "w", None, True),
    "good twice at once": (
        Story().op("issue", "o", "once").op("use", "o", None, True, at=(20, 50)).op("use", "o", None, True, at=(20, 50))
    ),
    "the only use denied": Story().op("issue", "o", "once").op("use", "o", outcome="fail", denied=True),
    "all uses denied": (
        Story().op("issue", "o", "once").op("use", "o", outcome="fail", denied=True).op("use", "o", outcome="fail")
        .op("use", "o", outcome="fail", denied=True)
    ),
    "good after it had been denied": (
        Story().op("issue", "o", "once").op("use", "o", outcome="info").op("use", "o", outcome="fail", denied=True)
        .op("use", "o", None, True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_violated(name: str, tmp_path: Path) -> None:
    """Both operations are named."""
    verdict = SingleUse().check(WRONG[name].run(tmp_path))

    assert verdict.valid == "violated"
    assert len(verdict.operations) == 2


def test_uses_that_nobody_contended_prove_little(tmp_path: Path) -> None:
    """Unknown: nobody tried a second time; and nothing at all is unknown, too."""
    (tmp_path / "b").mkdir()

    assert (
        SingleUse().check(Story().op("issue", "o", "once").op("use", "o", None, True).run(tmp_path)).valid == "unknown"
    )
    nothing = SingleUse().check(Story().op("issue", "o", "once").run(tmp_path / "b"))
    assert (nothing.valid, nothing.summary) == ("unknown", "nothing of a single use was ever good")
