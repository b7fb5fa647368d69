"""Faults as checkers see them: their numbers, whom they hit, which classes they fall into. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from chaos.history import NEMESIS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chaos.folder import RunFolder
    from chaos.history import Event, Fault

AFTER_NS: Final = 1_000_000_000  # a band lasts so much longer than its fault: what a heal causes belongs to it


@dataclass(frozen=True, slots=True)
class Band:
    """One fault of a run. `hit`: "leader", "follower", "quorum" (no majority was left alone) or "nobody"."""

    number: int
    fault: Fault
    hit: str
    budget_s: float | None  # for gaps between acknowledged writes; None: nobody said
    is_explicit: bool  # the scenario itself says it

    @property
    def label(self) -> str:
        """The class it is counted in."""
        return f"{self.fault.name} {self.hit}"

    def overlaps(self, began_ns: float, ended_ns: float) -> bool:
        """Whether that time has a part in the band."""
        return began_ns < self.fault.ended_ns + AFTER_NS and ended_ns > self.fault.began_ns


def fault_numbers(events: Iterable[Event]) -> list[int]:
    """Numbers of the faults, in the order of `history.faults`."""
    found: dict[int, None] = {}
    for event in events:
        if event.process == NEMESIS and event.more is not None and "fault" in event.more:
            found.setdefault(event.more["fault"])
    return list(found)


def effects(run: RunFolder) -> Iterator[tuple[int, Fault, dict[str, Any]]]:
    """(number, fault, what it did): of one that was never healed by itself, also what its heal at the end said."""
    unhealed = run.facts.get("unhealed", {})
    for number, fault in zip(fault_numbers(run.events), run.faults, strict=True):
        yield number, fault, {**unhealed.get(str(number), {}), **fault.effect}


def bands(run: RunFolder) -> Iterator[Band]:
    """Every fault of the run."""
    budgets: dict[str, float] = run.facts.get("write_gap_s", {})
    steps = {step.get("number"): step for step in run.plan.get("steps", ())}
    for number, fault in zip(fault_numbers(run.events), run.faults, strict=True):
        said: Any = fault.effect.get("write_gap_s")
        if said is None:
            said = steps.get(number, {}).get("write_gap_s")
        budget = said if said is not None else budgets.get(fault.name)
        yield Band(number, fault, hit_of(run, fault), budget, said is not None)


def hit_of(run: RunFolder, fault: Fault) -> str:
    """Who was hit."""
    if not fault.nodes:
        return "nobody"
    if breaks_quorum(run, set(fault.nodes)):
        return "quorum"
    leader = fault.effect.get("leader") or leader_before(run, fault.began_ns)
    return "leader" if leader in fault.nodes else "follower"


def breaks_quorum(run: RunFolder, nodes: set[str]) -> bool:
    """No majority is left when these nodes are broken."""
    count = len(run.nodes)
    return count - len(nodes & set(run.nodes)) < count // 2 + 1


def undisturbed(run: RunFolder, faults: Iterable[Fault]) -> set[str]:
    """Nodes that must go on serving: hit by none of these faults, in one majority whose members all hear each other.

    Where a partition leaves nodes that hear some of a majority and not others (bridge, ring), nobody is promised
    anything: which of the overlapping majorities leads is open.
    """
    around = list(faults)
    broken = {node for fault in around for node in fault.nodes}
    left = [node for node in run.nodes if node not in broken]
    grudges: list[dict[str, list[str]]] = [fault.effect.get("grudge") or {} for fault in around]
    deaf = {(sink, source) for grudge in grudges for sink, sources in grudge.items() for source in sources}
    near = {a: {b for b in left if (a, b) not in deaf and (b, a) not in deaf} for a in left}
    quorum = len(run.nodes) // 2 + 1
    return {node for node in left if len(near[node]) >= quorum and all(near[one] == near[node] for one in near[node])}


def leader_before(run: RunFolder, time_ns: float) -> str | None:
    """Who said last that it leads."""
    leader = None
    for sample in run.samples:
        if sample.time_ns > time_ns:
            break
        if sample.status is not None and sample.status.get("role") == "leader":
            leader = sample.node
    return leader


def whole_nodes(run: RunFolder) -> list[str]:
    """Nodes that are not left broken for ever."""
    return [node for node in run.nodes if node in set(run.facts.get("whole", run.nodes))]


def end_of_load_ns(run: RunFolder) -> float:
    """When clients began their last operations."""
    said = run.facts.get("load_ended_ns")
    if said is not None:
        return float(said)
    times = [e.time_ns for e in run.events if e.type == "invoke" and not (e.more or {}).get("final")]
    return float(max(times, default=0))


def is_healed(fault: Fault) -> bool:
    """Its end is in the history."""
    return not math.isinf(fault.ended_ns)
