"""Deaths at named places: the names are the product's, nothing stays armed, a real node dies there and comes back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from chaos.api import Admin
from chaos.nemesis import failpoints
from chaos.nemesis.base import Scene, missing
from chaos.nemesis.failpoints import ANYWHERE, VARIABLE, Failpoints
from chaos.targets import keys
from chaos.targets.base import FAILPOINTS, PROCESS, SEAL, TargetError, TargetSettings
from chaos.targets.keys import wait_until
from chaos.targets.local import LocalTarget
from cluster import failpoints as product
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from pathlib import Path


class DyingTarget(FakeTarget):
    """Nodes that die at their place, except those in `survivors`, and never otherwise."""

    def __init__(self, folder: Path, survivors: tuple[str, ...] = ()) -> None:
        super().__init__(3, frozenset({FAILPOINTS, PROCESS, SEAL}))
        self.folder = folder
        self.survivors = survivors
        self.environs: dict[str, dict[str, str]] = {node: {} for node in self.nodes}
        self.armed: list[str] = []
        for node in self.nodes:
            (folder / "nodes" / node).mkdir(parents=True)
            (folder / "nodes" / node / "node.log").touch()

    def environ(self, node: str) -> dict[str, str]:
        return self.environs[node]

    def revive(self, node: str) -> None:
        super().revive(node)
        said = self.environs[node].get(VARIABLE)
        if said is None:
            return
        self.armed.append(said)
        if node not in self.survivors:
            self.down.add(node)
            with (self.folder / "nodes" / node / "node.log").open("a") as log:
                log.write(f"failpoint {said.partition('=')[0]}: killed\n")
            raise TargetError(f"{node} has ended")


def scene(target: Any, **notes: Any) -> Scene:
    return Scene(target, random.Random(3), "n1", {"wait_s": 0.05, **notes})


def test_the_names_and_the_variable_are_the_products() -> None:
    """Another spelling would be a fault that never happens."""
    assert set(ANYWHERE) < product.NAMES
    assert product.VARIABLE == VARIABLE


def test_a_node_dies_at_its_place_and_starts_without_one(tmp_path: Path) -> None:
    """The victims alone; heal may come twice, and without a fault."""
    target = DyingTarget(tmp_path)
    one = scene(target, point="journal.after-sync", share=0.5)
    said = Failpoints().inject(one, ["n1", "n3"])
    down = set(target.down)
    Failpoints().heal(one)
    Failpoints().heal(one)
    Failpoints().heal(scene(target))

    assert said == {"took_effect": True, "point": "journal.after-sync", "share": 0.5, "died": 2}
    assert (down, target.down) == ({"n1", "n3"}, set())
    assert target.armed == ["journal.after-sync=kill:0.5"] * 2
    assert target.environs == {node: {} for node in target.nodes}


def test_a_place_that_is_not_reached_is_no_effect(tmp_path: Path) -> None:
    """The node is killed all the same, so that nothing of it stays armed; a death without its line is none."""
    target = DyingTarget(tmp_path, survivors=("n1",))
    said = Failpoints().inject(scene(target), ["n1"])

    assert (said["took_effect"], said["died"]) == (False, 0)
    assert ("kill", "n1") in target.calls
    assert target.environs["n1"] == {}


def test_a_place_at_an_election_is_certain_death(tmp_path: Path) -> None:
    """Ballots are few; others die sooner or later."""
    target = DyingTarget(tmp_path)
    said = Failpoints().inject(scene(target, point="ballot.after-sync"), ["n1"])

    assert said["share"] == 1.0


def test_production_has_none(tmp_path: Path) -> None:
    """The ability is missing where nodes are not of profile dev."""
    target = LocalTarget(tmp_path, TargetSettings())

    assert missing(Failpoints(), target) == ""
    type_ = type("Production", (LocalTarget,), {"profile": "production"})
    assert "profile production" in missing(Failpoints(), type_(tmp_path, TargetSettings()))


@pytest.mark.process
def test_a_real_node_dies_where_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And comes back with what it had."""
    monkeypatch.setattr(failpoints, "DIE_S", 20.0)
    target = LocalTarget(tmp_path, TargetSettings(nodes=1))
    try:
        target.start()
        admin = Admin({"n1": target.url("n1")}, target.token, None)
        admin.must("PUT", "secret/data/kept", {"data": {"n": "1"}})
        one = Scene(target, random.Random(1), "n1", {"point": "journal.before-sync", "share": 1.0})
        said = Failpoints().inject(one, ["n1"])
        Failpoints().heal(one)
        wait_until(lambda: keys.ready(admin, "n1"), "it serves again")
        found = admin.must("GET", "secret/data/kept").data["data"]
    finally:
        target.stop()
        target.discard()

    assert said["took_effect"]
    assert found == {"n": "1"}
