"""The face of Raft: one member's replicated state, driven by `tick`, `receive` and the journal's completions.

Synchronous: no await, no task, no socket. `cluster/member.py` drives it from an event loop, chaos/sim from a seed.
Longer work (taking a snapshot, loading one) is a job that runs in slices of JOB_BUDGET_S, one slice a tick; chores.py
has what may wait for it.

Invariants
  P1  at most one job runs; a snapshot is taken only in this node's turn, which the leader gives, one member after the
      other
  P2  the log behind the newest snapshot is bounded: LOG_ENTRIES_MAX or LOG_BYTES_MAX asks for a snapshot
  P3  the whole configuration is the members' records of entry 1; changes of it do not exist yet
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from ..errors import DamagedError, OverloadedError
from ..failpoints import failpoint
from ..keyring.keyring import UnknownKeyTermError
from ..state.snapshot import Loader, Snapshot
from .applying import Applying
from .chores import checked, emptied
from .loading import load
from .snapshots import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..keyring.sealing import Sealer
    from ..links.messages import Append
    from ..seams import Clock, Random
    from ..state.machine import State
    from .chassis import Timing
    from .log import DurableLog

JOB_BUDGET_S = 0.003
LOG_ENTRIES_MAX = 50_000
LOG_BYTES_MAX = 96 * 1024 * 1024
LOG_KEEP_ENTRIES = 4_096  # behind a snapshot, for followers that are only a little late
LOG_KEEP_BYTES = 1 << 28
LOG_KEPT_MAX = 100_000  # entries for a backup sink that is behind; beyond them, or the bytes above, it gets a new base
TURN_S = 60.0
RETRY_S = 5.0  # a snapshot that did not fit is tried again
OWED_RETRY_S = 1.0  # if a follower waits for it
SNAPSHOT_BACKLOG_BYTES_MAX = 8 * 1024 * 1024
PROPOSALS_MAX = 16_384


class Store(SnapshotStore, Protocol):
    """SnapshotStore that also takes this node's own snapshots and reads files back."""

    def begin(self, snapshot_id: bytes, index: int, term: int) -> None: ...  # noqa: D102 - see cluster/journal
    def chunk(self, snapshot_id: bytes, chunk: bytes) -> None: ...  # noqa: D102
    def commit(self, snapshot_id: bytes) -> None: ...  # noqa: D102
    def chunks(self, snapshot_id: bytes) -> Iterator[bytes]: ...  # noqa: D102
    def remove_before(self, index: int) -> None: ...  # noqa: D102


