"""What a member has to back up: entries it applied, with the digest behind them, out of its log in memory.

Reads a replica, changes nothing. A batch ends where the digest is known: behind any of the last few thousand entries,
or behind every MARK-th of those that are still in the log (applying.py keeps both). Of entries that an earlier life
applied no digest is known: a sink that is so far behind needs a base.

Invariants: a batch holds applied entries only, all of them from `first` on, and the digest of exactly that state; it is
no more than a turn of the loop and a reader can take, wherever the next digest is.
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import StrongroomError
from ..raft.applying import MARK
from ..state import transaction
from ..state.tables import Table

if TYPE_CHECKING:
    from ..raft.replica import Replica

BATCH_BYTES_MAX = 8 << 20  # up to the next known digest; half of format.OBJECT_BYTES_MAX


class GapError(StrongroomError):
    """Entries that the sink still needs have left the log: a new base must begin."""


class Gathered(NamedTuple):
    """A batch before it is sealed. `rekeyed`: it holds a change of the keyring."""

    first: int
    last: int
    term: int
    time_ns: int
    entries: list[tuple[int, bytes]]
    digest: bytes
    rekeyed: bool


def gather(replica: Replica, first: int, *, entries_max: int, bytes_max: int, boundary: int = 0) -> Gathered | None:
    """Entries from `first` on, as many as fit; None if `first` is not applied yet.

    Ends at `boundary` at the latest, if that lies before it. Raises GapError. An entry larger than `bytes_max` is a
    batch of its own.
    """
    applied = replica.applied_index
    if first > applied:
        return None
    if first <= replica.log.base_index:
        raise GapError(f"the log begins behind {replica.log.base_index}")
    end = min(applied, first + entries_max - 1)
    if boundary >= first:
        end = min(end, boundary)
    last = _last_known(replica, first, _fitting(replica, first, end, bytes_max))
    digest = replica.digest_at(last)
    assert digest is not None
    entries: list[tuple[int, bytes]] = []
    time_ns, rekeyed = 0, False
    for command, _, term in replica.log.slice(first, last - first + 1):
        payload = replica.payload(term, command)
        entries.append((term, payload))
        if payload:
            facts = transaction.decode(payload)
            time_ns = max(time_ns, facts.time_ns)
            rekeyed = rekeyed or any(table == Table.KEYRING for table, _, _ in facts.puts)
    return Gathered(first, last, entries[-1][0], time_ns, entries, digest, rekeyed)


def _fitting(replica: Replica, first: int, end: int, bytes_max: int) -> int:
    """The last index of as many entries as fit, at least one."""
    total = 0
    for command, index, _ in replica.log.slice(first, end - first + 1):
        total += len(command)
        if total > bytes_max and index > first:
            return index - 1
    return end


def _last_known(replica: Replica, first: int, end: int) -> int:
    """The highest index up to `end` whose digest is known; else the lowest above it, if it is near. Raises GapError."""
    for last in range(end, first - 1, -1):
        if replica.digest_at(last) is not None:
            return last
    beyond = min(end + MARK, replica.applied_index)
    above = next((last for last in range(end + 1, beyond + 1) if replica.digest_at(last) is not None), None)
    if above is not None and _fitting(replica, first, above, BATCH_BYTES_MAX) == above:
        return above
    raise GapError(f"the digest behind {end} is not known any more")
