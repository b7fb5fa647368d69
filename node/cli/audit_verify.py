"""`audit verify FILE…`: is the chain of these files whole? Offline and without the key: continuity only."""

from __future__ import annotations

from pathlib import Path

import click

from .failures import LocalError
from .parts import HELP_NAMES, Command


@click.command("verify", cls=Command, context_settings=HELP_NAMES)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE..."
)
def verify(files: tuple[Path, ...]) -> int:
    """Check audit files of one device of one node, the oldest first. Exit 2 if the chain has a fault."""
    from ..audit import verify as check

    def lines() -> list[bytes]:
        try:
            return [line for path in files for line in path.read_bytes().splitlines(keepends=True)]
        except OSError as error:
            raise LocalError(f"the file cannot be read: {error.strerror}") from error

    report = check(lines(), None, {})
    for finding in report.findings:
        click.echo(f"{finding.fault.value} at line number {finding.sequence} of the chain", err=True)
    click.echo(f"{report.lines} lines, head {report.head.sequence}:{report.head.mac.hex()}")
    click.echo("continuity only: whether contents were changed is proven with the cluster's chain key", err=True)
    return 0 if report.ok else 2
