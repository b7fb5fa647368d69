"""Write ids: what is known of a write's outcome, and which ids are forgotten.

Pure. A client that got no answer sends the same id again; it must be executed at most once, whatever was forgotten.

Invariants
  W1  an id that was remembered and forgotten is older than the floor: it is never new again
  W2  a record stays until both its id's own time and its apply time are `window_ns` old, unless there are more than
      `entries_max`
  W3  ids are forgotten in the order in which their window ends: what goes is the oldest, so the floor stays far
      behind the ids that clients draw now
  W4  an id far ahead of the cluster's time is refused: it would outlive every floor
Forgetting has transactions of its own: if the puts did it, 256 pending puts would all drop the same oldest id.
Source: RFC 9562, 5.7 (UUID version 7).
"""

from __future__ import annotations

import enum
import re
from itertools import islice
from typing import TYPE_CHECKING

from . import records
from .indexes import WRITE_ID, facts
from .removal import Removal
from .tables import Table
from .view import View, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import State
    from .transaction import Draft

FLOOR_KEY = b"write-id"
AHEAD_NS_MAX = 60_000_000_000
NS_PER_MS = 1_000_000

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class Status(enum.Enum):
    """What a write id is."""

    NEW = "new"  # never seen: execute, and remember
    KNOWN = "known"  # executed, its outcome is remembered
    FORGOTTEN = "forgotten"  # too old to tell: unknown, never executed
    AHEAD = "ahead"  # its time is more than AHEAD_NS_MAX ahead of the cluster's


def uuid7_time_ns(text: str) -> int | None:
    """The time in a UUID of version 7, in nanoseconds since the epoch; None if it is none. Either case."""
    if _UUID7.fullmatch(text) is None:
        return None
    return int(text[:8] + text[9:13], 16) * NS_PER_MS


def status(
    view: View, key: bytes, id_time_ns: int, *, now_ns: int, window_ns: int
) -> tuple[Status, tuple[int, records.WriteId] | None]:
    """The status of the id under this key, and for KNOWN the index of its write and what is remembered.

    Only the leader's overlay gives an answer to act on: a pending id is KNOWN there.
    """
    known = look(view, Table.WRITE_ID, records.WriteId, key)
    if known is not None:
        return Status.KNOWN, known
    if id_time_ns > now_ns + AHEAD_NS_MAX:
        return Status.AHEAD, None
    if id_time_ns < max(floor_ns(view), now_ns - window_ns):
        return Status.FORGOTTEN, None
    return Status.NEW, None


def floor_ns(view: View) -> int:
    """Ids older than this may have been forgotten; 0 if none was."""
    floor = look(view, Table.FLOOR, records.Floor, FLOOR_KEY)
    return 0 if floor is None else floor[1].time_ns


def next_sweep(
    state: State, *, now_ns: int, window_ns: int, entries_max: int, limit: int = 999, view: View | None = None
) -> Draft | None:
    """A transaction that forgets up to `limit` ids and raises the floor above them; None if nothing is due.

    On a leader `view` is its overlay: what a pending sweep forgets is not forgotten twice.
    """
    view = state if view is None else view
    excess = state.counts.get(WRITE_ID, 0) - entries_max
    removal = Removal(limit)
    newest_ns = 0
    for passed, (due_ns, key, record) in enumerate(_oldest(state)):
        if due_ns + window_ns > now_ns and passed >= excess:
            break
        if view.get(Table.WRITE_ID, key) is None:
            continue
        if not removal.drop(Table.WRITE_ID, key):
            break
        newest_ns = max(newest_ns, record.id_time_ns)
    if removal.empty:
        return None
    removal.draft.put(Table.FLOOR, FLOOR_KEY, _raised(view, newest_ns + 1))
    return removal.draft


def _raised(view: View, time_ns: int) -> bytes:
    found = view.get(Table.FLOOR, FLOOR_KEY)
    if found is None:
        return records.encode(records.Floor(time_ns=time_ns))
    return records.change(records.Floor, found[1], time_ns=max(time_ns, floor_ns(view)))


def _oldest(state: State) -> Iterator[tuple[int, bytes, records.WriteId]]:
    """(when its window begins, key, record), the oldest first: W3, a function of the set of records."""
    for bucket in state.indexes.instants[WRITE_ID].oldest():
        found = []
        for key in bucket:
            stored = state.get(WRITE_ID, key)
            assert stored is not None
            found.append((facts(WRITE_ID, stored[1])[1], key, stored[1]))
        for due_ns, key, record in sorted(found):
            yield due_ns, key, records.decode(records.WriteId, record)


def oldest_keys(state: State, limit: int) -> list[bytes]:
    """Keys of the `limit` ids that would be forgotten first, in that order."""
    return [key for _, key, _ in islice(_oldest(state), limit)]
