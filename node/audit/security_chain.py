"""Is `security.log` whole? Its lines are chained by SHA-256, without a key, because it is written while sealed, too.

Pure. It proves continuity and nothing more: whoever can write the file can write it anew from any line on. The
beginning of a line, and a page's zeros, are what a crash or a full disk left, and only counted; other bytes are damage.
Source: `node.security_log`, which writes it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from .chain import Head
from .verify import Fault, Finding, Report, is_unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE = re.compile(rb'(\{.*),"chain":"([0-9a-f]{64})"\}\n?', re.DOTALL)


class _Told(msgspec.Struct):
    type: str
    sequence: int


_decode = msgspec.json.Decoder(_Told).decode


def is_security_line(raw: bytes) -> bool:
    """The line is one of a security log."""
    return _parse(raw) is not None


def verify_security(lines: Iterable[bytes]) -> Report:
    """The report on the lines of one node's security log, the older file first."""
    report = Report(keyed=False)
    stray = b""
    for raw in lines:
        _judge_stray(report, stray)
        told = _parse(raw)
        stray = raw if told is None else b""
        if told is not None:
            _judge(report, *told)
            report.lines += 1
    if stray.strip():
        report.findings.append(Finding(Fault.DAMAGED, report.head.sequence))  # nobody has written on since
    return report


def _judge_stray(report: Report, stray: bytes) -> None:
    """Bytes that are no line, and have something behind them."""
    left = stray.strip()
    if not left:
        return
    left = left.rstrip(b"\0")
    if not left or is_unfinished(left):
        report.torn += 1
        return
    damage = Finding(Fault.DAMAGED, report.head.sequence)
    if report.findings[-1:] != [damage]:  # once for all that stands there
        report.findings.append(damage)


def _judge(report: Report, sequence: int, mac: bytes, body: bytes) -> None:
    before = report.head
    if report.lines == 0 and sequence > 1:  # the file before it is not here
        report.after = before = Head(sequence - 1)
    elif sequence > before.sequence + 1:
        report.findings.append(Finding(Fault.GAP, sequence))
    elif sequence <= before.sequence:
        report.findings.append(Finding(Fault.FORK, sequence))
    elif hashlib.sha256((before.mac.hex() if before.sequence else "").encode() + body).digest() != mac:
        report.findings.append(Finding(Fault.CHANGED, sequence))
    report.head = Head(sequence, mac)


def _parse(raw: bytes) -> tuple[int, bytes, bytes] | None:
    """Number, hash, and what the hash covers besides the one before it."""
    found = _LINE.fullmatch(raw)
    if found is None:
        return None
    body = found[1] + b"}"
    try:
        told = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return (told.sequence, bytes.fromhex(found[2].decode()), body) if told.type == "security" else None
