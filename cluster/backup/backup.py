"""All backups of one member: a pipeline a sink, what writes must wait for, what the cluster remembers of the sinks.

A shell. Runs while the member is unsealed. Invariants
  K1  in `write_through` no write is answered before every required sink holds it; past its time the outcome is unknown
  K2  in `max_lag` no write is proposed while a required sink is further behind than it may be
  K3  how far a sink reaches is a fact in the log and a small file on every node: a sink that later shows less is
      found out
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import StrongroomError, UnavailableError, UnknownOutcomeError
from ..state import records
from ..state.tables import QUIET, Table
from ..state.transaction import Draft
from .lag import Seen
from .member_source import MemberSource
from .pipeline import Pipeline
from .ports import Policy, Standing
from .witness import Witness, write_witness

if TYPE_CHECKING:
    from ..member import Member
    from ..state.machine import State
    from ..state.transaction import Transaction
    from ..state.view import View
    from .sinks.base import Claim, Position, Sink

log = logging.getLogger("strongroom.backup")

FACT_PERIOD_S = 10.0
MODES = ("async", "max_lag", "write_through")


class SinkSettings(NamedTuple):
    """One sink as configured. `shared`: all nodes reach it, and the leader writes it."""

    name: str
    sink: Sink
    shared: bool = True
    required: bool = True


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """`max_lag_s` is for mode max_lag; `timeout_s` bounds what a write waits for a sink."""

    mode: str = "async"
    policy: Policy = field(default_factory=Policy)
    max_lag_s: float = 0.0
    timeout_s: float = 5.0


class Backup:
    """See the module's paragraph."""

    def __init__(self, member: Member, settings: BackupSettings, sinks: list[SinkSettings]) -> None:
        self._member = member
        self._settings = settings
        self._sinks = sinks
        self._sources: dict[str, MemberSource] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._seen = Seen()
        self._begun: dict[str, tuple[Claim, float]] = {}  # the claim this node may make, and since when
        self._unwritten: dict[str, Witness] = {}
        self._writing: asyncio.Task[None] | None = None
        self.pipelines: dict[str, Pipeline] = {}
        for one in sinks:
            source = self._sources[one.name] = MemberSource(member, shared=one.shared)
            pipeline = Pipeline(
                one.name, one.sink, source, settings.policy, member.clock, member.random, self._confirmed
            )
            pipeline.urgent = settings.mode == "write_through" and one.required
            self.pipelines[one.name] = pipeline
        self._required = [self.pipelines[one.name] for one in sinks if one.required]

    @property
    def mode(self) -> str:
        """What writes wait for."""
        return self._settings.mode

    # ---- life
    def start(self) -> None:
        """Every sink is written from now on; call it when the member is unsealed."""
        if self._tasks or not self._sinks:
            return
        self._listen(self._member.view)
        self._member.state_listeners.append(self._listen)
        self._member.running.backed_up = self.held_index
        self._tasks = [asyncio.create_task(pipeline.run()) for pipeline in self.pipelines.values()]
        self._tasks.append(asyncio.create_task(self._remember()))

    async def flush(self, timeout_s: float) -> None:
        """What is applied now has arrived in every sink this node writes, if that takes no longer."""
        index = next(iter(self._sources.values())).applied_index() if self._sources else 0
        mine = [one for one in self.pipelines.values() if one.standing.claimed]
        for pipeline in mine:
            pipeline.urgent = True
        end_s = self._member.clock.boot() + timeout_s
        while not all(self._holds(pipeline, index) for pipeline in mine):
            left_s = end_s - self._member.clock.boot()
            if left_s <= 0 or not self._tasks:
                return
            await self._progress(left_s)

    async def stop(self) -> None:
        """Nothing is written, no key is kept."""
        tasks, self._tasks = self._tasks, []
        if self._listen in self._member.state_listeners:
            self._member.state_listeners.remove(self._listen)  # before the wait: the member may be unsealed meanwhile
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(() if self._writing is None else (self._writing,)), return_exceptions=True)
        for source in self._sources.values():
            source.forget()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _listen(self, state: State) -> None:
        state.listeners.append(self._applied)

    def _applied(self, index: int, transaction: Transaction) -> None:
        self._seen.note(index, self._member.clock.boot())
        for source in self._sources.values():
            source.wake()
        for table, key, record in transaction.puts:
            if table == Table.BACKUP_POSITION:
                self._witness(key, record)

    # ---- what writes wait for
    async def before(self) -> None:
        """A write may be decided. Raises UnavailableError: nothing was proposed (K2)."""
        settings = self._settings
        if settings.mode == "write_through":
            for pipeline in self._required:
                if pipeline.standing.error or pipeline.standing.confirmed is None:
                    raise UnavailableError(f"the backup sink {pipeline.name} is down, and writes need it")
        elif settings.mode == "max_lag":
            end_s = self._member.clock.boot() + settings.timeout_s
            while (late := self._late()) is not None:
                if self._member.clock.boot() >= end_s:
                    raise UnavailableError(f"the backup sink {late.name} is more than {settings.max_lag_s:g} s behind")
                await self._progress(end_s - self._member.clock.boot())

    def _late(self) -> Pipeline | None:
        return next((one for one in self._required if self.lag_s(one) > self._settings.max_lag_s), None)

    async def after(self, index: int) -> None:
        """The entry at `index` is applied: returns when it may be answered. Raises UnknownOutcomeError (K1)."""
        if self._settings.mode != "write_through":
            return
        end_s = self._member.clock.boot() + self._settings.timeout_s
        while not all(self._holds(pipeline, index) for pipeline in self._required):
            left_s = end_s - self._member.clock.boot()
            if left_s <= 0 or not self._tasks:
                raise UnknownOutcomeError(f"applied at {index}, but a backup sink has not confirmed it in time")
            await self._progress(left_s)

    @staticmethod
    def _holds(pipeline: Pipeline, index: int) -> bool:
        confirmed = pipeline.standing.confirmed
        return confirmed is not None and confirmed.last >= index

    async def _progress(self, timeout_s: float) -> None:
        """Returns when a sink has confirmed something, or in time."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=max(timeout_s, 0.0))
        finally:
            self._waiters.discard(waiter)

    def _confirmed(self, _position: Position) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def held_index(self) -> int | None:
        """What every sink holds of which anything is known here, also while it is away; the others get a base."""
        held = [self._held(name, pipeline) for name, pipeline in self.pipelines.items()]
        return min((one for one in held if one), default=None)

    def _held(self, name: str, pipeline: Pipeline) -> int:
        known, confirmed = self._sources[name].known(name), pipeline.standing.confirmed
        return max(0 if one is None else one.last for one in (known, confirmed))

    # ---- what it says of itself
    def reaches(self, pipeline: Pipeline) -> Position | None:
        """How far the sink is: as this node confirmed it, or as the cluster remembers it."""
        known = self._sources[pipeline.name].known(pipeline.name)
        confirmed = pipeline.standing.confirmed if pipeline.standing.claimed else None
        return max((one for one in (known, confirmed) if one is not None), key=lambda one: one.last, default=None)

    def lag_entries(self, pipeline: Pipeline) -> int:
        """Applied entries that the sink has not confirmed."""
        confirmed = pipeline.standing.confirmed
        applied = next(iter(self._sources.values())).applied_index()
        return max(0, applied - (0 if confirmed is None else confirmed.last))

    def lag_s(self, pipeline: Pipeline) -> float:
        """For how long the sink has lacked an entry, whether it could be asked or not; 0 where others write it.

        What the former writer stored last is not known before the sink has said it: that counts from the own beginning.
        """
        source, now_s = self._sources[pipeline.name], self._member.clock.boot()
        claim = source.claim()
        if claim is None:
            self._begun.pop(pipeline.name, None)
            return 0.0
        known_claim, begun_s = self._begun.get(pipeline.name, (None, now_s))
        if known_claim != claim:
            self._begun[pipeline.name], begun_s = (claim, now_s), now_s
        seen_s = self._seen.since(self._held(pipeline.name, pipeline))
        sent_s = pipeline.standing.behind_since_s
        began = [*([] if seen_s is None else [max(seen_s, begun_s)]), *([] if sent_s is None else [sent_s])]
        return max(0.0, now_s - min(began)) if began else 0.0

    def standings(self) -> list[tuple[Standing, int, float]]:
        """(standing, lag in entries, lag in seconds) of each sink."""
        return [(one.standing, self.lag_entries(one), self.lag_s(one)) for one in self.pipelines.values()]

    # ---- what the cluster remembers (K3)
    async def _remember(self) -> None:
        while True:
            await asyncio.sleep(FACT_PERIOD_S)
            for one in self._sinks:
                if one.shared and self._member.is_leader:
                    await self._propose(one.name, self.pipelines[one.name].standing.confirmed)

    async def _propose(self, name: str, confirmed: Position | None) -> None:
        """The position as a fact; not for the sake of the last such fact alone."""
        known = self._sources[name].known(name)
        if confirmed is None or (known is not None and confirmed.last <= known.last + len(self._sinks)):
            return
        record = records.BackupPosition(
            generation=self._member.generation, last=confirmed.last, hash=confirmed.hash, time_ns=confirmed.time_ns
        )

        def decide(_view: View, _now_ns: int) -> tuple[Draft, None]:
            draft = Draft()
            draft.put(Table.BACKUP_POSITION, name.encode(), record)
            draft.hashes = (QUIET,)
            return draft, None

        try:
            await self._member.propose(decide)
        except StrongroomError as error:
            log.debug("backup %s: the position was not written: %s", name, error)

    def _witness(self, key: bytes, record: bytes) -> None:
        position = records.readable(records.BackupPosition, record)
        if position is None:
            return
        name = key.decode("utf-8", "replace")
        self._unwritten[name] = Witness(name, position.generation, position.last, position.hash)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_witnesses())

    async def _write_witnesses(self) -> None:
        """One after the other, the newest of each sink: a node that starts hears of many at once."""
        while self._unwritten:
            _, witness = self._unwritten.popitem()
            try:
                await asyncio.to_thread(write_witness, self._member.disk, witness)
            except OSError as error:
                log.warning("backup %s: its position is not noted in the data folder: %s", witness.sink, error.strerror)
