"""The face of Raft: one member's replicated state, driven by `tick`, `receive` and the journal's completions.

Synchronous: no await, no task, no socket. `cluster/member.py` drives it from an event loop, chaos/sim from a seed.
Longer work (taking a snapshot, loading one) is a job that runs in slices of JOB_BUDGET_S, one slice a tick.

Invariants
  P1  at most one job runs; a snapshot is taken only in this node's turn, which the leader gives
  P2  the log behind the newest snapshot is bounded: LOG_ENTRIES_MAX asks for a snapshot
  P3  the whole configuration is the members' records of entry 1; changes of it do not exist yet
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from ..errors import DamagedError, OverloadedError
from ..state.snapshot import Loader, Snapshot
from .applying import Applying
from .snapshots import SnapshotStore

if TYPE_CHECKING:
    from ..keyring.sealing import Sealer
    from ..seams import Clock, Random
    from ..state.machine import State
    from .chassis import Timing
    from .log import DurableLog

JOB_BUDGET_S = 0.003
LOG_ENTRIES_MAX = 50_000
LOG_BYTES_MAX = 96 * 1024 * 1024
LOG_KEEP_ENTRIES = 4_096  # behind a snapshot, for followers that are only a little late
TURN_S = 60.0
SNAPSHOT_BACKLOG_BYTES_MAX = 8 * 1024 * 1024
UNSYNCED_BYTES_MAX = 64 * 1024 * 1024
PROPOSALS_MAX = 16_384


class Store(SnapshotStore, Protocol):
    """SnapshotStore that also takes this node's own snapshots and reads files back."""

    def begin(self, snapshot_id: bytes, index: int, term: int) -> None: ...  # noqa: D102 - see cluster/journal
    def chunk(self, snapshot_id: bytes, chunk: bytes) -> None: ...  # noqa: D102
    def commit(self, snapshot_id: bytes) -> None: ...  # noqa: D102
    def chunks(self, snapshot_id: bytes) -> Iterator[bytes]: ...  # noqa: D102
    def remove_before(self, index: int) -> None: ...  # noqa: D102

    @property
    def backlog_bytes(self) -> int: ...  # noqa: D102


