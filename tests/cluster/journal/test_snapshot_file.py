"""Snapshot files: whole under their name or not there, verbatim, and refused when they are not what was written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.sim.disk import SimDisk, SimFile
from cluster.errors import DamagedError
from cluster.journal import snapshot_file
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.journal.snapshot_file import (
    FOLDER,
    SnapshotHeader,
    SnapshotReceiver,
    SnapshotWriter,
    latest_snapshot,
    open_snapshot,
    remove_snapshots_before,
)
from cluster.seams import NoSpaceError, SystemDisk

GOLDEN = Path(__file__).parents[2] / "golden" / "formats" / "snapshot.json"
ID = bytes(range(8))


class CrashError(Exception):
    """The process ends here."""


def written(disk: SimDisk, chunks: list[bytes], snapshot_id: bytes = ID, index: int = 100, term: int = 7) -> str:
    writer = SnapshotWriter(disk, snapshot_id, index, term)
    for chunk in chunks:
        writer.append(chunk)
    return writer.commit()


def raw(disk: SimDisk, name: str) -> bytes:
    with open_snapshot(disk, name) as reader:
        return reader.read(0, reader.size)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
def test_chunks_come_back_verbatim_and_in_order(chunks: list[bytes]) -> None:
    """With id, index and term; a snapshot of no chunk is one too."""
    disk = SimDisk()
    with open_snapshot(disk, written(disk, chunks)) as reader:
        assert reader.header == SnapshotHeader(ID, 100, 7)
        assert (reader.chunk_count, list(reader.chunks())) == (len(chunks), chunks)


@given(st.data())
def test_no_flipped_bit_goes_unseen(data: st.DataObject) -> None:
    """Somewhere between opening and the last chunk."""
    disk = SimDisk()
    name = written(disk, [b"first", b"second" * 30])
    size = len(raw(disk, name))
    disk.corrupt(name, data.draw(st.integers(0, size - 1)), 1 << data.draw(st.integers(0, 7)))

    with pytest.raises(DamagedError):
        list(open_snapshot(disk, name).chunks())


@pytest.mark.parametrize("cut", [0, 10, 40, 60, -1])
def test_a_file_that_was_cut_off_is_refused(cut: int) -> None:
    """However short; a file that grew is refused as well."""
    disk = SimDisk()
    name = written(disk, [b"first", b"second"])
    file = disk.open(name)
    file.truncate(file.size() + cut if cut < 0 else cut)
    with pytest.raises(DamagedError):
        open_snapshot(disk, name)
    name = written(disk, [b"first", b"second"])
    file = disk.open(name)
    file.write_at(file.size(), [b"x"])
    with pytest.raises(DamagedError):
        open_snapshot(disk, name)


def test_the_golden_snapshot_opens_for_ever() -> None:
    """Written by the first version, and this version still writes the same bytes."""
    golden = json.loads(GOLDEN.read_text())
    disk = SimDisk()
    disk.make_folder(FOLDER)
    disk.open(golden["name"], create=True).write_at(0, [bytes.fromhex(golden["file"])])
    with open_snapshot(disk, golden["name"]) as reader:
        header, chunks = reader.header, [chunk.hex() for chunk in reader.chunks()]

    assert [header.snapshot_id.hex(), header.index, header.term] == golden["header"]
    assert chunks == golden["chunks"]
    other = SimDisk()
    name = written(other, [bytes.fromhex(chunk) for chunk in chunks], header.snapshot_id, header.index, header.term)
    assert (name, raw(other, name).hex()) == (golden["name"], golden["file"])


@pytest.mark.parametrize("snapshot_id", [b"", bytes(65)])
def test_an_id_of_an_impossible_length_is_refused(snapshot_id: bytes) -> None:
    """Before a file is made."""
    disk = SimDisk()
    with pytest.raises(ValueError, match="id"):
        SnapshotWriter(disk, snapshot_id, 1, 1)
    with pytest.raises(ValueError, match="id"):
        SnapshotReceiver(disk, snapshot_id, 1, 1)

    assert disk.names(FOLDER) == []


def test_an_empty_chunk_is_refused() -> None:
    """Its length would be the footer's sign."""
    with pytest.raises(ValueError, match="empty"):
        SnapshotWriter(SimDisk(), ID, 1, 1).append(b"")


def test_a_crash_at_any_step_leaves_the_whole_snapshot_or_none() -> None:
    """And after `commit` has returned, the whole one whatever happens."""
    for step in itertools.count(1):
        for power in range(4):
            disk = SimDisk()

            def look(_: str, disk: SimDisk = disk, step: int = step) -> None:
                if disk.operations >= step:
                    raise CrashError

            disk.on_operation = look
            committed = False
            try:
                written(disk, [b"c" * 5000, b"d"])
                committed = True
            except CrashError:
                pass
            disk.on_operation = lambda _: None
            disk.power_loss(random.Random(step * 4 + power))
            name = latest_snapshot(disk)

            assert name is not None or not committed
            if name is not None:
                assert list(open_snapshot(disk, name).chunks()) == [b"c" * 5000, b"d"]
        if committed:
            return


