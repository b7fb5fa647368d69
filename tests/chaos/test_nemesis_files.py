"""Rot, lost folders and old copies: which bytes, which folders, and one node at a time."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import pytest

from chaos.nemesis import files
from chaos.nemesis.base import Scene
from chaos.nemesis.damage import CUT_BYTES_MAX, FLIPS_MAX, Damage, choose, copied, damage, emptied, written
from chaos.nemesis.files import Rollback, Rot, Wipe, claimed, position, released
from chaos.targets.base import FILES, PROCESS, SEAL, TargetError
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from pathlib import Path

ALLOCATED = 4096
CONTENT = bytes(range(1, 251)) * 20


class FolderTarget(FakeTarget):
    """Nodes with data folders; `refuses` says how often a node does not come up."""

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        super().__init__(nodes, frozenset({FILES, PROCESS, SEAL}))
        self.folder = folder
        self.refuses = 0
        for node in self.nodes:
            (folder / node / "journal").mkdir(parents=True)
            (folder / node / "journal" / "1.segment").write_bytes(CONTENT + bytes(ALLOCATED))
            (folder / node / "ballot").write_bytes(b"term 7")

    def revive(self, node: str) -> None:
        super().revive(node)
        if self.refuses:
            self.refuses -= 1
            self.down.add(node)
            raise TargetError(f"{node} does not start")


class ServesAtOnce:
    """In place of the onlooker: the node serves."""

    saw_recovering = True

    def __init__(self, target: FakeTarget, node: str) -> None:
        self._up = lambda: node not in target.down

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def served_s(self) -> float:
        return files.SETTLE_S if self._up() else 0.0


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderTarget:
    """Three nodes whose recovery is seen at once."""
    monkeypatch.setattr(files, "Onlooker", ServesAtOnce)
    monkeypatch.setattr(files, "WHOLE_S", 0.05)
    monkeypatch.setattr(files, "OTHER_S", 0.05)
    return FolderTarget(tmp_path)


def scene(target: FakeTarget, seed: int = 1) -> Scene:
    """One fault's."""
    return Scene(target, random.Random(seed), "n1")


def content(folder: Path) -> dict[str, bytes]:
    """Every file below it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# ---- which bytes
@pytest.mark.parametrize("seed", range(60))
def test_damage_hits_what_was_written_and_changes_it(seed: int) -> None:
    """Never the zeros that are allocated ahead, and always something."""
    data = CONTENT + bytes(ALLOCATED)
    how = damage(data, random.Random(seed))
    after = how.applied(data)

    if how.kind == "truncate":
        assert after == data[: how.size]
        assert len(CONTENT) - CUT_BYTES_MAX <= how.size < len(CONTENT)
    else:
        differing = [place for place, (a, b) in enumerate(zip(data, after, strict=True)) if a != b]
        assert differing == [place for place, _ in how.flips]
        assert 1 <= len(differing) <= FLIPS_MAX
        assert max(differing) < len(CONTENT)


def test_both_kinds_of_damage_come() -> None:
    """And the same seed does the same."""
    kinds = [damage(CONTENT, random.Random(seed)) for seed in range(60)]

    assert {one.kind for one in kinds} == {"flip", "truncate"}
    assert kinds == [damage(CONTENT, random.Random(seed)) for seed in range(60)]


def test_a_file_of_zeros_cannot_be_damaged() -> None:
    """Nobody reads it."""
    assert written(bytes(ALLOCATED)) == 0
    with pytest.raises(ValueError, match="nothing was written"):
        damage(bytes(ALLOCATED), random.Random(1))


def test_a_bit_that_turns_twice_is_as_it_was() -> None:
    """Applied is exact."""
    how = Damage("flip", flips=((3, 0), (5, 7)))

    assert how.applied(how.applied(CONTENT)) == CONTENT
    assert how.applied(CONTENT)[3] == CONTENT[3] ^ 1
    assert how.applied(CONTENT)[5] == CONTENT[5] ^ 0x80


def test_files_with_more_in_them_are_chosen_and_others_never(tmp_path: Path) -> None:
    """Neither empty ones nor those of other kinds."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "ballot").write_bytes(CONTENT)
    (tmp_path / "journal" / "1.segment").write_bytes(bytes(ALLOCATED))
    assert choose(tmp_path, random.Random(1)) is None

    (tmp_path / "journal" / "2.segment").write_bytes(CONTENT)
    (tmp_path / "snapshots" / "1.snapshot").write_bytes(CONTENT)
    (tmp_path / "snapshots" / "2.partial").write_bytes(CONTENT)
    found = {choose(tmp_path, random.Random(seed)) for seed in range(50)}
    assert found == {tmp_path / "journal" / "2.segment", tmp_path / "snapshots" / "1.snapshot"}


