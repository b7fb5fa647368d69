"""Fewer faults with which a run still fails: delta debugging over the steps of its plan.

Runs of real processes are not repeated exactly, so a smaller plan counts as held only after several tries.
Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from . import verdict
from .runner import execute, new_folder
from .targets.given import is_urls, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .plan import Step
    from .targets.given import Access

T = TypeVar("T")


def minimal(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part of `items` that fails, and does not with any one of them left out. Pure but for `fails`."""
    left = list(items)
    pieces = 2
    while len(left) > 1:
        size = max(1, len(left) // pieces)
        for start in range(0, len(left), size):
            fewer = left[:start] + left[start + size :]
            if fewer and fails(fewer):
                left = fewer
                pieces = max(pieces - 1, 2)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), pieces * 2)
    return left


def shrink(run: Path, root: Path, tries: int, access: Access, say: Callable[[str], None]) -> int:
    """Prints the smallest plan found and where its run is. Raises PlanError, TargetError."""
    plan = verdict.stored_plan(run)
    if verdict.judge_folder(run, lambda _line: None) != 1:
        say("that run has no violation: there is nothing to shrink")
        return 2
    last: list[Path] = [run]

    def fails(steps: Sequence[Step]) -> bool:
        for _ in range(tries):
            smaller = replace(plan, steps=tuple(steps))
            folder = new_folder(smaller, root)
            given = opened(plan.target, folder.resolve(), access) if is_urls(plan.target) else None
            execute(smaller, folder, given, say=lambda _line: None)
            code = verdict.judge_folder(folder, lambda _line: None)
            say(f"{len(steps)} faults: {'fails' if code == 1 else 'holds'} ({folder})")
            if code == 1:
                last[0] = folder
                return True
        return False

    left = minimal(plan.steps, fails)
    say(f"{len(left)} of {len(plan.steps)} faults are needed: {', '.join(step.nemesis for step in left)}")
    say(f"a run with these alone: {last[0]}")
    return 1
