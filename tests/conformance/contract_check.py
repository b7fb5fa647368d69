"""The recorded contract against one fresh node: starts `contract/contract.py check` and reads its counts.

The program stands alone (it needs nothing but Python), so it runs as a process of its own. It starts the server, sends
every request, compares, and ends the server by its process id.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONTRACT = Path(__file__).parent / "contract" / "contract.py"
SERVER = Path(sys.executable).parent / "strongroom"
START = (
    f"{SERVER} server --listen {{address}} --data {{data}} --dev-http"
    " --audit-dir {audit} --locked-listener {locked}"
)
EQUAL_MIN = 944
"""Of 944."""
_LINE = re.compile(r"^(?P<scenario>\w+): (?P<equal>\d+) of (?P<total>\d+)$", re.MULTILINE)
_WHOLE = re.compile(r"^(?P<what>contract|texts): (?P<equal>\d+) of (?P<total>\d+) equal$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counts:
    """(equal, total) of every scenario, of the whole, and of the error texts; `report` is the program's own."""

    scenarios: dict[str, tuple[int, int]]
    contract: tuple[int, int]
    texts: tuple[int, int]
    report: str

    def differences(self, scenario: str) -> str:
        """The part of the report that speaks of one scenario."""
        parts = re.split(r"(?m)^(?=DIFF |TEXT |\w+: )", self.report)
        return "".join(part for part in parts if re.match(rf"(DIFF|TEXT) {scenario}#", part))


def run_contract(only: str | None = None, *, timeout_s: float = 300) -> Counts:
    """Counts of the scenarios whose names match `only` (and of init). Raises RuntimeError if there are none."""
    command = [sys.executable, str(CONTRACT), "check", "--start", START, *(["--only", only] if only else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    return counts_of(done.stdout, done.stderr)


def counts_of(report: str, errors: str = "") -> Counts:
    """The counts that a report ends with. Raises RuntimeError if it does not."""
    whole = {match["what"]: (int(match["equal"]), int(match["total"])) for match in _WHOLE.finditer(report)}
    if "contract" not in whole:
        raise RuntimeError(f"the contract check did not come to its end:\n{report[-2000:]}\n{errors[-2000:]}")
    scenarios = {match["scenario"]: (int(match["equal"]), int(match["total"])) for match in _LINE.finditer(report)}
    return Counts(scenarios, whole["contract"], whole.get("texts", (0, 0)), report)
