"""A member as the Source of its pipelines: what it applied, which claim it may make, whose words it keeps.

Reads the member; proposes nothing. Invariants
  S1  a shared sink is claimed by the leader alone, with its Raft term; a sink of this node's own by this node, with its
      life: both numbers only grow
  S2  a recovering node sends nothing
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import SealedError
from ..state import records
from ..state.snapshot import Snapshot
from ..state.tables import Table
from .gather import Gathered, gather
from .renew import RESTORED, Restored
from .sealed import BackupSealer
from .sinks.base import Claim, Generation, Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..keyring.keyring import Keyring
    from ..member import Member
    from ..raft.replica import Replica


class PinnedBase:
    """See ports.Base."""

    def __init__(self, replica: Replica) -> None:
        self._snapshot = Snapshot(replica.state)
        self.index = self._snapshot.index
        self.term = self._snapshot.term
        self.time_ns = replica.state.time_ns

    def chunks(self) -> Iterator[bytes]:
        """See ports.Base."""
        return self._snapshot.chunks()

    def abort(self) -> None:
        """See ports.Base."""
        self._snapshot.abort()


class MemberSource:
    """See ports.Source. One a sink; `shared`: the sink is written by whoever leads."""

    def __init__(self, member: Member, *, shared: bool) -> None:
        self._member = member
        self._shared = shared
        self._sealer: BackupSealer | None = None
        self._keyring: Keyring | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.node_id = member.settings.node_id

    # ---- roles
    def claim(self) -> Claim | None:
        """See ports.Source (S1, S2)."""
        replica = self._member.replica
        if replica is None or replica.recovering:
            return None
        if not self._shared:
            return Claim(self._member.generation, replica.log.incarnation, self.node_id)
        if not (replica.is_leader and replica.noop_applied):
            return None
        return Claim(self._member.generation, replica.term, self.node_id)

    def generation(self) -> Generation:
        """See ports.Source."""
        state = self._member.view
        began_ns = next((config.created_ns for config in self._configs()), 0)
        fact = state.get(Table.FACT, RESTORED)
        restored = None if fact is None else records.readable(records.Fact, fact[1])
        parent = None if restored is None else records.readable(Restored, restored.data)
        if parent is None:
            return Generation(self._member.generation, b"", 0, began_ns)
        return Generation(self._member.generation, parent.parent, parent.parent_index, began_ns)

    def _configs(self) -> Iterator[records.Config]:
        for _, _, record in self._member.view.items(Table.CONFIG):
            config = records.readable(records.Config, record)
            if config is not None:
                yield config

    # ---- entries
    def applied_index(self) -> int:
        """See ports.Source."""
        replica = self._member.replica
        return 0 if replica is None else replica.applied_index

    def gather(self, first: int, *, entries_max: int, bytes_max: int, boundary: int = 0) -> Gathered | None:
        """See ports.Source."""
        replica = self._member.running
        return gather(replica, first, entries_max=entries_max, bytes_max=bytes_max, boundary=boundary)

    def base(self) -> PinnedBase:
        """See ports.Source."""
        return PinnedBase(self._member.running)

    def now_ns(self) -> int:
        """See ports.Source."""
        return self._member.now_ns()

    async def changed(self, timeout_s: float) -> None:
        """See ports.Source."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            pass
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Whoever waits in `changed` looks again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- keys
    def sealer(self) -> BackupSealer:
        """See ports.Source. Raises SealedError."""
        keyring = self._member.running.sealer.keyring
        if self._sealer is None:
            self._sealer = BackupSealer(keyring, self._member.random)
        elif keyring is not self._keyring:
            self._sealer.use(keyring)
        self._keyring = keyring
        return self._sealer

    def envelope(self) -> bytes:
        """See ports.Source: that of the keyring that `sealer` seals with, which may be older than the state's."""
        envelope = self._member.keyrings.in_use
        if not envelope:
            raise SealedError("no keyring is in use")
        return envelope

    def forget(self) -> None:
        """No key that backups were sealed with is kept."""
        if self._sealer is not None:
            self._sealer.wipe()
        self._sealer = self._keyring = None

    def known(self, sink: str) -> Position | None:
        """See ports.Source: the fact that the cluster keeps of the sink, if it is of this generation."""
        if self._member.replica is None:
            return None
        found = self._member.view.get(Table.BACKUP_POSITION, sink.encode())
        record = None if found is None else records.readable(records.BackupPosition, found[1])
        if record is None or record.generation != self._member.generation:
            return None
        return Position(record.last, record.hash, record.time_ns)
