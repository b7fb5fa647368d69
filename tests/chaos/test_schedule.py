"""Faults come at their times, to whom the plan says, and are healed whatever happens."""

from __future__ import annotations

import asyncio
import io
import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from chaos import registry
from chaos.history import Recorder, faults
from chaos.nemesis.base import Scene
from chaos.plan import Scenario, expand, parse
from chaos.schedule import Schedule, select
from chaos.targets.base import PACKETS, PROCESS
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

FIVE = ["n1", "n2", "n3", "n4", "n5"]


class FakeWatch:
    """n2 leads."""

    def leader(self) -> str:
        return "n2"


class Breaker:
    """A nemesis that notes; `bad` names what raises."""

    name: ClassVar[str] = "breaker"
    about: ClassVar[str] = "breaks"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS})
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#000000"

    def __init__(self, bad: str = "") -> None:
        self.bad = bad
        self.said: list[str] = []

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        self.said.append(f"inject {','.join(nodes)} leader {scene.leader}")
        if self.bad == "inject":
            raise OSError("half done")
        return {"took_effect": True}

    def heal(self, scene: Scene) -> dict[str, Any]:
        self.said.append("heal")
        if self.bad == "heal":
            raise OSError("not healed")
        return {"undone": 1}


def scenario(**more: Any) -> Scenario:
    text = 'name = "s"\n[[faults]]\nnemesis = "breaker"\ntimes = 2\nhold_s = 0\nquiet_s = 0\n'
    found = parse(text)
    return Scenario(**{**{name: getattr(found, name) for name in Scenario.__dataclass_fields__}, **more})


def played(nemesis: Breaker, target: FakeTarget, found: Scenario) -> tuple[Schedule, Recorder]:
    recorder = Recorder(io.StringIO())
    schedule = Schedule(expand(found, 1), target, {"breaker": nemesis}, FakeWatch(), recorder)  # type: ignore[arg-type]
    asyncio.run(schedule.run())
    return schedule, recorder


def test_each_fault_begins_and_ends_in_the_history() -> None:
    """With its victims, its leader and its effect (S2)."""
    nemesis = Breaker()
    _, recorder = played(nemesis, FakeTarget(), scenario())

    assert nemesis.said == ["inject n2 leader n2", "heal", "inject n2 leader n2", "heal"]
    found = [(one.name, one.nodes, one.effect["took_effect"], one.effect["undone"]) for one in faults(recorder.events)]
    assert found == [("breaker", ("n2",), True, 1)] * 2


@pytest.mark.parametrize("bad", ["inject", "heal"])
def test_what_fails_is_said_and_healed_all_the_same(bad: str) -> None:
    """S1: a half-done fault is healed; a failed heal stops nobody."""
    nemesis = Breaker(bad)
    _, recorder = played(nemesis, FakeTarget(), scenario())

    assert nemesis.said.count("heal") == 2
    assert all("error" in one.effect for one in faults(recorder.events))
    assert all(one.effect["took_effect"] is (bad == "heal") for one in faults(recorder.events))


def test_what_the_target_cannot_do_is_skipped_with_its_reason() -> None:
    """S3: never silently."""
    nemesis = Breaker()
    schedule, recorder = played(nemesis, FakeTarget(abilities=frozenset({PACKETS})), scenario())

    assert schedule.skipped == {"breaker": "process: no process here"}
    assert (nemesis.said, recorder.events) == ([], [])


def test_a_core_heals_and_the_others_stay_broken() -> None:
    """`end = "core"`: the last fault of a minority is never healed, and its nodes are named."""
    nemesis = Breaker()
    schedule, _ = played(nemesis, FakeTarget(), scenario(end="core"))
    asyncio.run(schedule.heal_all())

    assert schedule.unhealed == ["n2"]
    assert schedule.effects == {"1": {"took_effect": True}}
    assert nemesis.said.count("heal") == 1
    schedule.heal_now()
    assert nemesis.said.count("heal") == 2  # at the end of the run nothing is left


@pytest.mark.parametrize(
    ("what", "count", "leads"),
    [("leader", 1, True), ("follower", 1, False), ("minority", 2, None), ("majority", 3, None), ("all", 5, True),
     ("one", 1, None), ("none", 0, False), ("n4", 1, False)],
)  # fmt: skip
def test_victims_are_whom_the_plan_says(what: str, count: int, leads: bool | None) -> None:
    """Of five nodes that n3 leads."""
    for seed in range(20):
        found = select(what, FIVE, "n3", random.Random(seed))
        assert len(set(found)) == count
        assert leads is None or ("n3" in found) is leads


@pytest.mark.parametrize("name", sorted(registry.NEMESES))
def test_every_nemesis_says_what_it_is(name: str) -> None:
    """A name of its own, a sentence, a colour, a budget."""
    found = registry.nemesis(name)

    assert found.name == name
    assert found.about
    assert found.about[0].islower()
    assert found.colour.startswith("#")
    assert 0 < found.write_gap_s < 60


BASIC = [
    "kill", "pause", "strobe", "isolate", "mute", "deaf", "halves", "bridge", "ring", "swizzle", "clock-jump",
    "clock-skew", "clock-strobe", "slow-links", "narrow-links", "loss",
]  # fmt: skip


@pytest.mark.parametrize("name", BASIC)
def test_healing_may_come_twice_or_alone(name: str) -> None:
    """N2, and afterwards nothing is cut, late, stopped or dead."""
    target, nemesis = FakeTarget(), registry.nemesis(name)
    nemesis.heal(Scene(target, random.Random(1), "n1"))
    scene = Scene(target, random.Random(1), "n1")
    nemesis.inject(scene, ["n1"])
    nemesis.heal(scene)
    nemesis.heal(scene)

    assert target.calls
    assert target.cut == {}
    assert target.down == set()
    assert set(target.clocks.values()) <= {0.0}
    shapes = {call[1:3]: call[3] for call in target.calls if call[0] == "shape"}
    assert all(shape == type(shape)() for shape in shapes.values())
    assert [call for call in target.calls if call[0] in {"pause", "resume"}][-1:] != [("pause", "n1")]

