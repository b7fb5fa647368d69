"""The target "sim": a scenario's faults in the deterministic simulator, many seeds instead of one long run.

The simulator (chaos/sim) has its own workload and judges each seed by itself, so a run has no history and no other
checker: facts.json holds, as "sim", what was run and what was violated, with the command that replays each such seed.
Whom a fault hits is drawn there, half of the time the leader. A fault without a counterpart is skipped, with a reason.

Invariant: what a scenario names and the simulator cannot do is said; nothing else stands for it.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from chaos.check.base import Verdict
from chaos.folder import RunFolder
from chaos.sim.campaign import Job, Report, campaign, replay
from chaos.sim.options import Forced, expand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chaos.plan import Plan, Scenario

SIM: Final = "sim"
COUNTERPARTS: Final[dict[str, tuple[str, ...]]] = {
    "kill": ("crash",),
    "pause": ("pause", "pause_inside"),
    "strobe": ("pause", "pause_inside"),
    "rolling": ("stop",),
    "isolate": ("partition",),
    "halves": ("partition",),
    "mute": ("one_way",),
    "deaf": ("one_way",),
    "swizzle": ("swizzle",),
    "slow-links": ("slow_link",),
    "failpoints": ("kill_inside",),
    "power": ("power", "power_inside"),
    "disk-full": ("full_disk",),
    "disk-slow": ("slow_disk",),
    "disk-error": ("sync_failure", "write_failure"),
    "rot": ("rot",),
    "wipe": ("lost_log",),
}
ALL_AT_ONCE: Final = {"power": ("blackout", "power_inside")}  # when a fault hits all nodes
WHY_NOT: Final = {
    "bridge": "the simulator cuts sides and single directions, no bridges",
    "ring": "the simulator cuts sides and single directions, no rings",
    "narrow-links": "links of the simulator have no bandwidth",
    "loss": "its configuration `datagram` loses messages: python -m chaos.sim --config datagram",
    "rollback": "the simulator loses logs, and never gives an older one back",
    "clock-jump": "clocks of the simulator drift in every seed, and never jump",
    "clock-skew": "clocks of the simulator drift in every seed, and never more",
    "clock-strobe": "clocks of the simulator drift in every seed, and never jump",
}
NOT_THERE: Final = "the simulator has no counterpart"


def weights(plan: Plan) -> tuple[dict[str, float], dict[str, str]]:
    """({fault of the simulator: weight}, {fault of the plan: why it is skipped}). Pure."""
    found: Counter[str] = Counter()
    skipped: dict[str, str] = {}
    for step in plan.steps:
        names = COUNTERPARTS.get(step.nemesis, ())
        if step.select in {"all", "majority"}:
            names = ALL_AT_ONCE.get(step.nemesis, names)
        for name in names:
            found[name] += 1
        if not names:
            skipped[step.nemesis] = WHY_NOT.get(step.nemesis, NOT_THERE)
    return {name: float(count) for name, count in sorted(found.items())}, skipped


def seeds_of(plan: Plan) -> int:
    """As many as were asked for, or as the scenario is long, each seed being some seconds of chaos."""
    return plan.seeds or max(1, math.ceil(plan.length_s / expand(plan.seed).chaos_s))


def forced(scenario: Scenario, faults: dict[str, float]) -> Forced:
    """What the scenario says of every seed."""
    return Forced(tuple(faults.items()), scenario.cluster.nodes, scenario.end == "core")


def execute(plan: Plan, folder: Path, say: Callable[[str], None]) -> RunFolder:
    """The folder holds the plan and what every seed came to."""
    run = RunFolder(folder)
    faults, skipped = weights(plan)
    nodes = [f"n{number + 1}" for number in range(plan.scenario.cluster.nodes)]
    run.write("plan.json", {**plan.as_json(), "nodes": nodes, "abilities": []})
    job = Job(plan.seed, seeds_of(plan), os.cpu_count() or 1, forced=forced(plan.scenario, faults))
    facts: dict[str, Any] = {"skipped": skipped, "sim": {"first": job.first, "seeds": job.count, "faults": faults}}
    if faults:
        named = ", ".join(f"{name} {weight:g}" for name, weight in faults.items())
        say(f"simulating {job.count} seeds from {job.first} on, with {named}")
        facts["sim"].update(_found(campaign(job, say), job))
    run.write("facts.json", facts)
    return RunFolder(folder)


def _found(report: Report, job: Job) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for tally in report.configs.values():
        counts.update(tally.stats)
    return {
        "done": sum(report.seeds.values()),
        "counts": dict(sorted(counts.items())),
        "failures": [
            {"seed": line["seed"], "violations": line["violations"], "replay": replay(line["seed"], job)}
            for line in sorted(report.failures, key=lambda line: line["seed"])
        ],
    }


def judge(run: RunFolder) -> list[Verdict]:
    """The one verdict of such a run."""
    sim: dict[str, Any] = run.facts.get("sim") or {}
    counts: dict[str, int] = sim.get("counts") or {}
    strikes = {name.removeprefix("fault: "): n for name, n in counts.items() if name.startswith("fault: ")}
    operations = {name: counts.get(name, 0) for name in ("acknowledged", "unknown", "reads")}
    numbers: dict[str, Any] = {"seeds": sim.get("done", 0), "faults": strikes, "operations": operations}
    failures = sim.get("failures") or []
    if failures:
        details = [f"seed {one['seed']}: {'; '.join(one['violations'])}; {one['replay']}" for one in failures]
        what = f"{len(failures)} of {sim['done']} seeds violate something"
        return [Verdict(SIM, "violated", what, tuple(details[:20]), numbers)]
    if sim.get("faults") == {}:
        return [Verdict(SIM, "unknown", "no fault of this scenario has a counterpart in the simulator", (), numbers)]
    if not sim or sim.get("done", 0) < sim.get("seeds", 1):
        return [Verdict(SIM, "unknown", f"{sim.get('done', 0)} of {sim.get('seeds', '?')} seeds came to an end")]
    if not strikes or not operations["acknowledged"]:
        return [Verdict(SIM, "unknown", "nothing was broken, or nothing acknowledged", (), numbers)]
    what = (
        f"{sim['done']} seeds, {sum(strikes.values())} faults, {operations['acknowledged']} acknowledged writes, "
        f"{operations['reads']} reads; nothing is violated"
    )
    return [Verdict(SIM, "held", what, (), numbers)]
