"""Faults come at their times, to whom the plan says, and are healed whatever happens."""

from __future__ import annotations

import asyncio
import io
import math
import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from chaos import registry
from chaos.history import Recorder, faults
from chaos.nemesis.base import Scene
from chaos.plan import Scenario, expand, parse
from chaos.schedule import Schedule, fight, select
from chaos.targets.base import CLOCK, DISK, FILES, PACKETS, PARTITION, POWER, PROCESS
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

FIVE = ["n1", "n2", "n3", "n4", "n5"]


class FakeWatch:
    """n2 leads. All serve from the look on that `ready_after` says."""

    def __init__(self, ready_after: int = 0) -> None:
        self.ready_after = ready_after
        self.looks = 0

    def leader(self) -> str:
        return "n2"

    def all_ready(self, nodes: list[str]) -> bool:
        self.looks += 1
        return self.looks > self.ready_after


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


def test_what_fails_is_said_and_healed_all_the_same() -> None:
    """S1: a half-done fault is healed."""
    nemesis = Breaker("inject")
    _, recorder = played(nemesis, FakeTarget(), scenario())

    assert nemesis.said.count("heal") == 2
    found = [(one.effect["error"], one.effect["took_effect"]) for one in faults(recorder.events)]
    assert found == [("OSError: half done", False)] * 2


def test_what_could_not_be_healed_is_tried_again_and_said() -> None:
    """S6: at the end, and once more when the run is over; it holds up no other fault."""
    nemesis = Breaker("heal")
    schedule, recorder = played(nemesis, FakeTarget(), scenario())
    assert [one.ended_ns for one in faults(recorder.events)] == [math.inf] * 2
    asyncio.run(schedule.heal_all())

    assert nemesis.said.count("heal") == 4
    found = [(one.effect["not_healed"], one.effect["took_effect"]) for one in faults(recorder.events)]
    assert found == [("OSError: not healed", True)] * 2
    schedule.heal_now()
    assert nemesis.said.count("heal") == 6


def test_what_is_healed_at_the_second_try_is_healed() -> None:
    """Then, and no earlier."""
    nemesis = Breaker("heal")
    schedule, recorder = played(nemesis, FakeTarget(), scenario())
    nemesis.bad = ""
    asyncio.run(schedule.heal_all())

    assert [one.effect for one in faults(recorder.events) if "not_healed" in one.effect] == []
    assert all(one.ended_ns < math.inf for one in faults(recorder.events))
    schedule.heal_now()
    assert nemesis.said.count("heal") == 4


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
    assert schedule.effects == {"1": {"took_effect": True, "undone": 1}}  # and what was counted is known


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



@pytest.mark.parametrize(("at_once", "looks"), [(1, 4), (2, 0)])
def test_a_fault_waits_until_the_last_one_is_over(
    monkeypatch: pytest.MonkeyPatch, at_once: int, looks: int
) -> None:
    """S4: every node serves again, unless faults are meant to overlap."""
    monkeypatch.setattr("chaos.schedule.LOOK_S", 0.0001)
    watch, breaker = FakeWatch(ready_after=2), Breaker()
    plan = expand(scenario(at_once=at_once), 1)
    asyncio.run(Schedule(plan, FakeTarget(), {"breaker": breaker}, watch, Recorder(io.StringIO())).run())

    assert watch.looks == looks
    assert len([line for line in breaker.said if line.startswith("inject")]) == 2


