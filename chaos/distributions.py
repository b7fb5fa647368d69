"""What many runs measured, by class of fault: gaps between acknowledged writes and reads, times until nodes served.

Pure. Each fault of a run gives one number of each kind, the longest; quantiles are taken over faults, for one run says
little about a time that is drawn anew in each election.

Invariants
  DI1  a run that did not hold counts with its numbers, too: they are of what was measured, not of what was good
  DI2  runs in which faults overlap by intent give faults and operations, and no times: nobody could say whose they are
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .check.bands import bands, breaks_quorum, effects, end_of_load_ns, is_healed
from .check.live import gaps, read_gaps
from .check.words import is_write, quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .check.bands import Band
    from .check.live import Gap
    from .folder import RunFolder

KINDS: Final = ("write_gap_s", "read_gap_s", "recover_s")
HEADS: Final = {"write_gap_s": "write gap", "read_gap_s": "read gap", "recover_s": "recovery"}


@dataclass
class Collection:
    """Of any number of runs."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    without_effect: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)  # by outcome
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # class: kind: one a fault
    simulated: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # of what is no run of real processes
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, run: RunFolder, seconds: float) -> None:
        """One run is over and judged."""
        results = run._json("results.json")
        plan = run.plan
        scenario = plan.get("scenario", {})
        said = {"scenario": scenario.get("name"), "target": plan.get("target"), "seed": plan.get("seed")}
        self.runs.append({**said, "valid": results.get("valid", "unknown"), "seconds": round(seconds, 1)})
        for one in results.get("verdicts", ()):
            if one["valid"] == "violated":
                self.violations.append(f"{run.path.name}: {one['checker']}: {one['summary']}")
        self.skipped.update(run.facts.get("skipped", {}))
        self.operations.update(one.outcome for one in run.operations)
        for _, fault, effect in effects(run):
            took = effect.get("took_effect") is True
            (self.faults if took else self.without_effect)[fault.name] += 1
        if scenario.get("at_once", 1) == 1:
            for label, kind, seconds_ in measured(run):
                self.times.setdefault(label, {}).setdefault(kind, []).append(round(seconds_, 4))

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {
            "runs": self.runs,
            "faults": dict(sorted(self.faults.items())),
            "without_effect": dict(sorted(self.without_effect.items())),
            "operations": dict(sorted(self.operations.items())),
            "times": {label: self.times[label] for label in sorted(self.times)},
            "simulated": dict(sorted(self.simulated.items())),
            "violations": self.violations,
            "failures": self.failures,
            "skipped": dict(sorted(self.skipped.items())),
        }

    def table(self) -> Iterator[str]:
        """For docs/verification.md: a row a class, p50, p90 and p100 in seconds."""
        heads = [f"{HEADS[kind]}, p50 / p90 / p100" for kind in KINDS]
        yield f"| fault, and who was hit | faults | {' | '.join(heads)} |"
        yield "|---|---|" + "---|" * len(KINDS)
        for label in sorted(self.times):
            of = self.times[label]
            count = max(map(len, of.values()), default=0)
            yield f"| {label} | {count} | " + " | ".join(_told(of.get(kind, [])) for kind in KINDS) + " |"


def _told(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return " / ".join(f"{quantile(values, share):.2f}" for share in (0.5, 0.9, 1.0))


def measured(run: RunFolder) -> Iterator[tuple[str, str, float]]:
    """(class, kind, seconds) of each fault."""
    found = list(bands(run))
    end_ns = end_of_load_ns(run)
    writes = gaps(run.events, is_write, end_ns)
    reads = {node: read_gaps(run.events, node, end_ns) for node in run.nodes}
    for band in found:
        if (longest := _longest(band, writes)) is not None:
            yield band.label, "write_gap_s", longest
        if not breaks_quorum(run, set(band.fault.nodes)):
            whole = [_longest(band, reads[node]) for node in run.nodes if node not in band.fault.nodes]
            known = [one for one in whole if one is not None]
            if known:
                yield band.label, "read_gap_s", max(known)
        for node in band.fault.nodes:
            if is_healed(band.fault) and (until := _until_ready(run, found, band, node)) is not None:
                yield band.label, "recover_s", until


def _longest(band: Band, found: Iterable[Gap]) -> float | None:
    return max((gap.length_s for gap in found if band.overlaps(gap.began_ns, gap.ended_ns)), default=None)


def _until_ready(run: RunFolder, found: Sequence[Band], band: Band, node: str) -> float | None:
    """From the fault's end to the first sample that serves, unless the node is hit again before."""
    ended_ns = band.fault.ended_ns
    again = (other.fault.began_ns for other in found if node in other.fault.nodes and other.fault.began_ns >= ended_ns)
    until_ns = min(again, default=float("inf"))
    for sample in run.samples:
        if sample.node == node and sample.ready and ended_ns <= sample.time_ns < until_ns:
            return (sample.time_ns - ended_ns) / 1e9
    return None
