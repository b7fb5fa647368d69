"""Faults of disks: slow, full, failing, rotting, lost.

What a node has acknowledged is destroyed on one node at a time, and only while every other one is whole: with two logs
lost of three nothing is promised. Rot strikes what a synced mark covers (or has a copy), because rot of the newest
batch cannot be told from a torn write (docs/decisions has the rule).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.journal import wal
from cluster.journal.ballot_file import BALLOT_NAME, SLOT_BYTES, decode_slot
from cluster.journal.modes import FSYNC
from cluster.journal.scan import Batch, scan_segment
from cluster.journal.segments import segment_numbers
from cluster.journal.snapshot_file import latest_snapshot, parse_name

if TYPE_CHECKING:
    from .disk import SimDisk
    from .member import SimMember
    from .world import World

EVERYTHING = 1 << 62


class Breakage:
    """What may happen to the disks of one run."""

    def __init__(self, world: World, members: list[SimMember]) -> None:
        self.world = world
        self.members = members
        for member in members:
            member.may_lose = self.may_lose

    def any_member(self) -> SimMember:
        """Half of the time the leader."""
        leaders = [m for m in self.members if m.replica is not None and m.replica.is_leader]
        if leaders and self.world.rng.random() < 0.5:
            return leaders[-1]
        return self.members[self.world.rng.randrange(len(self.members))]

    # ---- what passes
    def sync_failure(self) -> None:
        """A disk answers EIO to its next sync; the process ends and the pages are not on the platter."""
        member = self._may_fail()
        if member is not None:
            member.disk.fail_next_sync()

    def write_failure(self) -> None:
        """A disk answers EIO to its next write."""
        member = self._may_fail()
        if member is not None:
            member.disk.fail_next_write()

    def _may_fail(self) -> SimMember | None:
        """A buffered journal that fails has lost what counted."""
        if self.world.options.journal_mode == FSYNC:
            member = self.any_member()
            return member if member.alive else None
        victim = self._victim()
        if victim is not None:
            victim.rotten_below = EVERYTHING
        return victim

    def slow_disk(self) -> None:
        """Syncs of a disk take 0.1 s, or up to 0.65 s, for a while."""
        disk, rng = self.any_member().disk, self.world.rng
        disk.slow_until_s = self.world.now_s + rng.random() * 3
        disk.slow_s = 0.1 if rng.random() < 0.5 else 0.05 + rng.random() * 0.6

    def full_disk(self) -> None:
        """A disk has (nearly) no room left for a while."""
        disk, rng = self.any_member().disk, self.world.rng
        disk.space_bytes = disk.used_bytes + rng.choice((0, 0, 5_000, 70_000))
        self.world.at(0.3 + rng.random() * 2.5, self._room_again, disk, disk.space_bytes)

    @staticmethod
    def _room_again(disk: SimDisk, space_bytes: int) -> None:
        if disk.space_bytes == space_bytes:
            disk.space_bytes = None

    # ---- what destroys
    def _victim(self) -> SimMember | None:
        """A member that may lose something."""
        member = self.any_member()
        if not self.may_lose(member):
            return None
        member.checks.disks.harmed.add(member.number)
        return member

    def may_lose(self, member: SimMember) -> bool:
        """It and all others are whole."""
        for other in self.members:
            replica = other.replica
            if replica is None or replica.recovering:
                return False
            if other.rotten_below is not None and replica.snapshot_index < other.rotten_below:
                return False
            other.rotten_below = None
        return not member.checks.disks.lost_at

    def lost_log(self) -> None:
        """A node loses log and snapshots."""
        member = self._victim()
        if member is None:
            return
        member.crash("lost log", power=True)
        member.checks.disks.loses_log(member)
        for folder in ("journal", "snapshots"):
            for name in member.disk.names(folder):
                member.disk.remove(f"{folder}/{name}")
            member.disk.sync_folder(folder)

    def rot(self) -> None:
        """A bit turns: in the log or the ballot of a node that is down, in the snapshot of one that runs."""
        member, rng = self._victim(), self.world.rng
        if member is None:
            return
        draw = rng.random()
        if draw < 0.35:
            self._rot_snapshot(member)
            return
        member.crash("rot", power=rng.random() < 0.5)
        if draw < 0.85:
            self._rot_log(member.disk)
            member.rotten_below = EVERYTHING
        else:
            self._rot_ballot(member.disk)

    def _turn(self, disk: SimDisk, name: str, first: int, end: int, what: str) -> None:
        rng = self.world.rng
        disk.corrupt(name, rng.randrange(first, end), 1 << rng.randrange(8))
        self.world.stats[f"rot of a {what}"] += 1

    def _rot_snapshot(self, member: SimMember) -> None:
        disk = member.disk
        name = latest_snapshot(disk)
        if name is None:
            return
        parsed = parse_name(name.rpartition("/")[2])
        assert parsed is not None
        file = disk.open(name)
        self._turn(disk, name, 0, file.size(), "snapshot")
        file.close()
        member.rotten_below = parsed[0] + 1

    def _rot_log(self, disk: SimDisk) -> None:
        """Of a batch that a later one calls synced."""
        batches: list[Batch] = []
        for number in segment_numbers(disk):
            file = disk.open(wal.segment_name(number))
            batches += scan_segment(file, number)
            file.close()
        marked = [
            batch
            for at, batch in enumerate(batches)
            if any(later.mark >= batch.last for later in batches[at + 1 :])
        ]
        if marked:
            batch = self.world.rng.choice(marked)
            end = batch.offset + wal.BATCH_HEADER_BYTES + len(batch.payload)
            self._turn(disk, wal.segment_name(batch.number), batch.offset, end, "log")

    def _rot_ballot(self, disk: SimDisk) -> None:
        """Of a slot whose copy, or successor, is there."""
        if BALLOT_NAME not in disk.names():
            return
        file = disk.open(BALLOT_NAME)
        slots = [decode_slot(file.read_at(at, SLOT_BYTES)) for at in (0, SLOT_BYTES)]
        file.close()
        first, second = slots
        if first is None or second is None:
            return
        at = 0 if first[0] <= second[0] else SLOT_BYTES
        self._turn(disk, BALLOT_NAME, at, at + SLOT_BYTES, "ballot")
