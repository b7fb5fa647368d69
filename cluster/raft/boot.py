"""The start of a member's life: ballot, log and snapshot become one consistent beginning.

Blocking, and before Raft: when `open_journal` returns, everything it gives is on stable storage, so a new life may
speak at once.

Invariants
  B1  the incarnation of a life is higher than that of every earlier one, and durable before it speaks
  B2  found damaged or missing: the ballot that says `recovering` is durable before the log is cut; a log with entries
      that the ballot does not know of means that the ballot was lost, and that is no better
  B3  term and vote are never forgotten; a later term in the log makes the vote void (log.py)
  B4  a log that starts above every snapshot, or does not meet the newest one, gives way to it
Source: Raft thesis 3.8, 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ..errors import DamagedError
from ..journal.ballot import Ballot, read_ballot, write_ballot
from ..journal.recovery import LogStart, Recovered, recover, rewrite

if TYPE_CHECKING:
    from ..seams import Disk


@dataclass(frozen=True, slots=True)
class Opened:
    """What a life begins with. `reset_to` (index, term): the first operation must empty the log above it."""

    ballot: Ballot
    ballot_sequence: int
    base: tuple[int, int]
    entries: list[tuple[int, int, bytes]]
    start: LogStart
    reset_to: tuple[int, int] | None = None


def open_journal(disk: Disk, *, segment_bytes: int, wall_ns: int, snapshot: tuple[int, int] | None) -> Opened:
    """B1-B4. `snapshot` is (index, term) of the newest durable snapshot that opens, if any.

    Raises DamagedError if a ballot exists and cannot be read: such a node must be replaced, it may have voted.
    """
    sequence, ballot = _next_life(disk, wall_ns)
    recovered = recover(disk, segment_bytes=segment_bytes)
    base, entries, reset_to, lost = _meet(recovered, ballot, snapshot)
    ballot = msgspec.structs.replace(ballot, recovering=ballot.recovering or lost)
    sequence += 1
    write_ballot(disk, sequence, ballot)
    start = rewrite(disk, recovered)
    if not ballot.born:
        ballot = msgspec.structs.replace(ballot, born=True)
        sequence += 1
        write_ballot(disk, sequence, ballot)
    return Opened(ballot, sequence, base, entries, start, reset_to)


def _next_life(disk: Disk, wall_ns: int) -> tuple[int, Ballot]:
    """B1: lives count in milliseconds since the epoch, so that a wiped or restored member is a new life to all."""
    sequence, ballot = read_ballot(disk) or (0, Ballot())
    incarnation = max(ballot.incarnation + 1, wall_ns // 1_000_000)
    return sequence, msgspec.structs.replace(ballot, incarnation=incarnation)


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
