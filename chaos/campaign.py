"""Several runs after each other: scenarios, seeds, what is printed of each, and which folders stay."""

from __future__ import annotations

import json
import random
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from . import verdict
from .plan import expand
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
    if target is not None and is_urls(target):
        opened(target, request.folder, request.access)
        target = ",".join(urls_of(target))
    return verdict.worst_code([_one(request, plan) for plan in _plans(request, target)])


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
    why = ""
    try:
        given = opened(plan.target, folder.resolve(), request.access) if is_urls(plan.target) else None
        execute(plan, folder, given, say)
        code = verdict.judge_folder(folder, say)
        write.all_files(folder)
    except RunInterruptedError:
        raise
    except TargetError as error:
        code, why = FAILED, str(error)
        print(f"chaos: {error}", file=sys.stderr)
    if request.json:
        said = {"scenario": plan.scenario.name, "seed": plan.seed, "target": plan.target, "code": code, "why": why}
        print(json.dumps({**said, "folder": str(folder)}), flush=True)
    if request.keep == "failed" and code == 0:
        shutil.rmtree(folder)
    return code


def repeat(plan: Plan, root: Path, access: Access) -> int:
    """That plan once more, in a folder of its own; the exit code. Raises TargetError."""
    folder = new_folder(plan, root)
    print(f"{plan.scenario.name}, seed {plan.seed}: {folder}")
    given = opened(plan.target, folder.resolve(), access) if is_urls(plan.target) else None
    execute(plan, folder, given)
    code = verdict.judge_folder(folder, print)
    write.all_files(folder)
    return code
