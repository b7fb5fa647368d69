"""A wall clock that a test moves: the machine's clocks, plus an offset that stands in a file.

For the dev profile alone; a production node refuses to start while the variable that names the file is set. Touches
that one file, read only. CLOCK_BOOTTIME is left alone: what is tested is an operator, or NTP, that sets the time.

Invariants
  S1  the wall clock is the machine's plus the newest offset read; the file is looked at every LOOK_S at most
  S2  a file that is missing, or holds no number, leaves the offset as it was: a half-written file moves nothing
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import StrongroomError
from .seams import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIABLE = "STRONGROOM_DEV_CLOCK_FILE"
LOOK_S = 0.05
NS_PER_S = 1_000_000_000


class ShimRefusedError(StrongroomError):
    """Production was asked to run on a clock that can be moved."""


class ShimmedClock(SystemClock):
    """SystemClock whose wall is moved by the seconds that `path` holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_s = -LOOK_S
        self._changed_ns = -1
        self._offset_ns = 0

    def wall_ns(self) -> int:
        """See Clock; S1."""
        now_s = self.boot()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return super().wall_ns() + self._offset_ns

    def _look(self) -> None:
        """S2."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns == self._changed_ns:
                return
            self._offset_ns = int(float(self._path.read_text(encoding="ascii")) * NS_PER_S)
        except (OSError, ValueError, OverflowError):
            return
        self._changed_ns = changed_ns


def clock_of(profile: str, environ: Mapping[str, str] = os.environ) -> SystemClock:
    """The clock a node of that profile runs on. Raises ShimRefusedError if production is to run on a moved one."""
    path = environ.get(VARIABLE)
    if path is None:
        return SystemClock()
    if profile != "dev":
        raise ShimRefusedError(f"{VARIABLE} is set: a clock that can be moved is for profile dev alone")
    from pathlib import Path

    return ShimmedClock(Path(path))