def test_a_node_that_does_not_come_back_holds_up_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: after its time the next fault comes."""
    monkeypatch.setattr("chaos.schedule.READY_WAIT_S", 0.01)
    monkeypatch.setattr("chaos.schedule.LOOK_S", 0.001)
    watch, breaker = FakeWatch(ready_after=10_000), Breaker()
    asyncio.run(
        Schedule(expand(scenario(), 1), FakeTarget(), {"breaker": breaker}, watch, Recorder(io.StringIO())).run()
    )

    assert len([line for line in breaker.said if line.startswith("inject")]) == 2


# ---- a core
class Selective(Breaker):
    """Needs what it is told."""

    def __init__(self, name: str, needs: frozenset[str], bad: str = "") -> None:
        super().__init__(bad)
        self.name = name  # type: ignore[misc]
        self.needs = needs  # type: ignore[misc]


def core(text: str, nemeses: dict[str, Any]) -> Schedule:
    found = parse(f'name = "s"\nend = "core"\norder = "given"\n{text}')
    schedule = Schedule(expand(found, 1), FakeTarget(), nemeses, FakeWatch(), Recorder(io.StringIO()))  # type: ignore[arg-type]
    asyncio.run(schedule.run())
    asyncio.run(schedule.heal_all())
    return schedule


STEP = '[[faults]]\nnemesis = "%s"\nselect = "%s"\nhold_s = 0\nquiet_s = 0\n'


def test_a_core_is_what_the_last_possible_fault_leaves() -> None:
    """One that the target cannot do is not the last."""
    nemeses = {"can": Selective("can", frozenset({PROCESS})), "cannot": Selective("cannot", frozenset({PACKETS}))}
    schedule = core(STEP % ("can", "n1") + STEP % ("can", "n3") + STEP % ("cannot", "n2"), nemeses)

    assert schedule.unhealed == ["n3"]
    assert schedule.skipped == {"cannot": "packets: no packets here"}


def test_a_fault_that_leaves_no_majority_is_no_core() -> None:
    """It is healed, and nobody stays broken: the checker `rates` says that there was no core."""
    nemeses = {"can": Selective("can", frozenset({PROCESS}))}
    schedule = core(STEP % ("can", "n1") + STEP % ("can", "majority"), nemeses)

    assert (schedule.unhealed, nemeses["can"].said.count("heal")) == ([], 2)


def test_one_that_could_not_be_healed_is_no_core() -> None:
    """Only the last fault is meant to stay."""
    nemeses = {"bad": Selective("bad", frozenset({PROCESS}), "heal"), "can": Selective("can", frozenset({PROCESS}))}
    schedule = core(STEP % ("bad", "n1") + STEP % ("can", "n2"), nemeses)

    assert schedule.unhealed == ["n2"]
    assert nemeses["bad"].said.count("heal") == 2


# ---- side by side (S5)
class Noted(Breaker):
    """Notes on one list, with its name."""

    def __init__(self, name: str, needs: str, said: list[str]) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]
        self.needs = frozenset({needs})  # type: ignore[misc]
        self.said = said

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        del scene
        self.said.append(f"{self.name} {','.join(nodes)}")
        return {"took_effect": True}

    def heal(self, scene: Scene) -> dict[str, Any]:
        del scene
        self.said.append(f"{self.name} healed")
        return {}


def side_by_side(one: tuple[str, str], two: tuple[str, str]) -> list[str]:
    """What happened, of two faults that are due at the same time: (what it needs, whom it hits)."""
    said: list[str] = []
    nemeses: dict[str, Any] = {"a": Noted("a", one[0], said), "b": Noted("b", two[0], said)}
    text = STEP.replace("hold_s = 0", "hold_s = 0.2")
    found = parse('name = "s"\nat_once = 2\norder = "given"\n' + text % ("a", one[1]) + text % ("b", two[1]))
    able = frozenset({PARTITION, PROCESS, CLOCK, DISK, FILES, POWER, "hook:a", "hook:b"})
    target = FakeTarget(abilities=able)
    asyncio.run(Schedule(expand(found, 1), target, nemeses, FakeWatch(), Recorder(io.StringIO())).run())  # type: ignore[arg-type]
    return said


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((PARTITION, "n1"), (PARTITION, "n3")),  # the second would replace the first, and its healing heal both
        ((PROCESS, "n1"), (PROCESS, "n1")),
        ((PROCESS, "all"), (PROCESS, "n3")),
        (("hook:a", "n1"), ("hook:b", "n1")),
        ((DISK, "n1"), (FILES, "n1")),  # a folder is emptied on a disk that is full
        ((FILES, "n3"), (DISK, "n3")),
        ((POWER, "n1"), (DISK, "n1")),  # a disk is mounted afresh while another fault fills it
        ((POWER, "all"), (FILES, "n3")),
    ],
)
def test_faults_that_would_mend_each_other_wait(one: tuple[str, str], two: tuple[str, str]) -> None:
    """Until the other is healed."""
    said = side_by_side(one, two)

    assert [line.endswith("healed") for line in said] == [False, True, False, True]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((PARTITION, "n1"), (PROCESS, "n1")),
        ((PROCESS, "n1"), (PROCESS, "n3")),
        ((CLOCK, "n1"), (PROCESS, "n1")),
        (("hook:a", "n1"), ("hook:b", "n3")),
        ((DISK, "n1"), (FILES, "n3")),
        ((POWER, "n1"), (DISK, "n3")),
        ((DISK, "n1"), (PROCESS, "n1")),
        ((FILES, "n1"), (PARTITION, "n1")),
    ],
)
def test_other_faults_overlap(one: tuple[str, str], two: tuple[str, str]) -> None:
    """The twin: that is what they are for."""
    said = side_by_side(one, two)

    assert [line.endswith("healed") for line in said] == [False, False, True, True]


STORAGE = ["disk-error", "disk-full", "disk-slow", "power", "rollback", "rot", "wipe"]


@pytest.mark.parametrize("one", STORAGE)
@pytest.mark.parametrize("two", STORAGE)
def test_a_node_whose_data_is_under_a_fault_belongs_to_that_fault(one: str, two: str) -> None:
    """Whichever two of the real ones it is; on two nodes they may hold together."""
    needs = [registry.nemesis(name).needs for name in (one, two)]

    assert fight(needs[0], ["n1", "n2"], needs[1], ["n2"])
    assert not fight(needs[0], ["n1"], needs[1], ["n2"])


def test_a_claim_is_no_draw() -> None:
    """Who waited hits whom it would have hit: victims are the seed's, whatever the other lane does."""
    found = parse('name = "s"\nat_once = 2\norder = "given"\n' + STEP % ("a", "n1") + STEP % ("b", "one"))
    seed = expand(found, 1).steps[1].seed
    (victim,) = select("one", ["n1", "n2", "n3"], "n2", random.Random(seed))
    waited = [line for line in side_by_side((DISK, victim), (FILES, "one")) if line.startswith("b ")]
    alone = [line for line in side_by_side((CLOCK, victim), (FILES, "one")) if line.startswith("b ")]

    assert waited[0] == alone[0] == f"b {victim}"


def test_one_that_is_in_the_way_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other never comes, and the checker `rates` says that one is missing."""
    monkeypatch.setattr("chaos.schedule.FREE_WAIT_S", 0.05)
    monkeypatch.setattr("chaos.schedule.LOOK_S", 0.01)
    said = side_by_side((PARTITION, "n1"), (PARTITION, "n3"))

    assert said == ["a n1", "a healed"]
