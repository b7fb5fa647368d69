"""A member's journal in the simulator: the product's writers over a simulated disk, with the time a disk takes.

The product runs `LogWriter`, `BallotWriter` and the snapshot files in a child process; here the same code runs in
events: a batch is written, a sync takes its time, the completion follows. A crash may fall between any two of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from cluster.journal import wal
from cluster.journal.ballot import Ballot, encode_ballot
from cluster.journal.ballot_file import BallotWriter
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.journal.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.raft.boot import Opened

    from .disk import SimDisk
    from .world import World

WRITE_S = 0.0001
T = TypeVar("T")


class SimWriter:
    """What the replica's log talks to. Ends silently with the life it belongs to."""

    def __init__(self, world: World, disk: SimDisk, segment_bytes: int, alive: Callable[[], bool]) -> None:
        self._world = world
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._alive = alive
        self._records: list[bytes] = []
        self._sequence = 0
        self._log: LogWriter | None = None
        self._log_busy = False
        self._ballots: deque[tuple[int, Ballot]] = deque()
        self._ballot_file: BallotWriter | None = None
        self._ballot_busy = False
        self.backlog_bytes = 0
        self.slow_until_s = 0.0
        self.slow_s = 0.0
        self.on_synced: Callable[[int], None] = lambda _sequence: None
        self.on_ballot: Callable[[int], None] = lambda _sequence: None
        self.on_failed: Callable[[], None] = lambda: None
        self.on_snapshot: Callable[[bytes], None] = lambda _snapshot_id: None
        self.on_snapshot_refused: Callable[[bytes, str], None] = lambda _snapshot_id, _why: None
        self._desk: SnapshotDesk | None = None
        self._snapshot_free_s = 0.0  # its thread does one thing after the other
        self.snapshot_backlog_bytes = 0

    def begin(self, opened: Opened) -> None:
        """The start is done; the writer goes on from it."""
        self._log = LogWriter(self._disk, segment_bytes=self._segment_bytes, start=opened.start)
        self._ballot_file = BallotWriter(self._disk)
        self._desk = SnapshotDesk(self._disk)

    @property
    def synced_sequence(self) -> int:
        """What is on the platter, said or not yet said."""
        return 0 if self._log is None else self._log.synced_sequence

    # ---- snapshots
    def _snapshot(self, time_s: float, action: Callable[[], None]) -> None:
        self._snapshot_free_s = max(self._snapshot_free_s, self._world.now_s) + time_s

        def turn() -> None:
            if self._alive():
                try:
                    action()
                except OSError:
                    self._world.stats["failed syncs"] += 1
                    self.on_failed()

        self._world.at(self._snapshot_free_s - self._world.now_s, turn)

    def _refused(self, snapshot_id: bytes, why: str | None) -> None:
        if why is not None:
            self.on_snapshot_refused(snapshot_id, why)

    def snapshot_begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        """See cluster.journal.handle."""
        desk = self._desk
        assert desk is not None
        self._snapshot(WRITE_S, lambda: self._refused(snapshot_id, desk.begin(snapshot_id, index, term)))

    def snapshot_chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        """See cluster.journal.handle."""
        desk = self._desk
        assert desk is not None
        self._snapshot(WRITE_S, lambda: self._refused(snapshot_id, desk.chunk(snapshot_id, chunk)))

    def snapshot_receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> None:
        """See cluster.journal.handle."""
        desk = self._desk
        assert desk is not None
        self._snapshot(
            WRITE_S, lambda: self._refused(snapshot_id, desk.receive(snapshot_id, index, term, offset, data))
        )

    def snapshot_commit(self, snapshot_id: bytes) -> None:
        """See cluster.journal.handle."""
        desk = self._desk
        assert desk is not None

        def commit() -> None:
            why = desk.commit(snapshot_id)
            if why is None:
                self.on_snapshot(snapshot_id)
            else:
                self.on_snapshot_refused(snapshot_id, why)

        self._snapshot(self.sync_time(), commit)

    def snapshot_abort(self, snapshot_id: bytes) -> None:
        """See cluster.journal.handle."""
        desk = self._desk
        assert desk is not None
        self._snapshot(WRITE_S, lambda: desk.abort(snapshot_id))

    def snapshot_remove_before(self, index: int) -> None:
        """See cluster.journal.handle."""
        desk = self._desk
        assert desk is not None
        self._snapshot(WRITE_S, lambda: desk.remove_before(index))

    # ---- operations
    def _submit(self, sequence: int, record: bytes) -> None:
        self._records.append(record)
        self._sequence = sequence
        self.backlog_bytes += len(record)
        if not self._log_busy:
            self._log_busy = True
            self._world.at(WRITE_S, self._write)

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:
        """See cluster.raft.log.Writer."""
        self._submit(sequence, wal.append_record(sequence, index, term, entry))

    def truncate(self, sequence: int, first_removed_index: int) -> None:
        """See cluster.raft.log.Writer."""
        self._submit(sequence, wal.truncate_record(sequence, first_removed_index))

    def trim(self, sequence: int, index: int, term: int) -> None:
        """See cluster.raft.log.Writer."""
        self._submit(sequence, wal.trim_record(sequence, index, term))

    def reset(self, sequence: int, index: int, term: int) -> None:
        """See cluster.raft.log.Writer."""
        self._submit(sequence, wal.reset_record(sequence, index, term))

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        """See cluster.raft.log.Writer."""
        self._ballots.append((sequence, ballot))
        if not self._ballot_busy:
            self._ballot_busy = True
            self._world.at(WRITE_S, self._write_ballot)

    # ---- the child's turns
    def sync_time(self) -> float:
        """How long a sync takes now."""
        options, rng = self._world.options, self._world.rng
        if self._world.healed:
            return options.sync_s
        if self._world.now_s < self.slow_until_s:
            return self.slow_s
        if rng.random() < options.slow_sync_chance:
            return 0.05 + rng.random() * 0.3
        return options.sync_s * (0.5 + rng.random())

    def _write(self) -> None:
        if not self._alive():
            return
        assert self._log is not None
        records, self._records = self._records, []
        if not records:
            self._log_busy = False
            self._guard(self._log.idle)
            if self._alive():
                self._guard(self._log.tidy)
            return
        self._guard(self._log.write, [b"".join(records)], self._sequence)
        if not self._alive():
            return
        self._world.at(self.sync_time(), self._sync, sum(map(len, records)))

    def _sync(self, written_bytes: int) -> None:
        if not self._alive():
            return
        assert self._log is not None
        sequence = self._guard(self._log.sync)
        if sequence is None:
            return
        self.backlog_bytes -= written_bytes
        self._world.at(WRITE_S, self._write)
        self.on_synced(sequence)

    def _write_ballot(self) -> None:
        if not self._alive():
            return
        if not self._ballots:
            self._ballot_busy = False
            return
        assert self._ballot_file is not None
        sequence, ballot = self._ballots[-1]
        self._ballots.clear()
        self._guard(self._ballot_file.write, sequence, encode_ballot(ballot))
        if not self._alive():
            return
        self._world.at(self.sync_time(), self._sync_ballot)

    def _sync_ballot(self) -> None:
        if not self._alive():
            return
        assert self._ballot_file is not None
        sequence = self._guard(self._ballot_file.sync)
        if sequence is None:
            return
        self._world.at(WRITE_S, self._write_ballot)
        self.on_ballot(sequence)

    def _guard(self, call: Callable[..., T], *arguments: object) -> T | None:
        try:
            return call(*arguments)
        except OSError:
            self._world.stats["failed syncs"] += 1
            self.on_failed()
            return None
