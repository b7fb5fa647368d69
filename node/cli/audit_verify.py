"""`audit verify FILE…`: is the chain of these files whole, and does it reach what the cluster knows?

Offline and without the key it proves continuity only, and says so. With `-facts` a node is asked for the heads that are
facts of the cluster, with `-contents` to prove every line with the chain key, which never leaves the nodes: ask another
node than the one whose files they are.
Invariants: what is checked is chosen by the command line and never by what a file says; every byte of a file is part of
a line that was checked, or a finding, but for what `-node`, `-device` and `-syslog` say is not to be looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import LocalError
from .output import remark
from .session import api_command, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..audit import Head
    from .session import Session

# What a syslog daemon puts before a line: the message's length, its priority, a time, and words as far as the line.
SYSLOG_HEADER = re.compile(
    rb"(?:\d{1,9} )?(?:<\d{1,3}>(?:1 )?)?"
    rb"(?:-|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) "
    rb"(?:[!-z|}~]{1,255} {1,2}){1,6}(?=\{)"
)


@api_command("verify")
@option("--facts", is_flag=True, help="compare with the heads that the cluster keeps; asks the server at -address")
@option("--contents", is_flag=True, help="have the server at -address prove every line with the cluster's chain key")
@option("--head", "heads", multiple=True, metavar="SEQUENCE:HEX", help="a head that is known, of an earlier verify")
@option("--node", help="only lines of this node, out of a file in which a collector mixes them")
@option("--device", help="only lines of this device")
@option("--syslog", is_flag=True, help="a syslog daemon wrote the files: what it put before a line is cut off")
@option("--security", is_flag=True, help="the files are a security.log and the one before it")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE..."
)
def verify(
    session: Session,
    files: tuple[Path, ...],
    facts: bool,
    contents: bool,
    heads: tuple[str, ...],
    node: str | None,
    device: str | None,
    syslog: bool,
    security: bool,
) -> int:
    """Check audit files of one device of one node, or its security.log, the oldest first. Exit 2 on a fault."""
    from ..audit import Fault, Finding
    from ..audit import verify as check
    from .audit_contents import changed_lines

    if security:
        if facts or contents or heads or syslog or node is not None or device is not None:
            raise LocalError("-security takes no other option: a security log has no key and no facts")
        return _security(files)
    source = Source(files, node, None if device is None else f"{device.strip('/')}/", syslog=syslog)
    known = [_head(text) for text in heads]
    if facts:
        known.append(_fact(session, _writer(source)))
    report = check(source.lines(), None, known)
    if contents:
        report.findings += [Finding(Fault.CHANGED, number) for number in changed_lines(session, source.lines())]
    for finding in report.findings:
        remark(f"{finding.fault.value} at line number {finding.sequence} of the chain")
    is_mixed = source.has_security_lines()
    if is_mixed:
        remark("there are lines of a security log in these files, which is verified with -security")
    if report.after is not None and report.after.sequence:
        remark(f"begins behind line number {report.after.sequence} of the chain")
    if report.torn:
        remark(f"{report.torn} times a part of a line was left by a crash or a broken connection, and accounted for")
    if report.lost:
        remark(f"{report.lost} lines did not arrive when a connection broke; nobody was answered for them")
    click.echo(f"{report.lines} lines, head {report.head.sequence}:{report.head.mac.hex()}")
    if not known:
        remark("whether newer lines are missing is found with -facts or -head")
    if contents:
        remark("contents were proven with the cluster's chain key")
    else:
        remark("continuity only: whether contents were changed is proven with -contents")
    return 0 if report.ok and not is_mixed else 2


def _security(files: tuple[Path, ...]) -> int:
    """A security log: it has no key and no facts."""
    from ..audit import verify_security

    report = verify_security(Source(files).raw())
    for finding in report.findings:
        remark(f"{finding.fault.value} at event number {finding.sequence}")
    if report.after is not None:
        remark(f"begins behind event number {report.after.sequence}")
    if report.torn:
        remark(f"{report.torn} times a part of a line was left by a crash or a full disk")
    click.echo(f"{report.lines} events, head {report.head.sequence}:{report.head.mac.hex()}")
    remark("continuity only: a security log is chained without a key")
    return 0 if report.ok else 2


@dataclass(frozen=True, slots=True)
class Source:
    """Files in their order, and which of their lines are asked for. `device` with its slash; None: of any."""

    files: tuple[Path, ...]
    node: str | None = None
    device: str | None = None
    syslog: bool = False

    def raw(self) -> Iterator[bytes]:
        """Every line, newlines kept. Raises LocalError."""
        try:
            for path in self.files:
                with path.open("rb") as file:
                    yield from file
        except OSError as error:
            raise LocalError(f"{path} cannot be read: {error.strerror}") from error

    def lines(self) -> Iterator[bytes]:
        """Every line that is asked for, without what syslog put before it; and whatever is none, if all are."""
        from ..audit.chain import parse

        everything = self.node is None and self.device is None
        for raw in self.raw():
            header = SYSLOG_HEADER.match(raw) if self.syslog else None
            text = raw if header is None else raw[header.end() :]
            line = parse(text)
            if line is None:
                if everything:
                    yield text
            elif self.node in {None, line.node} and self.device in {None, line.device}:
                yield text

    def has_security_lines(self) -> bool:
        """There is a line of a security log, where everything is asked for."""
        from ..audit import is_security_line

        return self.node is None and self.device is None and any(map(is_security_line, self.raw()))


def _writer(source: Source) -> tuple[str, str]:
    """Node and device of the first line."""
    from ..audit.chain import parse

    for raw in source.lines():
        line = parse(raw)
        if line is not None:
            return line.node, line.device
    raise LocalError("there is no audit line in these files")


def _fact(session: Session, writer: tuple[str, str]) -> Head:
    from ..audit import Head

    node, device = writer
    reply = session.call("GET", "strongroom/status")
    account = reply.data or reply.document
    for one in account.get("audit", ()):
        fact = one.get("facts", {}).get(node) if one.get("path") == device else None
        if fact is not None:
            return Head(int(fact["sequence"]), bytes.fromhex(fact["head"]), fact["file"])
    raise LocalError(f"the server knows no head of device {device} of node {node}: a device that is disabled has none")


def _head(text: str) -> Head:
    from ..audit import Head

    found = re.fullmatch(r"([0-9]{1,19}):([0-9a-f]{64})", text)
    if found is None:
        raise LocalError("-head is SEQUENCE:HEX, as verify prints it")
    return Head(int(found[1]), bytes.fromhex(found[2]))
