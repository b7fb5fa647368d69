"""The start of a member's life: ballot, log and snapshot become one consistent beginning.

Blocking, and before Raft: when `open_journal` returns, everything it gives is on stable storage, so a new life may
speak at once.

Invariants
  B1  the incarnation of a life is higher than that of every earlier one, and durable before it speaks
  B2  found damaged or missing: the ballot that says `recovering` is durable before the log is cut; a log with entries
      that the ballot does not know of means that the ballot was lost, and that is no better
  B3  term and vote are never forgotten; a later term in the log makes the vote void (log.py)
  B4  a log that starts above every snapshot, or does not meet the newest one, gives way to it
  B5  the mode of a life is durable in its ballot, and the former life's clean stop taken away, before it appends; what
      the former mode does not let believe is lost (B2), and a life in memory leaves no log and no snapshot on the disk
  B6  a log that ends before what the ballot says was held, or has another entry there, has lost its end, which nothing
      in it can show: with the end of a file entries come back that had been truncated behind it
Source: Raft thesis 3.8, 5.1; journal/modes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ..errors import DamagedError
from ..journal.ballot import Ballot, next_life, read_ballot, write_ballot
from ..journal.modes import BUFFERED, FSYNC, MEMORY, begun, believed, stopped
from ..journal.recovery import LogStart, Recovered, drop_all, recover, rewrite
from ..journal.snapshot_file import remove_all_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..seams import Disk


@dataclass(frozen=True, slots=True)
class Opened:
    """What a life begins with. `reset_to` (index, term): the first operation must empty the log above it.

    mode: how its log is kept (journal/modes.py). In memory there is no file to go on with, and `start` is all zeros.
    """

    ballot: Ballot
    ballot_sequence: int
    base: tuple[int, int]
    entries: list[tuple[int, int, bytes]]
    start: LogStart
    reset_to: tuple[int, int] | None = None
    mode: str = FSYNC


NO_FILES = LogStart(0, 0, 0, [], 0)


def open_journal(
    disk: Disk,
    *,
    segment_bytes: int,
    wall_ns: int,
    snapshot: tuple[int, int] | None,
    mode: str = FSYNC,
    boot_id: str = "",
) -> Opened:
    """B1-B6. `snapshot` is (index, term) of the newest durable snapshot that opens, if any; `boot_id` the kernel's.

    Raises DamagedError if a ballot exists and cannot be read: such a node must be replaced, it may have voted.
    """
    sequence, former = _next_life(disk, wall_ns)
    recovered = _recover(disk, former, segment_bytes)
    base, entries, reset_to, lost = _meet(recovered, former, snapshot)
    lost = lost or not holds(former, base, entries) or (former.born and not believed(former, boot_id))
    ballot = msgspec.structs.replace(former, recovering=former.recovering or lost)
    end = entries[-1][:2] if entries else base
    if end[0] < former.held:
        ballot = msgspec.structs.replace(ballot, held=end[0], held_term=end[1])
    sequence += 1
    write_ballot(disk, sequence, ballot)
    # Only now is a file of the log changed; and only when it is whole again does the ballot speak of a new one.
    start = NO_FILES if mode == MEMORY else rewrite(disk, recovered)
    if (new := begun(ballot, mode, boot_id)) != ballot:
        ballot = new
        sequence += 1
        write_ballot(disk, sequence, ballot)
    if mode == MEMORY:
        drop_all(disk)
        remove_all_snapshots(disk)
    return Opened(ballot, sequence, base, entries, start, reset_to, mode)


def holds(ballot: Ballot, base: tuple[int, int], entries: list[tuple[int, int, bytes]]) -> bool:
    """B6. What lies below the base was applied before it was cut off."""
    at = ballot.held - base[0]
    if at > len(entries):
        return False
    if at < 0 or not ballot.held_term:
        return True
    return (entries[at - 1][1] if at else base[1]) == ballot.held_term


def _recover(disk: Disk, former: Ballot, segment_bytes: int) -> Recovered:
    """What is on the disk. A sync that fails here may have lost what a buffered life counted as durable."""
    try:
        return recover(disk, segment_bytes=segment_bytes)
    except OSError:
        if former.journal == BUFFERED:
            mark_lost(disk)
        raise


def mark_stopped(disk: Disk) -> None:
    """The stop was clean: the whole log is on stable storage, and nobody writes it any more. Durable."""
    _change(disk, stopped)


def mark_lost(disk: Disk) -> None:
    """The next life is recovering, durably: for a buffered log whose write or sync has failed."""
    _change(disk, lambda ballot: msgspec.structs.replace(ballot, recovering=True))


def _change(disk: Disk, change: Callable[[Ballot], Ballot]) -> None:
    found = read_ballot(disk)
    if found is not None and (new := change(found[1])) != found[1]:
        write_ballot(disk, found[0] + 1, new)


def _next_life(disk: Disk, wall_ns: int) -> tuple[int, Ballot]:
    """B1: lives count in milliseconds since the epoch, so that a wiped or restored member is a new life to all."""
    sequence, ballot = read_ballot(disk) or (0, Ballot())
    incarnation = max(ballot.incarnation + 1, wall_ns // 1_000_000)
    return sequence, next_life(ballot, incarnation)


def _meet(
    recovered: Recovered, ballot: Ballot, snapshot: tuple[int, int] | None
) -> tuple[tuple[int, int], list[tuple[int, int, bytes]], tuple[int, int] | None, bool]:
    """Base, entries, reset and whether something acknowledged may be lost."""
    base, entries = recovered.base, recovered.entries
    unknown = not ballot.born and bool(entries or base[0])
    lost = recovered.damaged or unknown or (recovered.missing and ballot.born)
    if snapshot is None:
        if base[0] == 0:
            return base, entries, None, lost
        return (0, 0), [], (0, 0), True
    index, term = snapshot
    if index < base[0]:
        return snapshot, [], snapshot, True
    if index == base[0] and term == base[1]:
        return base, entries, None, lost
    at = index - base[0] - 1
    if 0 <= at < len(entries) and entries[at][1] == term:
        return base, entries, None, lost
    return snapshot, [], snapshot, lost


def check_meets(opened: Opened, applied_index: int) -> None:
    """The state a life begins with covers the base of its log; raises DamagedError."""
    if applied_index < opened.base[0]:
        raise DamagedError("the log starts above the newest snapshot")
