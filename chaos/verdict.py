"""From a run's folder to its verdicts, results.json and exit code; no cluster is needed (`chaos check`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from . import registry
from .check import every
from .check.base import Valid, Verdict, merged
from .folder import RunFolder
from .plan import FaultSpec, Plan, PlanError, Scenario, Step
from .targets import simulated
from .targets.base import FILES, TargetSettings
from .targets.simulated import SIM

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

CODES: Final[dict[Valid, int]] = {"held": 0, "violated": 1, "unknown": 2, "skipped": 2}
USUAL: Final = ("logs", "rates", "converge", "live", "recover", "plaintext", "audit")
OF_FILES: Final = ("logs", "plaintext", "audit")  # what they look at lies on the nodes' disks
MARKS: Final[dict[Valid, str]] = {"held": "ok  ", "violated": "BAD ", "unknown": "?   ", "skipped": "-   "}


def names_of(plan: dict[str, Any]) -> list[str]:
    """The checkers that judge a run of that plan: the usual ones, the workloads' and the scenario's own."""
    scenario = plan["scenario"]
    own = [name for workload in scenario["workloads"] for name in registry.workload(workload).checks]
    return list(dict.fromkeys([*USUAL, *own, *scenario.get("checks", ())]))


def judge_folder(path: Path, say: Callable[[str], None]) -> int:
    """results.json stands; the exit code. Raises PlanError if the folder holds no run."""
    run = RunFolder(path)
    if not run.plan:
        raise PlanError(f"{path} holds no plan.json")
    verdicts = verdicts_of(run)
    valid = merged(verdicts)
    run.write("results.json", {"valid": valid, "verdicts": [one.as_json() for one in verdicts]})
    for line in lines_of(run, verdicts):
        say(line)
    return CODES[valid]


def verdicts_of(run: RunFolder) -> list[Verdict]:
    """What everybody who is asked of such a run says."""
    if run.plan.get("target") == SIM:
        return simulated.judge(run)
    return [excused(one, run.plan.get("abilities")) for one in every.judge(run, names_of(run.plan))]


def excused(verdict: Verdict, abilities: Collection[str] | None) -> Verdict:
    """Who cannot tell because the nodes' files are out of reach has nothing to look at; what was found stays found."""
    if verdict.valid != "unknown" or verdict.checker not in OF_FILES or abilities is None or FILES in abilities:
        return verdict
    return replace(verdict, valid="skipped", summary=f"the nodes' files are out of reach ({verdict.summary})")


def lines_of(run: RunFolder, verdicts: Iterable[Verdict]) -> list[str]:
    """For people."""
    lines = []
    for one in verdicts:
        lines.append(f"  {MARKS[one.valid]}{one.checker}: {one.summary}")
        lines += [f"        {detail}" for detail in one.details]
    lines += [f"  skipped {name}: {why}" for name, why in run.facts.get("skipped", {}).items()]
    return lines


def worst_code(codes: Iterable[int]) -> int:
    """Of several runs: a violation before a failure of the harness before the unknown; of none it is unknown."""
    found = set(codes)
    return next((code for code in (1, 3, 2, 0) if code in found), 2)


def described() -> list[tuple[str, str, str]]:
    """(name, what it verifies, what it does not) of every checker."""
    return [(name, one.verified, one.not_verified) for name, one in sorted(every.CHECKERS.items())]


def stored_plan(path: Path) -> Plan:
    """The plan of a stored run. Raises PlanError."""
    said = RunFolder(path).plan
    if not said:
        raise PlanError(f"{path} holds no plan.json")
    scenario = dict(said["scenario"])
    faults = tuple(
        FaultSpec(**{**one, "hold_s": tuple(one["hold_s"]), "quiet_s": tuple(one["quiet_s"])})
        for one in scenario.pop("faults")
    )
    cluster = TargetSettings(**scenario.pop("cluster"))
    for key in ("targets", "checks"):
        scenario[key] = tuple(scenario[key])
    steps = tuple(Step(**one) for one in said["steps"])
    made = Scenario(**scenario, faults=faults, cluster=cluster)
    return Plan(made, said["seed"], said["target"], steps, said.get("seeds", 0))
