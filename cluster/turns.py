"""The event loop's side of Raft: turns, the timer, messages and completions that come in, the clock that is watched.

A shell, and the lower half of `member.Member`. One loop, one thread; a turn is one call of `replica.tick`.

Invariants
  M3  a broken invariant, a failed write or a mistake of ours ends the process through `on_fatal`, before anything more
      is acknowledged; only a message that does not open ends no more than its link
  M5  the timer goes on as long as there is a replica
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from .clockwatch import skew_of_this_node
from .errors import DamagedError, FatalError, SealedError
from .journal.handle import Callbacks
from .seams import SystemClock, SystemRandom

if TYPE_CHECKING:
    from collections.abc import Callable

    from .links.messages import Hello, Message
    from .links.transport import Links
    from .raft.replica import Replica
    from .rehydrate import Rehydrate
    from .rekeying import Rekeying
    from .seams import Clock, Random
    from .settings import MemberSettings

log = logging.getLogger("strongroom.member")

TICK_S = 0.01
JOB_REST_S = 0.003
SKEW_PERIOD_S = 0.5


class Turns:
    """See the module's paragraph."""

    def __init__(self, settings: MemberSettings, clock: Clock | None, random: Random | None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.random: Random = random or SystemRandom()
        self.links: Links | None = None
        self.replica: Replica | None = None
        self.rehydrate: Rehydrate | None = None
        self.rekeying: Rekeying | None = None
        self.on_fatal: Callable[[str], None] = _exit_at_once
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._skew_s = 0.0
        self._skew_checked_s = 0.0
        self._ending: asyncio.Task[None] | None = None

    async def seal(self, *, by_operator: bool) -> None:
        """The member takes no part any more; see Member."""
        raise NotImplementedError

    @property
    def running(self) -> Replica:
        """The replica; raises SealedError."""
        if self.replica is None:
            raise SealedError("this node is sealed")
        return self.replica

    @property
    def clock_skew_s(self) -> float:
        """How far this node's wall clock is from the members' median."""
        return self._skew_s

    # ---- the end
    def _fatal(self, why: str) -> None:
        log.critical("this node must stop: %s", why)
        self.on_fatal(why)

    def _mistake(self, error: BaseException) -> None:
        """M3. Only a FatalError's own sentence is known to quote nothing."""
        self._fatal(str(error) if isinstance(error, FatalError) else f"{type(error).__name__} in a turn of Raft")

    def _on_broken(self, why: str) -> None:
        log.critical("this node seals itself and keeps its files: %s", why)
        if self._ending is None or self._ending.done():
            self._ending = asyncio.get_running_loop().create_task(self.seal(by_operator=False))

    # ---- completions of the journal
    def _callbacks(self) -> Callbacks:
        return Callbacks(
            on_synced=self._guarded(lambda replica, sequence: replica.on_log_synced(sequence)),
            on_ballot=self._guarded(lambda _replica, sequence: self._ballot_durable(sequence)),
            on_failed=lambda why: self._fatal(f"the journal failed: {why}"),
            on_snapshot=self._guarded(lambda replica, snapshot_id: replica.on_snapshot_durable(snapshot_id)),
            on_snapshot_refused=self._guarded(lambda replica, *refused: replica.on_snapshot_refused(*refused)),
            on_space=self._guarded(lambda replica, there: replica.on_space(there)),
        )

    def _guarded(self, call: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if self.replica is None:
                return
            try:
                call(self.replica, *arguments)
            except (FatalError, Exception) as error:  # noqa: BLE001 - M3
                self._mistake(error)

        return guarded

    def _ballot_durable(self, sequence: int) -> None:
        replica = self.running
        before, recovering = replica.log.incarnation, replica.recovering
        replica.on_ballot_durable(sequence)
        if recovering and not replica.recovering:
            log.warning("this node is whole again, and votes")
        if self.links is not None and replica.log.incarnation != before:
            self.links.drop_all()  # this life has another number: the next handshakes say it

    # ---- turns
    def _wake(self) -> None:
        if not self._scheduled and self.replica is not None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        replica = self.replica
        if replica is None:
            return
        try:
            replica.tick()
        except (FatalError, Exception) as error:  # noqa: BLE001 - M3
            self._mistake(error)
            return
        if replica.busy:
            asyncio.get_running_loop().call_later(JOB_REST_S, self._wake)

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        replica = self.replica
        if replica is None:
            return
        self._start_timer()  # M5: before anything can fail
        self._watch_clock(replica)
        self._turn()

    def _watch_clock(self, replica: Replica) -> None:
        now = self.clock.boot()
        if self.links is None or now - self._skew_checked_s <= SKEW_PERIOD_S:
            return
        self._skew_checked_s = now
        heard = [skew for peer, skew in self.links.skew_ns.items() if replica.connected(peer)]
        suspected_ns = 0 if replica.clock_is_sane else int(self._skew_s * 1e9)
        self._skew_s = skew_of_this_node(heard, suspected_ns=suspected_ns) / 1e9
        sane = abs(self._skew_s) <= self.settings.clock_skew_max_s
        if sane != replica.clock_is_sane:
            log.warning("the wall clock of this node is %.1f s off the members' median", self._skew_s)
        replica.clock_is_sane = sane

    def _wall_is_trusted(self) -> bool:
        """A majority of the members, this node among them, has nearly the same wall clock."""
        if self.links is None:
            return True
        limit_ns = self.settings.clock_skew_max_s * 1e9
        near = 1 + sum(
            abs(skew) <= limit_ns for peer, skew in self.links.skew_ns.items() if self.running.connected(peer)
        )
        return near >= self.running.quorum

    # ---- links
    def _send(self, peer: str, message: Message) -> bool:
        return self.links is not None and self.links.send(peer, message)

    def _on_message(self, peer: str, message: Message) -> None:
        if self.replica is None:
            return
        try:
            self.replica.receive(peer, message)
        except DamagedError:
            raise  # the link's business
        except (FatalError, Exception) as error:  # noqa: BLE001 - M3
            self._mistake(error)

    def _on_connected(self, peer: str, hello: Hello) -> None:
        replica = self.replica
        if replica is None:
            return
        try:
            self._meet(replica, peer, hello)
        except (FatalError, Exception) as error:  # noqa: BLE001 - M3
            self._mistake(error)

    def _meet(self, replica: Replica, peer: str, hello: Hello) -> None:
        replica.log.remember(peer, incarnation=hello.incarnation)
        whole = not replica.recovering
        another_life = replica.meet((hello.known_term, hello.known_index), hello.known_incarnation)
        if whole and replica.recovering:
            log.error("%s knows more of this node than its disk does, which was put back: it is recovering", peer)
        if another_life:
            return
        replica.on_connected(peer)
        if self.rehydrate is not None:
            self.rehydrate.saw_unsealed(peer)
        self._wake()

    def _on_disconnected(self, peer: str) -> None:
        if self.replica is not None:
            if self.rehydrate is not None:
                self.rehydrate.saw_unsealed(peer)
            self.replica.on_disconnected(peer)
            self._wake()


def _exit_at_once(_why: str) -> None:
    os._exit(70)
