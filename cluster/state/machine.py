"""The replicated state: records in tables, and `apply`, which installs a transaction of facts.

Pure: no I/O, clock, randomness or logging; one thread owns it. No rule about records is in here: rules decide what a
transaction says before it is proposed, so nodes of different versions cannot disagree about what it does.

Invariants
  S1  `apply` never raises for any transaction that decodes: a bad shape and a failed expectation are outcomes
  S2  a transaction is installed whole or not at all; drops first, then puts in order, the last one wins
  S3  the same log gives the same records and the same digest in every process
  S4  derived indexes are functions of the set of records (indexes.py)
  S5  before a shard changes, whoever pinned it (snapshot.py) has a copy
Each table is SHARDS dicts, so that copying one for a snapshot takes no longer than a few transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Any, Protocol

from . import records
from .digest import Fingerprints
from .indexes import INDEXED, LEASE, TOKEN, Indexes
from .shape import well_formed
from .slots import (
    HEAD_BYTES,
    INDEX_BYTES,
    METADATA,
    SECRET,
    SHARDS,
    VERSION,
    Slot,
    element,
    logical,
    pack_index,
    place_of,
    read,
    shard_of,
    split,
    split_element,
    unpack_index,
)
from .tables import VERSION_BYTES
from .transaction import Transaction

Names = list[bytes]
Expired = list[tuple[int, bytes, int]]
Change = tuple[int, bytes, bytes | None]
Listener = Callable[[int, Transaction], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction; `why` is "" or what it was refused for: "shape", "expect"."""

    ok: bool
    why: str = ""


INSTALLED = Outcome(ok=True)
BAD_SHAPE = Outcome(ok=False, why="shape")
FAILED_EXPECTATION = Outcome(ok=False, why="expect")


class Pinning(Protocol):
    """Who wants shards as they were."""

    def keep(self, table: int, number: int, shard: dict[bytes, Any]) -> None:
        """Called before the shard changes."""
        ...


