"""The journal's modes: what a life may believe of the one before it, over a disk that loses power (boot.py, B5).

A buffered log is believed in the boot of the kernel that wrote it, or after a clean stop; a log in memory never.
"""

from __future__ import annotations

import contextlib
import errno
import random

import pytest

from chaos.sim.disk import SimDisk
from cluster.journal import wal
from cluster.journal.ballot import Ballot, read_ballot, write_ballot
from cluster.journal.modes import BUFFERED, FSYNC, MEMORY, begun, believed, stopped
from cluster.journal.recovery import recover
from cluster.journal.snapshot_file import SnapshotWriter
from cluster.journal.writer import LogWriter
from cluster.raft.boot import NO_FILES, Opened, mark_lost, mark_stopped, open_journal

WALL_NS = 1_800_000_000_000_000_000
SEGMENT_BYTES = 64 * 1024
BOOT, NEXT_BOOT = "boot-1", "boot-2"
MODES = (FSYNC, BUFFERED, MEMORY)
OPERATIONS = 40  # more than any start has


class CrashError(Exception):
    """The process ends here."""


def start(disk: SimDisk, mode: str, boot_id: str = BOOT, snapshot: tuple[int, int] | None = None) -> Opened:
    return open_journal(
        disk, segment_bytes=SEGMENT_BYTES, wall_ns=WALL_NS, snapshot=snapshot, mode=mode, boot_id=boot_id
    )


def ballot_of(disk: SimDisk) -> Ballot:
    found = read_ballot(disk)
    assert found is not None
    return found[1]


def write(disk: SimDisk, life: Opened, count: int, *, sync: bool) -> LogWriter:
    """Entries behind those the life began with, as the journal's writer writes them."""
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=life.start)
    first = life.start.last_sequence + 1
    for at in range(count):
        index = len(life.entries) + 1 + at
        writer.write([wal.append_record(first + at, index, 1, b"entry %d" % index)], first + at)
        if sync:
            writer.sync()
    return writer


def lived(mode: str, count: int = 3) -> SimDisk:
    """A disk on which a life of that mode has written entries, and whose process is gone."""
    disk = SimDisk()
    life = start(disk, mode)
    if mode != MEMORY:
        write(disk, life, count, sync=mode == FSYNC)
    disk.kill()
    return disk


def lose_power(disk: SimDisk, seed: int) -> None:
    disk.on_operation = lambda _operation: None
    disk.power_loss(random.Random(seed))


def interrupt(disk: SimDisk, operation: int, mode: str, boot_id: str) -> None:
    """A start that ends at its n-th change of the disk, without a word."""
    seen = 0

    def crash(_operation: str) -> None:
        nonlocal seen
        seen += 1
        if seen > operation:
            raise CrashError

    disk.on_operation = crash
    with contextlib.suppress(CrashError):
        start(disk, mode, boot_id)
    disk.on_operation = lambda _operation: None


# ---- what is believed
BELIEVED = [
    ("synced", begun(Ballot(), FSYNC, BOOT), BOOT, True),
    ("synced, in another boot", begun(Ballot(), FSYNC, BOOT), NEXT_BOOT, True),
    ("buffered, in the same boot", begun(Ballot(), BUFFERED, BOOT), BOOT, True),
    ("buffered, in another boot", begun(Ballot(), BUFFERED, BOOT), NEXT_BOOT, False),
    ("buffered, stopped cleanly", stopped(begun(Ballot(), BUFFERED, BOOT)), NEXT_BOOT, True),
    ("buffered, where no boot has a name", begun(Ballot(), BUFFERED, ""), "", False),
    ("memory", begun(Ballot(), MEMORY, BOOT), BOOT, False),
    ("memory, stopped cleanly", stopped(begun(Ballot(), MEMORY, BOOT)), BOOT, False),
    ("a mode of the future", begun(Ballot(), "quantum", BOOT), BOOT, False),
    ("a ballot of the previous version", Ballot(born=True), NEXT_BOOT, True),
]


@pytest.mark.parametrize(("why", "ballot", "boot_id", "expected"), BELIEVED, ids=[row[0] for row in BELIEVED])
def test_what_a_life_believes_of_the_one_before(why: str, ballot: Ballot, boot_id: str, *, expected: bool) -> None:
    """A table, as the modes promise it."""
    assert believed(ballot, boot_id) is expected, why


def test_a_life_that_begins_takes_the_mark_of_a_clean_stop_away() -> None:
    """Whatever its mode; and only a buffered one names its boot."""
    before = stopped(begun(Ballot(), BUFFERED, BOOT))
    found = [begun(before, mode, NEXT_BOOT) for mode in MODES]

    assert [(ballot.clean_stop, ballot.boot_id, ballot.journal) for ballot in found] == [
        (False, "", FSYNC),
        (False, NEXT_BOOT, BUFFERED),
        (False, "", MEMORY),
    ]


