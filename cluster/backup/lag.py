"""When entries were applied here, roughly: since when a sink lacks something, whatever its pipeline is doing.

Pure. Invariants
  G1  what is said is early by at most STEP_S: entries of one step count from the first of them; what lies further back
      than is kept counts from the oldest that is
  G2  as long as something seen is not held, something is said
"""

from __future__ import annotations

import bisect

STEP_S = 0.1
KEPT = 20_000  # about half an hour at least; more lag than that is said as that much


class Seen:
    """For each step of STEP_S in which something was applied: the last index, and when the first was applied."""

    def __init__(self) -> None:
        self._indexes: list[int] = []
        self._times_s: list[float] = []

    def note(self, index: int, now_s: float) -> None:
        """The entry is applied now."""
        if self._times_s and now_s - self._times_s[-1] < STEP_S:
            self._indexes[-1] = index
            return
        self._indexes.append(index)
        self._times_s.append(now_s)
        if len(self._indexes) >= 2 * KEPT:
            del self._indexes[:KEPT], self._times_s[:KEPT]

    def since(self, held: int) -> float | None:
        """When the first entry behind `held` was applied; None if none was seen."""
        at = bisect.bisect_right(self._indexes, held)
        return self._times_s[at] if at < len(self._times_s) else None
