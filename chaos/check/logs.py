"""Did every process behave to its end? Logs without a traceback, and exit codes.

The product's own logs never hold a traceback (an exception there is its type and places): one is Python's, of what
nobody caught. What is quoted is cut to the line's beginning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Verdict, held, skipped, unknown, violated
from .words import shortened

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.folder import RunFolder

WRONG: Final = re.compile(
    rb"Traceback \(most recent call last\)|\bpanic\b|\bBUG\b|\bAssertionError\b|[Aa]ssertion.{0,40} failed"
    rb"|Fatal Python error|Segmentation fault|core dumped|Task exception was never retrieved|was never awaited"
)
ENDINGS: Final = frozenset({None, 0, -9, -15})  # did not run; by itself; by the run's SIGKILL or SIGTERM
PER_FILE: Final = 5


class Logs:
    """See the module's paragraph."""

    name: ClassVar[str] = "logs"
    verified: ClassVar[str] = (
        "no traceback, panic, BUG or failed assertion in any node's log; every process ended in order"
    )
    not_verified: ClassVar[str] = "what is logged as an ordinary error; processes that ended and were started again"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        files = sorted((run.path / "nodes").glob("*/node.log"))
        codes = run.facts.get("exit_codes")
        if not files and codes is not None and not any(code is not None for code in codes.values()):
            return skipped(self, "no node's log is here: somebody else runs the cluster")
        wrong = [line for file in files for line in _wrong_lines(file)]
        for node, code in sorted((codes or {}).items()):
            if code not in ENDINGS:
                wrong.append(f"{node}: its process ended with code {code}")
        numbers: dict[str, Any] = {"logs": len(files), "bytes": sum(file.stat().st_size for file in files)}
        if wrong:
            return violated(self, f"{len(wrong)} things that no node should say or do", wrong, **numbers)
        missing = sorted(set(run.nodes) - {file.parent.name for file in files})
        if missing or not files:
            return unknown(self, f"no log of {', '.join(missing) or 'any node'}", **numbers)
        if codes is None:
            return unknown(self, "exit codes are not known: the run was cut short", **numbers)
        return held(self, f"{len(files)} logs are clean, every process ended in order", **numbers)


def _wrong_lines(file: Path) -> list[str]:
    found: list[str] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if WRONG.search(line):
                text = shortened(line.decode(errors="replace").strip(), 160)
                found.append(f"{file.parent.name} line {number}: {text}")
                if len(found) == PER_FILE:
                    break
    return found
