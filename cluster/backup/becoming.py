"""A state becomes the first state of a new line of history: renewed, begun in the sinks, laid out in folders.

A shell over renew.py, line.py and layout.py. Invariants
  O2  the new generation is begun in the sinks by compare-and-set before a folder is a member's, so one history becomes
      two clusters only if somebody asks for it (`fork`)
  O4  the new generation begins in the first sink with a base of the state that is laid out: further members, on other
      machines, are laid out from it (joining.py)
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import StrongroomError
from ..keyring.seal import rotate
from ..state import records
from ..state.snapshot import Snapshot
from ..state.tables import Table
from .bases import head_of_base, objects_of_base
from .layout import OccupiedError, clear, lay_out, settle
from .line import SEEDER, begin, claim_of
from .renew import Fresh, Wish, renew
from .restore import Progress
from .sealed import BackupSealer
from .sinks.base import Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..keyring.envelope import SealConfig
    from ..keyring.keyring import Keyring
    from ..keyring.seal import Unsealed
    from ..seams import Clock, Disk, Random
    from ..state.machine import State
    from .sinks.base import Claim, Sink

Extra = Callable[["Keyring", int, bool], "list[tuple[Table, bytes, records.Record]]"]
"""What else the new cluster begins with; given its keyring, its time, and whether its point is before the newest."""

GENERATION_BYTES = 16
CLUSTER_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Becoming:
    """The new cluster. `members`: id → record. `cluster_name` empty: as it was."""

    members: dict[str, records.Member]
    cluster_name: str
    profile: str
    wish: Wish
    fork: bool
    clock: Clock
    random: Random
    on_progress: Callable[[Progress], None]

    async def run(
        self, state: State, end: State | None, parent: bytes, unsealed: Unsealed, seal: SealConfig,
        sinks: Sequence[Sink], disks: list[Disk], extra: Extra,
    ) -> Generation:  # fmt: skip
        """The folders are members' with the state of the new line. `end`: see renew.renew.

        Raises FencedError, ConflictError, OccupiedError, FolderError, SinkError, OSError: then nothing is left.
        """
        newest_ns = state.time_ns if end is None else max(end.time_ns, state.time_ns)
        now_ns = max(self.clock.wall_ns(), newest_ns)
        line = Generation(self.random.bytes(GENERATION_BYTES), parent, state.applied_index, now_ns)
        cluster_id = self.random.bytes(CLUSTER_ID_BYTES)
        keyring, envelope = rotate(
            unsealed.root_key, unsealed.keyring, seal, self.random, now_ns, cluster_id=cluster_id
        )
        fresh = Fresh(
            cluster_id, self.cluster_name or name_of(state), line.generation, self.profile, envelope, seal.epoch,
            self.members, now_ns,
        )  # fmt: skip
        try:
            for facts in renew(state, end, self.wish, fresh, extra(keyring, now_ns, end is not None)):
                if not state.apply(state.applied_index + 1, state.applied_term, facts).ok:
                    raise StrongroomError("the restored state cannot be renewed")
            await self._write(state, keyring, fresh, line, sinks, disks)
        finally:
            keyring.wipe()
        return line

    async def _write(
        self, state: State, keyring: Keyring, fresh: Fresh, line: Generation, sinks: Sequence[Sink], disks: list[Disk]
    ) -> None:
        """O2: files, then the line in the sinks, then ballots. What was written is removed if the line is refused."""
        try:
            for disk in disks:
                await laid_out(disk, state, keyring, fresh, self.random, self.on_progress)
            if sinks:
                claim = claim_of(line.generation, self.clock.wall_ns(), self.random)
                await begin(sinks, line, claim, fork=self.fork)
                await self._seed(sinks[0], claim, state, keyring, fresh)
        except BaseException:
            for disk in disks:
                with contextlib.suppress(OccupiedError, OSError):
                    clear(disk)
            raise
        for disk in disks:
            await asyncio.to_thread(settle, disk, fresh.cluster_id)

    async def _seed(self, sink: Sink, claim: Claim, state: State, keyring: Keyring, fresh: Fresh) -> None:
        """O4."""
        sealer = BackupSealer(keyring, self.random)
        snapshot = Snapshot(state)
        head = head_of_base(
            fresh.generation, snapshot.index, snapshot.term, state.time_ns, follows=None, envelope=fresh.envelope,
            node_id=SEEDER, random=self.random,
        )  # fmt: skip
        stored = 0
        try:
            for data, parsed in objects_of_base(head, snapshot.chunks(), lambda: sealer):
                await sink.store(claim, data, parsed)
                stored += len(data)
                self.on_progress(Progress("first base of the new cluster", stored, 0))
        finally:
            snapshot.abort()
            sealer.wipe()


async def laid_out(
    disk: Disk, state: State, keyring: Keyring, fresh: Fresh, random: Random, on_progress: Callable[[Progress], None]
) -> None:
    """See layout.lay_out; gives the loop back between chunks."""
    written = 0
    for count in lay_out(
        disk, state, keyring, envelope=fresh.envelope, generation=fresh.generation, profile=fresh.profile,
        random=random,
    ):  # fmt: skip
        written += count
        on_progress(Progress("write the folder", written, 0))
        await asyncio.sleep(0)


def config_of(state: State) -> records.Config | None:
    """The facts of the cluster whose state it is."""
    for _, _, record in state.items(Table.CONFIG):
        config = records.readable(records.Config, record)
        if config is not None:
            return config
    return None


def name_of(state: State) -> str:
    """The cluster's name, as the state has it."""
    config = config_of(state)
    return "" if config is None else config.cluster_name
