"""Audit is complete and chained: what was answered has its request and response records, and no line is missing.

Chains are verified by the product's own code (node.audit.verify), for the format is the product's and a second reader
of it would only test itself; without the key that proves continuity, not contents. Records are counted here: over all
nodes a request has one pair, and one more for each attempt that failed and was made again at the next leader.

Invariant: a record that a power cut may have taken, where files are not synced before an answer, is no violation, and
no proof either: it is counted and makes the verdict unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .bands import whole_nodes
from .base import Verdict, held, skipped, unknown, violated
from .words import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from chaos.folder import RunFolder
    from chaos.history import Operation

POWER: Final = "power"  # how the faults begin that lose what is not synced
DAMAGED: Final = "damaged"


@dataclass
class _Records:
    """Of one request id, by device."""

    requests: Counter[str] = field(default_factory=Counter)
    responses: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)  # responses that hold an error
    late: bool = False  # in some trail a response stands before the request


@dataclass
class _Trail:
    """What the files of one device of one node hold, the oldest first."""

    node: str
    device: str
    files: list[Path]

    def lines(self) -> Iterator[bytes]:
        """Newlines kept."""
        for path in self.files:
            with path.open("rb") as file:
                yield from file


class Audit:
    """See the module's paragraph."""

    name: ClassVar[str] = "audit"
    verified: ClassVar[str] = (
        "every answer with a request id has its request and its response record on some node, in this order, and no "
        "second successful one; each device's chain has no gap, fork or damage"
    )
    not_verified: ClassVar[str] = (
        "contents of lines (the chain's key is not here); that the record was written before the answer; answers that "
        "carry no request id"
    )

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        trails = _trails(run)
        if not trails:
            return _without_files(self, run)
        answered = {one.more["rid"]: one for one in run.operations if one.more.get("rid")}
        found: dict[str, _Records] = {rid: _Records() for rid in answered}
        wrong, excused, lines = [], 0, 0
        for trail in trails:
            lines += _read(trail, found)
            faults = list(_chain_faults(trail, run))
            excused += sum(1 for _, is_excused in faults if is_excused)
            wrong += [fault for fault, is_excused in faults if not is_excused]
        operations: list[int] = []
        for rid, one in answered.items():
            why = _wrong_records(found[rid])
            if why and _may_be_lost(one, run):
                excused += 1
            elif why:
                wrong.append(f"{why}: {told(one)}")
                operations.append(one.index)
        numbers: dict[str, Any] = {"lines": lines, "trails": len(trails), "answers": len(answered), "excused": excused}
        if wrong:
            return violated(self, f"{len(wrong)} faults of audit trails", wrong, operations[:1], **numbers)
        if not answered:
            return unknown(self, "no answer carried a request id", **numbers)
        missing = sorted(set(run.nodes) - {trail.node for trail in trails})
        if missing:
            return unknown(self, f"no audit file of {', '.join(missing)}", **numbers)
        if excused:
            return unknown(self, f"{excused} records may have been lost with the power", **numbers)
        if not run.facts:
            return unknown(self, "the run was cut short: its files may be unfinished", **numbers)
        what = f"{len(answered)} answers have their records among {lines} lines of {len(trails)} whole chains"
        return held(self, what, **numbers)


def _without_files(checker: Audit, run: RunFolder) -> Verdict:
    cluster = run.plan.get("scenario", {}).get("cluster", {})
    if run.plan and cluster.get("audit_devices") == 0:
        return skipped(checker, "the scenario has no audit device")
    return unknown(checker, "no audit file is here")


def _trails(run: RunFolder) -> list[_Trail]:
    """Files by node and device, in the order of their numbers; empty files are nobody's."""
    from node.audit.chain import parse

    firsts: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for path in sorted((run.path / "nodes").glob("*/**/audit*.log*")):
        node = path.relative_to(run.path / "nodes").parts[0]
        with path.open("rb") as file:
            line = next((line for line in map(parse, file) if line is not None), None)
        if line is not None:
            firsts.setdefault((node, line.device), []).append((line.sequence, path))
        elif path.stat().st_size:
            firsts.setdefault((node, path.name), []).append((0, path))
    return [_Trail(node, device, [path for _, path in sorted(of)]) for (node, device), of in sorted(firsts.items())]


def _read(trail: _Trail, found: dict[str, _Records]) -> int:
    """Records of the requests that are asked for are counted; the number of lines."""
    count = 0
    begun: set[str] = set()
    early: set[str] = set()  # with a response; a device that was enabled in between never has the request
    for raw in trail.lines():
        count += 1
        try:
            line = json.loads(raw)
            kind, rid = line["type"], line["request"]["id"]
        except (ValueError, KeyError, TypeError):
            continue  # an event, an opening, or a torn line: the chain's business
        records = found.get(rid)
        if records is None:
            continue
        if kind == "request":
            records.requests[trail.device] += 1
            records.late |= rid in early
            begun.add(rid)
        elif kind == "response":
            records.responses[trail.device] += 1
            records.failed[trail.device] += bool(line.get("error"))
            early |= {rid} - begun
    return count


def _wrong_records(records: _Records) -> str:
    """Why these are not the records of one answered request, "" if they are."""
    if not records.requests:
        return "no request record"
    if not records.responses:
        return "no response record"
    if records.late:
        return "a response record stands before its request record"
    for device, responses in records.responses.items():
        if responses - records.failed[device] > 1:
            return "two response records without an error"
        if records.requests[device] - records.failed[device] > 1:
            return "a second request record that no failed attempt explains"
    return ""


def _chain_faults(trail: _Trail, run: RunFolder) -> Iterable[tuple[str, bool]]:
    """(what is wrong, whether a power cut excuses it). What a node tore when it died for good it could not state."""
    from node.audit import verify

    report = verify(trail.lines())
    lost = _lost_power(trail.node, run)
    dead = trail.node not in whole_nodes(run) or run.facts.get("exit_codes", {}).get(trail.node, 0) is None
    for finding in report.findings:
        torn_end = dead and finding.fault.value == DAMAGED and finding.sequence == report.head.sequence
        if not torn_end:
            yield f"{trail.node} {trail.device}: {finding.fault.value} at line number {finding.sequence}", lost


def _lost_power(node: str, run: RunFolder) -> bool:
    is_synced = run.facts.get("audit_synced") is True
    return not is_synced and any(f.name.startswith(POWER) and node in f.nodes for f in run.faults)


def _may_be_lost(one: Operation, run: RunFolder) -> bool:
    """Some node lost its power after this was asked."""
    after: Iterable[Any] = (f for f in run.faults if f.name.startswith(POWER) and f.ended_ns >= one.called_ns)
    return run.facts.get("audit_synced") is not True and any(after)
