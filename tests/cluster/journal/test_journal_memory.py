"""The journal in memory: completions, ballots that go on to the disk, and snapshots that are the same files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError
from cluster.journal.ballot import Ballot
from cluster.journal.handle import Callbacks, WriterHandle
from cluster.journal.memory import MemoryDisk, MemoryWriter
from cluster.journal.snapshot_file import SnapshotWriter, latest_snapshot, open_snapshot
from cluster.raft.store import FileSnapshots

if TYPE_CHECKING:
    from collections.abc import Callable


class Ballots:
    """What is left for a disk."""

    def __init__(self) -> None:
        self.written: list[tuple[int, Ballot]] = []
        self.closed = 0

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        self.written.append((sequence, ballot))

    def close(self) -> bool:
        self.closed += 1
        return True


class Journal:
    """A journal in memory whose callbacks run when the test says so."""

    def __init__(self) -> None:
        self.ballots = Ballots()
        self.later: list[Callable[[], None]] = []
        self.told: list[tuple[str, object]] = []
        callbacks = Callbacks(
            on_synced=lambda sequence: self.told.append(("synced", sequence)),
            on_ballot=lambda sequence: self.told.append(("ballot", sequence)),
            on_failed=lambda why: self.told.append(("failed", why)),
            on_snapshot=lambda snapshot_id: self.told.append(("snapshot", snapshot_id)),
            on_snapshot_refused=lambda snapshot_id, why: self.told.append(("refused", (snapshot_id, why))),
        )
        self.writer = MemoryWriter(self.ballots, callbacks, self.later.append)
        self.snapshots = FileSnapshots(self.writer.disk, self.writer)

    def run(self) -> list[tuple[str, object]]:
        """Everything that was put off happens; what was told."""
        while self.later:
            self.later.pop(0)()
        told, self.told = self.told, []
        return told


def a_file() -> bytes:
    """A whole snapshot file, as a peer on a disk has it."""
    disk = SimDisk()
    writer = SnapshotWriter(disk, b"peer", 20, 2)
    writer.append(b"theirs")
    with open_snapshot(disk, writer.commit()) as reader:
        return reader.read(0, reader.size)


def test_operations_complete_later_and_together() -> None:
    """Never inside the call; the newest sequence speaks for all."""
    journal = Journal()
    handle: WriterHandle = journal.writer
    handle.append(7, 1, 1, b"entry")
    handle.truncate(8, 1)
    handle.trim(9, 1, 1)
    before = list(journal.told)
    first = journal.run()
    handle.reset(10, 5, 2)

    assert (before, first, journal.run()) == ([], [("synced", 9)], [("synced", 10)])
    assert handle.backlog_bytes == handle.snapshot_backlog_bytes == 0


def test_ballots_and_nothing_else_leave_the_process() -> None:
    """Votes are on stable storage in every mode; their completion comes from there."""
    journal = Journal()
    journal.writer.append(1, 1, 1, b"entry")
    journal.writer.ballot(2, Ballot(term=3))

    assert journal.run() == [("synced", 1)]
    assert journal.ballots.written == [(2, Ballot(term=3))]


def test_nothing_is_told_after_the_end() -> None:
    """And the end is that of the ballots' writer, too."""
    journal = Journal()
    journal.writer.append(1, 1, 1, b"entry")
    journal.writer.snapshot_commit(b"none")
    clean = journal.writer.close()

    assert (journal.run(), clean, journal.ballots.closed) == ([], True, 1)


def test_an_own_snapshot_is_complete_later_and_can_be_sent() -> None:
    """It is the file that a disk would hold, byte for byte."""
    journal = Journal()
    journal.snapshots.begin(b"own", 10, 1)
    journal.snapshots.chunk(b"own", b"chunk")
    before = journal.snapshots.latest()
    journal.snapshots.commit(b"own")
    told = journal.run()
    stored = journal.snapshots.latest()
    on_disk = SimDisk()
    twin = SnapshotWriter(on_disk, b"own", 10, 1)
    twin.append(b"chunk")
    with open_snapshot(on_disk, twin.commit()) as reader:
        expected = reader.read(0, reader.size)

    assert (before, told) == (None, [("snapshot", b"own")])
    assert stored is not None
    assert (stored.snapshot_id, stored.index, stored.term) == (b"own", 10, 1)
    assert stored.read(0, stored.size) == expected
    assert list(journal.snapshots.chunks(b"own")) == [b"chunk"]


