"""One state, one leader a term: at the end and on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.converge import Converge
from tests.chaos.histories import NODES, Story


def agreed(**digests: list) -> Story:
    """Three nodes at one index; two terms, each with a leader."""
    found = {node: [40, "d40"] for node in NODES} | digests
    story = Story(digests=found)
    for at, term, leader in ((100, 1, "n1"), (200, 2, "n2")):
        for node in NODES:
            role = "leader" if node == leader else "follower"
            story.sample(node, at, role=role, term=term, digest_index=at // 10, digest=f"d{at // 10}")
    return story.sample("n3", 300, ready=False)


def test_equal_digests_and_single_leaders_hold(tmp_path: Path) -> None:
    """A node that gave no status is no witness."""
    verdict = Converge().check(agreed().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"nodes": 3, "samples": 6, "terms": 2}


def test_another_generation_may_have_another_state_at_an_index(tmp_path: Path) -> None:
    """A restore begins anew."""
    story = agreed().sample("n1", 400, role="leader", term=1, digest_index=10, digest="other", generation="h")

    assert Converge().check(story.run(tmp_path)).valid == "held"


WRONG = {
    "another state at the end": (agreed(n3=[40, "other"]), "different states"),
    "another index at the end": (agreed(n3=[39, "d39"]), "did not reach one index"),
    "another state on the way": (
        agreed().sample("n3", 150, role="follower", term=1, digest_index=10, digest="other"),
        "at index 10 n1 had another",
    ),
    "two leaders of a term": (
        agreed().sample("n3", 250, role="leader", term=2, digest_index=20, digest="d20"),
        "term 2 had two leaders, n2 and n3",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_disagreement_is_violated_and_told(name: str, tmp_path: Path) -> None:
    """With who and where."""
    story, told = WRONG[name]
    verdict = Converge().check(story.run(tmp_path))

    assert verdict.valid == "violated"
    assert told in verdict.details[0]


def test_a_status_without_a_digest_disagrees_with_nobody(tmp_path: Path) -> None:
    """Neither before nor after one that has it."""
    story = Story(digests={node: [40, "d40"] for node in NODES})
    for at, digest in enumerate((None, "d10", None)):
        story.sample(f"n{at + 1}", at, role="leader" if at == 0 else "follower", term=1, digest_index=10, digest=digest)

    assert Converge().check(story.run(tmp_path)).valid == "held"


def test_two_leaders_of_one_term_are_told_once(tmp_path: Path) -> None:
    """However many samples say so."""
    story = agreed()
    for at in range(250, 300, 10):
        story.sample("n3", at, role="leader", term=2, digest_index=20, digest="d20")

    assert len(Converge().check(story.run(tmp_path)).details) == 1


def test_nodes_that_did_not_answer_make_it_unknown(tmp_path: Path) -> None:
    """Unless they stay broken for ever; one alone agrees with nobody; without samples no leader is known."""
    for name in "abcdef":
        (tmp_path / name).mkdir()
    missing = agreed()
    del missing.facts["digests"]["n3"]
    alone = agreed()
    alone.facts.update(digests={"n1": [40, "d40"]}, whole=["n1"])
    leaderless = Story(digests={node: [40, "d40"] for node in NODES})
    leaderless.sample("n1", 5, role="follower", term=1, digest_index=1, digest="d1")
    silent = Story(digests={node: [40, "d40"] for node in NODES})

    assert Converge().check(missing.run(tmp_path / "a")).valid == "unknown"
    missing.facts["whole"] = ["n1", "n2"]
    assert Converge().check(missing.run(tmp_path / "b")).valid == "held"
    assert Converge().check(alone.run(tmp_path / "c")).valid == "unknown"
    assert Converge().check(silent.run(tmp_path / "d")).valid == "unknown"
    assert Converge().check(leaderless.run(tmp_path / "f")).valid == "unknown"
    assert Converge().check(agreed().cut_short().run(tmp_path / "e")).valid == "unknown"
