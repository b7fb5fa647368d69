"""What is derived from the records: path trees, children of tokens, instants of expiry and of write ids, the order of
what stands in the table of identity.

Pure.

Invariants
  X1  every index is a function of the set of records, never of the order in which they came; so it is the same after
      a restore, and a snapshot holds records only (accessor → token is a table for that reason: if two tokens had
      one accessor, an index would end differently)
  X2  a record that does not decode is kept and digested, and not indexed; nothing here raises for any bytes
"""

from __future__ import annotations

from typing import Any

from . import bags, records
from .expiry import TimeBuckets
from .ordered import OrderedKeys
from .pathtree import PathTree
from .tables import MOUNT_UUID_BYTES, Table

TOKEN = int(Table.TOKEN)
LEASE = int(Table.LEASE)
WRITE_ID = int(Table.WRITE_ID)
ENTRY = int(Table.ENTRY)
IDENTITY = int(Table.IDENTITY)
INDEXED = frozenset({TOKEN, LEASE, WRITE_ID, ENTRY, IDENTITY})

EXPIRY_WIDTH_NS = 1_000_000_000
WRITE_ID_WIDTH_NS = 1 << 26  # 67 ms: some hundred ids at full load, which a sweep sorts

_KINDS: dict[int, type[records.Record]] = {
    TOKEN: records.Token,
    LEASE: records.Lease,
    WRITE_ID: records.WriteId,
}
Facts = tuple[bytes | None, int]  # parent, instant in ns; 0: none
_NOTHING: Facts = (None, 0)


def facts(table: int, record: bytes | None) -> Facts:
    """What the indexes need to know of a record of TOKEN, LEASE or WRITE_ID."""
    view: Any = None if record is None else records.readable(_KINDS[table], record)
    if view is None:
        return _NOTHING
    if table == TOKEN:
        return view.parent, max(view.expires_ns, 0)
    if table == LEASE:
        return None, max(view.expires_ns, 0)
    # A write id can be forgotten once both its own time and its apply time are old; 1: 0 would mean none.
    return None, max(view.id_time_ns, view.applied_ns, 1)


class Indexes:
    """See the module's paragraph."""

    __slots__ = ("children", "entries", "identity", "instants", "leases", "secrets")

    def __init__(self) -> None:
        self.secrets = PathTree(MOUNT_UUID_BYTES)
        self.entries = PathTree(MOUNT_UUID_BYTES)
        self.leases = PathTree(0)
        self.identity = OrderedKeys()
        self.children: dict[bytes, bags.Bag] = {}  # token → tokens whose parent it is
        self.instants = {
            TOKEN: TimeBuckets(EXPIRY_WIDTH_NS),
            LEASE: TimeBuckets(EXPIRY_WIDTH_NS),
            WRITE_ID: TimeBuckets(WRITE_ID_WIDTH_NS),
        }

    def change(self, table: int, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """The record under the key of an INDEXED table is `new` and was `old`; None: there is none."""
        if table == ENTRY:
            # A key without a mount uuid and something behind it belongs to no folder: kept, not indexed.
            if len(key) > MOUNT_UUID_BYTES:
                _move(self.entries, key, old, new)
            return
        if table == IDENTITY:
            _move(self.identity, key, old, new)
            return
        if table == LEASE:
            _move(self.leases, key, old, new)
        before, after = facts(table, old), facts(table, new)
        if before != after:
            self._leave(table, key, before)
            self._enter(table, key, after)

    def _enter(self, table: int, key: bytes, known: Facts) -> None:
        parent, instant_ns = known
        if parent is not None:
            bags.add(self.children, parent, key)
        if instant_ns:
            self.instants[table].add(instant_ns, key)

    def _leave(self, table: int, key: bytes, known: Facts) -> None:
        parent, instant_ns = known
        if parent is not None:
            bags.discard(self.children, parent, key)
        if instant_ns:
            self.instants[table].remove(instant_ns, key)

    def contents(self) -> dict[str, Any]:
        """Everything in it in a form that can be compared; for invariants and tests, as large as the indexes."""
        return {
            "path tree": {folder: list(children) for folder, children in self.secrets.folders.items()},
            "entry tree": {folder: list(children) for folder, children in self.entries.folders.items()},
            "lease tree": {folder: list(children) for folder, children in self.leases.folders.items()},
            "identity": list(self.identity),
            "children": {parent: set(bag) for parent, bag in self.children.items()},
            "instants": {
                table: ({bucket: set(bag) for bucket, bag in times.buckets.items()}, times.order)
                for table, times in self.instants.items()
            },
        }


def _move(tree: PathTree | OrderedKeys, key: bytes, old: bytes | None, new: bytes | None) -> None:
    if old is None:
        if new is not None:
            tree.add(key)
    elif new is None:
        tree.remove(key)
