"""Tokens and leases after and before their revocation: each breach beside what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.revocation import Revocation
from tests.chaos.histories import Story


def denied(story: Story, key: str, **more: object) -> Story:
    return story.op("use", key, outcome="fail", denied=True, **more)  # type: ignore[arg-type]


def good(story: Story, key: str, **more: object) -> Story:
    return story.op("use", key, None, True, **more)  # type: ignore[arg-type]


def life() -> Story:
    """A token is issued, good, revoked, and denied on another node."""
    story = good(Story().op("issue", "t", "token"), "t")
    return denied(story.op("revoke", "t", tree=True), "t", node="n2")


def family() -> Story:
    """A token, its child and the child's lease; the root of the tree is revoked."""
    story = (
        Story().op("issue", "p", "token").op("issue", "c", "token", parent="p").op("issue", "l", "lease", parent="c")
    )
    story = good(good(story, "c"), "l")
    return story.op("revoke", "p", tree=True)


def test_good_before_and_denied_after_holds(tmp_path: Path) -> None:
    """And says how soon after the revocation it was looked at."""
    verdict = Revocation().check(life().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {
        "issued": 1, "revoked": 1, "uses": 2, "uses_after": 1, "children_after": 0, "soonest_s": 0.001,
    }  # fmt: skip


def test_the_children_of_a_tree_end_with_it(tmp_path: Path) -> None:
    """Denied is right for all of them, and they are counted."""
    verdict = Revocation().check(denied(denied(family(), "c"), "l").run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["children_after"] == 2


ALLOWED = {
    "a good use that began at the instant of the answer": (
        Story().op("issue", "t", "token").op("revoke", "t", at=(100, 200)).op("use", "t", None, True, at=(200, 210))
    ),
    "an issue by a parent that began at the instant of its revocation's answer": (
        Story().op("issue", "p", "token").op("revoke", "p", tree=True, at=(100, 200))
        .op("issue", "c", "token", parent="p", at=(200, 210))
    ),
    "a denial that began at the instant of the issue's answer": (
        Story().op("issue", "t", "token", at=(0, 100)).op("use", "t", outcome="fail", denied=True, at=(100, 110))
    ),
    "a denial that ended at the instant at which the revocation began": (
        Story().op("issue", "t", "token").op("use", "t", outcome="fail", denied=True, at=(50, 100))
        .op("revoke", "t", at=(100, 110))
    ),
    "its time was over at that instant": (
        Story().op("issue", "t", "token", ttl_s=1, at=(100, 110))
        .op("use", "t", outcome="fail", denied=True, at=(900, 1100))
    ),
    "a use of what was issued before the history began": denied(Story(), "t"),
    "a use beside its revocation": (
        Story().op("issue", "t", "token").op("revoke", "t", at=(100, 200)).op("use", "t", None, True, at=(150, 260))
    ),
    "a good use after a revocation of unknown outcome": good(
        Story().op("issue", "t", "token").op("revoke", "t", outcome="info"), "t"
    ),
    "a denial after a revocation of unknown outcome": denied(
        Story().op("issue", "t", "token").op("revoke", "t", outcome="info"), "t"
    ),
    "a good use after a revocation that surely failed": good(
        Story().op("issue", "t", "token").op("revoke", "t", outcome="fail"), "t"
    ),
    "a denial before the issue had returned": (
        Story().op("issue", "t", "token", at=(0, 100)).op("use", "t", outcome="fail", denied=True, at=(50, 60))
    ),
    "a denial of what was issued with unknown outcome": denied(Story().op("issue", "t", "token", outcome="info"), "t"),
    "an orphan is good": good(
        Story().op("issue", "p", "token").op("issue", "c", "token", parent="p").op("revoke", "p"), "c"
    ),
    "an orphan of a tree that is revoked later is good": good(
        Story().op("issue", "g", "token").op("issue", "p", "token", parent="g").op("issue", "c", "token", parent="p")
        .op("revoke", "p").op("revoke", "g", tree=True), "c"
    ),
    "a child is denied while its parent's revocation is under way": (
        Story().op("issue", "p", "token").op("issue", "c", "token", parent="p")
        .op("revoke", "p", tree=True, at=(100, 200))
        .op("use", "c", outcome="fail", denied=True, at=(150, 160))
    ),
    "a failure that is no denial": Story().op("issue", "t", "token").op("use", "t", outcome="fail"),
    "its time was over": denied(Story().op("issue", "t", "token", ttl_s=1), "t", at=(1500, 1510)),
    "a clock was moved": denied(
        Story().op("issue", "t", "token", ttl_s=3600).fault("clock-jump", ("n1",), 20, 30), "t", at=(40, 50)
    ),
    "wraps are not its business": good(good(Story().op("issue", "w", "wrap"), "w"), "w"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_what_may_be_is_not_violated(name: str, tmp_path: Path) -> None:
    """Beside a life that makes the run worth anything."""
    story = denied(ALLOWED[name].op("issue", "z", "token").op("revoke", "z"), "z")

    verdict = Revocation().check(story.run(tmp_path))
    assert verdict.valid == "held", verdict


WRONG = {
    "good after its revocation": good(life(), "t", node="n3"),
    "a lease good after its revocation": good(Story().op("issue", "l", "lease").op("revoke", "l"), "l"),
    "a child good after its parent's revocation": good(family(), "c"),
    "a lease of a child good after it": good(family(), "l"),
    "the parent issues after its revocation": family().op("issue", "d", "token", parent="p"),
    "a child issued beside the revocation good after it": good(
        Story().op("issue", "p", "token").op("revoke", "p", tree=True, at=(100, 200))
        .op("issue", "c", "token", parent="p", at=(150, 260)), "c"
    ),
    "denied, and nobody had revoked it": denied(Story().op("issue", "t", "token"), "t"),
    "denied before its revocation was invoked": denied(Story().op("issue", "t", "token"), "t").op("revoke", "t"),
    "denied after another's revocation": denied(life().op("issue", "s", "token"), "s"),
    "denied after a child's revocation": denied(
        Story().op("issue", "p", "token").op("issue", "c", "token", parent="p").op("revoke", "c", tree=True), "p"
    ),
    "denied after a revocation that surely failed": denied(
        Story().op("issue", "t", "token").op("revoke", "t", outcome="fail"), "t"
    ),
    "denied before its time was over": denied(Story().op("issue", "t", "token", ttl_s=3600), "t"),
    "denied a little before its time was over": denied(
        Story().op("issue", "t", "token", ttl_s=1, at=(600, 610)), "t", at=(900, 910)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_violated(name: str, tmp_path: Path) -> None:
    """Two operations are named: who ended or began it, and the use."""
    verdict = Revocation().check(WRONG[name].run(tmp_path))

    assert verdict.valid == "violated"
    assert len(verdict.operations) == 2


def test_no_use_after_a_revocation_is_unknown(tmp_path: Path) -> None:
    """Cut short before anybody looked; an unanswered use is no look."""
    story = (
        Story().op("issue", "t", "token").op("use", "t", None, True).op("revoke", "t").op("use", "t", outcome="info")
    )

    verdict = Revocation().check(story.run(tmp_path))
    assert verdict.valid == "unknown"
    assert "soonest_s" not in verdict.numbers
