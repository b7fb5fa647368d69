"""A process of ours that is told what to do (chaos/net/control.py), from the side that tells it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.process.harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
ANSWER_S = 60.0
END_S = 10.0


class Child:
    """Runs inside `with`; outside it has ended, by its pid."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def ask(self, do: str, timeout_s: float = ANSWER_S, **arguments: Any) -> dict[str, Any]:
        """One command and its answer. Raises HarnessError."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], timeout_s)[0]:
            raise HarnessError(f"{self._command[2]} did not answer {do} within {timeout_s:g} s")
        answer: dict[str, Any] = json.loads(process.stdout.readline() or b'{"error": "it has ended"}')
        if "error" in answer:
            raise HarnessError(f"{self._command[2]} could not {do}: {answer['error']}")
        return answer
