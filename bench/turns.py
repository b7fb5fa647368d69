"""How long the turns of an event loop are: a callback due each millisecond notes how late it is.

A shell inside the measured process. Lateness has two parts on a machine with more processes than cores: the turn that
ran before, and the wait of the whole thread for a core. The kernel counts the latter (schedstat); taken away, the rest
is the turn, with what it waited for disk or locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path

from .figures import quantile

PERIOD_S = 0.001


class Turns:
    """One series of observations, from `begin` to `end`."""

    def __init__(self) -> None:
        self._path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._late_s: list[float] = []
        self._turns_s: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._waited_s = 0.0

    def begin(self) -> None:
        """Observe from now on."""
        self._late_s, self._turns_s = [], []
        self._waited_s = self._core_wait_s()
        self._again()

    def end(self) -> dict[str, float]:
        """Stop, and say: the longest turn and its 99.9th percentile without, the longest lateness with waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        turns, late = sorted(self._turns_s), sorted(self._late_s)
        return {
            "turn_ms": (turns[-1] if turns else 0.0) * 1e3,
            "turn_p999_ms": quantile(turns, 0.999) * 1e3,
            "late_ms": (late[-1] if late else 0.0) * 1e3,
        }

    def _again(self) -> None:
        self._due_s = time.perf_counter() + PERIOD_S
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._tick)

    def _tick(self) -> None:
        late_s = time.perf_counter() - self._due_s
        waited_s = self._core_wait_s()
        self._late_s.append(late_s)
        self._turns_s.append(max(0.0, late_s - (waited_s - self._waited_s)))
        self._waited_s = waited_s
        self._again()

    def _core_wait_s(self) -> float:
        """How long this thread has been ready and had no core; 0 where the kernel does not say."""
        with contextlib.suppress(OSError):
            return int(self._path.read_bytes().split()[1]) / 1e9
        return 0.0
