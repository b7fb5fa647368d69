"""Faults at their times: who is hit, when it begins and ends, and that all of it is healed whatever happens.

Invariants
  S1  what was injected is healed: at its time, at the end, when the run is cancelled, when healing another failed
  S2  the history has a line when a fault begins, before anything is broken, and one when it is healed
  S3  a nemesis that the target cannot do is skipped, with its reason, and counted; its time is not waited for
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from .history import NEMESIS
from .nemesis.base import Scene, missing
from .threads import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .history import Recorder
    from .nemesis.base import Nemesis
    from .plan import Plan, Step
    from .targets.base import Target
    from .watch import Watch

LEADER_WAIT_S: Final = 15.0
LOOK_S: Final = 0.05


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
        self.skipped: dict[str, str] = {}
        self.unhealed: list[str] = []  # of end "core": the nodes that stay broken
        self.effects: dict[str, dict[str, Any]] = {}  # of faults that have no second line: number → what took effect

    async def run(self) -> None:
        """All steps of all lanes are done, and healed."""
        lanes: dict[int, list[Step]] = {}
        for step in self._plan.steps:
            lanes.setdefault(step.lane, []).append(step)
        await asyncio.gather(*(self._lane(steps) for steps in lanes.values()))

    async def _lane(self, steps: list[Step]) -> None:
        last = steps[-1] if self._plan.scenario.end == "core" else None
        for step in steps:
            why = missing(self._nemeses[step.nemesis], self._target)
            if why:
                self.skipped[step.nemesis] = why
                continue
            await asyncio.sleep(step.quiet_s)
            await self._begin(step)
            await asyncio.sleep(step.hold_s)
            if step is not last:
                await self.heal(step.number)

    async def _begin(self, step: Step) -> None:
        rng = random.Random(step.seed)
        leader = await self._leader()
        nodes = select(step.select, self._target.nodes, leader, rng)
        scene = Scene(self._target, rng, leader, dict(step.options))
        facts: dict[str, Any] = {"took_effect": False}
        self._held[step.number] = (step, scene, nodes, facts)
        said = {"fault": step.number, "nodes": nodes, "leader": leader, "write_gap_s": step.write_gap_s}
        self._recorder.add("info", NEMESIS, step.nemesis, node=",".join(nodes), more=said)
        try:
            facts.update(await whole(self._nemeses[step.nemesis].inject, scene, nodes))
        except Exception as error:  # noqa: BLE001 - whatever it is, what was begun is healed and the run says so
            facts["error"] = f"{type(error).__name__}: {error}"

    async def _leader(self) -> str | None:
        """Waits until one is known, for otherwise a fault of the leader would hit anybody."""
        for _ in range(int(LEADER_WAIT_S / LOOK_S)):
            if self._watch.leader() is not None:
                break
            await asyncio.sleep(LOOK_S)
        return self._watch.leader()

    async def heal(self, number: int) -> None:
        """S1, S2."""
        step, scene, nodes, facts = self._held.pop(number)
        try:
            facts.update(await whole(self._nemeses[step.nemesis].heal, scene))
        except Exception as error:  # noqa: BLE001 - the others must still be healed
            facts["error"] = f"{type(error).__name__}: {error}"
        said = {"fault": number, **facts}
        self._recorder.add("info", NEMESIS, step.nemesis, node=",".join(nodes), more=said)

    async def heal_all(self) -> None:
        """Nothing is broken, unless the scenario ends with a core: then one fault of a minority stays for ever."""
        for number in list(self._held):
            _, _, nodes, facts = self._held[number]
            quorum = len(self._target.nodes) // 2 + 1
            if self._plan.scenario.end == "core" and len(self._target.nodes) - len(nodes) >= quorum:
                self.unhealed.extend(nodes)
                self.effects[str(number)] = dict(facts)
                continue
            await self.heal(number)

    def heal_now(self) -> None:
        """The last resort, blocking: everything that is held is healed, errors are swallowed."""
        for step, scene, _, _ in self._held.values():
            try:
                self._nemeses[step.nemesis].heal(scene)
            except Exception as error:  # noqa: BLE001 - what follows must still happen
                self.skipped[f"heal {step.nemesis}"] = f"{type(error).__name__}: {error}"
        self._held.clear()


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