def test_a_snapshot_of_a_peer_on_a_disk_is_received_in_memory() -> None:
    """Members of different modes are one cluster; its twin: bytes that are no snapshot are refused."""
    journal = Journal()
    data = a_file()
    journal.snapshots.receive(b"peer", 20, 2, 0, data[:30], len(data))
    journal.snapshots.receive(b"peer", 20, 2, 30, data[30:], len(data))
    good = journal.run()
    journal.snapshots.receive(b"bad", 30, 2, 0, data, len(data))
    bad = journal.run()
    stored = journal.snapshots.latest()

    assert good == [("snapshot", b"peer")]
    assert bad == [("refused", (b"bad", "the snapshot received is not the one announced"))]
    assert stored is not None
    assert stored.index == 20


def test_a_chunk_that_was_changed_on_its_way_is_found_when_it_is_loaded() -> None:
    """The whole file is read in slices of the loop, not at once when its last byte comes."""
    journal = Journal()
    data = bytearray(a_file())
    data[data.index(b"theirs")] ^= 1
    journal.snapshots.receive(b"peer", 20, 2, 0, bytes(data), len(data))

    assert journal.run() == [("snapshot", b"peer")]
    with pytest.raises(DamagedError):
        list(journal.snapshots.chunks(b"peer"))


def test_older_snapshots_go_and_one_that_is_being_sent_stays_readable() -> None:
    """Memory is given back when the last reader closes."""
    journal = Journal()
    for index in (10, 20):
        journal.snapshots.begin(b"id%d" % index, index, 1)
        journal.snapshots.chunk(b"id%d" % index, b"chunk %d" % index)
        journal.snapshots.commit(b"id%d" % index)
    journal.run()
    older = open_snapshot(journal.writer.disk, f"snapshots/{journal.writer.disk.names('snapshots')[0]}")
    journal.snapshots.remove_before(20)

    assert len(journal.writer.disk.names("snapshots")) == 1
    assert list(older.chunks()) == [b"chunk 10"]


def test_a_snapshot_that_is_given_up_leaves_nothing() -> None:
    """Begun, received in part, or refused."""
    journal = Journal()
    journal.snapshots.begin(b"own", 10, 1)
    journal.snapshots.receive(b"peer", 20, 2, 0, a_file()[:30], 1000)
    partial = journal.writer.disk.names("snapshots")
    journal.snapshots.abort(b"own")
    journal.snapshots.abort(b"peer")
    journal.snapshots.commit(b"own")

    assert len(partial) == 2
    assert journal.run() == [("refused", (b"own", "given up before"))]
    assert journal.writer.disk.names("snapshots") == []


def test_a_folder_of_memory_is_a_folder() -> None:
    """What the rooms above expect of a disk: names, renames, removal, and files that read as zeros where unwritten."""
    disk = MemoryDisk()
    with pytest.raises(FileNotFoundError):
        disk.open("a")
    file = disk.open("a", create=True)
    file.write_at(3, [b"x", b"yz"])
    file.allocate(8)
    disk.rename("a", "b")
    disk.make_folder("f")
    disk.open("f/c", create=True)
    disk.sync_folder("f")
    disk.remove("missing")
    whole = disk.open("b").read_at(0, 100)
    file.truncate(4)
    disk.remove("b")

    assert whole == b"\0\0\0xyz\0\0"
    assert (file.size(), file.read_at(2, 9)) == (4, b"\0x")
    assert (disk.names(), disk.names("f"), disk.names("none")) == ([], ["c"], [])
    assert latest_snapshot(disk) is None
