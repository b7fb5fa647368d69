"""A backup that is the state, in order and by one writer after another; and each way in which it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos.check.backup import Backup
from tests.chaos.histories import NODES, Story

BATCHES = [[1, 1, 10], [1, 11, 11], [3, 12, 30]]


def kept(**changes: Any) -> Story:
    found = {"restored_index": 30, "restored_digest": "d30", "digest": "d30", "batches": BATCHES, **changes}
    story = Story(backup=found, digests={node: [40, "d40"] for node in NODES})
    story.plan["scenario"]["cluster"]["backup"] = "sqlite"
    return story


def test_a_restore_that_is_the_state_holds(tmp_path: Path) -> None:
    """Terms may rise, and indexes follow each other."""
    verdict = Backup().check(kept().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"batches": 3, "restored_index": 30, "witnesses": 1}


@pytest.mark.parametrize("digest", ["d40", "other"])
def test_the_word_of_nodes_counts_where_the_runner_did_not_ask(digest: str, tmp_path: Path) -> None:
    """The digests of the end, held and violated."""
    batches = [[1, 1, 40]]
    story = kept(digest=None, restored_index=40, restored_digest=digest, batches=batches)

    assert Backup().check(story.run(tmp_path)).valid == ("held" if digest == "d40" else "violated")


def test_a_sample_at_that_index_is_a_witness(tmp_path: Path) -> None:
    """Held with the right digest, violated with another."""
    (tmp_path / "b").mkdir()
    right = kept(digest=None).sample("n2", 4).sample("n1", 5, role="leader", term=1, digest_index=30, digest="d30")
    wrong = kept(digest=None).sample("n1", 5, role="leader", term=1, digest_index=30, digest="e30")

    assert Backup().check(right.run(tmp_path)).valid == "held"
    assert Backup().check(wrong.run(tmp_path / "b")).valid == "violated"


WRONG = {
    "another state": ({"restored_digest": "x"}, "not the cluster's"),
    "a batch of an older claim": (
        {"batches": [[3, 1, 10], [1, 11, 30]]},
        "a batch of term 1 (11 to 30) was stored after",
    ),
    "a gap": ({"batches": [[1, 1, 10], [1, 12, 30]]}, "begins at 12"),
    "an overlap": ({"batches": [[1, 1, 10], [1, 10, 30]]}, "begins at 10"),
    "a batch that ends before it begins": ({"batches": [[1, 5, 4]]}, "from 5 to 4"),
    "a restore that failed": ({"error": "RestoreError: chain"}, "could not be restored: RestoreError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_backup_that_is_wrong_is_violated(name: str, tmp_path: Path) -> None:
    """And told."""
    changes, told = WRONG[name]
    verdict = Backup().check(kept(**changes).run(tmp_path))

    assert verdict.valid == "violated"
    assert told in verdict.details[0]


def test_what_cannot_be_compared_is_unknown(tmp_path: Path) -> None:
    """No restore, no witness, no batch, no backup in the scenario, a run that was cut short."""
    for name in "abcde":
        (tmp_path / name).mkdir()

    assert Backup().check(kept(restored_digest=None).run(tmp_path / "a")).valid == "unknown"
    assert Backup().check(kept(digest=None).run(tmp_path / "b")).valid == "unknown"
    assert Backup().check(kept(batches=[]).run(tmp_path / "c")).valid == "unknown"
    assert "has no backup" in Backup().check(Story().run(tmp_path / "d")).summary
    cut = Backup().check(kept().cut_short().run(tmp_path / "e"))
    assert cut.valid == "unknown"
    assert "cut short" in cut.summary
