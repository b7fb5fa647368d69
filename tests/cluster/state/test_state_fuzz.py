"""`apply` never raises, whatever decodes and whatever state it meets."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.state import records, transaction
from cluster.state.invariants import check
from cluster.state.machine import BAD_SHAPE, FAILED_EXPECTATION, INSTALLED, State
from cluster.state.tables import KEY_BYTES_MAX, Table
from cluster.state.transaction import Transaction
from tests.cluster.state.building import KEY, MOUNT, random_log

INTEGERS = st.one_of(
    st.sampled_from(
        [-(1 << 63), -1, 0, 1, 2, 4, 5, 7, 127, 128, 255, 256, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    ),
    st.integers(0, 20),
)
TABLES = st.one_of(st.sampled_from([int(table) for table in Table]), INTEGERS)
KEYS = st.one_of(
    st.sampled_from(
        [
            b"", b"\0", b"\0" * 4, b"/", b"//", b"a/", MOUNT, MOUNT + b"/", MOUNT + b"//", MOUNT + b"a/", MOUNT + b"a",
            MOUNT + b"a/b", MOUNT + b"a//b", MOUNT + b"a\0\0\0\1", MOUNT + b"a\0\0\0\0", MOUNT + b"a/b\0\0\0\2",
            MOUNT + b"/" * 40, b"/" * 20, b"\xff" * KEY_BYTES_MAX, b"k" * (KEY_BYTES_MAX + 1),
        ]
    ),
    st.binary(max_size=40),
)  # fmt: skip
RECORDS = st.one_of(
    st.sampled_from(
        [
            b"", b"\xc1", b"\x91" * 2000, b"\x90", b"\xc0", records.encode(records.Secret()),
            records.encode(records.Token(parent=MOUNT, expires_ns=5)), records.encode(records.Token(parent=b"")),
            records.encode(records.Lease(expires_ns=-3)), records.encode(records.WriteId(-1, -1)),
            msgspec.msgpack.encode([1, b"a", None, ["p"], 0, (1 << 64) - 1]),
            msgspec.msgpack.encode([1, (1 << 64) - 1, 7, b"", 200, None, "from the future"]),
            msgspec.msgpack.encode([1, b"a", b"p"]).replace(b"p", b"\xff") + b"\xa1\xff",
        ]
    ),
    st.binary(max_size=60),
)  # fmt: skip
TRANSACTIONS = st.builds(
    Transaction,
    term=INTEGERS,
    sequence=INTEGERS,
    time_ns=INTEGERS,
    expects=st.lists(st.tuples(TABLES, KEYS, INTEGERS), max_size=2),
    puts=st.lists(st.tuples(TABLES, KEYS, RECORDS), max_size=6),
    drops=st.lists(st.tuples(TABLES, KEYS), max_size=4),
)
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 255), st.sampled_from(["set", "cut", "insert"])), max_size=3
)


def mutated(entry: bytes, mutations: list[tuple[int, int, str]]) -> bytes:
    changed = bytearray(entry)
    for position, byte, how in mutations:
        at = position % (len(changed) + 1)
        if how == "set" and at < len(changed):
            changed[at] = byte
        elif how == "cut":
            del changed[at : at + 1]
        else:
            changed[at:at] = bytes([byte])
    return bytes(changed)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TRANSACTIONS, MUTATIONS), min_size=1, max_size=15))
def test_apply_never_raises_for_whatever_decodes_in_whatever_state(entries):
    """Edges of every field and bytes changed at random; what is derived stays right all the same."""
    state = State(KEY)
    for made, mutations in entries:
        try:
            decoded = transaction.decode(mutated(transaction.encode(made), mutations))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        assert state.apply(state.applied_index + 1, 1, decoded) in {INSTALLED, BAD_SHAPE, FAILED_EXPECTATION}
        assert list(state.expired(1 << 64, 9)) == list(state.expired(1 << 64, 9))

    assert check(state) == []


def test_mutated_bytes_of_a_long_log_never_raise():
    """Some thousand transactions with a byte or two wrong, one state."""
    source = random.Random(11)
    _, log = random_log(12, 300)
    state = State(KEY)
    outcomes = dict.fromkeys((INSTALLED, BAD_SHAPE, FAILED_EXPECTATION), 0)
    for _ in range(6_000):
        entry = mutated(
            source.choice(log),
            [(source.randrange(1 << 16), source.randrange(256), source.choice(["set", "set", "cut", "insert"]))],
        )
        try:
            decoded = transaction.decode(entry)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        outcomes[state.apply(state.applied_index + 1, 1, decoded)] += 1

    assert check(state) == []
    assert all(count > 10 for count in outcomes.values()), outcomes