# ---- folders
def test_a_folder_is_emptied_and_copied(tmp_path: Path) -> None:
    """With what is below it; the folder itself stays, also where it is a link."""
    real, link, copy = tmp_path / "real", tmp_path / "link", tmp_path / "copy"
    (real / "journal").mkdir(parents=True)
    (real / "journal" / "1").write_bytes(b"one")
    (real / "ballot").write_bytes(b"two")
    link.symlink_to(real)
    copied(link, copy)
    assert content(copy) == {"journal/1": b"one", "ballot": b"two"}

    assert emptied(link) == 2
    assert (link.is_symlink(), list(real.iterdir())) == (True, [])
    copied(copy, link)
    assert content(real) == content(copy)


# ---- one at a time
def test_one_node_at_a_time_is_damaged(target: FolderTarget) -> None:
    """Also in another lane, also of five nodes; the same one may be hit again, another one when it is whole."""
    assert claimed(target, "n1")
    assert claimed(target, "n1")
    assert not claimed(target, "n2")
    released(target, "n1")
    assert claimed(target, "n2")
    released(target, "n2")


def test_clusters_do_not_share_what_is_damaged(target: FolderTarget, tmp_path: Path) -> None:
    """Each run has its own."""
    other = FolderTarget(tmp_path / "other")
    assert claimed(target, "n1")
    assert claimed(other, "n2")


@pytest.mark.parametrize("nemesis", [Rot(), Wipe()])
def test_a_second_victim_is_left_alone_until_the_first_is_whole(nemesis: Rot | Wipe, target: FolderTarget) -> None:
    """It says why nothing happened; a heal in between lets the next one happen."""
    first, second = scene(target), scene(target)
    assert nemesis.inject(first, ["n1"])["took_effect"]
    before = content(target.data_dir("n2"))
    said = nemesis.inject(second, ["n2"])

    assert (said["took_effect"], "has not been brought up" in said["why"]) == (False, True)
    assert content(target.data_dir("n2")) == before
    assert ("kill", "n2") not in target.calls
    assert nemesis.heal(second) == {}
    nemesis.heal(first)
    assert nemesis.inject(scene(target), ["n2"])["took_effect"]