class Replica(Applying):
    """See the module's paragraph."""

    log_entries_max = LOG_ENTRIES_MAX
    log_keep_entries = LOG_KEEP_ENTRIES
    unsynced_bytes_max = UNSYNCED_BYTES_MAX
    proposals_max = PROPOSALS_MAX
    store: Store

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random,
        store: Store, state: State, sealer: Sealer, snapshot_index: int = 0,
    ) -> None:
        self.snapshot_index = snapshot_index  # newest durable one
        self._job: Iterator[None] | None = None
        self._taking: tuple[bytes, int, Snapshot] | None = None
        self._loaded: State | None = None
        self._turn: tuple[str, float] | None = None  # as leader: who may take a snapshot, until when
        self._my_turn = False
        self.space_ok = True
        self.on_state_replaced: Callable[[State], None] = lambda _state: None
        super().__init__(node_id, peers, timing, log, clock, source, store, state, sealer)
        if state.applied_index < log.base_index:
            raise DamagedError("the log starts above the newest snapshot")
        self.commit_index = max(self.commit_index, state.applied_index)
        self.applied_index = state.applied_index

    # ---- admission
    def may_propose(self) -> None:
        """Everything that can refuse a write does so here, before anything is decided."""
        super().may_propose()
        if not self.space_ok:
            raise OverloadedError("the disk of this node is full")
        if self.log.backlog_bytes > self.unsynced_bytes_max:
            raise OverloadedError("the journal is behind")
        if self.waiting >= self.proposals_max:
            raise OverloadedError("too many writes are waiting")

    def on_space(self, ok: bool) -> None:
        """The journal can, or cannot, allocate its next segment."""
        self.space_ok = ok
        if not ok and self.is_leader:
            self.transfer_leadership()

    # ---- jobs
    def after_tick(self) -> None:
        """One slice of a job; then whatever is due for compaction."""
        super().after_tick()
        if self._job is not None:
            self._run_job()
        self._give_turn()
        if self._job is None and self._taking is None and self.wants_snapshot and (self.is_leader or self._my_turn):
            if not self.is_leader or self.has_turn(self.node_id):
                self.take_snapshot()

    @property
    def busy(self) -> bool:
        """A job is under way: tick again soon."""
        return self._job is not None

    def _run_job(self) -> None:
        assert self._job is not None
        end = self.clock.boot() + JOB_BUDGET_S
        for _ in self._job:
            if self.clock.boot() >= end:
                return
        self._job = None

    # ---- taking a snapshot
    @property
    def wants_snapshot(self) -> bool:
        """P2."""
        applied = self.applied_index - self.snapshot_index
        return applied >= self.log_entries_max or (self.log.bytes > LOG_BYTES_MAX and applied > self.log_keep_entries)

    def _give_turn(self) -> None:
        if not self.is_leader:
            return
        now = self.clock.boot()
        if self._turn is not None and now < self._turn[1] and self._needs_turn(self._turn[0]):
            return
        needy = [peer for peer in (*self.peers, self.node_id) if self._needs_turn(peer)]
        self._turn = (needy[0], now + TURN_S) if needy else None

    def _needs_turn(self, peer: str) -> bool:
        if peer == self.node_id:
            return self.wants_snapshot
        progress = self.progress[peer]
        return self.connected(peer) and progress.log_entries >= self.log_entries_max

    def has_turn(self, peer: str) -> bool:
        """P1."""
        return self._turn is not None and self._turn[0] == peer

    def on_leader_info(self, message: object) -> None:
        """The turn comes with the leader's messages."""
        super().on_leader_info(message)  # type: ignore[arg-type]
        self._my_turn = message.turn  # type: ignore[attr-defined]

    def take_snapshot(self) -> bool:
        """Begin a snapshot of the state at the applied index; False if a job is under way."""
        if self._job is not None or self._taking is not None or self.applied_index <= self.snapshot_index:
            return False
        snapshot_id = self.source.bytes(8)
        snapshot = Snapshot(self.state)
        index, term = self.state.applied_index, self.state.applied_term
        self._taking = (snapshot_id, index, snapshot)
        self.store.begin(snapshot_id, index, term)
        self._job = self._taking_job(snapshot_id, index, term, snapshot)
        self.wake()
        return True

    def _taking_job(self, snapshot_id: bytes, index: int, term: int, snapshot: Snapshot) -> Iterator[None]:
        number = 0
        held: bytes | None = None
        for payload in snapshot.chunks():
            if held is not None:
                self._store_chunk(snapshot_id, index, term, number, held, final=False)
                number += 1
            held = payload
            yield
            while self.store.backlog_bytes > SNAPSHOT_BACKLOG_BYTES_MAX:
                yield
        assert held is not None
        self._store_chunk(snapshot_id, index, term, number, held, final=True)
        self.store.commit(snapshot_id)

    def _store_chunk(self, snapshot_id: bytes, index: int, term: int, number: int, payload: bytes, *, final: bool) -> None:
        chunk = self.sealer.seal_chunk(
            snapshot_id=snapshot_id,
            index=index,
            term=term,
            number=number,
            final=final,
            payload=payload,
            nonce=self.source.bytes(12),
        )
        self.store.chunk(snapshot_id, chunk)

    def on_snapshot_durable(self, snapshot_id: bytes) -> None:
        """An own snapshot covers the log up to its index; a received one is loaded."""
        self._enter()
        if self._taking is not None and self._taking[0] == snapshot_id:
            _, index, _ = self._taking
            self._taking = None
            if index > self.snapshot_index:
                self.snapshot_index = index
                self.store.remove_before(index)
                self.cut_log()
            return
        super().on_snapshot_durable(snapshot_id)

    def on_snapshot_refused(self, snapshot_id: bytes, why: str) -> None:
        """An own snapshot could not be written: the next turn tries again."""
        if self._taking is not None and self._taking[0] == snapshot_id:
            self._drop_job()
        super().on_snapshot_refused(snapshot_id, why)

    def cut_log(self) -> None:
        """S4, S5: only below the durable snapshot, nothing a follower is being brought up with."""
        index = min(self.snapshot_index, max(self.log.base_index, self.snapshot_index - self.log_keep_entries))
        pinned = self.pinned_index()
        if pinned is not None:
            index = min(index, pinned)
        if index > self.log.base_index:
            self.log.trim(index)

    # ---- loading a received snapshot
    def begin_load(self, snapshot_id: bytes, index: int, term: int) -> None:
        """See Snapshots."""
        self._drop_job()
        self._job = self._loading_job(snapshot_id, index, term)
        self.wake()

    def _loading_job(self, snapshot_id: bytes, index: int, term: int) -> Iterator[None]:
        loader = Loader(self.state.digest_key)
        yield from load(loader, self.store.chunks(snapshot_id), self.sealer, snapshot_id, index, term)
        self._loaded = loader.finish()
        self.loaded()

    def cancel_load(self) -> None:
        """See Snapshots."""
        self._loaded = None
        if self._taking is None:
            self._job = None

    def _drop_job(self) -> None:
        if self._taking is not None:
            self._taking[2].abort()
            self.store.abort(self._taking[0])
            self._taking = None
        self._job = None

    def replace_state(self) -> None:
        """See Snapshots."""
        assert self._loaded is not None
        self.state, self._loaded = self._loaded, None
        self.overlay = type(self.overlay)(self.state)
        self._opened.clear()
        self._digests.clear()
        self.snapshot_index = self.state.applied_index
        self.store.remove_before(self.snapshot_index)
        self.on_state_replaced(self.state)


def load(
    loader: Loader, chunks: Iterator[bytes], sealer: Sealer, snapshot_id: bytes, index: int, term: int
) -> Iterator[None]:
    """Feed sealed chunks to the loader, one a step. Raises DamagedError if one is missing, moved or does not open."""
    expected = 0
    final = False
    for chunk in chunks:
        number, final_here, payload = sealer.open_chunk(snapshot_id=snapshot_id, index=index, term=term, chunk=chunk)
        if number != expected or final:
            raise DamagedError("chunks of the snapshot are out of order")
        expected += 1
        final = final_here
        loader.feed(payload)
        yield
    if not final:
        raise DamagedError("the snapshot has no end")
