"""The leader's overlay: applied state, and on top of it what this leader proposed and has not applied yet.

Pure. Deciders look at it, so that 256 writers of one path get 256 consecutive versions in one batch; readers never do.

Invariants
  O1  a record in it carries the index of its entry and leaves exactly when that entry is applied
  O2  it is dropped whole when the role, the term or the log is lost, and leaves no trace in the state
  O3  while the leader applied the no-op of its term before it decided anything, state and overlay are the whole log
  O4  within a transaction drops come first, then puts in order, and the last one wins, as in `State.apply`
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from . import bags
from .indexes import ENTRY, IDENTITY, LEASE, TOKEN, facts
from .slots import METADATA, SECRET, VERSION
from .tables import VERSION_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .machine import State
    from .transaction import Transaction

Names = list[bytes]
Pending = tuple[int, bytes | None]


class Overlay:
    """A View. `state` is what lies under it; `len` is the number of pending records."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._pending: dict[int, dict[bytes, Pending]] = {}
        self._children: dict[bytes, bags.Bag] = {}  # parent → pending tokens
        self._proposed_ns = 0

    def __repr__(self) -> str:
        return f"<Overlay of {len(self)} records>"

    def __len__(self) -> int:
        return sum(map(len, self._pending.values()))

    def touches(self, *tables: int) -> bool:
        """Whether a record of one of the tables is pending."""
        return any(self._pending.get(table) for table in tables)

    # ---- changing
    def add(self, index: int, transaction: Transaction) -> None:
        """The transaction was proposed at this index."""
        for table, key in transaction.drops:
            self._set(table, key, (index, None))
        for table, key, record in transaction.puts:
            self._set(table, key, (index, record))
        self._proposed_ns = max(self._proposed_ns, transaction.time_ns)

    def applied(self, index: int, transaction: Transaction) -> None:
        """The transaction at this index was applied, or refused by the state: what is left of it leaves."""
        for table, key in transaction.drops:
            self._leave(table, key, index)
        for table, key, _ in transaction.puts:
            self._leave(table, key, index)

    def drop(self) -> None:
        """Nothing is pending."""
        self._pending = {}
        self._children = {}
        self._proposed_ns = 0

    def _set(self, table: int, key: bytes, pending: Pending) -> None:
        held = self._pending.get(table)
        if held is None:
            held = self._pending[int(table)] = {}
        if table == TOKEN:
            self._move_token(key, held.get(key), pending)
        held[key] = pending

    def _leave(self, table: int, key: bytes, index: int) -> None:
        held = self._pending.get(table)
        pending = None if held is None else held.get(key)
        # A later proposal for the same record stays until it is applied itself.
        if held is None or pending is None or pending[0] != index:
            return
        if table == TOKEN:
            self._move_token(key, pending, None)
        del held[key]

    def _move_token(self, key: bytes, old: Pending | None, new: Pending | None) -> None:
        before = facts(TOKEN, old[1])[0] if old is not None else None
        after = facts(TOKEN, new[1])[0] if new is not None else None
        if before is not None:
            bags.discard(self._children, before, key)
        if after is not None:
            bags.add(self._children, after, key)

    # ---- reading
    @property
    def time_ns(self) -> int:
        """Stamp of the newest transaction, proposed or applied."""
        return max(self.state.time_ns, self._proposed_ns)

    def get(self, table: int, key: bytes) -> tuple[int, bytes] | None:
        """See View."""
        held = self._pending.get(table)
        if held:
            pending = held.get(key)
            if pending is not None:
                index, record = pending
                return None if record is None else (index, record)
        return self.state.get(table, key)

    def items(self, table: int) -> Iterator[tuple[bytes, int, bytes]]:
        """See View."""
        pending = dict(self._pending.get(table, ()))
        for key, index, record in self.state.items(table):
            if key not in pending:
                yield key, index, record
        for key, (index, proposed) in pending.items():
            if proposed is not None:
                yield key, index, proposed

    def token_children(self, token: bytes) -> Iterator[bytes]:
        """See View."""
        pending = self._pending.get(TOKEN, {})
        known = (child for child in self.state.token_children(token) if child not in pending)
        return chain(known, self._children.get(token, ()))

    def list(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """See View. Costs what the whole folder costs where something below it is pending."""
        changed = self._changed(folder)
        if not changed:
            return self.state.list(folder, after=after, limit=limit)
        return _part(_joined(folder, self.state.list(folder), changed, self.state.descend), after, limit)

    def list_entries(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """See View. Costs as `list`."""
        changed = self._pending_below(ENTRY, folder)
        if not changed:
            return self.state.list_entries(folder, after=after, limit=limit)
        below = self.state.indexes.entries.descend
        return _part(_joined(folder, self.state.list_entries(folder), changed, below), after, limit)

    def list_leases(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """See View. Costs as `list`."""
        changed = self._pending_below(LEASE, folder)
        if not changed:
            return self.state.list_leases(folder, after=after, limit=limit)
        below = self.state.indexes.leases.descend
        return _part(_joined(folder, self.state.list_leases(folder), changed, below), after, limit)

    def list_identity(self, start: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """See View. Costs what it gives, and what is pending there."""
        changed = self._pending_below(IDENTITY, start)
        applied = self.state.list_identity(start, after=after, limit=limit + len(changed) if limit else 0)
        if not changed:
            return applied
        names, cut = set(applied), len(start)
        for key, there in changed.items():
            (names.add if there else names.discard)(key[cut:])
        return _part(names, after, limit)

    def changing(self, table: int, folder: bytes) -> Names:
        """Keys of the table that begin so and whose records are pending."""
        return [key for key in self._pending.get(table, ()) if key.startswith(folder)]

    def _pending_below(self, table: int, folder: bytes) -> dict[bytes, bool]:
        """Keys below the folder with something pending → whether a record will stand there."""
        pending = self._pending.get(table, {})
        changed = {key: record is not None for key, (_, record) in pending.items() if key.startswith(folder)}
        changed.pop(folder, None)
        return changed

    def _changed(self, folder: bytes) -> dict[bytes, bool]:
        """Secrets below the folder with something pending → whether anything stands under them."""
        numbers: dict[bytes, dict[bytes, bool]] = {}
        for key, (_, record) in self._pending.get(SECRET, {}).items():
            if key.startswith(folder):
                numbers.setdefault(key, {})[METADATA] = record is not None
        for key, (_, record) in self._pending.get(VERSION, {}).items():
            if key.startswith(folder) and len(key) - VERSION_BYTES >= len(folder):
                numbers.setdefault(key[:-VERSION_BYTES], {})[key[-VERSION_BYTES:]] = record is not None
        return {
            key: any(pending.values())
            or any(held[:VERSION_BYTES] not in pending for held in self.state.secret(key) or ())
            for key, pending in numbers.items()
        }


def _joined(
    folder: bytes, applied: Names, changed: dict[bytes, bool], below: Callable[[bytes], Iterator[bytes]]
) -> set[bytes]:
    """The names that stand in the folder, once what is pending (key → whether anything is there) is applied."""
    gone = {key for key, there in changed.items() if not there}
    names = set(applied)
    for name in {_name(folder, key) for key in gone} & names:
        if not name.endswith(b"/") or all(key in gone for key in below(folder + name)):
            names.discard(name)
    return names | {_name(folder, key) for key, there in changed.items() if there}


def _part(names: set[bytes], after: bytes, limit: int) -> Names:
    rest = sorted(name for name in names if name > after or not after)
    return rest[:limit] if limit else rest


def _name(folder: bytes, key: bytes) -> bytes:
    """The name in the folder under which the key is found: its own, or that of a folder with its slash."""
    end = key.find(b"/", len(folder))
    return key[len(folder) :] if end < 0 else key[len(folder) : end + 1]
