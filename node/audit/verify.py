"""Is this chain whole? What `append` promised, checked line by line.

Pure. With the key it finds every changed, removed, moved or added byte; without it, it proves continuity only: that
numbers rise by one, that files name what they continue, and that the heads that are known as facts are there.
Invariant: one fault gives one finding or a few, never one for each line behind it.
Source: docs/threat-model.md, audit.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from .chain import Head, Line, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .chain import Mac


_decode = msgspec.json.Decoder(dict).decode
_TRUNCATED = "Input data was truncated"


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
    """`keyed` says whether contents were proven or continuity only; `torn` counts crashes that are accounted for.

    `lost` counts lines that are not here and that nobody was answered for: they were sent when a socket broke.
    """

    keyed: bool
    lines: int = 0
    torn: int = 0
    lost: int = 0
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


def changed(lines: Iterable[bytes], before: Head, mac: Mac) -> list[int]:
    """Numbers of the lines that do not have the MAC they carry, of a piece of a chain that goes on from `before`.

    What continues nothing that is known (it follows a gap) cannot be judged and is not named: `verify` finds the gap.
    """
    found = []
    last: Head | None = before
    for raw in lines:
        line = parse(raw)
        if line is None:
            continue
        if line.type == "open":
            last = line.previous or Head()
        elif last is not None and line.sequence != last.sequence + 1:
            last = None
        if last is not None and not hmac.compare_digest(mac(last.mac + line.body), line.mac):
            found.append(line.sequence)
        last = Head(line.sequence, line.mac)
    return found


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
        if line.type == "open" and (_is_stated(stray, line) or _is_broken_off(stray, line)):
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
        unsure = line.unsure or Head()
        if line.type == "open" and not first:
            before = line.previous or Head()
            if before.sequence < last <= unsure.sequence:
                if last == unsure.sequence and self._base is not None and unsure.mac != self._base:
                    self._find(Fault.CHANGED, line.sequence)
            elif before.sequence < last:
                self._find(Fault.FORK, line.sequence)
            elif before.sequence > last:
                self._find(Fault.GAP, line.sequence)
            elif self._base is not None and before.mac != self._base:
                self._find(Fault.CHANGED, line.sequence)
            self._base = before.mac
            self._report.lost += max(0, unsure.sequence - max(last, before.sequence))
            last = before.sequence
        last = max(last, unsure.sequence)
        if line.sequence > last + 1:
            self._find(Fault.GAP, line.sequence)
            self._base = self._base if line.type == "open" else None
        elif line.sequence <= last:
            self._find(Fault.FORK, line.sequence)
            self._base = None

    def _judge_mac(self, line: Line) -> None:
        if self._mac is None or self._base is None:
            return
        if not hmac.compare_digest(self._mac(self._base + line.body), line.mac):
            self._find(Fault.CHANGED, line.sequence)


def is_unfinished(piece: bytes) -> bool:
    """Whether the bytes are the beginning of a JSON object whose end is not there: what is left of a line.

    Never so of a whole object, whatever stands behind it, nor of several lines.
    """
    if not piece.startswith(b"{") or b"\n" in piece:
        return False
    return _is_truncated(piece) or _is_truncated(piece + b"0")  # a number may end in its sign, point or exponent


def _is_truncated(piece: bytes) -> bool:
    try:
        _decode(piece)
    except msgspec.DecodeError as error:
        return str(error) == _TRUNCATED
    except (UnicodeDecodeError, RecursionError):
        pass
    return False


def _is_stated(stray: bytes, line: Line) -> bool:
    """What a crash left: the line has its length and hash; a line break was added, or its file ended there."""
    stated = stray[: line.torn_bytes]
    return (
        len(stated) == line.torn_bytes
        and hashlib.sha256(stated).hexdigest() == line.torn_sha256
        and stray[line.torn_bytes :] in {b"", b"\n"}
    )


def _is_broken_off(stray: bytes, line: Line) -> bool:
    """What arrived of one line when the socket broke; of it nothing is stated, because nobody knows."""
    left = stray.removesuffix(b"\n")
    return line.unsure is not None and not line.torn_bytes and (not left or is_unfinished(left))
