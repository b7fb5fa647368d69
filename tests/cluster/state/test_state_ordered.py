"""Keys in order: what a sorted list of all of them would give, for any set, start, place and limit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.state import ordered
from cluster.state.ordered import OrderedKeys
from cluster.state.overlay import Overlay
from cluster.state.tables import Table
from cluster.state.transaction import Draft, Transaction
from tests.cluster.state.building import reloaded, state_of

_NAMES = st.text("ab/é", max_size=3).map(str.encode)
_KEYS = st.builds(lambda start, name: start + name, st.sampled_from([b"e/", b"f/", b"n/"]), _NAMES)


def expected(keys: set[bytes], start: bytes, after: bytes, limit: int) -> list[bytes]:
    found = sorted(key[len(start) :] for key in keys if key.startswith(start) and key > start + after)
    return found[:limit] if limit else found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), _KEYS), max_size=60), st.sampled_from([b"e/", b"f/", b"n/", b"z/"]), _NAMES,
       st.integers(0, 8))  # fmt: skip
def test_it_is_a_sorted_list(changes, start, after, limit):
    """After any changes, in parts so small that they are made and go."""
    part, ordered.PART = ordered.PART, 2
    try:
        index, keys = OrderedKeys(), set()
        for adds, key in changes:
            if adds and key not in keys:
                index.add(key)
                keys.add(key)
            elif not adds and key in keys:
                index.remove(key)
                keys.remove(key)
            assert list(index) == sorted(keys)
            assert all(index._parts)
            assert [part[-1] for part in index._parts] == index._lasts
            assert all(len(part) <= 4 for part in index._parts)
        assert index.names(start, after=after, limit=limit) == expected(keys, start, after, limit)
    finally:
        ordered.PART = part


@pytest.mark.parametrize("limit", [0, 1, 999, 1000, 1001, 5000])
def test_parts_make_no_difference(limit):
    """More keys than a part holds, from every place."""
    keys = {b"e/%05d" % number for number in range(5000)} | {b"d/x", b"f/x"}
    index = OrderedKeys()
    for key in sorted(keys, key=lambda key: key[::-1]):
        index.add(key)
    for after in (b"", b"00000", b"01023x", b"02500", b"04999", b"z"):
        assert index.names(b"e/", after=after, limit=limit) == expected(keys, b"e/", after, limit)


def test_a_state_lists_its_table_and_a_reloaded_one_the_same():
    """Names may hold slashes; other tables are not in it."""
    names = [b"e/b", b"e/a/x", b"e/a", b"n/a"]
    state = state_of(*((Table.IDENTITY, name, b"r") for name in names), (Table.POLICY, b"e/policy", b"r"))
    for one in (state, reloaded(state)):
        assert one.list_identity(b"e/") == [b"a", b"a/x", b"b"]
        assert one.list_identity(b"e/", after=b"a", limit=1) == [b"a/x"]
        assert one.list_identity(b"x/") == []
    assert state.indexes.contents() == reloaded(state).indexes.contents()


@settings(max_examples=200, deadline=None)
@given(st.sets(_KEYS, max_size=8), st.lists(st.tuples(st.booleans(), _KEYS), max_size=8), _NAMES, st.integers(0, 4))
def test_what_is_pending_is_listed_as_if_it_were_applied(applied, pending, after, limit):
    """Over any state, for any limit."""
    state = state_of(*((Table.IDENTITY, key, b"r") for key in applied))
    overlay, draft, keys = Overlay(state), Draft(), set(applied)
    for key, adds in {key: adds for adds, key in pending}.items():
        (keys.add if adds else keys.discard)(key)
        if adds:
            draft.put(Table.IDENTITY, key, b"r")
        else:
            draft.drop(Table.IDENTITY, key)
    overlay.add(state.applied_index + 1, Transaction(1, 1, 0, [], draft.puts, draft.drops))

    for start in (b"e/", b"f/", b"n/"):
        assert overlay.list_identity(start, after=after, limit=limit) == expected(keys, start, after, limit)
