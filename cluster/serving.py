"""What `node` asks of a member: decide and propose, a read barrier, a request for the leader.

A shell between coroutines and callbacks; turns.py calls them back.

Invariants
  M2  nothing is awaited between `decide` and the entry standing in the log
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeVar

from .errors import NotLeaderError, SealedError, UnavailableError, UnknownOutcomeError
from .turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import StrongroomError
    from .seams import Clock, Random
    from .settings import MemberSettings
    from .state.machine import Outcome
    from .state.transaction import Draft
    from .state.view import View
    from .values import ValueSealing

A = TypeVar("A")


class Gate(Protocol):
    """What may hold writes back beside Raft: backup/backup.py."""

    async def before(self) -> None:
        """Returns when a write may be decided. Raises UnavailableError."""
        ...

    async def after(self, index: int) -> None:
        """Returns when the entry at `index` may be answered. Raises UnknownOutcomeError."""
        ...


class Serving(Turns):
    """See the module's paragraph."""

    gate: Gate | None = None

    def __init__(self, settings: MemberSettings, clock: Clock | None, random: Random | None) -> None:
        super().__init__(settings, clock, random)
        self.values: ValueSealing | None = None
        self._waiting: deque[tuple[float, asyncio.Future[int], bool]] = deque()  # until, who, proposed nothing

    @property
    def value_sealing(self) -> ValueSealing:
        """What seals and opens values; raises SealedError."""
        if self.values is None:
            raise SealedError("this node is sealed")
        return self.values

    async def write(self, decide: Callable[[View, int], tuple[Draft, A]]) -> tuple[int, A]:
        """As `propose`, between what backups ask of writes: refused before, or unknown after, if they do not hold."""
        gate = self.gate
        if gate is None:
            return await self.propose(decide)
        self.running.may_propose()
        await gate.before()
        empty = False

        def noting(view: View, now_ns: int) -> tuple[Draft, A]:
            nonlocal empty
            draft, answer = decide(view, now_ns)
            empty = draft.empty
            return draft, answer

        index, answer = await self.propose(noting)
        try:
            await gate.after(index)
        except UnknownOutcomeError:
            if not empty:
                raise
            raise UnavailableError("what this was decided on is not backed up in time") from None
        return index, answer

    async def propose(self, decide: Callable[[View, int], tuple[Draft, A]]) -> tuple[int, A]:
        """Decide on state and overlay, propose, and wait: (index, answer) once applied.

        A draft without facts proposes nothing; its answer leaves once everything it was decided on is applied and a
        later round is confirmed. Raises NotLeaderError, UnavailableError (nothing happened) or UnknownOutcomeError.
        """
        replica = self.running
        replica.may_propose()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(index: int, _outcome: Outcome | None, error: StrongroomError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(index)
            else:
                future.set_exception(error)

        draft, answer = decide(replica.overlay, replica.next_stamp())
        if draft.empty:
            replica.settle(done)
        else:
            replica.propose(draft, done)
        self._waiting.append((self.clock.boot() + self.settings.write_timeout_s, future, draft.empty))
        return await future, answer

    def _on_timer(self) -> None:
        """See Turns; and who has waited too long for the disks of a majority is told so."""
        super()._on_timer()
        waiting = self._waiting
        now_s = self.clock.boot() if waiting else 0.0
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now_s):
            _, future, proposed_nothing = waiting.popleft()
            if proposed_nothing and not future.done():
                future.set_exception(UnavailableError("what this was decided on was not committed in time"))
            elif not future.done():
                future.set_exception(UnknownOutcomeError("the write was not committed in time"))

    @property
    def reads_now(self) -> bool:
        """Whether `read_barrier` would return at once: everything is applied here, and nobody else could lead."""
        replica = self.replica
        return (
            replica is not None
            and replica.quorum == 1
            and replica.noop_applied
            and replica.applied_index >= replica.commit_index
        )

    async def read_barrier(self) -> int:
        """Wait until a read that began now is safe on this node's applied state; its index.

        Raises UnavailableError if nobody confirms in time, SealedError.
        """
        replica = self.running
        if self.reads_now:
            return replica.applied_index
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(index: int, error: StrongroomError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(index)
            else:
                future.set_exception(error)

        replica.read_index(done)
        return await future

    async def forward(self, body: bytes, timeout_s: float) -> bytes:
        """Give a request to the leader. Raises NotLeaderError if none is known, NotSentError if it never left."""
        leader = None if self.replica is None else self.replica.leader
        if leader is None or leader == self.settings.node_id or self.links is None:
            raise NotLeaderError(leader)
        return await self.links.call(leader, "forward", body, timeout_s)

    def step_down(self) -> bool:
        """Begin to hand over; False unless this node leads."""
        return self.running.transfer_leadership()
