"""The folder of one run, and how everything in it is found again: `chaos check` needs nothing else.

    plan.json       the expanded scenario: seed, target, versions, every fault with its time
    history.jsonl   history.py
    samples.jsonl   what each node said of itself while the run went on (watch.py)
    facts.json      what was found at the end: digests, reads of every key, exit codes, restores (runner.py)
    results.json    the verdicts
    report.html junit.xml
    nodes/<id>/     node.log, audit files, what a checker may grep

Touches only this folder. Invariant: a file that is missing is an empty answer where the run may have been cut short,
and the checker that needs it says "unknown", never "held".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import history

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """What one node answered at one time. `status` is strongroom/status, None if it gave none."""

    time_ns: int
    node: str
    ready: bool
    status: dict[str, Any] | None
    wall_skew_s: float | None = None  # the node's wall clock against the runner's
    sealed: bool = False  # it answered that it has no keys; its status is None then
    answered: bool = False  # it answered something, if only that it is not ready


@dataclass
class RunFolder:
    """Reading side of a run."""

    path: Path
    kept: dict[str, Any] = field(default_factory=dict)  # what checkers found once for all of them

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        if not file.exists():
            return {}
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    @cached_property
    def plan(self) -> dict[str, Any]:
        """plan.json, {} if there is none."""
        return self._json("plan.json")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """facts.json, {} if the run did not come so far."""
        return self._json("facts.json")

    @cached_property
    def events(self) -> list[history.Event]:
        """The whole history."""
        file = self.path / "history.jsonl"
        return history.read(file) if file.exists() else []

    @cached_property
    def operations(self) -> list[history.Operation]:
        """What clients did."""
        return history.operations(self.events)

    @cached_property
    def faults(self) -> list[history.Fault]:
        """What was broken."""
        return history.faults(self.events)

    @cached_property
    def samples(self) -> list[Sample]:
        """What nodes said of themselves, in the order of time."""
        file = self.path / "samples.jsonl"
        if not file.exists():
            return []
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [Sample(**json.loads(line)) for line in lines if line.endswith("\n")]

    @property
    def nodes(self) -> list[str]:
        """Ids of the members."""
        return list(self.plan.get("nodes", ()))

    def node_folder(self, node: str) -> Path:
        """Logs and audit files of that node; it may not exist (a cluster of somebody else's)."""
        return self.path / "nodes" / node

    def write(self, name: str, value: Any) -> None:
        """A JSON file of the folder is replaced."""
        (self.path / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
