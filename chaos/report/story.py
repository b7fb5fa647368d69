"""A run's folder as reports need it: read once, whatever is missing or broken said in a sentence, nothing believed.

Reads the folder and nothing else. Invariant: a run that was cut short, or whose files were torn, is still a story; what
could not be read is in `missing`, and no reader of `plan`, `facts` or `verdicts` can be surprised by their types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chaos.check.bands import bands, end_of_load_ns
from chaos.check.base import PRIORITY
from chaos.check.words import is_final
from chaos.folder import RunFolder
from chaos.history import NEMESIS, operations

from .markup import clean, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from chaos.check.bands import Band
    from chaos.check.base import Valid
    from chaos.folder import Sample
    from chaos.history import Event, Operation

T = TypeVar("T")
UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)
REFUSALS: Final = ("mismatch", "denied", "refused")  # in `more` of a completion: another version, no longer good
WORDS: Final = {"ok": "ok", "refused": "refused", "fail": "fail", "info": "unknown"}  # of outcomes, for people
OUTCOMES: Final = tuple(WORDS)
NOT_JUDGED: Final = "not judged"
MOMENTS: Final = ("faults_from_ns", "healed_ns", "load_ended_ns")
WITHIN: Final = {
    "plan.json": "what was planned is not known",
    "facts.json": "the run was cut short before its end, or is not over",
    "results.json": "nobody has judged the run: `python -m chaos check` does",
}


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with the time of its completion, whatever that said; None if there was none."""

    op: Operation
    done_ns: int | None

    @property
    def outcome(self) -> str:
        """The operation's; "refused" instead of fail if the cluster answered, rightly or not, that it is not so."""
        more = self.op.more
        said_no = self.op.outcome == "fail" and any(more.get(name) is True for name in REFUSALS)
        return "refused" if said_no else self.op.outcome

    @property
    def latency_ns(self) -> int | None:
        """How long its client waited, None if it never heard."""
        return None if self.done_ns is None else self.done_ns - self.op.called_ns


@dataclass(frozen=True, slots=True)
class Ruling:
    """One verdict of results.json."""

    checker: str
    valid: Valid  # anything else was made unknown
    summary: str
    details: tuple[str, ...]
    numbers: dict[str, Any]
    operations: tuple[int, ...]


@dataclass
class Story:
    """See the module's paragraph."""

    run: RunFolder
    plan: dict[str, Any]
    facts: dict[str, Any]
    valid: str
    rulings: tuple[Ruling, ...]
    bands: list[Band]
    calls: list[Call]
    missing: tuple[str, ...]

    @property
    def scenario(self) -> dict[str, Any]:
        """As the plan has it."""
        return dict_of(self.plan.get("scenario"))

    @property
    def name(self) -> str:
        """The scenario's name, else the folder's."""
        return clean(self.scenario.get("name") or self.run.path.resolve().name)

    @property
    def samples(self) -> list[Sample]:
        """What nodes said of themselves."""
        return self.run.samples

    @cached_property
    def nodes(self) -> list[str]:
        """Members by the plan, else all that were asked."""
        said = [one for one in list_of(self.plan.get("nodes")) if isinstance(one, str)]
        return said or sorted({sample.node for sample in self.samples} | {call.op.node for call in self.calls})

    @cached_property
    def end_ns(self) -> float:
        """The last thing that happened; at least a millisecond."""
        heard = max((event.time_ns for event in self.run.events), default=0)
        return float(max(1_000_000, heard, max((sample.time_ns for sample in self.samples), default=0)))

    @cached_property
    def load_ended_ns(self) -> float:
        """When clients stopped, before the last reads."""
        return number(self.facts.get("load_ended_ns")) or end_of_load_ns(self.run)

    @cached_property
    def loaded(self) -> list[Call]:
        """Operations of the load: all but the last reads."""
        return [call for call in self.calls if not is_final(call.op)]

    def brief(self, text: str) -> str:
        """Without the run's id, with which all keys begin."""
        return text.replace(f"{self.run.path.resolve().name}/", "")


