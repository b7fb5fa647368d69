"""Looking into a stopped member's folder: all of it is told, what is wrong is placed, nothing is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cluster.errors import DamagedError, NotInitialisedError
from cluster.folder import RESTORING, FolderError, lock_folder, lock_for_reading
from cluster.inspection import (
    COVERED,
    INSTALLED,
    REFUSED,
    SUPERSEDED,
    UNKNOWN,
    UNREADABLE,
    Inspection,
    Line,
    standing,
)
from cluster.journal import wal
from cluster.journal.ballot import Ballot, write_ballot
from cluster.journal.modes import FSYNC, MEMORY
from cluster.keyring.seal import open_envelope
from cluster.raft.chassis import CONFIGURATION
from cluster.seams import ReadingDisk, SystemDisk
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.cluster.crafted_folder import MOUNT, RANDOM, Crafted
from tests.cluster.members import Members

if TYPE_CHECKING:
    from pathlib import Path


def looked(crafted: Crafted) -> tuple[Inspection, list[Line], list[Line]]:
    """(inspection, what is left in the snapshot, the log), read to the end."""
    unsealed = crafted.opened()
    inspection = Inspection(ReadingDisk(crafted.root), unsealed, RANDOM)
    found = inspection, list(inspection.heads()), list(inspection.entries())
    inspection.wipe()
    unsealed.wipe()
    return found


def wrong(crafted: Crafted) -> list[tuple[str, str]]:
    """(what, where) of all that is wrong."""
    return [(one.what, one.where) for one in looked(crafted)[0].wrong]


def told(lines: list[Line]) -> list[tuple[int, str, str]]:
    return [(line.index, line.kind, line.outcome) for line in lines]


@pytest.fixture
def crafted(tmp_path: Path) -> Crafted:
    """A mount, and three versions of a path."""
    made = Crafted(tmp_path / "n1")
    made.nothing()
    made.mount()
    for version in (1, 2, 3):
        made.secret("app", version)
    return made


# ---- what is told
def test_every_kind_of_entry_is_told_with_what_became_of_it(crafted: Crafted) -> None:
    """The first one, the leader's, transactions, one that was refused, one of the configuration, and drops."""
    crafted.secret("app", 9, seen=1)
    draft = Draft()
    draft.drop(Table.SECRET, MOUNT + b"app")
    crafted.propose(draft, CONFIGURATION)
    inspection, heads, lines = looked(crafted.close())

    assert heads == []
    assert told(lines) == [
        (1, "configuration", INSTALLED), (2, "no-op", INSTALLED), (3, "transaction", INSTALLED),
        (4, "transaction", INSTALLED), (5, "transaction", INSTALLED), (6, "transaction", INSTALLED),
        (7, "transaction", REFUSED), (8, "configuration", INSTALLED),
    ]  # fmt: skip
    assert lines[-1].changes == [(Table.SECRET, MOUNT + b"app", None)]
    assert [line.time_ns for line in lines[:3]] == [1_000_000_000, 0, 3_000_000_000]
    assert inspection.state.digest == crafted.state.digest
    assert (inspection.condition, inspection.wrong) == ("whole", [])


def test_what_the_snapshot_holds_comes_first_and_the_log_goes_on(crafted: Crafted) -> None:
    """By the index at which it was written, in its order; entries that it covers are told as such."""
    crafted.snapshot()
    crafted.secret("app", 4)
    inspection, heads, lines = looked(crafted.close())

    assert [line.index for line in heads] == [1, 3, 4, 5, 6]
    assert heads[-1].changes[0][:2] == (Table.SECRET, MOUNT + b"app")
    assert [line.outcome for line in lines] == [COVERED] * 6 + [INSTALLED]
    assert inspection.about.snapshot == (6, 1)
    assert inspection.state.digest == crafted.state.digest
    assert inspection.condition == "whole"


def test_a_log_that_begins_behind_the_snapshot_is_whole(crafted: Crafted) -> None:
    """What the snapshot covers was trimmed."""
    crafted.snapshot(trim=True)
    crafted.secret("app", 4)
    inspection, _, lines = looked(crafted.close())

    assert told(lines) == [(7, "transaction", INSTALLED)]
    assert (inspection.about.base, inspection.about.last_index, inspection.condition) == ((6, 1), 7, "whole")


