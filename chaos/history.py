"""What was asked, what was answered, and what was broken meanwhile: one JSON object a line.

Jepsen's shape: each operation is an `invoke` and a completion, `ok` (done), `fail` (surely not done) or `info` (outcome
unknown). A process has one operation at a time; after `info` its number is never used again, for that operation may
take effect at any later time. Faults are `info` lines of the process "nemesis", one when each begins and one when it
has been healed. Values are markers that the run made up; nobody's secret is in a history.

Invariants
  H1  lines are in the order of their time; `index` is the number of the line
  H2  an operation without a completion counts as one of unknown outcome: a run that was cut short is checked like any
Source: Jepsen, jepsen/src/jepsen/{core,store}.clj; Herlihy and Wing, Linearizability (1990).
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NEMESIS: Final = "nemesis"
Type = Literal["invoke", "ok", "fail", "info"]
Outcome = Literal["ok", "fail", "info"]
FOREVER_NS: Final = math.inf


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `time_ns` is the runner's monotonic clock, 0 at the start of the run."""

    index: int
    time_ns: int
    type: Type
    process: int | str
    f: str
    key: str = ""
    value: Any = None
    error: str = ""  # of a completion that is not ok: why, in few words
    node: str = ""  # who was asked, or what was broken
    version: int | None = None  # KV version that was made or read
    raft_index: int | None = None  # X-Strongroom-Index of the answer
    more: dict[str, Any] | None = None  # what one workload's checker alone needs

    def line(self) -> str:
        """As it is written."""
        said = {
            "index": self.index, "time": self.time_ns, "type": self.type, "process": self.process, "f": self.f,
            "key": self.key, "value": self.value, "error": self.error, "node": self.node, "ver": self.version,
            "idx": self.raft_index, "more": self.more,
        }  # fmt: skip
        needed = ("index", "time", "type", "process", "f")
        return json.dumps({name: value for name, value in said.items() if name in needed or value not in (None, "")})

    @classmethod
    def of(cls, line: str) -> Event:
        """From a line. Raises ValueError or KeyError for what is none."""
        said = json.loads(line)
        return cls(
            said["index"], said["time"], said["type"], said["process"], said["f"], said.get("key", ""),
            said.get("value"), said.get("error", ""), said.get("node", ""), said.get("ver"), said.get("idx"),
            said.get("more"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """An invocation with its completion; `returned_ns` is FOREVER_NS if the outcome is unknown."""

    process: int | str
    f: str
    key: str
    argument: Any
    result: Any
    outcome: Outcome
    called_ns: int
    returned_ns: float
    node: str
    version: int | None
    raft_index: int | None
    error: str
    more: dict[str, Any]
    index: int  # of the invocation's line: how reports name it


@dataclass(frozen=True, slots=True)
class Fault:
    """What was broken, where, from when until when (the end of the run if it was never healed)."""

    name: str
    nodes: tuple[str, ...]
    began_ns: int
    ended_ns: float
    effect: dict[str, Any]  # what the nemesis counted; `took_effect` is true if anything really happened


class Recorder:
    """Appends events to a file; flushed each second and at the end."""

    def __init__(self, file: TextIO, began_ns: int | None = None) -> None:
        self._file = file
        self._began_ns = time.monotonic_ns() if began_ns is None else began_ns
        self._count = 0
        self._flushed_ns = 0
        self.events: list[Event] = []

    def now_ns(self) -> int:
        """Time since the start of the run."""
        return time.monotonic_ns() - self._began_ns

    def add(self, kind: Type, process: int | str, f: str, **more: Any) -> Event:
        """The event is in the file (H1), flushed within a second."""
        event = Event(self._count, self.now_ns(), kind, process, f, **more)
        self._count += 1
        self.events.append(event)
        self._file.write(event.line() + "\n")
        if event.time_ns - self._flushed_ns > 1_000_000_000:
            self._flushed_ns = event.time_ns
            self._file.flush()
        return event

    def flush(self) -> None:
        """Everything said so far is in the file."""
        self._file.flush()


def read(path: Path) -> list[Event]:
    """The events of a file; a torn last line of a run that was cut short is left out."""
    events = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                break
            events.append(Event.of(line))
    return events


def operations(events: Iterable[Event]) -> list[Operation]:
    """Every operation of the clients, in the order of invocation (H2)."""
    open_ops: dict[int | str, Event] = {}
    pairs: list[tuple[Event, Event | None]] = []
    places: dict[int | str, int] = {}
    for event in events:
        if event.process == NEMESIS:
            continue
        if event.type == "invoke":
            open_ops[event.process] = event
            places[event.process] = len(pairs)
            pairs.append((event, None))
        elif event.process in open_ops:
            pairs[places[event.process]] = (open_ops.pop(event.process), event)
    return [_operation(invoked, completed) for invoked, completed in pairs]


def _operation(invoked: Event, completed: Event | None) -> Operation:
    if completed is None or completed.type == "info":
        outcome: Outcome = "info"
        returned_ns: float = FOREVER_NS
    else:
        outcome = "ok" if completed.type == "ok" else "fail"
        returned_ns = completed.time_ns
    said = completed or invoked
    more = {**(invoked.more or {}), **((completed.more or {}) if completed is not None else {})}
    return Operation(
        invoked.process, invoked.f, invoked.key, invoked.value, None if completed is None else completed.value,
        outcome, invoked.time_ns, returned_ns, said.node or invoked.node, said.version, said.raft_index,
        "" if completed is None else completed.error, more,
        invoked.index,
    )  # fmt: skip


def faults(events: Iterable[Event]) -> list[Fault]:
    """Every fault of the run, in the order they began."""
    found: list[Fault] = []
    open_faults: dict[int, int] = {}
    for event in events:
        if event.process != NEMESIS or event.more is None or "fault" not in event.more:
            continue
        number = event.more["fault"]
        effect = {name: value for name, value in event.more.items() if name not in {"fault", "nodes"}}
        if number not in open_faults:
            open_faults[number] = len(found)
            found.append(Fault(event.f, tuple(event.more.get("nodes", ())), event.time_ns, FOREVER_NS, effect))
        else:
            old = found[open_faults[number]]
            found[open_faults[number]] = Fault(
                old.name, old.nodes, old.began_ns, event.time_ns, {**old.effect, **effect}
            )
    return found


def edn(events: Iterable[Event]) -> Iterator[str]:
    """Jepsen's form, a map a line: for Elle and Knossos."""
    for event in events:
        process = f":{event.process}" if isinstance(event.process, str) else str(event.process)
        yield (
            f"{{:index {event.index}, :time {event.time_ns}, :type :{event.type}, :process {process}, "
            f":f :{event.f}, :value {_edn(_edn_value(event))}}}"
        )


def _edn_value(event: Event) -> Any:
    return [event.key, event.value] if event.key else event.value


def _edn(value: Any) -> str:
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_edn, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_edn(str(name))} {_edn(one)}" for name, one in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value)
    return str(value)