def test_the_second_victim_is_hit_as_soon_as_the_first_is_whole(
    target: FolderTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another lane: it waits, and then happens."""
    monkeypatch.setattr(files, "OTHER_S", 30.0)
    first, second = scene(target), scene(target)
    Wipe().inject(first, ["n1"])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Wipe().inject, second, ["n2"])
        assert ("kill", "n2") not in target.calls
        Wipe().heal(first)
        assert waiting.result(30)["took_effect"]

    assert content(target.data_dir("n2")) == {}


def test_a_node_that_does_not_come_back_keeps_the_others_safe(target: FolderTarget) -> None:
    """Nothing else is damaged after a heal that failed."""
    target.refuses = 2
    first = scene(target)
    Wipe().inject(first, ["n1"])
    with pytest.raises(TargetError, match="n1"):
        Wipe().heal(first)

    assert not claimed(target, "n2")


# ---- each of them
def test_rot_changes_one_file_of_one_node(target: FolderTarget) -> None:
    """The node is killed first, and of several victims one is taken."""
    before = {node: content(target.data_dir(node)) for node in target.nodes}
    one = scene(target)
    said = Rot().inject(one, ["n1", "n2"])
    after = {node: content(target.data_dir(node)) for node in target.nodes}
    changed = [
        (node, name) for node in target.nodes for name, old in before[node].items() if after[node].get(name) != old
    ]

    assert said["took_effect"]
    assert changed == [(said["node"], said["file"])]
    assert target.calls == [("kill", said["node"])]
    assert target.down == {said["node"]}


def test_rot_of_a_node_without_anything_says_so(target: FolderTarget) -> None:
    """A run in which nothing rotted proves nothing."""
    emptied(target.data_dir("n1"))

    assert Rot().inject(scene(target), ["n1"])["took_effect"] is False


def test_wipe_empties_one_folder(target: FolderTarget) -> None:
    """And nobody else's."""
    said = Wipe().inject(scene(target), ["n3"])

    assert said == {"node": "n3", "took_effect": True, "entries": 2}
    assert content(target.data_dir("n3")) == {}
    assert content(target.data_dir("n1")) != {}


class Growing:
    """A node whose index grows each time it is asked, and whose folder changes with it."""

    def __init__(self, data: Path, step: int) -> None:
        self.data = data
        self.step = step
        self.index = 100

    def __call__(self) -> dict[str, Any]:
        self.index += self.step
        (self.data / "ballot").write_bytes(b"term %d" % self.index)
        return {"commit_index": self.index, "durable_index": self.index}


@pytest.mark.parametrize("step", [10, 0])
def test_rollback_puts_back_what_was_there_before(
    target: FolderTarget, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It had an effect only if the node has gone on since the copy; the copy is gone afterwards."""
    monkeypatch.setattr(files, "AHEAD_S", 0.05)
    grows = Growing(target.data_dir("n1"), step)
    monkeypatch.setattr(files, "status_of", lambda *_: grows)
    before = content(target.data_dir("n1"))
    said = Rollback().inject(scene(target), ["n1"])

    assert said["took_effect"] is bool(step)
    assert said["behind"] >= (files.AHEAD_ENTRIES if step else 0)
    assert content(target.data_dir("n1")) == before
    assert [call[0] for call in target.calls] == ["kill", "revive", "kill"]
    assert not (target.folder / "old").exists()


def test_a_status_that_says_nothing_is_no_progress() -> None:
    """Unknown is 0."""
    assert (position(None), position({}), position({"durable_index": 7})) == (0, 0, 7)


@pytest.mark.parametrize("nemesis", [Rot(), Wipe(), Rollback()])
def test_heal_may_come_without_a_fault_and_twice(nemesis: Rot | Wipe | Rollback, target: FolderTarget) -> None:
    """N2: nothing then; afterwards the node runs, once is as good as twice."""
    assert nemesis.heal(scene(target)) == {}
    assert target.calls == []
    one = scene(target)
    if not isinstance(nemesis, Rollback):
        nemesis.inject(one, ["n2"])
    else:
        one.notes["node"] = "n2"
        target.down.add("n2")
    assert nemesis.heal(one) == nemesis.heal(one) == {"seen_recovering": True}
    assert target.down == set()


def test_a_folder_that_the_node_refuses_is_emptied_as_by_hand(target: FolderTarget) -> None:
    """The report says so; a node that starts keeps its folder."""
    target.refuses = 1
    one = scene(target)
    Rot().inject(one, ["n1"])
    said = Rot().heal(one)
    assert (said["replaced"], content(target.data_dir("n1"))) == (True, {})

    other = scene(target)
    Rot().inject(other, ["n2"])
    assert "replaced" not in Rot().heal(other)
    assert content(target.data_dir("n2")) != {}


@pytest.mark.parametrize("nemesis", [Rot(), Wipe(), Rollback()])
def test_nobody_to_hit_is_no_fault(nemesis: Rot | Wipe | Rollback, target: FolderTarget) -> None:
    """Select none."""
    assert nemesis.inject(scene(target), []) == {"took_effect": False}
