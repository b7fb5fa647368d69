"""How long nobody got an answer: the longest gap between acknowledged writes in each fault's band, against its budget.

A gap begins with the last acknowledgement, or later with the first request of those who then waited: silence of clients
is no outage. It belongs to every fault whose band it touches, and the most generous of their budgets counts. Where no
majority was left, the time that it was broken is added to a budget that the scenario did not set itself. Reads are
measured at each node that no fault disturbs (bands.py), against the same budgets. A gap that is too long only because
the runner itself stood still in it (chaos/pulse.py) is nobody's proof: it makes the verdict unknown.

Source: CockroachDB, roachtest/tests/failover.go (pMax); TigerBeetle, VOPR's liveness phase (end "core").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from chaos.history import NEMESIS

from .bands import AFTER_NS, Band, bands, breaks_quorum, end_of_load_ns, undisturbed
from .base import Verdict, held, skipped, unknown, violated
from .words import distribution, is_read, is_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Event

WHAT: Final = ("writes", "reads")


class Gap(NamedTuple):
    """Somebody waited from here to there, and nobody was answered."""

    began_ns: float
    ended_ns: float

    @property
    def length_s(self) -> float:
        """In seconds."""
        return (self.ended_ns - self.began_ns) / 1e9


@dataclass
class Findings:
    """What is too long, and what only may be: `stalls` are [from, to] in which the runner stood still."""

    stalls: list[list[int]]
    wrong: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    def add(self, gap: Gap, allowed_s: float, what: str) -> None:
        """One gap that is longer than it may be."""
        parts = (min(gap.ended_ns, to) - max(gap.began_ns, since) for since, to in self.stalls)
        stalled_s = sum(part for part in parts if part > 0) / 1e9
        (self.wrong if gap.length_s - stalled_s > allowed_s else self.unsure).append(what)


class Live:
    """See the module's paragraph."""

    name: ClassVar[str] = "live"
    verified: ClassVar[str] = (
        "no gap between acknowledged writes, or reads of a node that was not hit, is longer than the budget of the "
        "faults in whose time it falls; after the last healing writes are acknowledged"
    )
    not_verified: ClassVar[str] = "single requests that fail while others succeed; gaps under more load"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        found = list(bands(run))
        if not found:
            return skipped(self, "nothing was broken")
        end_ns = end_of_load_ns(run)
        writes = gaps(run.events, is_write, end_ns)
        seen = Findings((run.facts.get("pulse") or {}).get("stalls") or [])
        worst: dict[str, dict[str, list[float]]] = {"writes": {}, "reads": {}}
        _judge_writes(run, found, writes, seen, worst["writes"])
        _judge_reads(run, found, end_ns, seen, worst["reads"])
        tried, done = _after_healing(run, end_ns)
        if tried and not done:
            which = "the core" if run.plan.get("scenario", {}).get("end") == "core" else "the cluster"
            seen.wrong.append(f"{which} made no progress after healing: none of {tried} writes was acknowledged")
        numbers: dict[str, Any] = {
            what: {label: distribution(lengths) for label, lengths in sorted(worst[what].items())} for what in WHAT
        }
        if seen.wrong:
            return violated(self, f"{len(seen.wrong)} gaps are longer than their budget", seen.wrong, **numbers)
        unjudged = sorted({band.fault.name for band in found if band.budget_s is None})
        if unjudged:
            return unknown(self, f"no budget is known for {', '.join(unjudged)}", **numbers)
        if not worst["writes"]:
            return unknown(self, "no write was tried while anything was broken", **numbers)
        if "healed_ns" not in run.facts or "load_ended_ns" not in run.facts:
            return unknown(self, "the run was cut short before its load had ended", **numbers)
        if seen.unsure:
            return unknown(self, f"the runner itself stood still: {seen.unsure[0]}", **numbers)
        if not tried:
            return unknown(self, "no write was tried after healing", **numbers)
        longest = max(max(lengths) for lengths in worst["writes"].values())
        what = f"the longest gap between acknowledged writes in {len(found)} faults was {longest:.2f} s"
        return held(self, what, **numbers)


