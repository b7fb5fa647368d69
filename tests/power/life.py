"""One life of a node's journal: a drawn row of what Raft asks for, through the product's log to the product's writer.

`Life` draws; it notes every request in the promises before it leaves and every completion when it comes. Where the
writing happens is another's matter: the product's child process (cycles.py), or `InlineWriter`, the same code in this
process, one action at a time, so that a run depends on its seed alone.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from chaos.sim.disk import SimDisk
from cluster.journal import wal
from cluster.journal.ballot import Ballot, encode_ballot
from cluster.journal.ballot_file import BallotWriter
from cluster.journal.handle import Callbacks
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.journal.snapshot_file import SnapshotWriter
from cluster.journal.writer import LogWriter
from cluster.raft.log import DurableLog

from .promises import SEGMENT_BYTES, Promises, Snapshot

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cluster.journal.handle import WriterHandle
    from cluster.raft.boot import Opened
    from cluster.seams import Disk

ENTRY_BYTES = (0, 10, 10, 200, 200, 1000, 5000, 9000)
CHUNK_BYTES = (1, 300, 5000, 40_000)
PEERS = ("n2", "n3")


class Witness:
    """Notes what the log hands over, then passes it on."""

    def __init__(self, promises: Promises, handle: WriterHandle) -> None:
        self._promises = promises
        self._handle = handle

    @property
    def backlog_bytes(self) -> int:
        return self._handle.backlog_bytes

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:
        self._promises.operation(sequence, wal.append_record(sequence, index, term, entry))
        self._handle.append(sequence, index, term, entry)

    def truncate(self, sequence: int, first_removed_index: int) -> None:
        self._promises.operation(sequence, wal.truncate_record(sequence, first_removed_index))
        self._handle.truncate(sequence, first_removed_index)

    def trim(self, sequence: int, index: int, term: int) -> None:
        self._promises.operation(sequence, wal.trim_record(sequence, index, term))
        self._handle.trim(sequence, index, term)

    def reset(self, sequence: int, index: int, term: int) -> None:
        self._promises.operation(sequence, wal.reset_record(sequence, index, term))
        self._handle.reset(sequence, index, term)

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        self._promises.ballot(sequence, ballot)
        self._handle.ballot(sequence, ballot)


class Life:
    """`step` asks for one more thing; the callbacks are for the writer."""

    def __init__(self, promises: Promises, rng: random.Random) -> None:
        self.promises = promises
        self._rng = rng
        self.failed = ""
        self.counts: Counter[str] = Counter()  # of what became durable
        self._covered = 0  # nothing up to here is ever truncated: a snapshot has it
        self._own: bytes | None = None
        self._received: bytes | None = None
        self._committing: set[bytes] = set()

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(
            on_synced=self._on_synced,
            on_ballot=self._on_ballot,
            on_failed=self._on_failed,
            on_snapshot=self._on_snapshot,
            on_snapshot_refused=self._on_refused,
        )

    def begin(self, opened: Opened, handle: WriterHandle) -> None:
        self._handle = handle
        self._covered = max((one.index for one in self.promises.snapshots.values()), default=0)
        self.log = DurableLog(Witness(self.promises, handle), opened)

    # ---- completions
    def _on_synced(self, sequence: int) -> None:
        self.counts["log"] += 1
        self.promises.synced(sequence)
        self.log.on_synced(sequence)

    def _on_ballot(self, sequence: int) -> None:
        self.counts["ballot"] += 1
        self.promises.ballot_synced(sequence)
        self.log.on_ballot(sequence)

    def _on_failed(self, why: str) -> None:
        self.failed = why

    def _on_refused(self, snapshot_id: bytes, why: str) -> None:
        raise AssertionError(f"a snapshot was refused: {why}")

    def _on_snapshot(self, snapshot_id: bytes) -> None:
        self.promises.snapshot_durable(snapshot_id)
        self.counts["snapshot"] += 1
        snapshot = self.promises.snapshots[snapshot_id]
        log = self.log
        if snapshot.index > log.base_index:
            if log.term_at(snapshot.index) == snapshot.term:
                log.trim(snapshot.index)
                self.counts["compaction"] += 1
            else:
                log.reset(snapshot.index, snapshot.term)
        if self._own == snapshot_id:
            self._own = None
        if self._received == snapshot_id:
            self._received = None

    # ---- requests
    def step(self) -> None:
        draw = self._rng.random()
        if draw < 0.6:
            self._append()
        elif draw < 0.67:
            self._truncate()
        elif draw < 0.8:
            self._vote()
        elif draw < 0.93:
            self._snapshot()
        elif draw < 0.96:
            self._receive()
        else:
            self._remove_old()

    @property
    def _term(self) -> int:
        return max(self.log.last_term, self.log.getCurrentTerm(), 1)

    def _append(self) -> None:
        term = self._term
        for _ in range(self._rng.choice((1, 1, 2, 8))):
            self.log.add(self._rng.randbytes(self._rng.choice(ENTRY_BYTES)), self.log.last_index + 1, term)

    def _truncate(self) -> None:
        first = max(self.log.base_index, self._covered, self.log.held) + 1
        if first <= self.log.last_index:
            index = self._rng.randint(first, self.log.last_index)
            self.log.setCurrentTerm(self._term + 1, None)  # only what a later leader appends there truncates a log
            self.log.deleteEntriesFrom(index - self.log.base_index)
            self._append()

    def _vote(self) -> None:
        rng, log = self._rng, self.log
        log.remember(rng.choice(PEERS), incarnation=rng.randrange(1 << 40), term=self._term, index=log.base_index)
        log.hold(min(log.durable(), self._covered))  # as if no more than that was committed
        draw = rng.random()
        if draw < 0.6:
            log.setCurrentTerm(self._term + 1, rng.choice((None, "n1", *PEERS)))
        elif draw < 0.8:
            log.write_ballot(recovering=not log.ballot.recovering)
        elif draw < 0.9:
            log.write_ballot(sealed_by_operator=not log.ballot.sealed_by_operator)
        else:
            log.write_ballot(incarnation=log.ballot.incarnation + 1)

    def _snapshot(self) -> None:
        """A step of an own snapshot: begin, a chunk, or the end."""
        log, rng, promises = self.log, self._rng, self.promises
        if self._received is not None or self._own in self._committing:
            return
        if self._own is None:
            index = rng.randint(log.base_index, max(log.base_index, log.durable()))
            term = log.term_at(index)
            if index > log.base_index and term is not None:
                self._own = rng.randbytes(16)
                self._covered = max(self._covered, index)
                promises.snapshots[self._own] = Snapshot(index, term)
                self._handle.snapshot_begin(self._own, index, term)
        elif rng.random() < 0.6:
            chunk = rng.randbytes(rng.choice(CHUNK_BYTES))
            promises.snapshots[self._own].chunks.append(chunk)
            self._handle.snapshot_chunk(self._own, chunk)
        elif rng.random() < 0.1:
            self._give_up_own()
        else:
            self._committing.add(self._own)
            self._handle.snapshot_commit(self._own)

    def _give_up_own(self) -> None:
        if self._own is not None and self._own not in self._committing:
            self._handle.snapshot_abort(self._own)
            self._own = None

    def _receive(self) -> None:
        """A whole snapshot of a peer, behind everything that stands in the log."""
        if self._received is not None or self._own is not None:
            return
        rng = self._rng
        snapshot = Snapshot(self.log.last_index + rng.randint(20, 60), self._term)
        snapshot.chunks = [rng.randbytes(rng.choice(CHUNK_BYTES)) for _ in range(rng.randint(1, 4))]
        self._received = rng.randbytes(16)
        self.promises.snapshots[self._received] = snapshot
        data = file_of(self._received, snapshot)
        at = 0
        while at < len(data):
            part = data[at : at + rng.choice((7000, 50_000))]
            self._handle.snapshot_receive(self._received, snapshot.index, snapshot.term, at, part)
            at += len(part)
        self._handle.snapshot_commit(self._received)

    def _remove_old(self) -> None:
        durable = [one.index for one in self.promises.snapshots.values() if one.durable]
        if durable and max(durable) <= self.log.base_index:
            self.promises.needless_below = max(durable)
            self._handle.snapshot_remove_before(max(durable))


def file_of(snapshot_id: bytes, snapshot: Snapshot) -> bytes:
    """The bytes of its file."""
    disk = SimDisk()
    writer = SnapshotWriter(disk, snapshot_id, snapshot.index, snapshot.term)
    for chunk in snapshot.chunks:
        writer.append(chunk)
    file = disk.open(writer.commit())
    return file.read_at(0, file.size())


class InlineWriter:
    """A handle.WriterHandle without a process. `turn` does one thing that one of the child's three threads would do."""

    def __init__(self, disk: Disk, opened: Opened, callbacks: Callbacks, rng: random.Random) -> None:
        self._callbacks = callbacks
        self._rng = rng
        self._log = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=opened.start)
        self._ballot = BallotWriter(disk)
        self._desk = SnapshotDesk(disk)
        self._frames: list[bytes] = []
        self._sequence = 0
        self._newest_ballot: tuple[int, bytes] | None = None
        self._snapshots: deque[Callable[[], None]] = deque()
        self.backlog_bytes = self.snapshot_backlog_bytes = 0

    # ---- handed over
    def _operation(self, sequence: int, record: bytes) -> None:
        self._frames.append(record)
        self._sequence = sequence

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:
        self._operation(sequence, wal.append_record(sequence, index, term, entry))

    def truncate(self, sequence: int, first_removed_index: int) -> None:
        self._operation(sequence, wal.truncate_record(sequence, first_removed_index))

    def trim(self, sequence: int, index: int, term: int) -> None:
        self._operation(sequence, wal.trim_record(sequence, index, term))

    def reset(self, sequence: int, index: int, term: int) -> None:
        self._operation(sequence, wal.reset_record(sequence, index, term))

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        self._newest_ballot = (sequence, encode_ballot(ballot))

    def snapshot_begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        self._snapshots.append(lambda: _none(self._desk.begin(snapshot_id, index, term)))

    def snapshot_chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        self._snapshots.append(lambda: _none(self._desk.chunk(snapshot_id, chunk)))

    def snapshot_receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> None:
        self._snapshots.append(lambda: _none(self._desk.receive(snapshot_id, index, term, offset, data)))

    def snapshot_commit(self, snapshot_id: bytes) -> None:
        def commit() -> None:
            _none(self._desk.commit(snapshot_id))
            self._callbacks.on_snapshot(snapshot_id)

        self._snapshots.append(commit)

    def snapshot_abort(self, snapshot_id: bytes) -> None:
        self._snapshots.append(lambda: self._desk.abort(snapshot_id))

    def snapshot_remove_before(self, index: int) -> None:
        self._snapshots.append(lambda: self._desk.remove_before(index))

    # ---- done
    def turn(self) -> None:
        """One action, if any waits; else the idle writes and the housekeeping."""
        draw = self._rng.random()
        if self._newest_ballot is not None and draw < 0.3:
            waiting, self._newest_ballot = self._newest_ballot, None
            self._ballot.write(*waiting)
            self._callbacks.on_ballot(self._ballot.sync())
        elif self._snapshots and draw < 0.6:
            self._snapshots.popleft()()
        elif self._frames:
            frames, self._frames = self._frames, []
            self._log.write(frames, self._sequence)
            if self._rng.random() < 0.8:
                self._callbacks.on_synced(self._log.sync())
            if self._rng.random() < 0.8:
                self._log.tidy()
        elif draw < 0.8:
            self._log.idle()
            self._ballot.idle()

    def settle(self) -> None:
        """Nothing waits, everything is durable and says so."""
        while self._frames or self._snapshots or self._newest_ballot is not None:
            self.turn()
        if self._log.last_sequence > self._log.synced_sequence:
            self._callbacks.on_synced(self._log.sync())
        self._log.idle()
        self._ballot.idle()
        self._log.tidy()

    def close(self) -> None:
        self._log.close()
        self._ballot.close()


def _none(refused: str | None) -> None:
    assert refused is None, f"a snapshot was refused: {refused}"