def test_entries_of_former_and_later_key_terms_open(crafted: Crafted) -> None:
    """The keyring has all of them."""
    crafted.rotate()
    crafted.secret("app", 4)
    crafted.rotate(new_root=True)
    crafted.secret("app", 5)
    inspection, _, lines = looked(crafted.close())

    assert [line.outcome for line in lines] == [INSTALLED] * 10
    assert inspection.condition == "whole"


def test_keys_that_the_log_itself_brings_open_what_follows(crafted: Crafted) -> None:
    """A rotation whose envelope had not reached the folder's file: the same root key opens it."""
    crafted.rotate(file=False)
    crafted.secret("app", 4)
    inspection, _, lines = looked(crafted.close())

    assert [line.outcome for line in lines] == [INSTALLED] * 8
    assert inspection.condition == "whole"


def test_what_is_sealed_with_later_keys_is_told_apart_from_damage(crafted: Crafted) -> None:
    """A rekey made another root key: the old one opens what stands before it."""
    root_key, envelope = crafted.root_key, crafted.envelope
    crafted.rotate(new_root=True, file=False)
    crafted.secret("app", 4)
    crafted.close()
    inspection = Inspection(ReadingDisk(crafted.root), open_envelope(bytearray(root_key), envelope), RANDOM)
    lines = list(inspection.entries())

    assert told(lines)[-2:] == [(7, "transaction", INSTALLED), (8, UNREADABLE, UNKNOWN)]
    assert inspection.condition == "unopened"


def test_a_folder_that_init_alone_has_written_holds_its_first_entry(tmp_path: Path) -> None:
    """No life has made a log yet."""
    crafted = Crafted(tmp_path / "n1").close()
    for path in (crafted.root / "journal").iterdir():
        path.unlink()
    write_ballot(SystemDisk(crafted.root), 2, Ballot())
    inspection, _, lines = looked(crafted)

    assert told(lines) == [(1, "configuration", INSTALLED)]
    assert inspection.condition == "whole"


async def test_the_folder_of_a_real_member_leads_to_its_state(tmp_path: Path) -> None:
    """Killed or stopped: the state behind its log is the one it had."""
    members = Members(tmp_path / "cluster", 3, FSYNC)
    await members.begin()
    try:
        await members.write(20)
        await members.whole()
        digest, index = members.up["n1"].running.state.digest, members.up["n1"].running.state.applied_index
        await members.kill("n1")
        place = members.place("n1")
        envelope = (place / "keyring").read_bytes()
        inspection = Inspection(ReadingDisk(place), open_envelope(bytearray(members._root_key), envelope), RANDOM)
        lines = list(inspection.entries())

        assert [line.index for line in lines] == list(range(lines[0].index, index + 1))
        assert (inspection.state.digest, inspection.condition) == (digest, "whole")
    finally:
        await members.end()


# ---- torn and damaged
def test_a_tail_that_was_being_written_is_torn(crafted: Crafted) -> None:
    """Half of a batch behind the end: nobody was told of it. The log before it is all there."""
    segment = crafted.segment()
    before = segment.read_bytes()
    end = len(before.rstrip(b"\x00"))
    crafted.do(lambda sequence: wal.append_record(sequence, 7, 1, os.urandom(3000)), sync=False)
    crafted.writer.close()
    after = segment.read_bytes()
    start = next(at for at in range(end, len(after)) if after[at])
    segment.write_bytes(after[: start + 1000] + bytes(len(after) - start - 1000))
    inspection, _, lines = looked(crafted)

    assert [line.index for line in lines] == [1, 2, 3, 4, 5, 6]
    assert inspection.condition == "torn"
    assert [one.where for one in inspection.wrong] == [f"journal/{segment.name}, byte {start}"]


def test_damage_before_what_was_synced_is_damage_and_has_its_place(crafted: Crafted) -> None:
    """One bit of an entry that a later batch names as synced: what stands before it is told, and where it is."""
    crafted.close()
    segment = crafted.segment()
    content = bytearray(segment.read_bytes())
    at = content.index(b"SRBT", content.index(b"SRBT", content.index(b"SRBT") + 1) + 1)
    content[at + 200] ^= 1
    segment.write_bytes(content)
    inspection, _, lines = looked(crafted)

    assert inspection.condition == "damaged"
    assert [one.where for one in inspection.wrong] == [f"journal/{segment.name}, byte {at}"]
    assert len(lines) < 6


