"""Admission: how many requests may be in work, how many begin in one turn, when reading pauses.

`Admission` is pure: it counts and answers. `Turns` is the thin hook on the loop that does what it says. Overload must
stop here: Raft's heartbeats share the loop. Invariants: a request that was told to wait counts as in flight; requests
begin in the order in which they came; every `arrive` that is not refused is followed by exactly one `leave`.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING

from .errors import OverloadError

if TYPE_CHECKING:
    import asyncio

    from .limits import HttpLimits


class Verdict(enum.Enum):
    """What becomes of an arriving request."""

    BEGIN = "begin"
    WAIT = "wait"
    ADDRESS_BUSY = "address busy"
    NODE_BUSY = "node busy"


class Admission:
    """The counts and the rules. `exempt` requests (health) are counted, never refused."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.in_flight = 0
        self.waiting = 0
        self.paused = False
        self._begun = 0  # in this turn
        self._of_address: dict[str, int] = {}

    def arrive(self, address: str, *, exempt: bool = False) -> Verdict:
        """The verdict on one request; anything but BUSY counts it."""
        mine = self._of_address.get(address, 0)
        if not exempt:
            if self.in_flight >= self._limits.in_flight:
                return Verdict.NODE_BUSY
            if mine >= self._limits.in_flight_per_address:
                return Verdict.ADDRESS_BUSY
        self.in_flight += 1
        self._of_address[address] = mine + 1
        if self._begun >= self._limits.per_turn:  # whenever somebody waits, this turn is full
            self.waiting += 1
            return Verdict.WAIT
        self._begun += 1
        return Verdict.BEGIN

    def may_pass(self, address: str) -> bool:
        """Whether a request would begin at once."""
        return (
            self._begun < self._limits.per_turn
            and self.in_flight < self._limits.in_flight
            and self._of_address.get(address, 0) < self._limits.in_flight_per_address
        )

    def passed(self) -> None:
        """A request began and is answered already: it counts among those begun in this turn, and in nothing else."""
        self._begun += 1

    def leave(self, address: str) -> None:
        """The request is answered, or will never be."""
        self.in_flight -= 1
        mine = self._of_address[address] - 1
        if mine:
            self._of_address[address] = mine
        else:
            del self._of_address[address]

    def next_turn(self) -> int:
        """A new turn of the loop: so many of those that wait begin now."""
        beginning = min(self.waiting, self._limits.per_turn)
        self.waiting -= beginning
        self._begun = beginning
        return beginning

    def observe(self, lag_s: float) -> bool:
        """Whether reading from clients is paused now that the loop was `lag_s` late. Between the bounds: as before."""
        if lag_s >= self._limits.lag_pause_s:
            self.paused = True
        elif lag_s <= self._limits.lag_resume_s:
            self.paused = False
        return self.paused


class Turns:
    """The hook: one callback per busy turn of the loop, none when idle."""

    def __init__(self, limits: HttpLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.admission = Admission(limits)
        self._retry_after_s = limits.retry_after_s
        self._loop = loop
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    async def enter(self, address: str, *, exempt: bool = False) -> None:
        """Returns when the request may begin. Raises OverloadError, with nothing to undo; else `leave` must follow."""
        verdict = self.admission.arrive(address, exempt=exempt)
        if verdict is Verdict.ADDRESS_BUSY:
            raise OverloadError(429, self._retry_after_s)
        if verdict is Verdict.NODE_BUSY:
            raise OverloadError(503, self._retry_after_s)
        self._schedule()
        if verdict is Verdict.WAIT:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                self.leave(address)
                raise

    def passed(self) -> None:
        """See Admission."""
        self.admission.passed()
        self._schedule()

    def leave(self, address: str) -> None:
        """See Admission."""
        self.admission.leave(address)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        for _ in range(self.admission.next_turn()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if self.admission.waiting:
            self._scheduled = True
            self._loop.call_soon(self._turn)