class Replica(Applying):
    """See the module's paragraph."""

    log_entries_max = LOG_ENTRIES_MAX
    log_bytes_max = LOG_BYTES_MAX
    log_keep_entries = LOG_KEEP_ENTRIES
    log_keep_bytes = LOG_KEEP_BYTES
    proposals_max = PROPOSALS_MAX
    store: Store

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random,
        store: Store, state: State, sealer: Sealer, snapshot_index: int = 0,
    ) -> None:
        self.snapshot_index = snapshot_index  # newest durable one
        self._job: Iterator[bool] | None = None  # True: there is nothing to do in this turn
        self._chores: deque[Iterator[bool]] = deque()  # what may wait: for the job, and for each other
        self._resting = False  # the chore has nothing to do in this turn
        self._taking: tuple[bytes, int, Snapshot] | None = None
        self._taken_bytes = 0
        self._loaded: State | None = None
        self._turn: tuple[str, float] | None = None  # as leader: who may take a snapshot, until when
        self._my_turn = False
        self._retake = False
        self._applied_bytes = 0  # of entries applied since the newest durable snapshot was taken
        self._take_after_s = 0.0
        self.backed_up: Callable[[], int | None] = lambda: None  # what every backup sink has confirmed
        self.on_state_replaced: Callable[[State], None] = lambda _state: None
        super().__init__(node_id, peers, timing, log, clock, source, store, state, sealer)
        if state.applied_index < log.base_index:
            raise DamagedError("the log starts above the newest snapshot")
        self.commit_index = max(self.commit_index, state.applied_index)
        self.applied_index = state.applied_index
        if state.applied_index:
            self._chores.append(checked(state, self._wrong))

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
        """The journal can, or cannot, allocate its next segment (core.py, K3)."""
        self.space_ok = ok
        self.wake()

    # ---- jobs
    def after_tick(self) -> None:
        """One slice of a job; then whatever is due for compaction."""
        super().after_tick()
        if self._job is not None:
            if self._run(self._job):
                self._job = None
        elif self._chores and self._run(self._chores[0]):
            self._chores.popleft()
        self._give_turn()
        if self.wants_snapshot and (self.has_turn(self.node_id) if self.is_leader else self._my_turn):
            self.take_snapshot()

    @property
    def busy(self) -> bool:
        """A job is under way: tick again soon."""
        return self._job is not None or (bool(self._chores) and not self._resting)

    def _run(self, job: Iterator[bool]) -> bool:
        """One slice; True if that was the last."""
        end = self.clock.boot() + JOB_BUDGET_S
        for self._resting in job:
            if self._resting or self.clock.boot() >= end:
                return False
        self._resting = False
        return True

    def _wrong(self, why: str) -> None:
        self.on_broken(why)

    # ---- taking a snapshot
    @property
    def wants_snapshot(self) -> bool:
        """P2."""
        if self._retake:
            return True
        applied = self.applied_index - self.snapshot_index
        return applied >= self.log_entries_max or self._applied_bytes > self.log_bytes_max

    def install(self, index: int, term: int, command: bytes) -> None:
        """See Replication; counts what a snapshot would free."""
        super().install(index, term, command)
        self._applied_bytes += len(command)

    def retake(self) -> None:
        """See Snapshots."""
        self._retake = True

    def _give_turn(self) -> None:
        if not self.is_leader:
            return
        now = self.clock.boot()
        if self._turn is not None and now < self._turn[1] and self._needs_turn(self._turn[0]):
            return
        everybody = [*self.peers, self.node_id]
        start = 0 if self._turn is None else everybody.index(self._turn[0]) + 1
        needy = [peer for peer in (*everybody[start:], *everybody[:start]) if self._needs_turn(peer)]
        self._turn = (needy[0], now + TURN_S) if needy else None

    def _needs_turn(self, peer: str) -> bool:
        if peer == self.node_id:
            return self.wants_snapshot
        return self.connected(peer) and self.progress[peer].wants_snapshot

    def has_turn(self, peer: str) -> bool:
        """P1."""
        return self._turn is not None and self._turn[0] == peer

    def on_leader_info(self, message: Append) -> None:
        """The turn comes with the leader's messages."""
        super().on_leader_info(message)
        self._my_turn = message.turn

    def take_snapshot(self) -> bool:
        """Begin a snapshot of the state at the applied index; False if a job is under way or there is one already."""
        nothing_new = self.applied_index <= self.snapshot_index and not self._retake
        busy = self._job is not None or self._taking is not None
        if busy or nothing_new or self.clock.boot() < self._take_after_s:
            return False
        snapshot_id = self.source.bytes(8)
        snapshot = Snapshot(self.state)
        index, term = self.state.applied_index, self.state.applied_term
        self._taking = (snapshot_id, index, snapshot)
        self._taken_bytes = self._applied_bytes
        self.store.begin(snapshot_id, index, term)
        self._job = self._taking_job(snapshot_id, index, term, snapshot)
        self.wake()
        return True

    def _taking_job(self, snapshot_id: bytes, index: int, term: int, snapshot: Snapshot) -> Iterator[bool]:
        number = 0
        held: bytes | None = None
        for payload in snapshot.chunks():
            if held is not None:
                self._store_chunk(snapshot_id, index, term, number, held, final=False)
                number += 1
            held = payload
            yield False
            while self.store.backlog_bytes > SNAPSHOT_BACKLOG_BYTES_MAX:
                yield True
        assert held is not None
        self._store_chunk(snapshot_id, index, term, number, held, final=True)
        self.store.commit(snapshot_id)

    def _store_chunk(
        self, snapshot_id: bytes, index: int, term: int, number: int, payload: bytes, *, final: bool
    ) -> None:
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
            if index > self.snapshot_index or self._retake:
                self._retake = False
                self._applied_bytes -= self._taken_bytes
                self.snapshot_index = index
                self.store.remove_before(index)
                self.cut_log()
            return
        super().on_snapshot_durable(snapshot_id)

    def on_snapshot_refused(self, snapshot_id: bytes, why: str) -> None:
        """An own snapshot could not be written: it is tried again after a while, sooner if a follower waits for it."""
        if self._taking is not None and self._taking[0] == snapshot_id:
            self._drop_job()
            self._take_after_s = self.clock.boot() + (OWED_RETRY_S if self._retake else RETRY_S)
        super().on_snapshot_refused(snapshot_id, why)

    def cut_log(self) -> None:
        """S4, S5: only below the durable snapshot, nothing a follower is being brought up with."""
        index = self.snapshot_index
        first = max(self.log.base_index + 1, index - self.log_keep_entries + 1)
        kept_bytes = 0
        for command, at, _ in reversed(self.log.slice(first, index - first + 1)):
            kept_bytes += len(command)
            if kept_bytes > self.log_bytes_max // 4:
                break
            index = at - 1
        for kept in (self.pinned_index(), self._kept_for_backups()):
            if kept is not None:
                index = min(index, kept)
        if index > self.log.base_index:
            failpoint("compaction.before-trim")
            self.log.trim(index)

    def _kept_for_backups(self) -> int | None:
        """Above which the log stays for sinks that are behind; None if nothing does, or if it would be too much."""
        held = self.backed_up()
        if held is None or self.log.bytes > self.log_keep_bytes:
            return None
        return held if self.log.last_index - held <= LOG_KEPT_MAX else None

    # ---- loading a received snapshot
    def begin_load(self, snapshot_id: bytes, index: int, term: int) -> None:
        """See Snapshots."""
        self._drop_job()
        self._job = self._loading_job(snapshot_id, index, term)
        self.wake()

    def _loading_job(self, snapshot_id: bytes, index: int, term: int) -> Iterator[bool]:
        keyring = None
        while keyring is not self.sealer.keyring:
            keyring = self.sealer.keyring
            loader = Loader(self.state.digest_key)
            try:
                for _ in load(loader, self.store.chunks(snapshot_id), self.sealer, snapshot_id, index, term):
                    yield False
                self._loaded = loader.finish()
            except UnknownKeyTermError:  # a rotation that is in the snapshot alone: its keys come from a member
                while keyring is self.sealer.keyring and self.waits_for_keys():
                    yield True
                continue
            except (DamagedError, OSError):
                break
            self.loaded()
            return
        self.load_failed()

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
        old, self.state, self._loaded = self.state, self._loaded, None
        self._chores = deque([checked(self.state, self._wrong), emptied(old, self.clock)])
        self.overlay = type(self.overlay)(self.state)
        self._opened.clear()
        self._digests.clear()
        self._marks.clear()
        self._digest_asked, self._digest_found = 0, None
        self.snapshot_index = self.state.applied_index
        self._applied_bytes = 0
        self._retake = False
        self.store.remove_before(self.snapshot_index)
        self.on_state_replaced(self.state)