def test_an_entry_that_does_not_open_is_placed_and_the_rest_is_told(crafted: Crafted) -> None:
    """Behind it nobody can say what became of an entry (N2), but what it says."""
    bad = bytearray(crafted._sealed(Draft(), 1, 0))
    bad[-1] ^= 1
    crafted.raw(bytes(bad))
    crafted.secret("app", 4)
    inspection, _, lines = looked(crafted.close())

    assert told(lines)[-2:] == [(7, UNREADABLE, UNKNOWN), (8, "transaction", UNKNOWN)]
    assert inspection.condition == "damaged"
    assert inspection.wrong[0].where.startswith("journal/")
    assert "index 7" in inspection.wrong[0].why


@pytest.mark.parametrize("entry", [b"", b"\x01\x02", bytes([9]) + bytes(200)])
def test_what_is_no_entry_is_damage(crafted: Crafted, entry: bytes) -> None:
    """Empty, a longer no-op, an unknown kind."""
    crafted.raw(entry)

    assert looked(crafted.close())[0].condition == "damaged"


def test_a_term_that_goes_back_is_damage(crafted: Crafted) -> None:
    """No leader appends behind a later term than its own."""
    crafted.term = 5
    crafted.nothing()
    crafted.term = 4
    crafted.nothing()
    inspection, _, _ = looked(crafted.close())

    assert inspection.condition == "damaged"
    assert "term 4 stands behind term 5" in inspection.wrong[0].why


def test_a_snapshot_that_does_not_open_is_damage(crafted: Crafted) -> None:
    """A bit of it; the log goes back to the beginning, so the state is known all the same."""
    name = crafted.snapshot()
    path = crafted.root / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    inspection, heads, lines = looked(crafted.close())

    assert [(one.what, one.where) for one in inspection.wrong] == [("damaged", name)]
    assert (heads, [line.outcome for line in lines]) == ([], [INSTALLED] * 6)


def test_a_snapshot_of_another_state_than_it_names_is_damage(crafted: Crafted) -> None:
    """It opens, and its digest is another: what follows has no outcome."""
    crafted.state.digest ^= 1
    name = crafted.snapshot(trim=True)
    crafted.secret("app", 4)
    inspection, heads, lines = looked(crafted.close())

    assert [(one.what, one.where) for one in inspection.wrong] == [("damaged", name)]
    assert (len(heads), [line.outcome for line in lines]) == (5, [UNKNOWN])


def test_without_the_snapshot_that_the_log_builds_on_no_outcome_is_known(crafted: Crafted) -> None:
    """Entries are told; what became of them is not."""
    name = crafted.snapshot(trim=True)
    crafted.secret("app", 4)
    crafted.close()
    (crafted.root / name).unlink()
    inspection, _, lines = looked(crafted)

    assert told(lines) == [(7, "transaction", UNKNOWN)]
    assert wrong(crafted) == [("damaged", "journal")]
    assert "no snapshot reaches it" in inspection.wrong[0].why


def test_a_log_that_is_gone_or_shorter_than_it_was_is_damage(crafted: Crafted) -> None:
    """The ballot knows how far it once reached."""
    crafted.vote(held=40)
    assert [what for what, _ in wrong(crafted.close())] == ["damaged"]
    for path in (crafted.root / "journal").iterdir():
        path.unlink()
    crafted.vote(held=0)
    assert wrong(crafted) == [("damaged", "journal")]


@pytest.mark.parametrize(("held_term", "expected"), [(1, []), (0, []), (2, ["damaged"])])
def test_an_entry_that_is_not_the_one_that_was_held_is_damage(
    crafted: Crafted, held_term: int, expected: list[str]
) -> None:
    """Its term says so, if the ballot knows it."""
    crafted.vote(held=2, held_term=held_term)

    assert [what for what, _ in wrong(crafted.close())] == expected


def test_a_log_that_the_ballot_does_not_know_is_damage(crafted: Crafted) -> None:
    """The ballot was lost, and made anew."""
    crafted.vote(born=False)

    assert wrong(crafted.close()) == [("damaged", "ballot")]