def load(path: Path) -> Story:
    """The story of that folder."""
    run = RunFolder(path)
    missing: list[str] = []
    plan = _json(missing, "plan.json", lambda: run.plan)
    facts = _json(missing, "facts.json", lambda: run.facts)
    results = _json(missing, "results.json", lambda: run._json("results.json"))
    run.plan, run.facts = _typed(plan, facts)
    try:
        calls, found = _calls(run.events), list(bands(run))
        if not run.events:
            missing.append("history.jsonl is empty or missing: no client did anything")
    except UNREADABLE as error:
        missing.append(f"history.jsonl cannot be read: {type(error).__name__}")
        calls, found, run.events, run.operations, run.faults = [], [], [], [], []
    try:
        if not run.samples:
            missing.append("samples.jsonl is empty or missing: nothing is known of the nodes")
    except UNREADABLE as error:
        missing.append(f"samples.jsonl cannot be read: {type(error).__name__}")
        run.samples = []
    rulings = tuple(_ruling(dict_of(one)) for one in list_of(results.get("verdicts")))
    said = results.get("valid")
    valid = said if said in PRIORITY else "unknown" if rulings else NOT_JUDGED
    return Story(run, plan, facts, valid, rulings, found, calls, tuple(missing))


def _typed(plan: dict[str, Any], facts: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both with what helpers of checkers read of them, where it is of the type that they expect."""
    steps = [one for one in list_of(plan.get("steps")) if isinstance(one, dict)]
    told = {name: said for name, said in facts.items() if name not in MOMENTS or number(said) is not None}
    typed = {**plan, "nodes": list_of(plan.get("nodes")), "steps": steps}
    return typed, {**told, "write_gap_s": dict_of(facts.get("write_gap_s"))}


def _json(missing: list[str], name: str, read: Callable[[], Any]) -> dict[str, Any]:
    try:
        found = read()
    except UNREADABLE as error:
        missing.append(f"{name} cannot be read ({type(error).__name__}): {WITHIN[name]}")
        return {}
    if not isinstance(found, dict) or not found:
        missing.append(f"{name} is missing or empty: {WITHIN[name]}")
        return {}
    return found


def _calls(events: Iterable[Event]) -> list[Call]:
    """Every operation; those of unknown outcome with the time at which their client gave up."""
    listed = list(events)
    open_ops: dict[int | str, int] = {}
    done: dict[int, int] = {}
    for event in listed:
        if event.process == NEMESIS:
            continue
        if event.type == "invoke":
            open_ops[event.process] = event.index
        elif event.process in open_ops:
            done[open_ops.pop(event.process)] = event.time_ns
    return [Call(op, done.get(op.index)) for op in operations(listed)]


def _ruling(said: dict[str, Any]) -> Ruling:
    valid = said.get("valid")
    named = [one for one in list_of(said.get("operations")) if isinstance(one, int) and not isinstance(one, bool)]
    return Ruling(
        clean(said.get("checker", "?")), valid if valid in PRIORITY else "unknown", clean(said.get("summary"), 1000),
        tuple(clean(one, 1000) for one in list_of(said.get("details"))), dict_of(said.get("numbers")), tuple(named),
    )  # fmt: skip


def dict_of(value: Any) -> dict[str, Any]:
    """The value if it is a dict, else none of one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The value if it is a list, else none of one."""
    return value if isinstance(value, list) else []


def followed(ones: Sequence[T]) -> Iterator[tuple[T, T | None]]:
    """Each with the one after it, None after the last."""
    for place, one in enumerate(ones):
        yield one, ones[place + 1] if place + 1 < len(ones) else None


def victims(band: Band) -> str:
    """Whom a fault hit."""
    return " ".join(band.fault.nodes) or "nobody"


def ended_ns(band: Band, end_ns: float) -> float:
    """Where its band ends on an axis."""
    return end_ns if math.isinf(band.fault.ended_ns) else band.fault.ended_ns
