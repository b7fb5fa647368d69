"""States, logs and a small leader for the tests of cluster/state."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

from cluster.state import records, transaction
from cluster.state.machine import Outcome, State
from cluster.state.overlay import Overlay
from cluster.state.snapshot import Loader, Snapshot
from cluster.state.sweeps import next_sweep
from cluster.state.tables import Table, version_key
from cluster.state.transaction import Draft, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY = b"digest key of the tests, 32 byte"
MOUNT = b"m" * 16
UNKNOWN_TABLE = 77
VERSIONS_MAX = 10


def random_path(source: random.Random) -> bytes:
    return MOUNT + b"/".join(
        b"%c%d" % (97 + source.randrange(3), source.randrange(3)) for _ in range(source.randint(1, 4))
    )


def random_record(source: random.Random, table: int, key: bytes) -> bytes:
    if source.random() < 0.1:
        return source.randbytes(source.randrange(40))
    if table == Table.TOKEN:
        parent = b"%032d" % source.randrange(60) if source.random() < 0.5 else None
        return records.encode(
            records.Token(accessor=key[-8:], parent=parent, expires_ns=source.randrange(40) * 500_000_000)
        )
    if table == Table.LEASE:
        return records.encode(records.Lease(token=b"t", expires_ns=source.randrange(-5, 40) * 500_000_000))
    if table == Table.WRITE_ID:
        return records.encode(records.WriteId(source.randrange(1 << 30), source.randrange(1 << 30)))
    return source.randbytes(source.randrange(40))


def random_key(source: random.Random, table: int) -> bytes:
    if table in {Table.TOKEN, Table.WRITE_ID}:
        return b"%032d" % source.randrange(60)
    if table == Table.LEASE:
        return random_path(source)[16:]
    key = random_path(source)
    return version_key(key, source.randint(1, 5)) if table == Table.VERSION else key


KINDS = (
    Table.SECRET,
    Table.SECRET,
    Table.VERSION,
    Table.VERSION,
    Table.TOKEN,
    Table.LEASE,
    Table.WRITE_ID,
    Table.ENTRY,
    UNKNOWN_TABLE,
)


def random_transaction(source: random.Random, state: State, number: int = 0) -> Transaction:
    """Most expectations hold; about every seventh transaction has one that fails."""
    made = Transaction(1, number, number, [], [], [])
    for _ in range(source.randint(1, 4)):
        table = int(source.choice(KINDS))
        key = random_key(source, table)
        if source.random() < 0.35:
            made.drops.append((table, key))
        else:
            made.puts.append((table, key, random_record(source, table, key)))
    if source.random() < 0.5:
        table = int(source.choice(KINDS))
        key = random_key(source, table)
        seen = state.index_of(table, key) if source.random() < 0.7 else source.randrange(50)
        made.expects.append((table, key, seen))
    return made


def random_log(seed: int, count: int) -> tuple[State, list[bytes]]:
    """A state and the log that made it."""
    source = random.Random(seed)
    state = State(KEY)
    log = []
    for index in range(1, count + 1):
        made = random_transaction(source, state, index)
        log.append(transaction.encode(made))
        state.apply(index, 1, made)
    return state, log


def replay(log: Iterable[bytes]) -> State:
    state = State(KEY)
    for index, entry in enumerate(log, 1):
        state.apply(index, 1, transaction.decode(entry))
    return state


def facts_of(
    *puts: tuple[int, bytes, bytes | records.Record], drops: Iterable[tuple[int, bytes]] = (), time_ns: int = 0
) -> Transaction:
    """A transaction without expectations."""
    written = [
        (table, key, record if isinstance(record, bytes) else records.encode(record)) for table, key, record in puts
    ]
    return Transaction(1, 0, time_ns, [], written, list(drops))


def state_of(*puts: tuple[int, bytes, bytes | records.Record]) -> State:
    """A state that holds exactly these records, one transaction each."""
    state = State(KEY)
    for index, put in enumerate(puts, 1):
        assert state.apply(index, 1, facts_of(put)).ok
    return state


def all_records(state: State) -> list[tuple[int, bytes, int, bytes]]:
    return sorted(state.records())


def reloaded(state: State) -> State:
    """The state as a snapshot brings it back."""
    loader = Loader(KEY)
    for payload in Snapshot(state).chunks():
        loader.feed(payload)
    return loader.finish()


class Leader:
    """Decides on an overlay, proposes, applies in order."""

    def __init__(self, state: State | None = None) -> None:
        self.state = State(KEY) if state is None else state
        self.overlay = Overlay(self.state)
        self.last_index = self.state.applied_index
        self.waiting: list[tuple[int, Transaction]] = []

    def propose(self, draft: Draft, time_ns: int = 0) -> int:
        self.last_index += 1
        entry = Transaction(1, self.last_index, time_ns, draft.expects, draft.puts, draft.drops)
        assert len(entry.puts) + len(entry.drops) <= transaction.RECORDS_MAX
        assert len(transaction.encode(entry)) <= transaction.BYTES_MAX
        self.overlay.add(self.last_index, entry)
        self.waiting.append((self.last_index, transaction.decode(transaction.encode(entry))))
        return self.last_index

    def apply_one(self) -> Outcome:
        index, entry = self.waiting.pop(0)
        outcome = self.state.apply(index, 1, entry)
        self.overlay.applied(index, entry)
        return outcome

    def apply_all(self) -> None:
        while self.waiting:
            outcome = self.apply_one()
            assert outcome.ok, outcome

    def do(self, draft: Draft, time_ns: int = 0) -> None:
        self.propose(draft, time_ns)
        self.apply_all()


def put_draft(view: State | Overlay, path: bytes, value: bytes, write_id: bytes | None = None) -> tuple[Draft, int]:
    """A KV put as the engine decides it, without sealing; and the number of the version."""
    draft = Draft()
    key = MOUNT + path
    found = view.get(Table.SECRET, key)
    if found is None:
        version = 1
        draft.expect(Table.SECRET, key, 0)
        draft.put(Table.SECRET, key, records.Secret(current=1, rid=b"12345678"))
    else:
        metadata = records.decode(records.Secret, found[1])
        version = metadata.current + 1
        oldest = max(metadata.oldest, 1)
        keep = max(oldest, version - VERSIONS_MAX + 1)
        for number in range(oldest, keep):
            draft.drop(Table.VERSION, version_key(key, number))
        draft.expect(Table.SECRET, key, found[0])
        draft.put(Table.SECRET, key, records.change(records.Secret, found[1], current=version, oldest=keep))
    draft.put(Table.VERSION, version_key(key, version), records.Version(box=value))
    if write_id is not None:
        draft.put(Table.WRITE_ID, write_id, records.WriteId(1, 1))
    return draft, version


def plain(record: bytes) -> list[object]:
    """The elements of a record, those nobody knows included."""
    elements: list[object] = msgspec.msgpack.decode(record)
    return elements


def token_records(
    name: bytes, parent: bytes | None = None, expires_ns: int = 0
) -> list[tuple[int, bytes, records.Record]]:
    """A token and its accessor."""
    token = records.Token(accessor=b"accessor of " + name, parent=parent, expires_ns=expires_ns)
    return [(Table.TOKEN, name, token), (Table.ACCESSOR, token.accessor, records.Accessor(token=name))]


def run_sweeps(state: State, limit: int) -> list[State]:
    """Every step until nothing is due; the states in between."""
    leader = Leader(state)
    between = []
    while (draft := next_sweep(state, limit, view=leader.overlay)) is not None:
        assert len(draft.drops) <= limit
        leader.do(draft)
        between.append(reloaded(state))
        assert len(between) < 500
    return between


def names(state: State) -> set[tuple[int, bytes]]:
    return {(table, key) for table, key, _, _ in state.records()}
