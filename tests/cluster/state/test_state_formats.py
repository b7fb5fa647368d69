"""The formats of transactions and snapshots: what was written once opens for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cluster.state import records, snapshot, transaction
from cluster.state.invariants import check, orphans
from cluster.state.snapshot import Loader, Snapshot, verify_digest
from cluster.state.tables import Table, version_key
from cluster.state.transaction import Transaction
from tests.cluster.state.building import KEY, MOUNT, UNKNOWN_TABLE, all_records, facts_of, reloaded, state_of

GOLDEN = Path(__file__).parents[2] / "golden" / "formats"
PATH = MOUNT + b"team/app"
TRANSACTION = Transaction(
    7,
    42,
    1_763_973_513_000_000_000,
    [(Table.SECRET, PATH, 12)],
    [
        (Table.SECRET, PATH, records.encode(records.Secret(current=2, oldest=1, rid=b"12345678", gone={1: 5}))),
        (Table.VERSION, version_key(PATH, 2), records.encode(records.Version(created_ns=5, salt_id=3, box=b"sealed"))),
    ],
    [(Table.VERSION, version_key(PATH, 1))],
)


def as_of(fields: int, record: records.Record) -> bytes:
    """The record as a program wrote it that knew so many of its fields."""
    return records.encode(msgspec.msgpack.decode(records.encode(record))[:fields])


def golden_state():
    """One record of most tables, one of a table nobody knows, one that does not decode."""
    return state_of(
        (Table.MOUNT, b"kv/", as_of(11, records.Mount(uuid=MOUNT, type="kv", options={"version": "2"}))),
        (Table.SECRET, PATH, records.Secret(current=2, rid=b"12345678")),
        (Table.VERSION, version_key(PATH, 1), records.Version(box=b"one")),
        (Table.VERSION, version_key(PATH, 2), records.Version(box=b"two")),
        (Table.ENTRY, MOUNT + b"role/x", as_of(3, records.Entry(box=b"e"))),
        (Table.TOKEN, b"t" * 32, as_of(20, records.Token(accessor=b"accessor", expires_ns=9, policies=["root"]))),
        (Table.ACCESSOR, b"accessor", records.Accessor(token=b"t" * 32)),
        (Table.LEASE, b"db/creds/1", as_of(6, records.Lease(token=b"t" * 32, issued_ns=1, expires_ns=9))),
        (Table.WRITE_ID, b"w" * 16, records.WriteId(5, 6, b"r" * 16)),
        (Table.SWEEP, b"lease\0db/", records.Sweep(kind="lease", target=b"db/", time_ns=3)),
        (Table.LEASE, b"unreadable", b"\xc1"),
        (UNKNOWN_TABLE, b"k", b"newer"),
    )


def test_the_golden_transaction_opens_and_is_written_the_same():
    """Byte for byte: its bytes are what is sealed, logged and backed up."""
    golden = (GOLDEN / "state-transaction-1.bin").read_bytes()

    assert transaction.decode(golden) == TRANSACTION
    assert golden == transaction.encode(TRANSACTION)


def test_the_golden_snapshot_opens():
    """Its payloads lie in the file as one msgpack array; every record is as it was, and the digest is right."""
    loader = Loader(KEY)
    for payload in msgspec.msgpack.decode((GOLDEN / "state-snapshot-1.bin").read_bytes(), type=list[bytes]):
        loader.feed(payload)
    state = loader.finish()

    assert all_records(golden_state()) == all_records(state)
    assert (golden_state().digest, 12, 1) == (state.digest, state.applied_index, state.applied_term)
    assert list(verify_digest(state)) == [True]
    assert (check(state), orphans(state)) == ([], [])


def test_a_snapshot_begins_every_part_with_its_format():
    """So a reader knows what it does not know."""
    assert {(snapshot.FORMAT).to_bytes(2, "big")} == {chunk[:2] for chunk in Snapshot(golden_state()).chunks()}


def test_a_transaction_of_a_newer_program_opens():
    """Fields behind those we know are skipped; its records are kept as they came."""
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(transaction.encode(TRANSACTION)), "from the future"])

    assert transaction.decode(newer) == TRANSACTION


def test_a_records_bytes_survive_every_road():
    """Apply, read, snapshot and load give the very bytes that were logged, whatever they are."""
    strange = [b"", b"\xc1", b"\x00" * 9, b"\xff" * 40, b"1.10", b"12345678901234567890123"]
    state = state_of(*((Table.FACT, b"%d" % number, record) for number, record in enumerate(strange)))
    state.apply(
        99, 1, facts_of(*((Table.SECRET, PATH + b"%d" % number, record) for number, record in enumerate(strange)))
    )
    loaded = reloaded(state)

    for number, record in enumerate(strange):
        for view in (state, loaded):
            assert [(number + 1, record), (99, record)] == [
                view.get(Table.FACT, b"%d" % number),
                view.get(Table.SECRET, PATH + b"%d" % number),
            ]