def test_the_latest_snapshot_is_the_one_with_the_highest_index() -> None:
    """Unfinished ones and other files do not count; older ones go when they are told to, not the named index."""
    disk = SimDisk()

    assert latest_snapshot(disk) is None
    names = [written(disk, [b"x"], b"id%d" % index, index) for index in (9, 0x10, 0x100)]
    SnapshotWriter(disk, ID, 0x1000, 1).append(b"unfinished")
    disk.open(f"{FOLDER}/notes.snapshot", create=True)
    assert latest_snapshot(disk) == names[2]
    with open_snapshot(disk, names[0]) as reader:
        remove_snapshots_before(disk, 0x100)
        assert list(reader.chunks()) == [b"x"]
    assert latest_snapshot(disk) == names[2]
    with pytest.raises(FileNotFoundError):
        open_snapshot(disk, names[1])


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 10_000])
def test_a_snapshot_travels_as_raw_bytes(piece_bytes: int) -> None:
    """The receiver's file is the sender's, byte for byte, in whatever pieces it came."""
    sender, receiver_disk = SimDisk(), SimDisk()
    name = written(sender, [b"one" * 20, b"two"])
    content = raw(sender, name)
    receiver = SnapshotReceiver(receiver_disk, ID, 100, 7)
    for offset in range(0, len(content), piece_bytes):
        assert receiver.append(offset, content[offset : offset + piece_bytes])

    assert receiver.commit() == name
    assert raw(receiver_disk, name) == content


def test_bytes_that_do_not_follow_are_not_taken() -> None:
    """Twice, or with a hole before them."""
    receiver = SnapshotReceiver(SimDisk(), ID, 100, 7)

    assert receiver.append(0, b"abc")
    assert (receiver.append(0, b"abc"), receiver.append(4, b"e"), receiver.offset) == (False, False, 3)


@pytest.mark.parametrize(
    ("announced", "cut", "flip"),
    [
        ((ID, 101, 7), 0, False),
        ((ID, 100, 8), 0, False),
        ((b"other", 100, 7), 0, False),
        ((ID, 100, 7), 1, False),
        ((ID, 100, 7), 0, True),
    ],
)
def test_a_received_snapshot_that_is_not_whole_or_another_is_refused(
    announced: tuple[bytes, int, int], cut: int, flip: bool
) -> None:
    """And nothing is left of it."""
    disk = SimDisk()
    name = written(SimDisk(), [b"one" * 20, b"two"])
    source = SimDisk()
    written(source, [b"one" * 20, b"two"])
    content = bytearray(raw(source, name))
    content[70] ^= flip
    receiver = SnapshotReceiver(disk, *announced)
    receiver.append(0, bytes(content[: len(content) - cut]))
    with pytest.raises(DamagedError):
        receiver.commit()

    assert disk.names(FOLDER) == []


def test_large_snapshots_are_synced_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the last sync does not make the log's syncs wait for all of it."""
    monkeypatch.setattr(snapshot_file, "SYNC_BYTES", 1000)
    disk = SimDisk()
    done: list[str] = []
    disk.on_operation = done.append
    written(disk, [bytes(600)] * 10)

    assert done.count("sync") >= 5


# ---- the desk


def test_the_desk_keeps_snapshots_apart() -> None:
    """Two at a time, an own and a received one, and a commit of each."""
    disk, source = SimDisk(), SimDisk()
    content = raw(source, written(source, [b"theirs"], b"B", 200))
    desk = SnapshotDesk(disk)
    answers = [
        desk.begin(b"A", 100, 7),
        desk.receive(b"B", 200, 7, 0, content[:20]),
        desk.chunk(b"A", b"ours"),
        desk.receive(b"B", 200, 7, 20, content[20:]),
        desk.commit(b"A"),
        desk.commit(b"B"),
    ]

    assert answers == [None] * 6
    assert [list(open_snapshot(disk, f"{FOLDER}/{name}").chunks()) for name in disk.names(FOLDER)] == [
        [b"ours"],
        [b"theirs"],
    ]
    desk.remove_before(200)
    assert len(disk.names(FOLDER)) == 1


def test_the_desk_refuses_once_and_ignores_what_follows() -> None:
    """Missing bytes, a damaged one, one that never began; the journal itself is well."""
    disk = SimDisk()
    desk = SnapshotDesk(disk)
    desk.receive(b"A", 1, 1, 0, b"abc")

    assert desk.receive(b"A", 1, 1, 5, b"x") == "bytes are missing"
    assert desk.receive(b"A", 1, 1, 6, b"x") is None
    assert desk.chunk(b"A", b"x") is None
    assert desk.commit(b"A") == "given up before"
    desk.receive(b"B", 1, 1, 0, b"no snapshot")
    assert desk.commit(b"B") == "the snapshot has no header"
    assert disk.names(FOLDER) == []


