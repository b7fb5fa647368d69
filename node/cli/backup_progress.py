"""How far a long command is, on stderr: a bar on a terminal, lines of JSON for programs, nothing else.

Writes stderr alone. `form`: auto, bar, json or none.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Progress

WIDTH = 30
STEP = 0.005  # of the whole, between two bars
MB = 1_000_000


def watcher(form: str) -> Callable[[Progress], None]:
    """What to call with each Progress."""
    if form == "json":
        return _json
    if form == "bar" or (form == "auto" and sys.stderr.isatty()):
        return _Bar()
    return lambda _progress: None


def _json(progress: Progress) -> None:
    line = {"step": progress.step, "done_bytes": progress.done_bytes, "total_bytes": progress.total_bytes}
    click.echo(json.dumps(line), err=True)


class _Bar:
    """One line that is written over; a finished step keeps its line."""

    def __init__(self) -> None:
        self._step = ""
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        total = progress.total_bytes
        part = progress.done_bytes / total if total else 0.0
        if progress.step == self._step and part < 1 and part - self._shown < STEP and total:
            return
        if self._step and progress.step != self._step:
            click.echo(err=True)
        self._step, self._shown = progress.step, part
        click.echo(f"\r{line_of(progress)}", err=True, nl=part >= 1)
        if part >= 1:
            self._step = ""


def line_of(progress: Progress) -> str:
    """The bar. Pure."""
    done = f"{progress.done_bytes / MB:.1f} MB"
    if not progress.total_bytes:
        return f"{progress.step}: {done}"
    part = progress.done_bytes / progress.total_bytes
    filled = int(part * WIDTH)
    bar = "#" * filled + "." * (WIDTH - filled)
    return f"{progress.step}: [{bar}] {part:4.0%} of {progress.total_bytes / MB:.1f} MB"
