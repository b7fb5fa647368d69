"""What is replicated: transactions as they stand in an entry, every record, the parts of a snapshot.

Payloads are sealed by the fuzzer's own sealer, so that the decoder behind the cipher is what is reached.
"""

from __future__ import annotations

import contextlib
import random
from functools import cache

import msgspec

from cluster.errors import DamagedError
from cluster.raft import loading
from cluster.state import indexes, machine, overlay, records, shape, snapshot, transaction
from cluster.state.invariants import check
from cluster.state.machine import State
from cluster.state.overlay import Overlay
from cluster.state.snapshot import Loader, Snapshot, verify_digest
from cluster.state.tables import Table
from tests.cluster.raft.wiring import lone
from tests.cluster.state.building import KEY, random_log
from tests.hostile.running import Target
from tests.hostile.targets_keys import NONCE, SEALER

NODE, _ = lone()
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
KINDS = tuple(
    sorted(
        (kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, records.Record)),
        key=lambda kind: kind.__name__,
    )
)


@cache
def a_log() -> tuple[bytes, ...]:
    return tuple(random_log(12, 60)[1])


def open_entry(data: bytes) -> None:
    """Sealed, opened as a follower does before it acknowledges, and installed in a state that holds something."""
    entry = NODE.sealer.seal_entry(kind=0, term=3, sequence=1, hashes=(), payload=data, nonce=NONCE)
    ((_, facts),) = NODE.replica.admit(2, [(3, entry)])
    state = State(KEY)
    state.apply(1, 1, transaction.decode(a_log()[5]))
    proposed = Overlay(state)
    proposed.add(2, facts)
    state.apply(2, 3, facts)
    list(state.expired(1 << 63, 9))
    if wrong := check(state):
        raise AssertionError(wrong[0])


def view_records(data: bytes) -> None:
    """The bytes as each kind of record: decoded, and changed, or refused by one of three errors."""
    for kind in KINDS:
        try:
            records.decode(kind, data)
            changed = records.change(kind, data, format=1)
        except UNDECODABLE:
            continue
        records.decode(kind, changed)


def load_parts(data: bytes) -> None:
    """Parts of a snapshot, one behind each length, to the end and beyond."""
    loader = Loader(KEY)
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4]) % (1 << 17)
        loader.feed(data[at + 4 : at + 4 + size])
        at += 4 + size
    state = loader.finish()
    list(verify_digest(state))


def load_one_part(data: bytes) -> None:
    loader = Loader(KEY)
    loader.feed(data)


def load_sealed(data: bytes) -> None:
    """A part sealed in its place, before a good end."""
    place = {"snapshot_id": b"s" * 8, "index": 9, "term": 2}
    chunks = [
        SEALER.seal_chunk(**place, number=number, final=number == 1, payload=payload, nonce=NONCE)  # type: ignore[arg-type]
        for number, payload in enumerate((data, END))
    ]
    loader = Loader(KEY)
    for _ in loading.load(loader, iter(chunks), SEALER, b"s" * 8, 9, 2):
        pass
    with contextlib.suppress(DamagedError):  # the end counts nothing
        loader.finish()


END = tuple(Snapshot(State(KEY)).chunks())[-1]


@cache
def parts() -> tuple[bytes, ...]:
    state = State(KEY)
    for index, entry in enumerate(a_log(), 1):
        state.apply(index, 1, transaction.decode(entry))
    return tuple(Snapshot(state).chunks())


def whole_snapshot() -> bytes:
    return b"".join(len(part).to_bytes(4) + part for part in parts())


def some_records() -> tuple[bytes, ...]:
    made = [records.encode(kind()) for kind in KINDS if kind is not records.Record]
    made.append(records.encode(records.Mount(config={"a": {"b": [1, 2]}}, options={"version": "2"})))
    made.append(records.encode(records.Secret(current=3, gone={1: 5, 2: 0}, custom={"a": "b"})))
    return tuple(made)


def some_transactions() -> tuple[bytes, ...]:
    salt = records.encode(records.Salt(key_term=b"k" * 8, salt=b"s" * 16))
    facts = transaction.Transaction(3, 1, 5, [(Table.TOKEN, b"t" * 32, 0)], [(Table.SALT, bytes(4), salt)], [])
    return (*random.Random(3).sample(a_log(), 20), transaction.encode(facts))


ALL = (
    Target("transaction", open_entry, (DamagedError,), some_transactions(),
           (transaction, machine, shape, indexes, overlay), packed_at=0, memory_factor=512),
    Target("records", view_records, (), some_records(), (records,), packed_at=0, memory_factor=512),
    Target("snapshot-parts", load_parts, (DamagedError,), (whole_snapshot(),), (snapshot,), memory_factor=512),
    Target("snapshot-part", load_one_part, (DamagedError,), parts(), (snapshot, indexes), packed_at=4,
           memory_factor=512),
    Target("snapshot-sealed", load_sealed, (DamagedError,), parts()[:-1], (snapshot, loading), packed_at=4,
           memory_factor=512),
)  # fmt: skip
