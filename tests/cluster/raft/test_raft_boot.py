"""The start of a life: ballot, log and snapshot become one beginning (B1-B4), over a disk that loses power."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field

import pytest

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError
from cluster.journal import wal
from cluster.journal.ballot import Ballot, read_ballot, write_ballot
from cluster.journal.snapshot_file import SnapshotWriter
from cluster.journal.writer import LogWriter
from cluster.raft.boot import Opened, _meet, check_meets, open_journal
from cluster.raft.loading import load, load_newest
from cluster.raft.log import DurableLog
from cluster.raft.store import FileSnapshots
from cluster.state.snapshot import Loader
from tests.cluster.raft.wiring import FakeWriter, Wired, lone, opened, put

WALL_NS = 1_800_000_000_000_000_000


def start(disk: SimDisk, *, snapshot: tuple[int, int] | None = None) -> Opened:
    return open_journal(disk, segment_bytes=64 * 1024, wall_ns=WALL_NS, snapshot=snapshot)


def write(disk: SimDisk, begun: Opened, *records: bytes) -> None:
    """Synced operations of a life."""
    writer = LogWriter(disk, segment_bytes=64 * 1024, start=begun.start)
    writer.write([b"".join(records)], begun.start.last_sequence + len(records))
    writer.sync()
    writer.close()


def entries(begun: Opened, *terms: int) -> list[bytes]:
    """Append records from index 1 on."""
    first = begun.start.last_sequence + 1
    return [wal.append_record(first + at, 1 + at, term, b"entry %d" % at) for at, term in enumerate(terms)]


# ---- B1
def test_the_first_life_counts_from_the_clock() -> None:
    """So that a member whose disk was replaced is a new life to its peers."""
    assert start(SimDisk()).ballot.incarnation == 1_800_000_000_000


def test_a_ballot_that_init_wrote_is_no_life_yet() -> None:
    """The folder of a member that joined, or was wiped, has a ballot before its first life."""
    disk = SimDisk()
    write_ballot(disk, 1, Ballot(cluster_id=b"c" * 16, recovering=True))
    begun = start(disk)

    assert (begun.ballot.incarnation, begun.ballot.recovering) == (1_800_000_000_000, True)


def test_every_life_has_a_higher_incarnation_that_is_durable_before_it_speaks() -> None:
    """Whatever the next loss of power keeps."""
    disk = SimDisk()
    seen = []
    for seed in range(5):
        seen.append(start(disk).ballot.incarnation)
        disk.power_loss(random.Random(seed))

    assert seen == [1_800_000_000_000 + life for life in range(5)]


def test_a_folder_that_was_put_back_is_a_new_life_too() -> None:
    """Its ballot counts from an earlier life, and that life's successor is known to the peers already."""
    disk = SimDisk()
    write_ballot(disk, 1, Ballot(incarnation=1_700_000_000_000, born=True))

    assert start(disk).ballot.incarnation == 1_800_000_000_000


def test_a_ballot_that_cannot_be_read_begins_no_life() -> None:
    """It may have voted: such a node must be replaced."""
    disk = SimDisk()
    start(disk)
    for name in disk.names():
        for offset in range(0, 8192, 64):
            disk.corrupt(name, offset)

    with pytest.raises(DamagedError):
        start(disk)


# ---- B2
def test_a_lost_log_makes_the_node_recovering_durably() -> None:
    """The ballot says so before anything of the log is written; its twin: an empty log that was never used does not."""
    disk = SimDisk()
    fresh = start(disk)
    write(disk, fresh, *entries(fresh, 0, 1))
    for name in disk.names(wal.FOLDER):
        disk.lose(f"{wal.FOLDER}/{name}")
    begun = start(disk)
    found = read_ballot(disk)

    assert fresh.ballot.recovering is False
    assert (begun.ballot.recovering, begun.entries) == (True, [])
    assert found is not None
    assert found[1].recovering is True


class CrashError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("operation", range(14))
def test_recovering_is_durable_before_the_log_is_cut(operation: int) -> None:
    """Wherever a start with a lost log is interrupted, by a loss of power: the next start knows that it is lost."""
    disk = SimDisk()
    fresh = start(disk)
    write(disk, fresh, *entries(fresh, 0, 1))
    for name in disk.names(wal.FOLDER):
        disk.lose(f"{wal.FOLDER}/{name}")
    seen = 0

    def crash(_operation: str) -> None:
        nonlocal seen
        seen += 1
        if seen > operation:
            raise CrashError

    disk.on_operation = crash
    with contextlib.suppress(CrashError):
        start(disk)
    disk.on_operation = lambda _operation: None
    disk.power_loss(random.Random(operation))

    assert start(disk).ballot.recovering is True