# ---- buffered
@pytest.mark.parametrize("mode", [BUFFERED, FSYNC])
def test_a_killed_process_keeps_everything_in_the_same_boot(mode: str) -> None:
    """Though nothing was synced; and once the next life has begun, nothing depends on the page cache any more."""
    disk = lived(BUFFERED)
    life = start(disk, mode)
    lose_power(disk, 0)
    after = recover(disk, segment_bytes=SEGMENT_BYTES)

    assert (life.ballot.recovering, len(life.entries)) == (False, 3)
    assert len(after.entries) == 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", [BUFFERED, FSYNC, MEMORY])
def test_another_boot_without_a_clean_stop_is_recovering(mode: str, seed: int) -> None:
    """Whatever the loss of power let survive, and in whatever mode the node comes back."""
    disk = lived(BUFFERED)
    lose_power(disk, seed)

    assert start(disk, mode, NEXT_BOOT).ballot.recovering is True
    assert ballot_of(disk).recovering is True


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", [BUFFERED, FSYNC, MEMORY])
def test_a_clean_stop_is_believed_in_another_boot(mode: str, seed: int) -> None:
    """The journal is synced, then the mark; everything is there."""
    disk = SimDisk()
    writer = write(disk, start(disk, BUFFERED), 3, sync=False)
    writer.sync()
    writer.idle()
    writer.close()
    mark_stopped(disk)
    lose_power(disk, seed)
    life = start(disk, mode, NEXT_BOOT)

    assert (life.ballot.recovering, [index for index, _, _ in life.entries]) == (False, [1, 2, 3])


def test_the_mark_of_a_clean_stop_is_good_for_one_start() -> None:
    """It is taken away before anything is appended: the next loss of power is recovering again."""
    disk = lived(BUFFERED)
    mark_stopped(disk)
    start(disk, BUFFERED, BOOT)
    begun_with = ballot_of(disk)
    lose_power(disk, 3)

    assert begun_with.clean_stop is False
    assert start(disk, BUFFERED, NEXT_BOOT).ballot.recovering is True


@pytest.mark.parametrize("operation", range(OPERATIONS))
def test_recovering_is_durable_before_a_buffered_log_is_cut(operation: int) -> None:
    """Wherever the first start after a loss of power is interrupted by the next one."""
    disk = lived(BUFFERED)
    lose_power(disk, operation)
    interrupt(disk, operation, BUFFERED, NEXT_BOOT)
    lose_power(disk, operation)

    assert start(disk, BUFFERED, NEXT_BOOT).ballot.recovering is True


@pytest.mark.parametrize("operation", range(OPERATIONS))
def test_an_interrupted_start_after_a_clean_stop_loses_nothing(operation: int) -> None:
    """The mark stays until the log is whole again under the new life: no needless recovering, no loss."""
    disk = lived(BUFFERED)
    writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=start(disk, BUFFERED).start)
    writer.sync()
    writer.close()
    mark_stopped(disk)
    interrupt(disk, operation, FSYNC, NEXT_BOOT)
    lose_power(disk, operation)
    life = start(disk, FSYNC, "boot-3")

    assert (life.ballot.recovering, len(life.entries)) == (False, 3)


@pytest.mark.parametrize("operation", range(OPERATIONS))
def test_an_interrupted_start_keeps_the_mark_until_its_last_ballot(operation: int) -> None:
    """Till then nothing can have been appended: a loss of power would make a whole node recovering for nothing."""
    disks = [lived(BUFFERED), lived(BUFFERED)]
    for disk in disks:
        writer = LogWriter(disk, segment_bytes=SEGMENT_BYTES, start=start(disk, BUFFERED).start)
        writer.sync()
        writer.close()
        mark_stopped(disk)
    disk, twin = disks
    before = twin.operations
    start(twin, BUFFERED, NEXT_BOOT)
    last_ballot = twin.operations - before - 10
    interrupt(disk, min(operation, last_ballot), BUFFERED, NEXT_BOOT)
    lose_power(disk, operation)

    assert last_ballot > 10
    assert start(disk, BUFFERED, "boot-3").ballot.recovering is False


