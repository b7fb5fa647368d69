"""Histories for tests of checkers, told in few words: who asked what from when to when, and what was broken.

Times are milliseconds. Without `at` an operation follows the one before it; without `process` it has one of its own, so
that any two may overlap.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chaos import history
from chaos.folder import RunFolder, Sample
from chaos.history import NEMESIS, Event

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000
STEP_MS = 10
NODES = ("n1", "n2", "n3")


class Story:
    """A run that is written down rather than run. `facts` are those of a run that came to its end."""

    def __init__(self, **facts: Any) -> None:
        self.facts: dict[str, Any] = {"whole": list(NODES), "read": True, **facts}
        self.plan: dict[str, Any] = {"nodes": list(NODES), "scenario": {"name": "story", "cluster": {}}, "steps": []}
        self.files: dict[str, bytes] = {}
        self.samples: list[Sample] = []
        self._lines: list[tuple[int, int, dict[str, Any]]] = []
        self._now_ms = 0
        self._next_process = 1000
        self._faults = 0

    def op(
        self, f: str, key: str = "k", argument: Any = None, result: Any = None, *,
        at: tuple[float, float] | None = None, outcome: str = "ok", process: int | None = None,
        version: int | None = None, index: int | None = None, node: str = "n1", cut: bool = False, **more: Any,
    ) -> Story:  # fmt: skip
        """One operation; `cut`: it has no completion at all."""
        called, returned = at or (self._now_ms + 1, self._now_ms + STEP_MS)
        self._now_ms = max(self._now_ms, int(returned))
        if process is None:
            process = self._next_process
            self._next_process += 1
        said = {"process": process, "f": f, "key": key, "node": node}
        asked = {name: value for name, value in more.items() if name in {"final", "tree", "parent", "ttl_s", "local"}}
        told = {name: value for name, value in more.items() if name not in asked}
        self._add(called, type="invoke", value=argument, more=asked or None, **said)
        if not cut:
            self._add(
                returned, type=outcome, value=result, version=version, raft_index=index, more=told or None, **said
            )
        return self

    def fault(self, name: str, nodes: tuple[str, ...], began: float, ended: float | None, **effect: Any) -> Story:
        """Something was broken; `ended` None: for ever."""
        number, self._faults = self._faults, self._faults + 1
        said = {"process": NEMESIS, "f": name, "type": "info", "node": ",".join(nodes)}
        first = {key: effect.pop(key) for key in ("leader", "write_gap_s") if key in effect}
        self._add(began, more={"fault": number, "nodes": list(nodes), **first}, **said)
        if ended is not None:
            self._add(ended, more={"fault": number, "took_effect": True, **effect}, **said)
        return self

    def sample(self, node: str, at: float, *, ready: bool = True, **status: Any) -> Story:
        """What a node said of itself; without `status` it said nothing."""
        self.samples.append(Sample(int(at * MS), node, ready, {"generation": "g", **status} if status else None))
        return self

    def file(self, name: str, content: bytes) -> Story:
        """A file of the run's folder."""
        self.files[name] = content
        return self

    def _add(self, at_ms: float, **said: Any) -> None:
        self._lines.append((int(at_ms * MS), len(self._lines), said))

    @property
    def events(self) -> list[Event]:
        """The history."""
        ordered = sorted(self._lines, key=lambda line: line[:2])
        return [Event(number, time_ns, **said) for number, (time_ns, _, said) in enumerate(ordered)]

    @property
    def operations(self) -> list[history.Operation]:
        """What clients did."""
        return history.operations(self.events)

    def run(self, folder: Path) -> RunFolder:
        """The run, written and found again."""
        run = RunFolder(folder)
        (folder / "history.jsonl").write_text("".join(event.line() + "\n" for event in self.events))
        ordered = sorted(self.samples, key=lambda sample: sample.time_ns)
        (folder / "samples.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in ordered))
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        run.write("plan.json", self.plan)
        if self.facts:
            run.write("facts.json", self.facts)
        return RunFolder(folder)

    def cut_short(self) -> Story:
        """The run ended before it found any facts."""
        self.facts = {}
        return self