def test_a_log_that_the_ballot_does_not_know_of_means_that_the_ballot_was_lost() -> None:
    """It may have voted; its twin: a first start that crashed before its first entry is a first start."""
    disk = SimDisk()
    fresh = start(disk)
    write(disk, fresh, *entries(fresh, 0, 1))
    for name in disk.names():
        disk.lose(name)
    lost = start(disk)

    unused = SimDisk()
    start(unused)
    for name in unused.names():
        unused.lose(name)

    assert (lost.ballot.recovering, start(unused).ballot.recovering) == (True, False)


def test_recovering_is_kept_over_restarts() -> None:
    """Only a leader's word ends it."""
    disk = SimDisk()
    write_ballot(disk, 1, Ballot(incarnation=3, born=True, recovering=True))

    assert [start(disk).ballot.recovering for _ in range(3)] == [True] * 3


# ---- B3
def test_term_and_vote_survive() -> None:
    """Any number of restarts."""
    disk = SimDisk()
    fresh = start(disk)
    write_ballot(disk, 9, Ballot(term=7, vote="n2", incarnation=fresh.ballot.incarnation, born=True))
    begun = [start(disk) for _ in range(2)][-1]

    assert (begun.ballot.term, begun.ballot.vote) == (7, "n2")


# ---- B4: log and snapshot, as a table
@dataclass
class Found:
    """What the journal's recovery gives."""

    base: tuple[int, int] = (0, 0)
    entries: list[tuple[int, int, bytes]] = field(default_factory=list)
    damaged: bool = False
    missing: bool = False


def log_of(base: tuple[int, int], *terms: int) -> Found:
    return Found(base, [(base[0] + 1 + at, term, b"e") for at, term in enumerate(terms)])


MEETINGS = [
    ("no snapshot, a log from the start", log_of((0, 0), 0, 1), None, ((0, 0), 2, None, False)),
    ("no snapshot for a cut log", log_of((5, 1), 1), None, ((0, 0), 0, (0, 0), True)),
    ("snapshot at the base", log_of((5, 1), 1, 1), (5, 1), ((5, 1), 2, None, False)),
    ("snapshot inside the log", log_of((0, 0), 0, 1, 1), (2, 1), ((0, 0), 3, None, False)),
    ("snapshot at the end of the log", log_of((0, 0), 0, 1), (2, 1), ((0, 0), 2, None, False)),
    ("snapshot beyond the log", log_of((0, 0), 0, 1), (9, 3), ((9, 3), 0, (9, 3), False)),
    ("snapshot of another history", log_of((0, 0), 0, 1, 1), (2, 4), ((2, 4), 0, (2, 4), False)),
    ("snapshot below the log", log_of((5, 1), 1), (3, 1), ((3, 1), 0, (3, 1), True)),
    ("damage is loss", Found((0, 0), [(1, 0, b"e")], damaged=True), None, ((0, 0), 1, None, True)),
    ("a missing log is loss", Found(missing=True), None, ((0, 0), 0, None, True)),
]


@pytest.mark.parametrize(("why", "found", "snapshot", "expected"), MEETINGS, ids=[row[0] for row in MEETINGS])
def test_a_log_that_does_not_meet_the_snapshot_gives_way(
    why: str, found: Found, snapshot: tuple[int, int] | None, expected: tuple[object, ...]
) -> None:
    """Base, number of entries, reset, and whether something acknowledged may be lost."""
    base, kept, reset_to, lost = _meet(found, Ballot(born=True), snapshot)  # type: ignore[arg-type]

    assert (base, len(kept), reset_to, lost) == expected, why


def test_the_first_operation_of_a_life_empties_a_log_that_gave_way() -> None:
    """And it is durable only when that operation is."""
    writer = FakeWriter()
    log = DurableLog(writer, opened(entries=[], base=(9, 3), reset_to=(9, 3)))

    assert (writer.operations, log.durable()) == ([("reset", 1, (9, 3))], 0)


