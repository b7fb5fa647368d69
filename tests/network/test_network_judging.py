"""The judge of histories: what it lets pass, and each thing that it must not."""

from __future__ import annotations

import pytest

from tests.network.judging import History, judge
from tests.network.writers import Acknowledged

ACKNOWLEDGED = [
    Acknowledged("a", 1, "w1-1", 0.0, 0.1),
    Acknowledged("a", 2, "w1-2", 0.1, 0.2),
    Acknowledged("b", 1, "w2-1", 0.0, 0.1),
]
WHOLE: dict[str, History] = {"a": {1: "w1-1", 2: "w1-2"}, "b": {1: "w2-1"}}


def test_a_whole_history_passes() -> None:
    """Every acknowledged write is there, in its version, and nothing else."""
    verdict = judge(ACKNOWLEDGED, [], {"n1": WHOLE, "n2": WHOLE})

    assert verdict.holds
    assert (verdict.acknowledged, verdict.lost, verdict.problems) == (3, {"n1": 0, "n2": 0}, [])


def test_a_write_whose_outcome_is_open_may_be_there_or_not() -> None:
    """Nobody was told that it succeeded, nor that it failed."""
    with_it = {**WHOLE, "b": {1: "w2-1", 2: "w2-2"}}

    assert judge(ACKNOWLEDGED, [("b", "w2-2")], {"n1": with_it}).holds
    assert judge(ACKNOWLEDGED, [("b", "w2-2")], {"n1": WHOLE}).holds


@pytest.mark.parametrize(
    ("found", "lost", "says"),
    [
        ({"a": {1: "w1-1"}, "b": {1: "w2-1"}}, 1, "lost"),
        ({"a": {1: "w1-1", 2: "w1-2"}}, 1, "lost"),
        ({"a": {1: "w1-2", 2: "w1-1"}, "b": {1: "w2-1"}}, 2, "lost"),
        ({"a": {1: "w1-1", 2: "w1-2", 4: "w1-4"}, "b": {1: "w2-1"}}, 0, "dense"),
        ({"a": {1: "w1-1", 2: "w1-2", 3: "w1-1"}, "b": {1: "w2-1"}}, 0, "twice"),
        ({"a": {1: "w1-1", 2: "w1-2", 3: "w1-3"}, "b": {1: "w2-1"}}, 0, "neither acknowledged nor open"),
        ({**WHOLE, "c": {1: "w3-1"}}, 0, "neither acknowledged nor open"),
    ],
)
def test_a_history_that_is_not_whole_is_found_out(found: dict[str, History], lost: int, says: str) -> None:
    """On one node of two: lost, exchanged, with a gap, doubled, invented."""
    verdict = judge(ACKNOWLEDGED, [], {"n1": WHOLE, "n2": found})

    assert not verdict.holds
    assert verdict.lost == {"n1": 0, "n2": lost}
    assert all(problem.startswith("n2: ") for problem in verdict.problems)
    assert any(says in problem for problem in verdict.problems)


def test_one_version_that_was_given_to_two_writes_is_found_out() -> None:
    """Two clients were told the same version of the same path."""
    both = [*ACKNOWLEDGED, Acknowledged("b", 1, "w3-1", 0.0, 0.1)]

    assert not judge(both, [], {"n1": WHOLE}).holds


def test_an_acknowledgement_survives_its_file() -> None:
    """A line holds all of it."""
    assert [Acknowledged.of(one.line()) for one in ACKNOWLEDGED] == ACKNOWLEDGED
