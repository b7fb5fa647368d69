"""One more member of a cluster that a restore began: its folder, from the first base of the new generation.

A shell over restore.py and layout.py; changes nothing in the sink but the claim. Invariants
  J1  a folder is laid out only before anybody has led the cluster: a member that once acknowledged something must not
      come back without it. Afterwards a new member begins with an empty folder, and the others bring it up
  J2  whoever joins is in the restored cluster's list of members
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ..state.tables import Table
from .becoming import config_of, laid_out
from .chain import RestoreError, plan
from .layout import OccupiedError, clear, settle
from .line import claim_of
from .renew import Fresh
from .restore import Point, Progress, Restore, choose, stored_of
from .sinks.base import FencedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..keyring.keyring import Keyring
    from ..keyring.seal import Unsealed
    from ..seams import Clock, Disk, Random
    from ..state.machine import State
    from .sinks.base import Generation, Sink


class Joining:
    """Lays out folders of members of a generation that is named."""

    def __init__(
        self, sink: Sink, generation: bytes, profile: str, open_with: Callable[[bytes], Unsealed], clock: Clock,
        random: Random, on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._generation = generation
        self._profile = profile
        self._open_with = open_with
        self._clock = clock
        self._random = random
        self._on_progress = on_progress

    async def run(self, disks: list[Disk], members: list[str]) -> int:
        """The folders are those of `members`; the index they begin with. Raises as Restoring.run."""
        for disk in disks:
            await asyncio.to_thread(clear, disk)
        await self._sink.open()
        generation = await choose(self._sink, self._generation)
        await self._check_unled(generation)
        restore = Restore(self._sink, generation, self._open_with, self._random, self._on_progress)
        try:
            await restore.open()
            state = await restore.replay(Point())
            fresh = await self._checked(restore, generation, state, members)
            assert restore.unsealed is not None
            await self._lay_out(disks, state, restore.unsealed.keyring, fresh)
        finally:
            restore.wipe()
        return state.applied_index

    async def _lay_out(self, disks: list[Disk], state: State, keyring: Keyring, fresh: Fresh) -> None:
        """The folders are members', or what was begun in them is gone. Raises OSError."""
        try:
            for disk in disks:
                await laid_out(disk, state, keyring, fresh, self._random, self._on_progress)
            for disk in disks:
                await asyncio.to_thread(settle, disk, fresh.cluster_id)
        except BaseException:
            for disk in disks:
                with contextlib.suppress(OccupiedError, OSError):
                    clear(disk)
            raise

    async def _check_unled(self, generation: Generation) -> None:
        """What the sink shows of J1, before anything is opened or replayed. Raises RestoreError."""
        if not generation.parent:
            raise RestoreError(_RUNS_ALREADY)
        every = await stored_of(self._sink, generation.generation)
        run = plan(every)
        claim = await self._sink.claimant(generation.generation)
        led = claim is not None and claim.term > 0  # a restore claims below every leader
        if led or run.batches or max(one.last for one in every) != run.first or not run.base[0].fresh:
            raise RestoreError(_RUNS_ALREADY)

    async def _checked(self, restore: Restore, generation: Generation, state: State, members: list[str]) -> Fresh:
        """Raises RestoreError (J1, J2). The claim fails if somebody led meanwhile."""
        try:
            claim = claim_of(generation.generation, self._clock.wall_ns(), self._random)
            await self._sink.claim(claim)
        except FencedError:
            raise RestoreError(_RUNS_ALREADY) from None
        config = config_of(state)
        if config is None or config.generation != generation.generation:
            raise RestoreError("the base is not the first one of that generation")
        if config.profile != self._profile:
            raise RestoreError(f"the backup is of profile {config.profile!r}, not {self._profile!r}")
        known = {key.decode() for key, _, _ in state.items(Table.MEMBER)}
        strangers = sorted(set(members) - known)
        if strangers:
            raise RestoreError(f"no member of that cluster: {', '.join(strangers)}; its members are {', '.join(known)}")
        return Fresh(
            config.cluster_id, config.cluster_name, config.generation, config.profile, restore.envelope,
            restore.seal.epoch, {}, config.created_ns,
        )  # fmt: skip


_RUNS_ALREADY = (
    "that generation was not begun by a restore, or its cluster has served already: start the member with an empty "
    "folder, and the others bring it up"
)