def gaps(events: Iterable[Event], wanted: Callable[[Event], bool], end_ns: float) -> list[Gap]:
    """Every wait until the next acknowledgement, in their order; the last may end with the load."""
    found: list[Gap] = []
    waiting: set[int | str] = set()
    began_ns: float | None = None
    for event in events:
        if event.process == NEMESIS or event.time_ns > end_ns or not wanted(event):
            continue
        if event.type == "invoke":
            waiting.add(event.process)
            began_ns = event.time_ns if began_ns is None else began_ns
            continue
        waiting.discard(event.process)
        if event.type == "ok":
            if began_ns is not None:
                found.append(Gap(began_ns, event.time_ns))
            began_ns = event.time_ns if waiting else None
    if began_ns is not None and end_ns > began_ns:
        found.append(Gap(began_ns, end_ns))
    return found


def _within(found: Sequence[Gap], band: Band) -> list[Gap]:
    """Gaps that touch the band."""
    first = bisect_right([gap.ended_ns for gap in found], band.fault.began_ns)
    last = bisect_left([gap.began_ns for gap in found], band.fault.ended_ns + AFTER_NS)
    return list(found[first:last])


def _allowed_s(run: RunFolder, found: Sequence[Band], gap: Gap) -> float | None:
    """The budget of everything that was broken around the gap; None if one of them has none."""
    around = [band for band in found if band.overlaps(gap.began_ns, gap.ended_ns)]
    budgets = [band.budget_s for band in around if band.budget_s is not None]
    if len(budgets) < len(around):
        return None
    allowed = max(budgets, default=0.0)
    together = {node for band in around for node in band.fault.nodes}
    if breaks_quorum(run, together) and not any(band.is_explicit for band in around):
        ended_ns = max(band.fault.ended_ns for band in around)
        allowed += (ended_ns - min(band.fault.began_ns for band in around)) / 1e9
    return allowed


def _judge_writes(
    run: RunFolder, found: Sequence[Band], writes: Sequence[Gap], seen: Findings, worst: dict[str, list[float]]
) -> None:
    for band in found:
        inside = _within(writes, band)
        if inside:
            _note(band, "acknowledged writes", inside, seen, worst, lambda gap: _allowed_s(run, found, gap))


def read_gaps(events: Iterable[Event], node: str, end_ns: float) -> list[Gap]:
    """`gaps` between answered reads of one node."""
    return gaps(events, lambda event: is_read(event) and event.node == node, end_ns)


def _judge_reads(
    run: RunFolder, found: Sequence[Band], end_ns: float, seen: Findings, worst: dict[str, list[float]]
) -> None:
    """Of each node, in the bands of faults that do not disturb it."""
    for node in run.nodes:
        reads = read_gaps(run.events, node, end_ns)
        for band in found:
            until_ns = band.fault.ended_ns + AFTER_NS
            around = [other.fault for other in found if other.overlaps(band.fault.began_ns, until_ns)]
            inside = _within(reads, band) if node in undisturbed(run, around) else []
            if inside:
                what = f"reads at {node}"
                _note(band, what, inside, seen, worst, lambda gap: _allowed_s(run, found, gap))


def _note(
    band: Band, what: str, inside: Sequence[Gap], seen: Findings, worst: dict[str, list[float]],
    allowed_s: Callable[[Gap], float | None],
) -> None:  # fmt: skip
    longest = max(inside, key=lambda gap: gap.ended_ns - gap.began_ns)
    worst.setdefault(band.label, []).append(longest.length_s)
    for gap in inside:
        allowed = allowed_s(gap)
        if allowed is not None and gap.length_s > allowed:
            seen.add(gap, allowed, (
                f"fault {band.number} ({band.label}): no {what} for {gap.length_s:.2f} s from "
                f"{gap.began_ns / 1e9:.2f} s on, allowed are {allowed:.2f} s"
            ))  # fmt: skip


def _after_healing(run: RunFolder, end_ns: float) -> tuple[int, int]:
    """Writes that were tried, and that were acknowledged, after everything, or a core, was healed: no livelock."""
    healed_ns = run.facts.get("healed_ns")
    if healed_ns is None or "load_ended_ns" not in run.facts:
        return 0, 0
    after = [e for e in run.events if is_write(e) and e.process != NEMESIS and healed_ns < e.time_ns <= end_ns]
    return sum(event.type == "invoke" for event in after), sum(event.type == "ok" for event in after)
