"""Every object of a generation read, opened and applied: what is wrong, one sentence each, and how far it is right.

A shell around replay.py. Invariants
  V1  each complete base is loaded and has its digest; each batch behind it is applied and leads to its digest; where a
      base stands behind batches that were right, both have the same state
  V2  one broken object does not hide another: the check goes on with the next base
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError
from .chain import newest_gap, runs
from .replay import Replay
from .restore import Progress
from .sealed import BackupSealer
from .sinks.base import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..keyring.keyring import Keyring
    from ..seams import Random
    from .chain import Run
    from .restore import Restore
    from .sinks.base import Sink, Stored


class Verified(NamedTuple):
    """`wrong`: sentences, empty if all is well. `left_out`: objects that the keys given cannot open."""

    objects: int
    size_bytes: int
    last: int
    wrong: list[str]
    left_out: int


class Verifying:
    """One check of one generation, opened by `restore`."""

    def __init__(
        self, sink: Sink, generation: bytes, restore: Restore, random: Random,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:  # fmt: skip
        assert restore.unsealed is not None
        self._sink = sink
        self._generation = generation
        self._keyring: Keyring = restore.unsealed.keyring
        self._every = restore.every
        self._below = restore.left_out_from
        self._sealer = BackupSealer(self._keyring, random)
        self._on_progress = on_progress
        self._total = sum(one.size for one in self._every)
        self._done = 0
        self._read: set[str] = set()
        self._wrong: list[str] = []
        self._last = 0

    async def run(self) -> Verified:
        """Raises SinkError only if the sink cannot be asked at all."""
        found = [run for run in runs(self._every) if self._below is None or run.first < self._below]
        before: Replay | None = None
        try:
            for at, run in enumerate(found):
                until = found[at + 1].first if at + 1 < len(found) and found[at + 1].first <= run.last else run.last
                replay = await self._base(run, before)
                if replay is None:
                    replay = before  # the batches are checked behind the base before
                before = await self._batches(run, replay, until)
        finally:
            self._sealer.wipe()
        return self._judged()

    def _judged(self) -> Verified:
        below = self._below
        opened = [one for one in self._every if below is None or one.last < below]
        missing = newest_gap(opened)
        if missing is not None:
            self._wrong.append(f"what is stored from {missing[0] + 1} to {missing[1]} follows nothing that is stored")
        left_out = len(self._every) - len(opened)
        size = sum(one.size for one in self._every if one.name in self._read)
        return Verified(len(self._read), size, self._last, self._wrong, left_out)

    async def _base(self, run: Run, before: Replay | None) -> Replay | None:
        """The base loaded; None if something is wrong with it."""
        replay = Replay(self._generation, self._sealer, self._keyring.digest_key)
        try:
            for part in run.base:
                replay.part(part, await self._bytes(part))
            for _ in replay.verify():
                await asyncio.sleep(0)
            state = replay.state
        except (DamagedError, SinkError) as error:
            self._wrong.append(str(error))
            return None
        if before is not None and before.state.applied_index == run.first and before.state.digest != state.digest:
            self._wrong.append(f"the base at {run.first} holds another state than the batches lead to")
        self._last = max(self._last, run.first)
        return replay

    async def _batches(self, run: Run, replay: Replay | None, until: int) -> Replay | None:
        """The replay behind the batch at `until`; None if it did not get there."""
        for batch in run.batches:
            if replay is None or batch.last > until or (self._below is not None and batch.last >= self._below):
                break
            if batch.last <= replay.state.applied_index:
                continue
            try:
                replay.batch(batch, await self._bytes(batch))
            except (DamagedError, SinkError) as error:
                self._wrong.append(str(error))
                return None
            self._last = max(self._last, batch.last)
        return replay

    async def _bytes(self, stored: Stored) -> bytes:
        data = await self._sink.read(self._generation, stored)
        if stored.name not in self._read:
            self._read.add(stored.name)
            self._done += stored.size
        self._on_progress(Progress("verify", self._done, self._total))
        await asyncio.sleep(0)
        return data
