"""How late the runner itself is: a loop that stands still makes every answer look late, and every gap long.

A beat every BEAT_S; what it comes too late is the runner's own delay: of the machine, of a thread that holds the
interpreter, of a SIGSTOP. Times of a history stay sound, for an invocation is written before it is sent and a
completion after its answer: but lengths are upper bounds. Touches nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_S: Final = 0.02
STALL_NS: Final = 50_000_000
STALLS_MAX: Final = 10_000


class Pulse:
    """Beats from `run` on; `facts` at any time."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._late_ns: list[int] = []
        self._stalls: list[tuple[int, int]] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            due_ns = self._now_ns() + int(BEAT_S * 1e9)
            await asyncio.sleep(BEAT_S)
            self.beat(due_ns, self._now_ns())

    def beat(self, due_ns: int, came_ns: int) -> None:
        """One beat is counted, and where it was late, from when to when the runner stood still."""
        late_ns = max(0, came_ns - due_ns)
        self._late_ns.append(late_ns)
        if late_ns >= STALL_NS and len(self._stalls) < STALLS_MAX:
            self._stalls.append((due_ns, came_ns))

    def facts(self) -> dict[str, Any]:
        """For facts.json: `stalls` are [from, to] in time of the run."""
        late = sorted(self._late_ns) or [0]
        shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p100_ms": 1.0}
        at = {name: late[min(len(late) - 1, int(share * len(late)))] for name, share in shares.items()}
        told = {name: round(late_ns / 1e6, 1) for name, late_ns in at.items()}
        return {"beats": len(self._late_ns), **told, "stalls": [list(one) for one in self._stalls]}
