"""Acknowledged writes and the last reads: held for what is right, violated for each thing that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.acked import Acked
from tests.chaos.histories import NODES, Story


def written(key: str = "k") -> Story:
    """Three versions, one of them by a write of unknown outcome."""
    story = Story().op("write", key, "a", version=1).op("write", key, "u", outcome="info")
    return (
        story.op("cas", key, [2, "c"], version=3)
        .op("write", key, "f", outcome="fail")
        .op("read", key, None, "c", version=3)
    )


def ended(story: Story, value: object = "c", version: int = 3, key: str = "k", f: str = "read") -> Story:
    """Every node was asked at the end."""
    for node in NODES:
        story.op(f, key, None, value, version=version, node=node, final=True)
    return story


def test_what_was_acknowledged_and_is_there_holds(tmp_path: Path) -> None:
    """Newest value on all nodes, older ones superseded."""
    verdict = Acked().check(ended(written()).run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"keys": 1, "acknowledged": 2, "keys_read_last": 1}


def test_a_version_that_an_unknown_write_made_supersedes(tmp_path: Path) -> None:
    """It came after everything that was acknowledged."""
    story = written().op("write", "k", "late", outcome="info")

    assert Acked().check(ended(story, "late", 4).run(tmp_path)).valid == "held"


def test_an_unknown_write_may_come_between_two_last_reads(tmp_path: Path) -> None:
    """Then nodes that were asked later have more."""
    story = written().op("write", "k", "late", outcome="info")
    story.op("read", "k", None, "c", version=3, node="n1", final=True)
    story.op("read", "k", None, "late", version=4, node="n2", final=True)
    story.op("read", "k", None, "late", version=4, node="n3", final=True)

    assert Acked().check(story.run(tmp_path)).valid == "held"


def test_keys_that_nobody_meant_to_read_at_the_end_are_counted(tmp_path: Path) -> None:
    """Workloads read their newest keys; the others are the witness's."""
    verdict = Acked().check(ended(written().op("write", "old", "x", version=1)).run(tmp_path))

    assert verdict.valid == "held"
    assert "1 of 2 keys" in verdict.summary


def test_lists_are_judged_by_their_newest_element(tmp_path: Path) -> None:
    """The right one holds, its twin whose list ends with another element does not."""
    right = Story().op("append", "l", [0, "a"], version=1).op("append", "l", [1, "b"], version=2)

    assert Acked().check(ended(right, ["a", "b"], 2, "l", "list").run(tmp_path)).valid == "held"
    (tmp_path / "b").mkdir()
    wrong = Story().op("append", "l", [0, "a"], version=1).op("append", "l", [1, "b"], version=2)
    assert Acked().check(ended(wrong, ["a", "x"], 2, "l", "list").run(tmp_path / "b")).valid == "violated"


def test_acknowledgements_without_versions_may_have_made_any(tmp_path: Path) -> None:
    """Two of them are no version made twice, and explain a hole."""
    story = Story().op("write", "k", "a").op("write", "k", "b").op("write", "k", "c", version=3)

    assert Acked().check(ended(story).run(tmp_path)).valid == "held"


def differing(value: object, version: int) -> Story:
    story = ended(written())
    return story.op("read", "k", None, value, version=version, node="n3", final=True)


WRONG = {
    "lost": ended(written(), "a", 1),
    "gone": ended(written(), None, 0),
    "replaced under its version": ended(written(), "x", 3),
    "a failed write in the end": ended(written(), "f", 4),
    "a failed write in between": ended(written().op("read", "k", None, "f", version=3)),
    "a version made twice, and superseded": ended(
        Story().op("write", "k", "a", version=1).op("write", "k", "b", version=1).op("write", "k", "c", version=2),
        "c",
        2,
    ),
    "one version more than writes": ended(Story().op("write", "k", "a", version=1), "c", 2),
    "two values of one version of unknown outcome": (
        written().op("write", "k", "x", outcome="info").op("write", "k", "y", outcome="info")
        .op("read", "k", None, "x", version=4, node="n1", final=True)
        .op("read", "k", None, "y", version=4, node="n2", final=True)
    ),
    "an older value of unknown outcome on one node": differing("u", 2),
    "a version made twice": ended(written().op("write", "k", "z", version=3)),
    "more versions than writes": ended(
        Story().op("write", "k", "a", version=1).op("read", "k", None, "c", version=3), "c", 3
    ),
    "an older value on one node": differing("a", 1),
    "another value on one node": differing("z", 3),
    "a newer value that nobody wrote on one node": differing("z", 4),
    "a failed append in a list": ended(
        Story().op("append", "l", [0, "a"], version=1).op("append", "l", [1, "f"], outcome="fail"),
        ["f", "a"],
        1,
        "l",
        "list",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_violated_and_named(name: str, tmp_path: Path) -> None:
    """With the operations that show it."""
    verdict = Acked().check(WRONG[name].run(tmp_path))

    assert verdict.valid == "violated"
    assert verdict.details
    assert verdict.operations


def test_a_run_that_was_cut_short_is_unknown(tmp_path: Path) -> None:
    """Without facts, without last reads, and with last reads that failed."""
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    failed = ended(written()).op("read", "k", outcome="fail", node="n3", final=True)

    assert Acked().check(written().cut_short().run(tmp_path)).valid == "unknown"
    assert Acked().check(written().run(tmp_path / "b")).valid == "unknown"
    assert Acked().check(failed.run(tmp_path / "c")).valid == "held"  # n3 had answered before


def test_a_node_that_did_not_answer_at_the_end_makes_it_unknown(tmp_path: Path) -> None:
    """Unless it is one that stays broken for ever."""
    story = written()
    for node in ("n1", "n2"):
        story.op("read", "k", None, "c", version=3, node=node, final=True)
    story.op("read", "k", outcome="fail", node="n3", final=True)

    assert Acked().check(story.run(tmp_path)).valid == "unknown"
    story.facts["whole"] = ["n1", "n2"]
    (tmp_path / "b").mkdir()
    assert Acked().check(story.run(tmp_path / "b")).valid == "held"


def test_nothing_acknowledged_is_unknown(tmp_path: Path) -> None:
    """There is nothing to lose."""
    assert Acked().check(ended(Story(), None, 0).run(tmp_path)).valid == "unknown"