@pytest.mark.parametrize("snapshot_id", [b"", bytes(65)])
def test_the_desk_refuses_an_id_of_an_impossible_length(snapshot_id: bytes) -> None:
    """A peer may announce anything; it must not end the writer."""
    disk = SimDisk()
    desk = SnapshotDesk(disk)

    assert desk.receive(snapshot_id, 1, 1, 0, b"x") == "not a snapshot's id"
    assert desk.begin(snapshot_id, 1, 1) == "not a snapshot's id"
    assert disk.names(FOLDER) == []


def test_the_desk_begins_anew_and_forgets_what_was_unfinished() -> None:
    """By the same id in this life, and at the start of the next."""
    disk = SimDisk()
    desk = SnapshotDesk(disk)
    desk.begin(b"A", 1, 1)
    desk.chunk(b"A", b"old")
    desk.begin(b"A", 1, 1)
    desk.chunk(b"A", b"new")

    assert desk.commit(b"A") is None
    assert list(open_snapshot(disk, latest_snapshot(disk) or "").chunks()) == [b"new"]
    desk.begin(b"B", 2, 1)
    desk.abort(b"B")
    desk.begin(b"C", 2, 1)
    disk.kill()
    SnapshotDesk(disk)
    assert len(disk.names(FOLDER)) == 1


@pytest.mark.parametrize("free_bytes", [0, snapshot_file.ALLOCATE_BYTES])
def test_a_full_disk_refuses_the_snapshot_and_nothing_else(free_bytes: int) -> None:
    """At its beginning or on its way; space comes back with the file."""
    disk = SimDisk(space_bytes=free_bytes)
    desk = SnapshotDesk(disk)
    answers = [desk.begin(b"A", 1, 1), desk.chunk(b"A", bytes(snapshot_file.ALLOCATE_BYTES))]

    assert answers.count("no space") == 1
    assert disk.names(FOLDER) == []
    answers = [desk.receive(b"B", 1, 1, 0, b"x"), desk.receive(b"B", 1, 1, 1, bytes(snapshot_file.ALLOCATE_BYTES))]
    assert answers.count("no space") == 1
    assert disk.names(FOLDER) == []


def test_a_full_disk_is_no_failed_write() -> None:
    """The same chunk may be tried again."""
    disk = SimDisk(space_bytes=snapshot_file.ALLOCATE_BYTES)
    writer = SnapshotWriter(disk, ID, 1, 1)
    chunk = bytes(snapshot_file.ALLOCATE_BYTES)
    with pytest.raises(NoSpaceError):
        writer.append(chunk)
    disk.space_bytes = None
    writer.append(chunk)

    assert list(open_snapshot(disk, writer.commit()).chunks()) == [chunk]


def test_a_failed_sync_is_final() -> None:
    """It is no refusal: the error leaves the desk, and the process ends with it."""
    disk = SimDisk()
    desk = SnapshotDesk(disk)
    desk.begin(b"A", 1, 1)
    disk.fail_next_sync()
    with pytest.raises(OSError, match="sync failed"):
        desk.commit(b"A")

    assert latest_snapshot(disk) is None


class NoRoomForNames(SimDisk):
    """Neither a folder nor a file can be made."""

    def open(self, name: str, *, create: bool = False) -> SimFile:
        if create:
            raise NoSpaceError(errno.ENOSPC, "no space left")
        return super().open(name, create=create)


def test_a_disk_without_room_for_a_name_is_full_too() -> None:
    """On a new disk the first snapshot makes a folder and a file: that they do not fit ends no process."""
    desk = SnapshotDesk(NoRoomForNames())

    assert desk.begin(b"A", 1, 1) == "no space"
    assert desk.receive(b"B", 1, 1, 0, b"x") == "no space"
    assert desk.commit(b"A") == desk.commit(b"B") == "given up before"


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_what_the_system_says_of_a_full_disk_is_one_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    """Wherever a file, a folder or room is made; what else fails stays what it is."""
    disk = SystemDisk(tmp_path / "node")
    file = disk.open("file", create=True)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "as the system says it")

    for name in ("open", "mkdir", "posix_fallocate"):
        monkeypatch.setattr(os, name, refuse)
    for act in (lambda: disk.open("new", create=True), lambda: disk.make_folder("new"), lambda: file.allocate(10)):
        with pytest.raises(OSError, match=r"no space|as the system") as said:
            act()
        assert isinstance(said.value, NoSpaceError) is full
