"""Several runs after each other: scenarios, seeds, what is printed of each, and which folders stay.

Invariants
  CA1  a run that failed is judged all the same, as far as it came: a violation that it had found is one
  CA2  whatever goes wrong here is exit code 3, and never that of a violation; codes of the runs before are not lost
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from . import registry, verdict
from .check import every
from .plan import PlanError, expand
from .report import write
from .runner import RunInterruptedError, execute, new_folder
from .targets.base import TargetError
from .targets.given import Access, is_urls, opened, urls_of
from .targets.simulated import SIM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .plan import Plan, Scenario

FAILED: Final = 3


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    scenarios: Sequence[Scenario]
    target: str | None
    seed: int | None
    runs: int | None
    times: int | None
    folder: Path
    keep: str
    json: bool
    access: Access = field(default_factory=Access)


def run_all(request: Request) -> int:
    """Every scenario with every seed; the worst exit code. Raises TargetError for what nothing could be run with."""
    target = request.target
    for scenario in request.scenarios:
        _check_names(scenario, target)
    if target is not None and is_urls(target):
        opened(target, request.folder, request.access)
        target = ",".join(urls_of(target))
    codes: list[int] = []
    for plan in list(_plans(request, target)):
        try:
            codes.append(_one(request, plan))
        except (RunInterruptedError, KeyboardInterrupt):
            print("chaos: interrupted", file=sys.stderr)
            codes.append(FAILED)
            break
    return verdict.worst_code(codes)


def _check_names(scenario: Scenario, target: str | None) -> None:
    """Raises UnknownNameError before anything is started for a name that would only be missed later."""
    for name in [target] if target is not None else scenario.targets:
        if name != SIM and not is_urls(name):
            registry.known("target", registry.TARGETS, name)
    for name in scenario.workloads:
        registry.workload(name)
    for spec in scenario.faults:
        registry.nemesis(spec.nemesis)
    for name in scenario.checks:
        registry.known("checker", every.CHECKERS, name)


def _plans(request: Request, target: str | None) -> Iterator[Plan]:
    """In the simulator one plan has all the seeds."""
    first = random.SystemRandom().getrandbits(31) if request.seed is None else request.seed
    for number in range(request.runs or 1):
        for scenario in request.scenarios:
            simulated = (target or scenario.targets[0]) == SIM
            if not simulated:
                yield expand(scenario, first + number, target, request.times)
            elif not number:
                yield expand(scenario, first, target, request.times, request.runs or 0)


def _one(request: Request, plan: Plan) -> int:
    say: Callable[[str], None] = (lambda _line: None) if request.json else print
    folder = new_folder(plan, request.folder)
    say(f"{plan.scenario.name}, seed {plan.seed}: {folder}")
    code, why = _performed(plan, folder, request.access, say)
    if request.json:
        said = {"scenario": plan.scenario.name, "seed": plan.seed, "target": plan.target, "code": code, "why": why}
        print(json.dumps({**said, "folder": str(folder)}), flush=True)
    if request.keep == "failed" and code == 0:
        shutil.rmtree(folder)
    return code


def _performed(plan: Plan, folder: Path, access: Access, say: Callable[[str], None]) -> tuple[int, str]:
    """The exit code of one run with its verdicts (CA1, CA2), and why it failed. Raises RunInterruptedError."""
    code, why = 0, ""
    try:
        given = opened(plan.target, folder.resolve(), access) if is_urls(plan.target) else None
        execute(plan, folder, given, say)
    except RunInterruptedError:
        raise
    except Exception as error:  # noqa: BLE001 - CA2
        code, why = FAILED, _told(error)
    if code and not (folder / "plan.json").exists():
        return code, why  # it did not come so far that there is anything to judge
    try:
        code = verdict.worst_code([code, verdict.judge_folder(folder, say)])
        write.all_files(folder)
    except Exception as error:  # noqa: BLE001 - CA2
        code, why = verdict.worst_code([code, FAILED]), why or _told(error)
    return code, why


def _told(error: Exception) -> str:
    """What is printed of it, too; where it happened, if nobody foresaw it."""
    if isinstance(error, TargetError | PlanError | registry.UnknownNameError):
        print(f"chaos: {error}", file=sys.stderr)
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def repeat(plan: Plan, root: Path, access: Access) -> int:
    """That plan once more, in a folder of its own; the exit code. Raises TargetError."""
    folder = new_folder(plan, root)
    print(f"{plan.scenario.name}, seed {plan.seed}: {folder}")
    return _performed(plan, folder, access, print)[0]