def test_a_state_below_the_log_is_no_beginning() -> None:
    """Entries in between are nowhere."""
    check_meets(opened(base=(5, 1), entries=[]), 5)
    with pytest.raises(DamagedError):
        check_meets(opened(base=(5, 1), entries=[]), 4)


# ---- loading
def snapshots(disk: SimDisk, *damages: bool) -> list[int]:
    """Snapshot files of a running leader, one after ten writes each; damaged ones do not open. Their indexes."""
    wired = Wired()
    node = wired.elect("n1")
    disk.make_folder("snapshots")
    indexes = []
    for number, damage in enumerate(damages):
        for write_number in range(10):
            node.propose(put(f"k{number} {write_number}"))
        wired.run(0.1)
        node.replica.take_snapshot()
        wired.run(0.1)
        stored = node.store.files[-1]
        file = SnapshotWriter(disk, stored.snapshot_id, stored.index, stored.term)
        for chunk in stored.sealed:
            file.append(b"\xff" * len(chunk) if damage else chunk)
        file.commit()
        indexes.append(stored.index)
    return indexes


@pytest.mark.parametrize(("damages", "expected"), [((False, False), 1), ((False, True), 0), ((True, True), None)])
def test_a_life_begins_with_the_newest_snapshot_that_opens(damages: tuple[bool, ...], expected: int | None) -> None:
    """Damaged ones are named, so that they are not sent to others."""
    disk = SimDisk()
    indexes = snapshots(disk, *damages)
    state, found, damaged = load_newest(disk, lone()[0].sealer)

    assert (0 if found is None else found[0]) == (0 if expected is None else indexes[expected])
    assert state.applied_index == (0 if expected is None else indexes[expected])
    assert len(damaged) == sum(damages)


def test_a_snapshot_without_a_readable_head_is_passed_over() -> None:
    """At the start, and when one is looked for to be sent."""
    disk = SimDisk()
    indexes = snapshots(disk, False, False)
    newest = disk.names("snapshots")[-1]
    disk.corrupt(f"snapshots/{newest}", 3)
    _, found, _ = load_newest(disk, lone()[0].sealer)
    latest = FileSnapshots(disk, None).latest()  # type: ignore[arg-type]

    assert found is not None
    assert latest is not None
    assert (found[0], latest.index) == (indexes[0], indexes[0])


def test_a_snapshot_that_was_found_damaged_is_not_given_again() -> None:
    """Its file stays until a newer one is there; an older one does instead."""
    disk = SimDisk()
    indexes = snapshots(disk, False, False)
    store = FileSnapshots(disk, None)  # type: ignore[arg-type]
    newest = store.latest()
    assert newest is not None
    store.damaged(newest.snapshot_id)
    older = store.latest()
    assert older is not None

    assert (newest.index, older.index) == (indexes[1], indexes[0])


def chunks_of() -> tuple[list[bytes], bytes, int, int]:
    wired = Wired()
    node = wired.elect("n1")
    for number in range(20):
        node.propose(put(f"k{number}"))
    wired.run(0.1)
    node.replica.take_snapshot()
    wired.run(0.1)
    stored = node.store.files[-1]
    assert len(stored.sealed) > 2
    return stored.sealed, stored.snapshot_id, stored.index, stored.term


CHANGES = ["drop the last", "drop one", "swap two", "repeat one", "another index", "turn a bit"]


@pytest.mark.parametrize("change", CHANGES)
def test_chunks_that_are_not_all_there_in_their_places_do_not_load(change: str) -> None:
    """Each is bound to its snapshot, its number, and whether it is the last; its twin is the first line."""
    chunks, snapshot_id, index, term = chunks_of()
    sealer = lone()[0].sealer
    for _ in load(Loader(sealer.keyring.digest_key), iter(chunks), sealer, snapshot_id, index, term):
        pass
    changed = {
        "drop the last": chunks[:-1],
        "drop one": chunks[1:],
        "swap two": [chunks[1], chunks[0], *chunks[2:]],
        "repeat one": [chunks[0], *chunks],
        "another index": chunks,
        "turn a bit": [chunks[0][:-1] + bytes([chunks[0][-1] ^ 1]), *chunks[1:]],
    }[change]
    index += change == "another index"

    with pytest.raises(DamagedError):
        for _ in load(Loader(sealer.keyring.digest_key), iter(changed), sealer, snapshot_id, index, term):
            pass
