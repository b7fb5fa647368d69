"""From a sink to states: find what is there, open it with an unsealer, replay it to a point, and renew it.

A shell around chain.py, replay.py and renew.py: it awaits the sink and gives the loop back between steps.

Invariants
  R1  the newest keyring that the unsealer opens is used; objects from the first envelope on that it does not open are
      left out, and `left_out_from` says so
  R2  the state handed out has the digest the cluster had at the newest whole batch of the point
  R3  nothing is written before everything that will be was read and verified
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError, WrongKeyError
from ..keyring.envelope import read_seal
from .chain import RestoreError, Run, newest_gap, plan, runs
from .format import Kind, parse
from .replay import Replay
from .sealed import BackupSealer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..keyring.envelope import SealConfig
    from ..keyring.seal import Unsealed
    from ..seams import Random
    from ..state.machine import State
    from .sinks.base import Generation, Sink, Stored


class Point(NamedTuple):
    """What is to be restored: an index, a time, or (neither) the newest entry."""

    to_index: int | None = None
    to_time_ns: int | None = None


class Progress(NamedTuple):
    """How far a restore is: bytes of the objects it reads."""

    step: str
    done_bytes: int
    total_bytes: int


class SealOf(NamedTuple):
    """Which seal opens a generation from an index on."""

    first: int
    seal: SealConfig


class Survey(NamedTuple):
    """What a sink has of one generation."""

    generation: Generation
    runs: list[Run]
    seals: list[SealOf]
    gap: tuple[int, int] | None
    size_bytes: int


async def stored_of(sink: Sink, generation: bytes) -> list[Stored]:
    """Everything a sink shows of a generation."""
    return [one async for one in sink.objects(generation)]


async def survey(sink: Sink) -> list[Survey]:
    """What can be restored from the sink, and with which seal; oldest generation first. Nothing is believed yet."""
    found = []
    for generation in await sink.generations():
        every = await stored_of(sink, generation.generation)
        keys = await _envelopes(sink, generation, every)
        seals = [SealOf(one.first, read_seal(envelope)[1]) for one, envelope in keys]
        found.append(Survey(generation, runs(every), seals, newest_gap(every), sum(one.size for one in every)))
    return found


async def _envelopes(sink: Sink, generation: Generation, every: list[Stored]) -> list[tuple[Stored, bytes]]:
    """The keyring's envelopes, oldest first, each with the first object that carries it."""
    found: list[tuple[Stored, bytes]] = []
    for one in every:
        if not one.keyed or (one.kind == Kind.BASE and one.part):
            continue
        envelope = parse(await sink.read(generation.generation, one)).header.envelope
        if not found or found[-1][1] != envelope:
            found.append((one, envelope))
    return found


def hashes_at(stored: Iterable[Stored], index: int) -> set[bytes]:
    """Hash of each batch, and of the final part of each fresh base, that ends at the index. Pure."""
    return {
        one.hash for one in stored if one.last == index and one.final and (one.kind == Kind.BATCH or one.fresh)
    }


async def choose(sink: Sink, generation: bytes | None) -> Generation:
    """The named generation, or the newest that has a base. Raises RestoreError."""
    every = await sink.generations()
    if generation is not None:
        named = [one for one in every if one.generation == generation]
        if not named:
            raise RestoreError("the sink has no such generation")
        return named[0]
    for one in reversed(every):
        if runs(await stored_of(sink, one.generation)):
            return one
    raise RestoreError("nothing in the sink can be restored" if every else "the sink is empty")


class Restore:
    """One restore of one generation: opened once, replayed to as many points as needed."""

    def __init__(
        self,
        sink: Sink,
        generation: Generation,
        open_with: Callable[[bytes], Unsealed],
        random: Random,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        """`open_with` goes from an envelope to its keys, and raises WrongKeyError for one of another root key."""
        self._sink = sink
        self._generation = generation
        self._open_with = open_with
        self._random = random
        self._on_progress = on_progress
        self._every: list[Stored] = []
        self._below: int | None = None
        self.envelope = b""
        self.unsealed: Unsealed | None = None

    async def open(self) -> None:
        """The newest keyring that opens is open (R1). Raises RestoreError, WrongKeyError if none opens."""
        self._every = await stored_of(self._sink, self._generation.generation)
        envelopes = await _envelopes(self._sink, self._generation, self._every)
        if not envelopes:
            raise RestoreError("no keyring is stored: nothing can be opened")
        why = ""
        for stored, envelope in reversed(envelopes):
            try:
                self.unsealed = self._open_with(envelope)
            except WrongKeyError as error:
                why = why or str(error)  # of the newest
                self._below = stored.first
            else:
                self.envelope = envelope
                return
        raise WrongKeyError(f"what was given opens no keyring that is stored here: {why}")

    def wipe(self) -> None:
        """No key is in memory."""
        if self.unsealed is not None:
            self.unsealed.wipe()
            self.unsealed = None

    @property
    def left_out_from(self) -> int | None:
        """First index that the opened keyring cannot open; None if it opens everything."""
        return self._below

    @property
    def seal(self) -> SealConfig:
        """Of the keyring that was opened."""
        return read_seal(self.envelope)[1]

    @property
    def every(self) -> list[Stored]:
        """All objects of the generation, as the sink shows them."""
        return self._every

    @property
    def stored_last(self) -> int:
        """Highest index of anything that is stored, whether it can be restored or not. Not verified."""
        return max((one.last for one in self._every), default=0)

    def newest(self) -> Run:
        """The run that reaches furthest. Raises RestoreError."""
        return plan(self._every, below=self._below)

    def run_to(self, point: Point) -> Run:
        """The run that reaches the point. Raises RestoreError with what can be restored."""
        return plan(self._every, to_index=point.to_index, to_time_ns=point.to_time_ns, below=self._below)

    async def replay(self, point: Point, *, step: str = "replay", verify: bool = True) -> State:
        """The state at the point (R2). Raises RestoreError, DamagedError, SinkError."""
        if self.unsealed is None:
            raise RestoreError("the restore was not opened")
        run = self.run_to(point)
        keyring = self.unsealed.keyring
        sealer = BackupSealer(keyring, self._random)
        replay = Replay(self._generation.generation, sealer, keyring.digest_key)
        total = sum(one.size for one in (*run.base, *run.batches))
        done = 0
        try:
            for part in run.base:
                replay.part(part, await self._read(part))
                done += part.size
                self._on_progress(Progress(step, done, total))
            for _ in replay.verify() if verify else ():
                await asyncio.sleep(0)
            for batch in run.batches:
                replay.batch(batch, await self._read(batch), to_index=point.to_index, to_time_ns=point.to_time_ns)
                done += batch.size
                self._on_progress(Progress(step, done, total))
                if replay.stopped:
                    break
        finally:
            sealer.wipe()
        state = replay.state
        if point.to_index is not None and state.applied_index != point.to_index:
            raise DamagedError(f"the batches end at {state.applied_index}, before {point.to_index}")
        return state

    async def _read(self, stored: Stored) -> bytes:
        data = await self._sink.read(self._generation.generation, stored)
        await asyncio.sleep(0)
        return data
