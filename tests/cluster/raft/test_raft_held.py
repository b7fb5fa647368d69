"""A lost end of the log shows in nothing but the ballot: every member writes there what it held (boot.py, B6)."""

from __future__ import annotations

import random

import pytest

from chaos.sim.disk import SimDisk
from cluster.journal import wal
from cluster.journal.ballot import Ballot, read_ballot, write_ballot
from cluster.journal.writer import LogWriter
from cluster.raft.boot import Opened, holds, open_journal
from tests.cluster.raft.wiring import Wired

SEGMENT_BYTES = 64 * 1024
ENTRIES = 5


def start(disk: SimDisk) -> Opened:
    return open_journal(disk, segment_bytes=SEGMENT_BYTES, wall_ns=0, snapshot=None)


def life(disk: SimDisk, held: int) -> str:
    """Five synced entries, and a ballot that speaks of them; the name of the segment that holds them."""
    begun = start(disk)
    first = begun.start.last_sequence + 1
    entries = [wal.append_record(first + at, 1 + at, 1, b"x" * 5000) for at in range(ENTRIES)]
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=begun.start)
    for at, entry in enumerate(entries):
        writer.write([entry], first + at)
        writer.sync()
    writer.idle()
    writer.close()
    found = read_ballot(disk)
    assert found is not None
    write_ballot(disk, found[0] + 1, Ballot(term=1, vote="n1", born=True, incarnation=9, held=held))
    return wal.segment_name(begun.start.number)


@pytest.mark.parametrize("size", [0, 20, 4096, 3 * 4096 + 100])
def test_a_log_whose_end_was_cut_off_is_recovering_durably(size: int) -> None:
    """Whatever the size that is left: the journal alone takes it for a tail that was never synced."""
    disk = SimDisk()
    name = life(disk, held=ENTRIES)
    file = disk.open(name)
    file.truncate(size)
    file.sync()
    begun = start(disk)
    disk.power_loss(random.Random(size))
    now = read_ballot(disk)

    assert begun.ballot.recovering
    assert now is not None
    assert (now[1].recovering, now[1].vote, now[1].held) == (True, "n1", len(begun.entries))


def test_a_log_that_has_what_was_held_is_whole() -> None:
    """The twin: it may have more, which was not committed when the ballot was written."""
    found = []
    for held in (0, ENTRIES - 1, ENTRIES):
        disk = SimDisk()
        life(disk, held)
        begun = start(disk)
        found.append((begun.ballot.recovering, begun.ballot.held, len(begun.entries)))

    assert found == [(False, 0, ENTRIES), (False, ENTRIES - 1, ENTRIES), (False, ENTRIES, ENTRIES)]


def overwritten(disk: SimDisk, held_term: int) -> tuple[str, int]:
    """Entries 3 to 5 of term 1 gave way to entry 3 of term 2, which is committed; (file, its size before)."""
    begun = start(disk)
    first = begun.start.last_sequence + 1
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=begun.start)
    records = [wal.append_record(first + at, 1 + at, 1, b"x" * 5000) for at in range(ENTRIES)]
    writer.write(records, first + ENTRIES - 1)
    writer.sync()
    name = wal.segment_name(begun.start.number)
    file = disk.open(name)
    size = len(file.read_at(0, file.size()).rstrip(b"\0"))
    later = first + ENTRIES
    writer.write([wal.truncate_record(later, 3), wal.append_record(later + 1, 3, 2, b"y" * 100)], later + 1)
    writer.sync()
    writer.idle()
    writer.close()
    found = read_ballot(disk)
    assert found is not None
    ballot = Ballot(term=2, vote="n1", born=True, incarnation=9, held=3, held_term=held_term)
    write_ballot(disk, found[0] + 1, ballot)
    return name, size


def test_entries_that_come_back_with_a_lost_end_are_not_taken_for_what_was_held() -> None:
    """The log is longer than what was held, and what was committed there is gone: seed 36940640 of the power cuts."""
    disk = SimDisk()
    name, size = overwritten(disk, held_term=2)
    file = disk.open(name)
    file.truncate(-(-size // 4096) * 4096)
    file.sync()
    begun = start(disk)

    assert [entry[:2] for entry in begun.entries] == [(1 + at, 1) for at in range(ENTRIES)]
    assert begun.ballot.recovering
    assert (begun.ballot.held, begun.ballot.held_term) == (3, 2)


@pytest.mark.parametrize("held_term", [2, 0])
def test_what_was_overwritten_and_is_there_is_whole(held_term: int) -> None:
    """The twin; a ballot of an earlier version says no term."""
    disk = SimDisk()
    overwritten(disk, held_term)
    begun = start(disk)

    assert [entry[:2] for entry in begun.entries] == [(1, 1), (2, 1), (3, 2)]
    assert not begun.ballot.recovering


def test_what_was_held_below_the_base_or_at_it_is_there() -> None:
    """A snapshot has it; at the base the term must be the base's."""
    ballot = Ballot(held=4, held_term=2)

    assert holds(ballot, (9, 3), [])
    assert holds(ballot, (4, 2), [])
    assert not holds(ballot, (4, 1), [])
    assert not holds(ballot, (3, 2), [])


def test_every_member_writes_what_it_holds_and_what_is_not_committed_is_not_held() -> None:
    """Leader and followers, within a second of the last entry; a leader that is cut off holds no more than before."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.propose()
    wired.run(2.5)
    committed = leader.replica.commit_index
    held = {name: wired[name].log.ballot.held for name in wired.names}
    terms = {wired[name].log.ballot.held_term for name in wired.names}
    wired.cut = {(one, other) for one in wired.names for other in wired.names if "n1" in {one, other}}
    leader.propose()
    wired.run(2.5)

    assert held == dict.fromkeys(wired.names, committed)
    assert terms == {leader.log.term_at(committed)}
    assert leader.log.last_index > committed
    assert leader.log.ballot.held == committed


def test_what_is_only_remembered_delays_no_vote() -> None:
    """A ballot that says nothing new is on its way to the disk and nothing waits for it; a new term does."""
    wired = Wired()
    node = wired["n2"]
    node.log.hold(1)
    node.log.write_ballot()
    remembered = node.log.ballot_durable
    node.log.setCurrentTerm(7, "n3")

    assert (remembered, node.log.ballot_durable) == (True, False)
