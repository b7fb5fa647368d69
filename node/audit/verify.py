"""Is this chain whole? What `append` promised, checked line by line.

Pure. With the key it finds every changed, removed, moved or added byte; without it, it proves continuity only: that
numbers rise by one, that files name what they continue, and that the heads that are known as facts are there.
Invariant: one fault gives one finding or a few, never one for each line behind it.
Source: docs/threat-model.md, audit.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .chain import Head, Line, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .chain import Mac


class Fault(enum.StrEnum):
    """What can be wrong."""

    CHANGED = "changed"  # the line does not have the MAC it carries, or its first line names another head
    GAP = "gap"  # numbers are missing
    FORK = "fork"  # a number comes twice, or a known head is not the one in the file
    DAMAGED = "damaged"  # bytes that are no line, and no later line states them
    NO_OPENING = "no opening"  # the first line does not say what it continues: lines before it are missing
    FOREIGN = "foreign"  # a line of another node or device
    MISSING_TAIL = "missing tail"  # a head is known that the files do not reach


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, at the line with this number (for bytes that are no line: the last one before them)."""

    fault: Fault
    sequence: int


@dataclass(slots=True)
class Report:
    """`keyed` says whether contents were proven or continuity only; `torn` counts crashes that are accounted for."""

    keyed: bool
    lines: int = 0
    torn: int = 0
    after: Head | None = None  # what the first line continues; None = the chain begins here
    head: Head = field(default_factory=Head)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No fault was found."""
        return not self.findings


def verify(lines: Iterable[bytes], mac: Mac | None = None, heads: Iterable[Head] = ()) -> Report:
    """The report on the lines of one device on one node, its files in order, newlines kept.

    `mac` is the chain's MAC, None = continuity only. `heads` are known from elsewhere (facts of the cluster).
    """
    check = _Verification(mac, {head.sequence: head.mac for head in heads if head.sequence})
    for line in lines:
        check.take(line)
    return check.close()


class _Verification:
    def __init__(self, mac: Mac | None, heads: dict[int, bytes]) -> None:
        self._mac = mac
        self._heads = heads
        self._report = Report(keyed=mac is not None)
        self._who: tuple[str, str] | None = None
        self._stray = bytearray()  # bytes since the last line that are none
        self._base: bytes | None = None  # the MAC before the next line, None = unknown

    def take(self, raw: bytes) -> None:
        line = parse(raw)
        if line is None:
            self._stray += raw
            return
        first = self._report.lines == 0
        self._report.lines += 1
        self._judge_stray(line)
        if self._who is None:
            self._who = (line.node, line.device)
        if self._who != (line.node, line.device):
            self._find(Fault.FOREIGN, line.sequence)
            self._who = (line.node, line.device)
        if first:
            self._begin(line)
        self._judge_number(line, first=first)
        self._judge_mac(line)
        known = self._heads.get(line.sequence)
        if known is not None and known != line.mac:
            self._find(Fault.FORK, line.sequence)
        self._base = line.mac
        if line.sequence > self._report.head.sequence:
            self._report.head = Head(line.sequence, line.mac)

    def close(self) -> Report:
        report = self._report
        if self._stray:
            self._find(Fault.DAMAGED, report.head.sequence)
        newest = max(self._heads, default=0)
        if newest > report.head.sequence:
            self._find(Fault.MISSING_TAIL, report.head.sequence)
        return report

    def _find(self, fault: Fault, sequence: int) -> None:
        self._report.findings.append(Finding(fault, sequence))

    def _judge_stray(self, line: Line) -> None:
        """Bytes that are no line must be stated by the `open` line behind them, and nothing else be stated."""
        stray, self._stray = bytes(self._stray), bytearray()
        if not stray and not line.torn_bytes:
            return
        stated = stray[: line.torn_bytes]
        if (
            line.type == "open"
            and len(stated) == line.torn_bytes
            and hashlib.sha256(stated).hexdigest() == line.torn_sha256
            and stray[line.torn_bytes :] in {b"", b"\n"}  # the line break that was added, or the end of its file
        ):
            self._report.torn += 1
            return
        self._find(Fault.DAMAGED, self._report.head.sequence)

    def _begin(self, line: Line) -> None:
        if line.type != "open":
            self._find(Fault.NO_OPENING, line.sequence)
            return
        self._report.after = line.previous
        base = line.previous or Head()
        self._base = base.mac
        self._report.head = base
        known = self._heads.get(base.sequence)
        if known is not None and known != base.mac:
            self._find(Fault.FORK, base.sequence)

    def _judge_number(self, line: Line, *, first: bool) -> None:
        last = self._report.head.sequence
        if first and line.type != "open":
            return
        if line.type == "open" and not first:
            before = line.previous or Head()
            if before.sequence < last:
                self._find(Fault.FORK, line.sequence)
            elif before.sequence > last:
                self._find(Fault.GAP, line.sequence)
            elif self._base is not None and before.mac != self._base:
                self._find(Fault.CHANGED, line.sequence)
            self._base = before.mac
            last = before.sequence
        if line.sequence > last + 1:
            self._find(Fault.GAP, line.sequence)
            self._base = self._base if line.type == "open" else None
        elif line.sequence <= last:
            self._find(Fault.FORK, line.sequence)
            self._base = None

    def _judge_mac(self, line: Line) -> None:
        if self._mac is None or self._base is None:
            return
        if self._mac(self._base + line.body) != line.mac:
            self._find(Fault.CHANGED, line.sequence)
