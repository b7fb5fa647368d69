"""Expiry as transactions: exactly what expired goes, and what was below it is swept."""

from __future__ import annotations

import pytest

from cluster.state import records
from cluster.state.invariants import check, orphans
from cluster.state.sweeps import LIMIT, LIMIT_MIN, next_expiry
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.cluster.state.building import Leader, names, run_sweeps, state_of, token_records

S = 1_000_000_000


def family(expires_ns):
    return state_of(
        *token_records(b"parent", None, expires_ns),
        *token_records(b"child", b"parent", 90 * S),
        *token_records(b"single", None, expires_ns - S),
        (Table.LEASE, b"db/1", records.Lease(expires_ns=expires_ns)),
        *token_records(b"living", None, 90 * S),
        *token_records(b"for ever"),
    )


def test_expiry_drops_exactly_what_expired_and_sweeps_what_was_below():
    """Compared with the index at which it was read; a leader's clock before the deadline expires nothing."""
    state = family(5 * S)
    leader = Leader(state)

    assert next_expiry(state, 4 * S - 1) is None
    draft = next_expiry(state, 5 * S, view=leader.overlay)
    assert draft is not None
    assert {key for table, key, _ in draft.expects if table in {Table.TOKEN, Table.LEASE}} == {
        b"parent",
        b"single",
        b"db/1",
    }
    leader.propose(draft)
    assert next_expiry(state, 5 * S, view=leader.overlay) is None
    leader.apply_all()
    assert orphans(state) == []
    run_sweeps(state, LIMIT)
    assert {b"living", b"for ever"} == {key for key, _, _ in state.items(Table.TOKEN)}
    assert check(state) == []
    assert orphans(state) == []


def test_expiry_lets_alone_what_something_pending_changes():
    """A renewal that is proposed wins over the deadline it moves."""
    state = family(5 * S)
    leader = Leader(state)
    renewal = Draft()
    found = state.get(Table.TOKEN, b"single")
    assert found is not None
    renewal.expect(Table.TOKEN, b"single", found[0])
    renewal.put(Table.TOKEN, b"single", records.change(records.Token, found[1], expires_ns=70 * S))
    leader.propose(renewal)
    draft = next_expiry(state, 6 * S, view=leader.overlay)

    assert draft is not None
    leader.propose(draft)
    leader.apply_all()
    assert state.get(Table.TOKEN, b"single") is not None
    assert state.get(Table.TOKEN, b"parent") is None


def test_a_child_that_is_only_proposed_is_swept_with_its_parent():
    """The overlay knows it when the parent expires."""
    state = state_of(*token_records(b"parent", None, 5 * S))
    leader = Leader(state)
    child = Draft()
    for table, key, record in token_records(b"child", b"parent"):
        child.put(table, key, record)
    leader.propose(child)
    draft = next_expiry(state, 6 * S, view=leader.overlay)
    assert draft is not None
    leader.propose(draft)
    leader.apply_all()

    assert orphans(state) == []
    run_sweeps(state, LIMIT)
    assert names(state) == set()


@pytest.mark.parametrize("limit", [LIMIT_MIN, 4, 5])
def test_expiry_in_small_steps_ends_the_same(limit):
    """A step is never larger than its limit, and what is left comes next."""
    state = family(5 * S)
    leader = Leader(state)
    while (draft := next_expiry(state, 6 * S, limit)) is not None:
        assert len(draft.drops) + len(draft.puts) <= limit
        leader.do(draft)
    run_sweeps(state, LIMIT)

    assert {b"living", b"for ever"} == {key for key, _, _ in state.items(Table.TOKEN)}
