"""The end of a run: what nodes agree on, what is read, what is searched; what was not found is no fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chaos import ending as module
from chaos.api import Reply
from chaos.ending import Ending
from chaos.plan import expand, parse
from chaos.targets.base import FILES
from chaos.workload import MARK
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Says = dict[str, list[Any]]


class Statuses:
    """An administrator who hears from each node one status after another, the last one for ever."""

    def __init__(self, says: Says) -> None:
        self.says = {node: list(said) for node, said in says.items()}

    def ask(self, method: str, path: str, *, node: str, timeout_s: float) -> Reply:
        assert (method, path, timeout_s) == ("GET", "strongroom/status", 3.0)
        said = self.says[node].pop(0) if len(self.says[node]) > 1 else self.says[node][0]
        if isinstance(said, Exception):
            raise said
        if isinstance(said, int):
            return Reply(said, {}, {"errors": []})
        index, digest = said
        return Reply(200, {}, {"data": {"digest_index": index, "digest": digest}})


class Reads:
    """A load of which the last reads are noted."""

    def __init__(self) -> None:
        self.nodes: list[str] = []

    async def final_reads(self, nodes: Sequence[str], timeout_s: float) -> dict[str, int]:
        assert timeout_s == module.READ_S
        self.nodes = list(nodes)
        return {"n2": 3}


async def facts_of(
    says: Says, monkeypatch: pytest.MonkeyPatch, broken: Sequence[str] = ()
) -> tuple[Reads, dict[str, Any]]:
    """What one ending finds."""
    monkeypatch.setattr(module, "AGREE_S", 0.2)
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    facts: dict[str, Any] = {}
    load, target = Reads(), FakeTarget()
    target.sink = None  # type: ignore[attr-defined]
    plan = expand(parse('name = "x"'), 1)
    await Ending(plan, target, Statuses(says), load, facts).run(list(broken))  # type: ignore[arg-type]
    return load, facts


async def test_nodes_agree_when_they_speak_of_one_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is behind, asleep or sealed is waited for; then everything is read on every node."""
    says: Says = {"n1": [(9, "d")], "n2": [(7, "c"), (8, "x"), (9, "d")], "n3": [OSError("x"), 503, (9, "d")]}
    load, facts = await facts_of(says, monkeypatch)

    assert facts["digests"] == {node: [9, "d"] for node in ("n1", "n2", "n3")}
    assert load.nodes == facts["whole"] == ["n1", "n2", "n3"]
    assert (facts["read"], facts["not_read"]) == (True, {"n2": 3})
    assert "backup" not in facts


@pytest.mark.parametrize(
    ("says", "digests"),
    [
        ({"n1": [(9, "d")], "n2": [(8, "c")], "n3": [(9, "d")]}, {"n1": [9, "d"], "n2": [8, "c"], "n3": [9, "d"]}),
        ({"n1": [(9, "d")], "n2": [OSError("x")], "n3": [(9, "d")]}, {"n1": [9, "d"], "n3": [9, "d"]}),
        ({"n1": [503], "n2": [503], "n3": [503]}, {}),
        # a status without a digest says nothing, and two that say nothing do not agree
        ({"n1": [(None, None)], "n2": [(None, None)], "n3": [(None, None)]}, {}),
        ({"n1": [(9, "d")], "n2": [(9, None)], "n3": [(9, "d")]}, {"n1": [9, "d"], "n3": [9, "d"]}),
        ({"n1": [(None, "d")], "n2": [(None, "d")], "n3": [(None, "d")]}, {}),
    ],
)
async def test_nodes_that_never_agree_are_facts_as_they_are(
    says: Says, digests: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing is missing; the reads are made all the same."""
    load, facts = await facts_of(says, monkeypatch)

    assert facts["digests"] == digests
    assert load.nodes == ["n1", "n2", "n3"]


async def test_nodes_that_stay_broken_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what they have nor for any key."""
    load, facts = await facts_of({"n1": [(9, "d")], "n3": [(9, "d")]}, monkeypatch, broken=["n2"])

    assert set(facts["digests"]) == {"n1", "n3"}
    assert load.nodes == facts["whole"] == ["n1", "n3"]


# ---- files
def test_what_nodes_wrote_is_searched(tmp_path: Path) -> None:
    """Data, logs and audit files, wherever they lie."""
    target = FakeTarget(abilities=frozenset({FILES}))
    target.folder, target.sink = tmp_path / "data", None  # type: ignore[attr-defined]
    (tmp_path / "data" / "n1").mkdir(parents=True)
    (tmp_path / "nodes" / "n2").mkdir(parents=True)
    (tmp_path / "data" / "n1" / "journal").write_text(f"…{MARK}-7…")
    (tmp_path / "nodes" / "n2" / "node.log").write_text("clean")
    facts: dict[str, Any] = {}
    Ending.search(target, tmp_path, facts)

    assert facts["plaintext"]["files"] == 2
    assert [hit["file"] for hit in facts["plaintext"]["found"]] == [str(tmp_path / "data" / "n1" / "journal")]


def test_files_that_are_out_of_reach_are_no_fact(tmp_path: Path) -> None:
    """The twin: a search of nothing is not said to have found nothing."""
    facts: dict[str, Any] = {}
    Ending.search(FakeTarget(), tmp_path, facts)

    assert facts == {}
