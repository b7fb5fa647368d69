"""Several runs after each other: scenarios, seeds, what is printed of each, and which folders stay."""

from __future__ import annotations

import json
import random
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import verdict
from .plan import expand
from .report import write
from .runner import execute, new_folder
from .targets.base import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .plan import Plan, Scenario

FAILED: Final = 3


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    scenarios: Sequence[Scenario]
    target: str | None
    seed: int | None
    runs: int
    times: int | None
    folder: Path
    keep: str
    json: bool
    token_file: Path | None = None
    ca_file: Path | None = None
    hook: str | None = None


def run_all(request: Request) -> int:
    """Every scenario with every seed; the worst exit code."""
    first = random.SystemRandom().getrandbits(31) if request.seed is None else request.seed
    plans = [
        expand(scenario, first + number, request.target, request.times)
        for number in range(request.runs)
        for scenario in request.scenarios
    ]
    return verdict.worst_code([_one(request, plan) for plan in plans])


def _one(request: Request, plan: Plan) -> int:
    say: Callable[[str], None] = (lambda _line: None) if request.json else print
    folder = new_folder(plan, request.folder)
    say(f"{plan.scenario.name}, seed {plan.seed}: {folder}")
    why = ""
    try:
        execute(plan, folder, say=say)
        code = verdict.judge_folder(folder, say)
        write.all_files(folder)
    except TargetError as error:
        code, why = FAILED, str(error)
        print(f"chaos: {error}", file=sys.stderr)
    if request.json:
        said = {"scenario": plan.scenario.name, "seed": plan.seed, "target": plan.target, "code": code, "why": why}
        print(json.dumps({**said, "folder": str(folder)}), flush=True)
    if request.keep == "failed" and code == 0:
        shutil.rmtree(folder)
    return code
