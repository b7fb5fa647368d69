"""Keys by instant: exact after any changes, and what has expired."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.state import bags, records
from cluster.state.expiry import TimeBuckets
from cluster.state.tables import Table
from tests.cluster.state.building import facts_of, random_log, state_of

S = 1_000_000_000
OPERATIONS = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 90), st.integers(0, 30).map(lambda n: b"%d" % n)), max_size=120
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_buckets_hold_exactly_what_stands_at_each_instant(operations):
    """Whatever came and went, in the order of time."""
    times = TimeBuckets(10)
    model: set[tuple[int, bytes]] = set()
    for adding, instant, key in operations:
        bucket = instant // 10
        if adding:
            times.add(instant, key)
            model.add((bucket, key))
        else:
            times.remove(instant, key)
            model.discard((bucket, key))

    assert sorted(model) == sorted(times.until(1000))
    assert sorted(held for held in model if held[0] <= 3) == sorted(times.until(39))
    assert sorted({bucket for bucket, _ in model}) == times.order
    assert [set(times.buckets[bucket]) for bucket in times.order] == [set(bag) for bag in times.oldest()]


def test_a_bag_is_a_tuple_while_it_is_small_and_holds_a_key_once():
    """A set beyond, and a tuple again; the same either way."""
    held: dict[int, bags.Bag] = {}
    keys = [b"%d" % number for number in range(bags.FEW + 1)]
    for key in (*keys[: bags.FEW], *keys[: bags.FEW]):
        bags.add(held, 1, key)

    assert tuple(keys[: bags.FEW]) == held[1]
    bags.add(held, 1, keys[-1])
    assert set(keys) == held[1]
    for key in keys[3:]:
        bags.discard(held, 1, key)
    assert isinstance(held[1], tuple)
    assert sorted(keys[:3]) == sorted(held[1])
    for key in keys:
        bags.discard(held, 1, key)
    assert held == {}


def token(expires_ns):
    return records.Token(accessor=b"a", expires_ns=expires_ns)


@pytest.mark.parametrize(
    ("expires_ns", "now_ns", "due"),
    [
        (0, 1 << 62, False),
        (5, 4, False),
        (5, 5, True),
        (5, 6, True),
        (2 * S + 7, 2 * S + 6, False),
        (2 * S + 7, 2 * S + 7, True),
        (2 * S + 7, S, False),
    ],
)
@pytest.mark.parametrize("kind", ["token", "lease"])
def test_a_record_is_due_from_its_very_nanosecond_on(kind, expires_ns, now_ns, due):
    """Buckets are seconds, the answer is exact; 0 never expires."""
    if kind == "token":
        state = state_of((Table.TOKEN, b"k", token(expires_ns)))
        named = (int(Table.TOKEN), b"k", 1)
    else:
        state = state_of((Table.LEASE, b"k", records.Lease(expires_ns=expires_ns)))
        named = (int(Table.LEASE), b"k", 1)

    assert ([named] if due else []) == state.expired(now_ns, 10)


def test_the_oldest_are_due_first_and_a_look_changes_nothing():
    """Tokens and leases together, no more than asked for."""
    state = state_of(
        (Table.LEASE, b"l3", records.Lease(expires_ns=3 * S)),
        (Table.TOKEN, b"t1", token(S)),
        (Table.LEASE, b"l2", records.Lease(expires_ns=2 * S)),
        (Table.TOKEN, b"t4", token(4 * S)),
        (Table.TOKEN, b"t9", token(9 * S)),
    )
    looks = [[key for _, key, _ in state.expired(5 * S, limit)] for limit in (0, 1, 3, 9, 9)]

    assert looks == [[], [b"t1"], [b"t1", b"l2", b"l3"], [b"t1", b"l2", b"l3", b"t4"], [b"t1", b"l2", b"l3", b"t4"]]


def test_a_renewed_token_survives_the_expiry_of_its_old_deadline():
    """And one that was renewed back and forth is due once."""
    state = state_of(*((Table.TOKEN, b"k", token(deadline)) for deadline in (S, 5 * S)))

    assert state.expired(4 * S, 9) == []
    state.apply(3, 1, facts_of((Table.TOKEN, b"k", token(S))))
    assert [(int(Table.TOKEN), b"k", 3)] == state.expired(4 * S, 9)
    state.apply(4, 1, facts_of(drops=[(Table.TOKEN, b"k")]))
    assert state.expired(9 * S, 9) == []


def test_a_record_that_does_not_decode_never_expires():
    """It is kept and digested."""
    state = state_of((Table.TOKEN, b"k", b"\xc1"), (Table.LEASE, b"k", b""))

    assert state.expired(1 << 64, 9) == []
    assert state.get(Table.TOKEN, b"k") == (1, b"\xc1")


@pytest.mark.parametrize("seed", range(4))
def test_what_is_due_is_what_the_records_say(seed):
    """Every instant of a random state, against reading all records."""
    state, _ = random_log(seed, 400)
    deadlines = []
    for table, key, index, record in state.records():
        kind = {Table.TOKEN: records.Token, Table.LEASE: records.Lease}.get(table)
        view = None if kind is None else records.readable(kind, record)
        if view is not None and view.expires_ns > 0:
            deadlines.append((view.expires_ns, (table, key, index)))

    for now_ns in range(0, 20 * S, S // 2):
        assert sorted(named for at, named in deadlines if at <= now_ns) == sorted(state.expired(now_ns, 10_000))