@pytest.mark.parametrize(
    ("base", "snapshot", "expected"),
    [
        ((0, 0), None, (COVERED, INSTALLED)),
        ((0, 0), (2, 1), (COVERED, INSTALLED)),
        ((2, 1), (2, 1), (COVERED, INSTALLED)),
        ((2, 2), (2, 1), (SUPERSEDED, SUPERSEDED)),
        ((0, 0), (2, 9), (SUPERSEDED, SUPERSEDED)),
        ((0, 0), (9, 1), (SUPERSEDED, SUPERSEDED)),
        ((5, 1), (2, 1), (UNKNOWN, UNKNOWN)),
        ((5, 1), None, (UNKNOWN, UNKNOWN)),
    ],
)
def test_what_can_be_said_of_entries_depends_on_where_the_snapshot_stands(
    base: tuple[int, int], snapshot: tuple[int, int] | None, expected: tuple[str, str]
) -> None:
    """It covers them, they follow it, they are another history's, or the state before them is gone."""
    entries = [(base[0] + number, 1, b"x") for number in (1, 2, 3)]

    assert standing(base, entries, snapshot) == expected


# ---- refused
def test_nothing_is_written(crafted: Crafted) -> None:
    """Not a byte, not a time; not even where a start would cut a torn tail."""
    crafted.snapshot()
    crafted.do(lambda sequence: wal.append_record(sequence, 7, 1, b"x" * 3000), sync=False)
    crafted.writer.close()
    before = crafted.files()
    looked(crafted)

    assert crafted.files() == before


def test_a_folder_of_nobody_is_refused(tmp_path: Path, crafted: Crafted) -> None:
    """An empty one, one without a ballot, one of a log in memory, and one that a restore did not finish."""
    unsealed = crafted.opened()
    empty = ReadingDisk(SystemDisk(tmp_path / "empty")._root)
    with pytest.raises(NotInitialisedError):
        Inspection(empty, unsealed, RANDOM)
    crafted.vote(journal=MEMORY)
    with pytest.raises(FolderError, match="in memory"):
        Inspection(ReadingDisk(crafted.root), unsealed, RANDOM)
    (crafted.root / RESTORING).touch()
    with pytest.raises(FolderError, match="restore"):
        Inspection(ReadingDisk(crafted.root), unsealed, RANDOM)
    (crafted.root / RESTORING).unlink()
    (crafted.root / "ballot").write_bytes(b"x" * 8192)
    with pytest.raises(DamagedError):
        Inspection(ReadingDisk(crafted.root), unsealed, RANDOM)


def test_a_folder_in_use_is_refused_and_one_that_is_read_is_not_served(tmp_path: Path) -> None:
    """By the lock of the server; two may read at once, and no lock is made where none was."""
    assert lock_for_reading(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    served = lock_folder(tmp_path)
    with pytest.raises(FolderError, match="in use"):
        lock_for_reading(tmp_path)
    os.close(served)
    held = [lock_for_reading(tmp_path), lock_for_reading(tmp_path)]
    with pytest.raises(FolderError, match="in use"):
        lock_folder(tmp_path)
    for fd in held:
        assert fd is not None
        os.close(fd)


def test_a_disk_for_reading_changes_nothing(tmp_path: Path) -> None:
    """Every way of changing something is refused, by the system or here."""
    (tmp_path / "a").write_bytes(b"kept")
    disk = ReadingDisk(tmp_path)
    file = disk.open("a")
    ways = [
        lambda: disk.open("b", create=True), lambda: disk.rename("a", "b"), lambda: disk.remove("a"),
        lambda: disk.make_folder("c"), lambda: file.write_at(0, [b"x"]), lambda: file.truncate(0),
        lambda: file.allocate(9),
    ]  # fmt: skip
    for way in ways:
        with pytest.raises(OSError, match=r"read|descriptor|argument|Invalid"):
            way()
    file.sync()
    disk.sync_folder()

    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert file.read_at(0, 9) == b"kept"


def test_nothing_of_an_inspection_is_shown_by_accident(crafted: Crafted) -> None:
    """Neither it nor a line prints records or keys."""
    inspection, _, lines = looked(crafted.close())

    assert "planted" not in repr(inspection) + repr(lines)
