"""What is taken from the nodes' journals, and what is left alone: a version counts only where it surely took effect."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from chaos import ending, journals
from chaos.ending import Ending
from chaos.journals import Held, held, merged, searched
from chaos.targets.base import FILES, SEAL
from cluster.folder import lock_folder
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.chaos.histories import Story
from tests.cluster.crafted_folder import MOUNT, Crafted

if TYPE_CHECKING:
    from pathlib import Path

PATHS = ("run/a", "run/b")


def first(last: int = 100, *, recovering: bool = False) -> dict[str, Any]:
    return {"format": 1, "log": {"after": 0, "last": last}, "recovering": recovering}


def line(index: int, *changes: dict[str, Any], outcome: str = "installed", kind: str = "transaction") -> dict[str, Any]:
    return {"index": index, "kind": kind, "outcome": outcome, "changes": list(changes)}


def made(version: int, path: str = "run/a", **more: Any) -> dict[str, Any]:
    return {"table": "version", "path": f"secret/{path}", "version": version, **more}


def newest(version: int, path: str = "run/a", **more: Any) -> dict[str, Any]:
    return {"table": "secret", "path": f"secret/{path}", "version": version, **more}


def taken(*lines: dict[str, Any], applied: int = 10, condition: str = "whole", **of_first: Any) -> Held:
    return held([first(**of_first), *lines, {"condition": condition}], "secret", PATHS, applied)


def test_a_version_that_was_applied_is_sure_and_one_above_may_be() -> None:
    """By the index whose digest the node gave."""
    found = taken(line(10, made(1)), line(11, made(2)))

    assert (found.sure, found.maybe, found.why_not) == ({"run/a": {1: 10}}, {"run/a": {2: 11}}, "")


@pytest.mark.parametrize("outcome", ["refused", "covered"])
def test_what_changed_nothing_is_no_version(outcome: str) -> None:
    """Nor what the snapshot tells better."""
    assert taken(line(5, made(1), outcome=outcome)).sure == {}


@pytest.mark.parametrize("outcome", ["unknown", "superseded"])
def test_what_nobody_can_tell_may_be(outcome: str) -> None:
    """It is in a log; more is not known."""
    found = taken(line(5, made(1), outcome=outcome))

    assert (found.sure, found.maybe) == ({}, {"run/a": {1: 5}})


def test_a_snapshot_is_sure_and_its_newest_version_stands_for_those_before_it() -> None:
    """Trimmed versions were there, too, at the latest when the newest was made."""
    found = taken(line(50, made(4), kind="snapshot"), line(60, newest(5), made(5), kind="snapshot"))

    assert found.sure == {"run/a": {1: 60, 2: 60, 3: 60, 4: 50, 5: 60}}


def test_other_paths_tables_and_mounts_are_left_alone() -> None:
    """Only what the run wrote to."""
    other = {"table": "entry", "path": "secret/run/a", "version": 1}
    unknown = {**made(1), "mount": "id", "path": "run/a"}

    assert taken(line(1, made(1, "else"), other, unknown, {"table": "token"})).sure == {}


def test_a_trimmed_version_is_still_one_and_a_removed_path_is_none() -> None:
    """Its versions begin anew: nothing can be said of it."""
    found = taken(line(1, newest(1), made(1)), line(2, made(1, drop=True)), line(3, newest(0, "run/b", drop=True)))
    whole = merged({"n1": found}, PATHS)

    assert whole["sure"] == {"run/a": {"1": 1}}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (taken(condition="torn"), ""),
        (taken(condition="damaged"), "its folder is damaged"),
        (taken(condition="unopened"), "its folder is unopened"),
        (taken(recovering=True), "it is recovering"),
        (taken(last=9), "its log is shorter than it was"),
        (held([first()], "secret", PATHS, 0), "the dump has no end"),
        (held([{"failed": "Error: no"}], "secret", PATHS, 0), "Error: no"),
    ],
)
def test_a_node_that_cannot_be_believed_says_nothing(found: Held, why: str) -> None:
    """A torn tail is what a kill leaves; all else counts as not read, with the reason."""
    found.sure = {"run/a": {1: 1}}
    whole = merged({"n1": found}, PATHS)

    assert found.why_not == why
    assert (whole["read"], whole["sure"]["run/a"]) == ((["n1"], {"1": 1}) if not why else ([], {}))


@pytest.mark.parametrize(
    ("nodes", "read", "complete"),
    [(1, 1, True), (3, 1, False), (3, 2, True), (5, 2, False), (5, 3, True), (4, 1, False), (4, 2, True)],
)
def test_what_is_in_none_took_no_effect_only_if_every_majority_was_looked_at(
    nodes: int, read: int, complete: bool
) -> None:
    """Of three, two; of five, three."""
    found = {f"n{number}": Held("" if number < read else "gone") for number in range(nodes)}

    assert merged(found, PATHS)["complete"] is complete


def test_what_one_is_sure_of_is_sure_and_every_path_is_named() -> None:
    """The lowest index counts; a path that nobody has is there, empty."""
    one = taken(line(5, made(1)), line(8, made(2)))
    other = taken(line(5, made(1)), line(8, made(2)), line(9, made(3)), applied=5)
    whole = merged({"n1": one, "n2": other}, PATHS)

    assert whole["sure"] == {"run/a": {"1": 5, "2": 8}, "run/b": {}}
    assert whole["maybe"] == {"run/a": {"3": 9}}


# ---- with the program
class Folders:
    """A target that has stopped, as far as this looks at it."""

    def __init__(self, root: Path, crafted: dict[str, Crafted]) -> None:
        self.nodes = list(crafted)
        self.shares = next(iter(crafted.values())).shares[:2]
        self.mount = "secret"
        self.abilities = frozenset({FILES, SEAL})
        self.sink = None
        self._root = root

    def data_dir(self, node: str) -> Path:
        return self._root / node


def test_folders_are_read_by_the_product_itself(tmp_path: Path) -> None:
    """One node with two versions, one that cannot be opened with the shares, one in use: each says so."""
    crafted = {node: Crafted(tmp_path / node) for node in ("n1", "n2", "n3")}
    crafted["n1"].mount()
    crafted["n1"].secret("run/a", 1)
    crafted["n1"].secret("run/a", 2, seen=1)
    crafted["n1"].secret("run/a", 2)
    draft = Draft()
    draft.drop(Table.VERSION, MOUNT + b"run/a" + (1).to_bytes(4))
    crafted["n1"].propose(draft)
    for one in crafted.values():
        one.close()
    lock = lock_folder(tmp_path / "n3")
    target: Any = Folders(tmp_path, crafted)
    found = searched(target, PATHS, {"n1": [5, "d"], "n2": [1, "d"]})

    assert lock
    assert found["sure"] == {"run/a": {"1": 3, "2": 5}, "run/b": {}}
    assert (found["read"], found["complete"]) == (["n1"], False)
    assert "do not open" in found["unread"]["n2"]
    assert "in use" in found["unread"]["n3"]
    assert not any(share in json.dumps(found) for share in target.shares)


# ---- at the end of a run
@pytest.mark.parametrize(
    ("abilities", "facts", "asked"),
    [
        ({FILES, SEAL}, {"read": True, "digests": {}}, True),
        ({FILES}, {"read": True, "digests": {}}, False),
        ({SEAL}, {"read": True, "digests": {}}, False),
        ({FILES, SEAL}, {}, False),
    ],
)
def test_journals_are_asked_where_folders_and_shares_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abilities: set[str], facts: dict[str, Any], asked: bool
) -> None:
    """And the run came to its end; of the keys that something was written to, and of no others."""
    seen: list[set[str]] = []
    monkeypatch.setattr(ending, "searched", lambda _target, paths, _digests: seen.append(paths) or {"sure": {}})
    story = Story().op("write", "a", "x").op("read", "b").op("append", "c", [0, "e"]).op("add", "d", "e")
    story.run(tmp_path)
    target: Any = SimpleNamespace(
        abilities=abilities, nodes=["n1"], data_dir=lambda _node: tmp_path / "data", sink=None
    )
    Ending.search(target, tmp_path, facts)

    assert seen == ([{"a", "c"}] if asked else [])
    assert ("journal" in facts) is asked


def test_a_dump_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as not read."""
    crafted = {"n1": Crafted(tmp_path / "n1").close()}
    monkeypatch.setattr(journals, "COMMAND_S", 0.001)
    target: Any = Folders(tmp_path, crafted)

    assert "did not end" in searched(target, PATHS, {})["unread"]["n1"]
