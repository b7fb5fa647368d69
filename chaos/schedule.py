"""Faults at their times: who is hit, when it begins and ends, and that all of it is healed whatever happens.

Invariants
  S1  what was injected is healed: at its time, at the end, when the run is cancelled, when healing another failed
  S2  the history has a line when a fault begins, before anything is broken, and one when it is healed
  S3  a nemesis that the target cannot do is skipped, with its reason, and counted; its time is not waited for
  S4  unless faults are meant to overlap, one begins when every node serves: on a slow machine a node that is still
      starting would else be a second fault that nobody planned, and a majority would be gone
  S5  of two faults that overlap none mends or hides the other: what the target has as one whole (a partition, shapes)
      belongs to one fault at a time, and so does each node's part of what both need, and each node's data, which its
      disk, its power and its files are three ways to
  S6  what could not be healed is tried again at the end, and said
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from .history import NEMESIS
from .nemesis.base import Scene, missing
from .targets.base import DISK, FILES, PACKETS, PARTITION, POWER, SHAPE, SINK
from .threads import together, whole

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .history import Recorder
    from .nemesis.base import Nemesis
    from .plan import Plan, Step
    from .targets.base import Target
    from .watch import Watch

LEADER_WAIT_S: Final = 15.0
READY_WAIT_S: Final = 20.0
FREE_WAIT_S: Final = 60.0
LOOK_S: Final = 0.05
ONE_AT_A_TIME: Final = frozenset({PARTITION, SHAPE, PACKETS, SINK})
STORAGE: Final = frozenset({DISK, FILES, POWER})  # a node whose data is under one of these belongs to that fault


class Schedule:
    """The faults of one plan."""

    def __init__(
        self, plan: Plan, target: Target, nemeses: Mapping[str, Nemesis], watch: Watch, recorder: Recorder
    ) -> None:
        self._plan = plan
        self._target = target
        self._nemeses = nemeses
        self._watch = watch
        self._recorder = recorder
        self._held: dict[int, tuple[Step, Scene, list[str], dict[str, Any]]] = {}
        self._failed: set[int] = set()  # held because they could not be healed
        self._core: int | None = None
        self.skipped: dict[str, str] = {}
        self.unhealed: list[str] = []  # of end "core": the nodes that stay broken
        self.effects: dict[str, dict[str, Any]] = {}  # of faults that have no second line: number → what took effect

    async def run(self) -> None:
        """All steps of all lanes are done, and healed."""
        lanes: dict[int, list[Step]] = {}
        for step in self._plan.steps:
            lanes.setdefault(step.lane, []).append(step)
        await together(*(self._lane(steps) for steps in lanes.values()))

    async def _lane(self, steps: list[Step]) -> None:
        reasons = {step.nemesis: missing(self._nemeses[step.nemesis], self._target) for step in steps}
        self.skipped |= {nemesis: why for nemesis, why in reasons.items() if why}
        steps = [step for step in steps if not reasons[step.nemesis]]
        last = steps[-1] if steps and self._plan.scenario.end == "core" else None
        for step in steps:
            await asyncio.sleep(step.quiet_s)
            await self._whole_again()
            if not await self._begin(step):
                continue
            await asyncio.sleep(step.hold_s)
            if step is last:
                self._core = step.number
            else:
                await self.heal(step.number)

    async def _whole_again(self) -> None:
        """S4, for a while: that a node does not come back is for a checker to say."""
        for _ in range(int(READY_WAIT_S / LOOK_S)):
            if self._plan.scenario.at_once > 1 or self._watch.all_ready(self._target.nodes):
                return
            await asyncio.sleep(LOOK_S)

    async def _begin(self, step: Step) -> bool:
        """False: it never came, for others were in its way (S5). Between choosing and holding nothing else happens."""
        for _ in range(int(FREE_WAIT_S / LOOK_S)):
            leader = await self._leader()
            rng = random.Random(step.seed)
            nodes = select(step.select, self._target.nodes, leader, rng)
            if not self._fights(step, nodes):
                break
            await asyncio.sleep(LOOK_S)
        else:
            return False
        scene = Scene(self._target, rng, leader, dict(step.options))
        facts: dict[str, Any] = {"took_effect": False}
        self._held[step.number] = (step, scene, nodes, facts)
        said = {"fault": step.number, "nodes": nodes, "leader": leader, "write_gap_s": step.write_gap_s}
        self._recorder.add("info", NEMESIS, step.nemesis, node=",".join(nodes), more=said)
        try:
            facts.update(await whole(self._nemeses[step.nemesis].inject, scene, nodes))
        except Exception as error:  # noqa: BLE001 - whatever it is, what was begun is healed and the run says so
            facts["error"] = f"{type(error).__name__}: {error}"
        return True

    def _fights(self, step: Step, nodes: list[str]) -> bool:
        """S5."""
        needs = self._nemeses[step.nemesis].needs
        return any(
            number not in self._failed and fight(needs, nodes, self._nemeses[other.nemesis].needs, others)
            for number, (other, _, others, _) in self._held.items()
        )

    async def _leader(self) -> str | None:
        """Waits until one is known, for otherwise a fault of the leader would hit anybody."""
        for _ in range(int(LEADER_WAIT_S / LOOK_S)):
            if self._watch.leader() is not None:
                break
            await asyncio.sleep(LOOK_S)
        return self._watch.leader()

    async def heal(self, number: int, *, is_last: bool = False) -> None:
        """S1, S2; one that fails stays held (S6), and the history says so when it is tried for the last time."""
        step, scene, nodes, facts = self._held[number]
        try:
            facts.update(await whole(self._nemeses[step.nemesis].heal, scene))
        except Exception as error:  # noqa: BLE001 - the others must still be healed
            facts["not_healed"] = f"{type(error).__name__}: {error}"
            self._failed.add(number)
            if not is_last:
                return
        else:
            facts.pop("not_healed", None)
            self._failed.discard(number)
            del self._held[number]
        said = {"fault": number, **facts}
        self._recorder.add("info", NEMESIS, step.nemesis, node=",".join(nodes), more=said)

    async def heal_all(self) -> None:
        """Nothing is broken; if the scenario ends with a core, the last fault stays for ever, if it left a majority."""
        for number in list(self._held):
            _, _, nodes, facts = self._held[number]
            quorum = len(self._target.nodes) // 2 + 1
            if number == self._core and len(self._target.nodes) - len(nodes) >= quorum:
                self.unhealed.extend(nodes)
                self.effects[str(number)] = dict(facts)
                continue
            await self.heal(number, is_last=True)

    def heal_now(self) -> None:
        """The last resort, blocking: everything that is held is healed, errors are swallowed.

        Of a core, whose history has no second line, what was counted until now is among `effects`.
        """
        for number, (step, scene, _, _) in self._held.items():
            try:
                self.effects.get(str(number), {}).update(self._nemeses[step.nemesis].heal(scene))
            except Exception as error:  # noqa: BLE001 - what follows must still happen
                self.skipped[f"heal {step.nemesis}"] = f"{type(error).__name__}: {error}"
        self._held.clear()


def fight(needs: Collection[str], nodes: Collection[str], held: Collection[str], others: Collection[str]) -> bool:
    """S5: a fault with these needs, of these nodes, and one that needs `held`, of `others`, must not overlap. Pure."""
    own, theirs = _kinds(needs), _kinds(held)
    shared = own & theirs
    if shared & ONE_AT_A_TIME:
        return True
    return not set(nodes).isdisjoint(others) and bool(shared or (own & STORAGE and theirs & STORAGE))


def _kinds(needs: Collection[str]) -> frozenset[str]:
    """What a nemesis works with; whatever a hook does may be one thing."""
    return frozenset(need.partition(":")[0] for need in needs)


def select(what: str, nodes: list[str], leader: str | None, rng: random.Random) -> list[str]:
    """The victims. Without a leader, "leader" is anybody and "follower" somebody."""
    count = len(nodes)
    first = leader or rng.choice(nodes)
    others = [node for node in nodes if node != first]
    if what == "leader":
        return [first]
    if what == "follower":
        return [rng.choice(others or nodes)]
    if what == "one":
        return [rng.choice(nodes)]
    if what == "minority":
        return sorted(rng.sample(nodes, max(1, (count - 1) // 2)))
    if what == "majority":
        return sorted(rng.sample(nodes, count // 2 + 1))
    if what == "all":
        return list(nodes)
    if what == "none":
        return []
    return [what]
