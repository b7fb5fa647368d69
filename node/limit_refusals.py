"""Refusals by limits as security events: that it happens, to whom first, and how often; never an event for each.

Whoever may connect makes a node refuse as often as it likes, and must fill neither `security.log` nor an audit device
with it. A shell around a count: it reads a clock, and waits.
Invariants
  R1  of one limit there is at most one event in AGAIN_S: the first refusal is told at once, what follows is counted,
      and told with its number when that time is over
  R2  limits are a closed set (`Limited`): neither memory nor lines grow with what clients do
  R3  an event names the limit, numbers and an address; nothing else that a client sent
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .http.limits import Limited
    from .http.seams import Clock

EVENT = "refused by a limit"
AGAIN_S = 60.0
TICK_S = 5.0


@dataclass(slots=True)
class _Counted:
    """Of one limit: when it was told last, and what came since."""

    told_s: float
    count: int = 0
    address: str = ""  # of the first that came since


class LimitRefusals:
    """Of one node. `record(event, **details)` keeps an event."""

    def __init__(self, clock: Clock, record: Callable[..., None]) -> None:
        self._clock = clock
        self._record = record
        self._counted: dict[Limited, _Counted] = {}

    def count(self, limit: Limited, address: str) -> None:
        """A request or connection from the address was refused."""
        now_s = self._clock.boot()
        found = self._counted.get(limit)
        if found is None:
            self._counted[limit] = _Counted(now_s)
            self._record(EVENT, limit=limit.value, count=1, address=address)
            return
        if not found.count:
            found.address = address
        found.count += 1

    def tell(self, *, everything: bool = False) -> None:
        """What was counted for AGAIN_S stands in an event; with `everything`, for a stop, whatever was counted."""
        now_s = self._clock.boot()
        for limit, found in list(self._counted.items()):
            if not everything and now_s - found.told_s < AGAIN_S:
                continue
            if found.count:
                self._record(EVENT, limit=limit.value, count=found.count, address=found.address)
                self._counted[limit] = _Counted(now_s)
            else:
                del self._counted[limit]

    async def run(self) -> None:
        """Tells for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tell()
