"""A process of ours that is told what to do (chaos/net/control.py), from the side that tells it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .base import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
ANSWER_S: Final = 30.0
END_S: Final = 10.0


class Child:
    """Runs from `start` to `stop`; ends, too, when this process does, for its input ends then."""

    def __init__(self, module: str, log: Path, *, before: Sequence[str] = (), arguments: Sequence[str] = ()) -> None:
        self._command = [*before, sys.executable, "-m", module, *arguments]
        self._module = module
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # one question at a time, whoever asks

    def start(self) -> None:
        """It waits for commands."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One command and its answer. Raises TargetError."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise TargetError(f"{self._module} does not run")
        with self._lock:
            try:
                process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
                process.stdin.flush()
            except OSError as error:
                raise TargetError(f"{self._module} has ended") from error
            if not select.select([process.stdout], [], [], ANSWER_S)[0]:
                raise TargetError(f"{self._module} did not answer {do} within {ANSWER_S:g} s")
            answer: dict[str, Any] = json.loads(process.stdout.readline() or b'{"error": "it has ended"}')
        if "error" in answer:
            raise TargetError(f"{self._module} could not {do}: {answer['error']}")
        return answer

    def stop(self) -> None:
        """It has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
