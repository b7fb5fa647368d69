"""What a node's journal has promised, and whether a folder still holds it: the judge of every test of this room.

The model keeps what was handed over and what was reported as durable. After a loss of power, or a kill, the folder must
hold everything reported and nothing that was never handed over: the log is what the operations up to one point
describe, that point lies at or behind the newest report, the ballot is one of those at or behind the newest report,
a snapshot with its final name is whole. A folder that only lost power is never taken for damaged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.journal import wal
from cluster.journal.ballot import Ballot, read_ballot
from cluster.journal.recovery import Recovered, recover
from cluster.journal.replay import Entry, Replay
from cluster.journal.snapshot_file import FOLDER, open_snapshot, parse_name
from cluster.raft.boot import Opened, check_meets, open_journal

if TYPE_CHECKING:
    from cluster.seams import Disk

SEGMENT_BYTES = 12 * 4096
FOR_EVER = (
    "term", "vote", "recovering", "sealed_by_operator", "peers", "held", "held_term", "init", "cluster_id",
)  # fmt: skip
"""What a later ballot of the same node says, too, unless it was asked to say something else."""
Place = tuple[int, int]


@dataclass
class Snapshot:
    """One that was announced; its chunks so far. `durable` was reported or has been seen after a loss of power."""

    index: int
    term: int
    chunks: list[bytes] = field(default_factory=list)
    durable: bool = False


class Promises:
    """Of one folder, over all its lives."""

    def __init__(self) -> None:
        self.known: tuple[Place, list[Entry]] = ((0, 0), [])  # the log up to `known_sequence`
        self.known_sequence = 0
        self.records: list[bytes] = []  # operations behind it
        self.reported = 0
        self.handed_over = 0
        self.ballots: dict[int, Ballot] = {0: Ballot()}
        self.ballot_reported = 0
        self.starting = False  # a start was interrupted: it may have written a ballot of a new life
        self.snapshots: dict[bytes, Snapshot] = {}
        self.needless_below = 0  # snapshots below may be gone
        self.reports = 0  # how often something was reported as durable
        self.dark = False  # the power is gone: what is still said is heard by nobody
        self.late_reports = 0

    # ---- what is handed over and reported
    def operation(self, sequence: int, record: bytes) -> None:
        self.records.append(record)
        self.handed_over = sequence

    def _heard(self) -> bool:
        """A machine without power reports nothing.

        The shutdown of a file system is not that sharp: a sync that is under way at its moment may return success
        although the pages it waited for were dropped.
        """
        if self.dark:
            self.late_reports += 1
        else:
            self.reports += 1
        return not self.dark

    def synced(self, sequence: int) -> None:
        if self._heard():
            self.reported = max(self.reported, sequence)

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        self.ballots[sequence] = ballot

    def ballot_synced(self, sequence: int) -> None:
        if self._heard():
            self.ballot_reported = max(self.ballot_reported, sequence)

    def snapshot_durable(self, snapshot_id: bytes) -> None:
        if self._heard():
            self.snapshots[snapshot_id].durable = True

    # ---- what must be there
    def log(self, last_sequence: int) -> tuple[Place, list[Entry]]:
        """The log that the operations up to and with `last_sequence` describe."""
        replay = Replay()
        replay.base, replay.entries = self.known[0], list(self.known[1])
        for raw in self.records:
            record = next(wal.records(raw))
            if record.sequence <= last_sequence:
                replay.apply(record, raw)
        assert replay.base is not None
        return replay.base, replay.entries

    def check_log(self, recovered: Recovered) -> None:
        assert not recovered.damaged, "an intact log is taken for damaged"
        if self.handed_over == 0 and not recovered.entries and recovered.base == (0, 0):
            return  # created or not, by a start that was interrupted: nothing is in it
        last = recovered.last_sequence
        assert last >= self.reported, f"log: {self.reported} was reported, {last} is there"
        assert last <= self.handed_over, f"log: {last} is there, {self.handed_over} was the last handed over"
        assert (recovered.base, recovered.entries) == self.log(last), f"log: not what {last} operations describe"

    def check_ballot(self, found: tuple[int, Ballot] | None) -> tuple[int, Ballot]:
        """The ballot that was found, as the newest promise."""
        sequence, ballot = found or (0, Ballot())
        assert sequence >= self.ballot_reported, f"ballot: {self.ballot_reported} was reported, {sequence} is there"
        if sequence in self.ballots and ballot == self.ballots[sequence]:
            return sequence, ballot
        assert self.starting, f"ballot {sequence} was never handed over"
        before = [one for at, one in self.ballots.items() if at >= self.ballot_reported]
        assert any(_next_life(one, ballot) for one in before), f"ballot {sequence} follows from none"
        return sequence, ballot

    def check_snapshots(self, disk: Disk) -> list[Place]:
        """(index, term) of those that are there, all of them whole, the newest last."""
        there = {}
        for name in disk.names(FOLDER):
            if (parsed := parse_name(name)) is None:
                continue
            index, snapshot_id = parsed
            promised = self.snapshots.get(snapshot_id)
            assert promised is not None, f"snapshot {name} was never begun"
            with open_snapshot(disk, f"{FOLDER}/{name}") as reader:
                head = (reader.header.index, reader.header.term)
                assert head == (promised.index, promised.term) == (index, promised.term), f"snapshot {name}"
                assert list(reader.chunks()) == promised.chunks, f"snapshot {name} is not what was written"
            there[snapshot_id] = promised
        for snapshot_id, promised in self.snapshots.items():
            needed = promised.durable and promised.index >= self.needless_below
            assert not needed or snapshot_id in there, f"the snapshot at {promised.index} was reported and is gone"
        for promised in there.values():
            promised.durable = True
        self.snapshots = there
        return sorted((promised.index, promised.term) for promised in there.values())


def _next_life(before: Ballot, after: Ballot) -> bool:
    """`after` says the same in a later life: what else it says is of that life itself."""
    same = all(getattr(before, name) == getattr(after, name) for name in FOR_EVER)
    return same and after.incarnation > before.incarnation and after.born >= before.born


def check(disk: Disk, promises: Promises) -> tuple[Recovered, Ballot, Place | None]:
    """Everything promised is there; what was found becomes what must be there from now on."""
    places = promises.check_snapshots(disk)
    sequence, ballot = promises.check_ballot(read_ballot(disk))
    recovered = recover(disk, segment_bytes=SEGMENT_BYTES)
    promises.check_log(recovered)
    promises.ballots, promises.ballot_reported = {sequence: ballot}, sequence
    return recovered, ballot, places[-1] if places else None


def begin(disk: Disk, promises: Promises, *, wall_ns: int = 0) -> Opened:
    """Check what is there, then start as a node does: a start is always possible and finds nothing lost."""
    recovered, before, newest = check(disk, promises)
    promises.starting = True
    opened = open_journal(disk, segment_bytes=SEGMENT_BYTES, wall_ns=wall_ns, snapshot=newest)
    if promises.dark:
        return opened  # it ended with its machine, whatever it thought of its last sync
    promises.starting = False

    assert opened.ballot.recovering == before.recovering, "an intact folder is taken for damaged"
    assert _next_life(before, opened.ballot), "the ballot of a new life says something else"
    if opened.reset_to is None:
        assert (opened.base, opened.entries) == (recovered.base, recovered.entries)
    else:
        assert newest is not None
        assert newest[0] > recovered.base[0], "the log was given up for an older snapshot"
        assert (opened.base, opened.entries, opened.reset_to) == (newest, [], newest)
    check_meets(opened, newest[0] if newest else 0)

    sequence = opened.start.last_sequence
    promises.known, promises.records = (recovered.base, recovered.entries), []
    promises.known_sequence = promises.reported = promises.handed_over = sequence
    promises.ballots = {opened.ballot_sequence: opened.ballot}
    promises.ballot_reported = opened.ballot_sequence
    return opened
