"""The search is right: against every permutation of small histories, and against a plain model without any shortcut."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaos.check.models import Policy, Register
from chaos.check.random_histories import Shape, history
from chaos.check.wgl import Wgl, search
from chaos.check.witness import value_of
from tests.chaos.histories import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chaos.history import Operation


def plain_register(one: Operation, state: tuple[int, Any]) -> tuple[int, Any] | None:
    """What a register does, without any thought of speed."""
    version = state[0]
    if one.f == "read":
        return state if (one.version, one.result) == state else None
    if one.outcome == "fail":
        return state if version != one.argument[0] else None
    if one.f == "cas" and version != one.argument[0]:
        return state if one.outcome == "info" else None
    if one.outcome == "ok" and one.version != version + 1:
        return None
    return version + 1, value_of(one)


def plain_policy(one: Operation, state: str) -> str | None:
    """What a policy does; its first word is whatever the first try says."""
    if one.f == "flip":
        return one.argument
    return one.result if state in {"", one.result} else None


def has_order(operations: Sequence[Operation], state: Any, step: Callable[[Operation, Any], Any]) -> bool:
    """Every order of every choice of unknown operations is tried."""
    known = [one for one in operations if one.outcome != "info"]
    unknown = [one for one in operations if one.outcome == "info"]
    return any(
        explains(order, state, step)
        for count in range(len(unknown) + 1)
        for chosen in itertools.combinations(unknown, count)
        for order in itertools.permutations([*known, *chosen])
    )


def explains(order: Sequence[Operation], state: Any, step: Callable[[Operation, Any], Any]) -> bool:
    latest = -math.inf
    for one in order:
        if one.returned_ns < latest:
            return False  # it stands behind one that was invoked after it had returned
        latest = max(latest, one.called_ns)
        state = step(one, state)
        if state is None:
            return False
    return True


def policy_history(rng: random.Random) -> list[Operation]:
    """Flips and tries at random instants with random answers: about half of them have no order."""
    story = Story()
    for _ in range(6):
        called = rng.randrange(60)
        at = (called, called + rng.randrange(1, 30))
        word = rng.choice(("allow", "deny"))
        if rng.random() < 0.5:
            story.op("flip", "p", word, at=at, outcome="info" if rng.random() < 0.3 else "ok")
        else:
            story.op("try", "p", None, word, at=at)
    return story.operations


@pytest.mark.parametrize("bug", ["", "stale", "lost", "refused", "twice", "early"])
def test_the_search_agrees_with_trying_every_order(bug: str) -> None:
    """Histories of six operations, unknown ones among them, with and without values that come twice."""
    answers = set()
    for seed in range(120):
        rng = random.Random(f"{bug}/{seed}")
        operations = history(Shape(6, 3, 0.25, bug, 0.5, values=rng.choice((0, 2))), rng)
        said = [one for one in operations if one.f != "read" or one.outcome == "ok"]
        legal = has_order(said, (0, None), plain_register)
        answers.add(legal)
        assert search(Register(operations)).legal is legal, seed
    assert answers == ({True} if not bug else {True, False})


def test_the_search_of_policies_agrees_with_trying_every_order() -> None:
    """Both answers occur."""
    answers = []
    for seed in range(250):
        operations = policy_history(random.Random(seed))
        legal = has_order(operations, "", plain_policy)
        answers.append(legal)
        assert search(Policy(operations)).legal is legal, seed
    assert 20 < sum(answers) < 230


class Unhurried:
    """The register without the shortcuts of models.py."""

    initial: tuple[int, Any] = (0, None)

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = [one for one in operations if one.f != "read" or one.outcome == "ok"]
        self.observers: frozenset[int] = frozenset()

    def step(self, number: int, state: tuple[int, Any], taken: int) -> tuple[int, Any] | None:
        return plain_register(self.operations[number], state)


def test_the_shortcuts_change_no_answer() -> None:
    """On histories of forty operations, which nobody can permute; the shortcuts save steps."""
    quick, slow = 0, 0
    for seed in range(250):
        rng = random.Random(seed)
        bug = rng.choice(("", "stale", "lost", "refused", "twice"))
        operations = history(Shape(40, 5, 0.05, bug, 0.05, values=rng.choice((0, 3))), rng)
        with_them, without = search(Register(operations)), search(Unhurried(operations))
        if without.legal is not None:
            assert with_them.legal is without.legal, seed
        quick += with_them.steps
        slow += without.steps
    assert quick < slow


def register_run() -> Story:
    story = Story().op("write", "k", "a", version=1).op("read", "k", None, "a", version=1)
    return (
        story.op("flip", "p", "deny")
        .op("try", "p", None, "deny")
        .op("flip", "p", "allow")
        .op("try", "p", None, "allow")
    )


def test_registers_and_policies_hold(tmp_path: Path) -> None:
    """Both kinds of keys are counted."""
    verdict = Wgl().check(register_run().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["keys"] == 2
    assert verdict.numbers["operations"] == 6


def test_what_surely_failed_is_in_no_order(tmp_path: Path) -> None:
    """A flip and a write that were not done; the run holds as it would without them."""
    story = register_run().op("flip", "p", "deny", outcome="fail").op("try", "p", None, "allow")
    story.op("write", "k", "x", outcome="fail").op("read", "k", None, "a", version=1)

    assert Wgl().check(story.run(tmp_path)).valid == "held"


@pytest.mark.parametrize(
    "wrong",
    [
        register_run().op("read", "k", None, None, version=0),
        register_run().op("try", "p", None, "deny"),
        register_run().op("cas", "k", [1, "b"], outcome="fail", mismatch=True),
    ],
)
def test_what_has_no_order_is_named(wrong: Story, tmp_path: Path) -> None:
    """By the operation at which the longest attempt ends."""
    verdict = Wgl().check(wrong.run(tmp_path))

    assert verdict.valid == "violated"
    assert verdict.operations == (wrong.operations[-1].index,)


def test_policies_seen_old_and_new_and_old_again_have_no_order(tmp_path: Path) -> None:
    """While one flip is under way, what the witness of real time alone would allow."""
    story = Story().op("flip", "p", "deny").op("flip", "p", "allow", at=(100, 900), outcome="ok")
    story.op("try", "p", None, "allow", at=(200, 210)).op("try", "p", None, "deny", at=(300, 310))

    assert Wgl().check(story.run(tmp_path)).valid == "violated"


def test_a_budget_that_is_used_up_is_unknown_and_counted(tmp_path: Path) -> None:
    """Of two keys the small one is still decided."""
    story = Story().op("write", "small", "a", version=1)
    for number in range(30):
        story.op("write", "k", f"v{number}", version=number + 1, at=(0, 1000))
    verdict = Wgl(key_steps=10).check(story.run(tmp_path))

    assert verdict.valid == "unknown"
    assert verdict.numbers["keys_given_up"] == 1
    assert Wgl().check(story.run(tmp_path)).valid == "held"


def test_the_budget_of_all_keys_is_shared(tmp_path: Path) -> None:
    """A run of very many keys ends, too."""
    story = Story()
    for number in range(20):
        story.op("write", f"k{number}", "a", version=1)
    verdict = Wgl(all_steps=10).check(story.run(tmp_path))

    assert verdict.valid == "unknown"
    assert 5 <= verdict.numbers["keys_given_up"] < 20


def test_nothing_acknowledged_is_unknown(tmp_path: Path) -> None:
    """There is an order of nothing, and it proves nothing."""
    assert Wgl().check(Story().op("write", "k", "a", outcome="info").run(tmp_path)).valid == "unknown"