class State:
    """Everything the cluster agreed on, up to `applied_index`. A View.

    `digest` is 128 bits over all records, `time_ns` the stamp of the newest installed transaction, `counts` the
    number of records by table. `listeners` are called with (index, transaction) after each install; they must not
    raise.
    """

    def __init__(self, digest_key: bytes) -> None:
        self.digest_key = digest_key
        self.applied_index = 0
        self.applied_term = 0
        self.time_ns = 0
        self.digest = 0
        self.counts: dict[int, int] = {}
        self.indexes = Indexes()
        self.listeners: list[Listener] = []
        self.pins: list[Pinning] = []
        self.secrets: list[dict[bytes, Slot]] = [{} for _ in range(SHARDS)]
        self.tables: dict[int, list[dict[bytes, bytes]]] = {}  # all but SECRET and VERSION, made when first written
        self.fingerprint = Fingerprints(digest_key).of

    def __repr__(self) -> str:
        return f"<State at {self.applied_index}>"

    # ---- changing
    def apply(self, index: int, term: int, transaction: Transaction) -> Outcome:
        """The transaction at this index of the log is installed, or nothing is and the outcome says why (S1, S2)."""
        assert index > self.applied_index
        self.applied_index = index
        self.applied_term = term
        if not well_formed(transaction):
            return BAD_SHAPE
        for table, key, seen in transaction.expects:
            if self.index_of(table, key) != seen:
                return FAILED_EXPECTATION
        self.time_ns = max(self.time_ns, transaction.time_ns)
        if transaction.drops:
            self._install(index, [(table, key, None) for table, key in transaction.drops])
        self._install(index, transaction.puts)
        for listener in self.listeners:
            listener(index, transaction)
        return INSTALLED

    def apply_nothing(self, index: int, term: int) -> None:
        """An entry that says nothing (the first of a leader's term) is applied."""
        assert index > self.applied_index
        self.applied_index = index
        self.applied_term = term

    def _install(self, index: int, changes: Iterable[Change]) -> None:
        # Neighbours under one path are edited together: a put changes metadata, one version and the oldest one.
        owner: bytes | None = None
        slot: list[bytes] = []
        for table, key, record in changes:
            if table > VERSION:
                self._install_record(index, table, key, record)
                continue
            path, number = (key, METADATA) if table == SECRET else (key[:-VERSION_BYTES], key[-VERSION_BYTES:])
            if path != owner:
                if owner is not None:
                    self._install_slot(owner, slot)
                owner = path
                slot = list(self.secrets[shard_of(path)].get(path, ()))
            self._edit(slot, index, table, key, number, record)
        if owner is not None:
            self._install_slot(owner, slot)

    def _edit(
        self, slot: list[bytes], index: int, table: int, key: bytes, number: bytes, record: bytes | None
    ) -> None:
        place, there = place_of(slot, number)
        if there:
            self.digest ^= self.fingerprint(table, key, split_element(slot[place])[1])
            if record is None:
                del slot[place]
                self.counts[table] -= 1
                return
            slot[place] = element(number, index, record)
        elif record is None:
            return
        else:
            slot.insert(place, element(number, index, record))
            self.counts[table] = self.counts.get(table, 0) + 1
        self.digest ^= self.fingerprint(table, key, record)

    def _install_slot(self, key: bytes, slot: list[bytes]) -> None:
        number = shard_of(key)
        shard = self.secrets[number]
        was = key in shard
        if not was and not slot:
            return
        if self.pins:
            self._keep(SECRET, number, shard)
        if slot:
            shard[key] = tuple(slot)
            if not was:
                self.indexes.secrets.add(key)
        else:
            del shard[key]
            self.indexes.secrets.remove(key)

    def _install_record(self, index: int, table: int, key: bytes, record: bytes | None) -> None:
        number = shard_of(key)
        shard = self.shards(table)[number]
        stored = shard.get(key)
        old = None if stored is None else stored[INDEX_BYTES:]
        if old is None and record is None:
            return
        if self.pins:
            self._keep(table, number, shard)
        if old is not None:
            self.digest ^= self.fingerprint(table, key, old)
        if record is None:
            del shard[key]
            self.counts[table] -= 1
        else:
            shard[key] = pack_index(index) + record
            self.digest ^= self.fingerprint(table, key, record)
            if old is None:
                self.counts[table] = self.counts.get(table, 0) + 1
        if table in INDEXED:
            self.indexes.change(table, key, old, record)

    def _keep(self, table: int, number: int, shard: dict[bytes, Any]) -> None:
        for pin in self.pins:
            pin.keep(table, number, shard)

    def shards(self, table: int) -> list[dict[bytes, Any]]:
        """The dicts of a table; for SECRET and VERSION those of the slots. Made if the table is new."""
        if table <= VERSION:
            return self.secrets
        shards = self.tables.get(table)
        if shards is None:
            shards = self.tables[int(table)] = [{} for _ in range(SHARDS)]
        return shards

    # ---- reading
    def get(self, table: int, key: bytes) -> tuple[int, bytes] | None:
        """See View."""
        if table > VERSION:
            shards = self.tables.get(table)
            stored = None if shards is None else shards[hash(key) >> 40 & 1023].get(key)
            return None if stored is None else (unpack_index(stored)[0], stored[INDEX_BYTES:])  # `split`, written out
        path, number = (key, METADATA) if table == SECRET else (key[:-VERSION_BYTES], key[-VERSION_BYTES:])
        for held in self.secrets[hash(path) >> 40 & 1023].get(path, ()):  # `find` and `split_element`, written out
            if held.startswith(number):
                return unpack_index(held, VERSION_BYTES)[0], held[HEAD_BYTES:]
        return None

    def index_of(self, table: int, key: bytes) -> int:
        """Index at which the record was written; 0 if there is none."""
        found = self.get(table, key)
        return 0 if found is None else found[0]

    def secret(self, key: bytes) -> Slot | None:
        """Everything under a KV path (slots.py), or None. It never changes: a later write makes another one."""
        return self.secrets[hash(key) >> 40 & 1023].get(key)

    def read_secret(self, key: bytes, number: int = 0) -> tuple[records.Secret, int, records.Version | None] | None:
        """(metadata, number of the version, the version or None); number 0 means the current one. See slots.read."""
        slot = self.secrets[hash(key) >> 40 & 1023].get(key)
        return None if slot is None else read(slot, number)

    def items(self, table: int) -> Iterator[tuple[bytes, int, bytes]]:
        """See View. The table may change while the iteration goes on."""
        if table <= VERSION:
            for held_table, key, index, record in self._secret_records():
                if held_table == table:
                    yield key, index, record
            return
        for shard in self.tables.get(table, ()):
            if shard:
                for key, stored in tuple(shard.items()):
                    yield key, *split(stored)

    def records(self) -> Iterator[tuple[int, bytes, int, bytes]]:
        """(table, key, index, record) of every record, in no order."""
        yield from self._secret_records()
        for table in tuple(self.tables):
            for key, index, record in self.items(table):
                yield table, key, index, record

    def _secret_records(self) -> Iterator[tuple[int, bytes, int, bytes]]:
        for shard in self.secrets:
            for key, slot in tuple(shard.items()):
                yield from logical(key, slot)

    def token_children(self, token: bytes) -> Iterator[bytes]:
        """See View. The state must not change while the iteration goes on."""
        return iter(self.indexes.children.get(token, ()))

    def list(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """See View. Above pathtree.LIST_PART_MAX names ask in parts, or the loop stands still."""
        return self.indexes.secrets.names(folder, after=after, limit=limit)

    def list_count(self, folder: bytes) -> int:
        """How many names `list` would give."""
        return self.indexes.secrets.children_count(folder)

    def list_entries(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """As `list`, of what an engine stores (table ENTRY)."""
        return self.indexes.entries.names(folder, after=after, limit=limit)

    def list_leases(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """As `list`, of lease ids."""
        return self.indexes.leases.names(folder, after=after, limit=limit)

    def list_identity(self, start: bytes, *, after: bytes = b"", limit: int = 0) -> Names:
        """See View."""
        return self.indexes.identity.names(start, after=after, limit=limit)

    def descend(self, folder: bytes) -> Iterator[bytes]:
        """Every secret's key below the folder, level by level. The state may change meanwhile."""
        return self.indexes.secrets.descend(folder)

    def expired(self, now_ns: int, limit: int) -> Expired:
        """(table, key, index) of up to `limit` tokens and leases whose time has come, the oldest seconds first.

        A look: nothing changes. Whoever leads turns it into a transaction (sweeps.py).
        """
        due: Expired = []
        tokens, leases = self.indexes.instants[TOKEN], self.indexes.instants[LEASE]
        candidates = merge(
            ((bucket, TOKEN, key) for bucket, key in tokens.until(now_ns)),
            ((bucket, LEASE, key) for bucket, key in leases.until(now_ns)),
            key=lambda candidate: candidate[0],
        )
        for _, table, key in candidates:
            if len(due) >= limit:
                break
            found = self.get(table, key)
            assert found is not None
            view: Any = records.decode(records.Token if table == TOKEN else records.Lease, found[1])
            if view.expires_ns <= now_ns:
                due.append((table, key, found[0]))
        return due