@pytest.mark.parametrize("failing", ["while it ran", "while it started"])
def test_a_failed_sync_of_a_buffered_log_makes_the_next_life_recovering(failing: str) -> None:
    """What was counted as durable may be gone with the pages, in the same boot too; its twin is a killed process."""
    disk = lived(BUFFERED)
    if failing == "while it ran":
        mark_lost(disk)
    else:
        disk.fail_next_sync()
        with contextlib.suppress(OSError):
            start(disk, BUFFERED)
    disk.kill()

    assert start(disk, BUFFERED).ballot.recovering is True
    assert start(lived(BUFFERED), BUFFERED).ballot.recovering is False


def test_a_failed_sync_while_a_synced_log_starts_is_no_loss() -> None:
    """Everything it counted was on stable storage before."""
    disk = lived(FSYNC)
    disk.fail_next_sync(errno.EIO)
    with pytest.raises(OSError, match="failed"):
        start(disk, FSYNC)
    disk.kill()
    life = start(disk, FSYNC)

    assert (life.ballot.recovering, len(life.entries)) == (False, 3)


# ---- memory
def with_snapshot(mode: str) -> SimDisk:
    """A synced life that has a snapshot of its second entry, and one that was not finished."""
    disk = lived(mode)
    done, unfinished = SnapshotWriter(disk, b"id", 2, 1), SnapshotWriter(disk, b"partial", 3, 1)
    done.append(b"chunk")
    done.commit()
    unfinished.append(b"chunk")
    return disk


def test_a_life_in_memory_begins_with_what_is_on_the_disk_and_leaves_nothing_there() -> None:
    """The log it was given is whole, so it is not recovering; ballot and other files stay."""
    disk = with_snapshot(FSYNC)
    disk.open("keyring", create=True).write_at(0, [b"envelope"])
    life = start(disk, MEMORY, snapshot=(2, 1))

    assert (life.ballot.recovering, len(life.entries), life.mode, life.start) == (False, 3, MEMORY, NO_FILES)
    assert [disk.names(folder) for folder in ("", wal.FOLDER, "snapshots")] == [["ballot", "keyring"], [], []]


@pytest.mark.parametrize("mode", MODES)
def test_a_life_after_one_in_memory_is_recovering(mode: str) -> None:
    """Whatever its own mode, and in the same boot, too; its twin is the first life of all."""
    disk = SimDisk()
    first = start(disk, MEMORY)
    mark_stopped(disk)

    assert first.ballot.recovering is False
    assert start(disk, mode).ballot.recovering is True


@pytest.mark.parametrize("operation", range(OPERATIONS))
def test_a_log_that_a_life_in_memory_outlived_is_never_believed(operation: int) -> None:
    """Wherever its beginning is interrupted: what is left is whole, or the next life is recovering."""
    disk = with_snapshot(FSYNC)
    interrupt(disk, operation, MEMORY, BOOT)
    lose_power(disk, operation)
    ballot = ballot_of(disk)
    life = start(disk, FSYNC, NEXT_BOOT, snapshot=(2, 1) if disk.names("snapshots") else None)

    assert life.ballot.recovering is (ballot.journal == MEMORY)
    if not life.ballot.recovering:
        assert (life.base, len(life.entries)) == ((0, 0), 3)


def test_every_point_of_a_beginning_in_memory_was_interrupted() -> None:
    """The parameters above reach beyond its last change of the disk."""
    disk = with_snapshot(FSYNC)
    before = disk.operations
    start(disk, MEMORY, snapshot=(2, 1))

    assert disk.operations - before < OPERATIONS


# ---- changes of the mode
@pytest.mark.parametrize("then", MODES)
@pytest.mark.parametrize("first", MODES)
def test_a_change_of_the_mode_loses_nothing_that_the_first_mode_kept(first: str, then: str) -> None:
    """In one boot: all is there, or, after memory, the node knows that it is not. And back again."""
    disk = lived(first)
    life = start(disk, then)
    disk.kill()
    back = start(disk, first)

    assert life.ballot.recovering is (first == MEMORY)
    assert len(life.entries) == (0 if first == MEMORY else 3)
    assert back.ballot.recovering is (MEMORY in {first, then})
    assert (life.ballot.journal, back.ballot.journal) == (then, first)


def test_recovering_outlives_a_change_of_the_mode() -> None:
    """Only a leader's word ends it."""
    disk = SimDisk()
    write_ballot(disk, 1, Ballot(born=True, journal=MEMORY, incarnation=3))

    assert [start(disk, mode).ballot.recovering for mode in (FSYNC, FSYNC, BUFFERED, FSYNC)] == [True] * 4


def test_a_folder_of_the_previous_version_goes_on() -> None:
    """Its ballot says nothing of a mode: it was fsync."""
    disk = lived(FSYNC)
    found = read_ballot(disk)
    assert found is not None

    assert found[1].journal == FSYNC
    assert start(disk, FSYNC, NEXT_BOOT).ballot.recovering is False
