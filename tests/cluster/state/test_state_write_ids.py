"""Write ids: known, new, forgotten or ahead; and how they are forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.state import records
from cluster.state.invariants import check
from cluster.state.tables import Table
from cluster.state.write_ids import (
    AHEAD_NS_MAX,
    FLOOR_KEY,
    Status,
    floor_ns,
    next_sweep,
    oldest_keys,
    status,
    uuid7_time_ns,
)
from tests.cluster.state.building import Leader, facts_of, put_draft, reloaded, state_of

S = 1_000_000_000
WINDOW = 600 * S
NOW = 1_763_973_513 * S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", 1_645_557_742_000_000_000),  # the example of RFC 9562
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 1_645_557_742_000_000_000),
        ("00000000-0000-7000-8000-000000000000", 0),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", ((1 << 48) - 1) * 1_000_000),
        ("017f22e2-79b0-4cc3-98c4-dc0c0c07398f", None),
        ("017f22e2-79b0-7cc3-c8c4-dc0c0c07398f", None),
        ("017f22e279b07cc398c4dc0c0c07398f", None),
        ("017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n", None),
        ("\u0660" * 8 + "-79b0-7cc3-98c4-dc0c0c07398f", None),
        ("", None),
    ],
)
def test_the_time_of_a_uuid_of_version_7(text, expected):
    """Milliseconds in its first 48 bits; anything else has none."""
    assert expected == uuid7_time_ns(text)


def write_id(id_time_ns, applied_ns):
    return records.WriteId(id_time_ns=id_time_ns, applied_ns=applied_ns)


@pytest.mark.parametrize(
    ("id_time_ns", "floor", "expected"),
    [
        (NOW, 0, Status.NEW),
        (NOW + AHEAD_NS_MAX, 0, Status.NEW),
        (NOW + AHEAD_NS_MAX + 1, 0, Status.AHEAD),
        (NOW - WINDOW, 0, Status.NEW),
        (NOW - WINDOW - 1, 0, Status.FORGOTTEN),
        (NOW - S, NOW - S, Status.NEW),
        (NOW - S - 1, NOW - S, Status.FORGOTTEN),
    ],
)
def test_an_id_that_is_not_known_is_new_only_between_window_floor_and_future(id_time_ns, floor, expected):
    """An older one may have been executed and forgotten."""
    state = state_of((Table.FLOOR, FLOOR_KEY, records.Floor(time_ns=floor)))

    assert (expected, None) == status(state, b"id", id_time_ns, now_ns=NOW, window_ns=WINDOW)


@pytest.mark.parametrize("id_time_ns", [NOW, NOW - 2 * WINDOW, NOW + 2 * AHEAD_NS_MAX])
def test_an_id_that_is_remembered_is_known_whatever_its_time(id_time_ns):
    """Its outcome can be told; a pending one is known in the overlay."""
    leader = Leader(state_of((Table.WRITE_ID, b"id", write_id(id_time_ns, NOW))))
    draft, _ = put_draft(leader.overlay, b"a", b"v", b"pending")
    leader.propose(draft)

    assert (Status.KNOWN, (1, write_id(id_time_ns, NOW))) == status(
        leader.overlay, b"id", id_time_ns, now_ns=NOW, window_ns=WINDOW
    )
    assert status(leader.overlay, b"pending", NOW, now_ns=NOW, window_ns=WINDOW)[0] == Status.KNOWN
    assert status(leader.state, b"pending", NOW, now_ns=NOW, window_ns=WINDOW)[0] == Status.NEW


@pytest.mark.parametrize(
    ("id_age_s", "apply_age_s", "goes"),
    [(600, 600, True), (599, 600, False), (600, 599, False), (9_000, 1, False), (1, 9_000, False), (9_000, 601, True)],
)
def test_an_id_stays_until_its_time_and_its_apply_time_are_both_old(id_age_s, apply_age_s, goes):
    """Either alone would let a late or an early id be executed twice."""
    state = state_of((Table.WRITE_ID, b"id", write_id(NOW - id_age_s * S, NOW - apply_age_s * S)))
    draft = next_sweep(state, now_ns=NOW, window_ns=WINDOW, entries_max=10)

    assert goes == (draft is not None)


def test_beyond_the_bound_the_oldest_go_and_the_floor_rises_above_them():
    """Never above one that stays and is younger; what went is forgotten, not new."""
    leader = Leader(
        state_of(*((Table.WRITE_ID, b"%d" % number, write_id(NOW - (50 - number) * S, NOW)) for number in range(8)))
    )
    puts = [(Table.WRITE_ID, b"%d" % number, write_id(NOW + number * S, NOW + number * S)) for number in range(8, 20)]
    leader.state.apply(9, 1, facts_of(*puts))
    leader.last_index = 9
    draft = next_sweep(leader.state, now_ns=NOW + 20 * S, window_ns=WINDOW, entries_max=12)
    assert draft is not None
    leader.do(draft)

    assert (leader.state.counts[Table.WRITE_ID], floor_ns(leader.state)) == (12, NOW - 43 * S + 1)
    assert status(leader.state, b"7", NOW - 43 * S, now_ns=NOW, window_ns=WINDOW)[0] == Status.FORGOTTEN
    assert status(leader.state, b"8", NOW + 8 * S, now_ns=NOW, window_ns=WINDOW)[0] == Status.KNOWN
    assert status(leader.state, b"new", NOW - 42 * S, now_ns=NOW, window_ns=WINDOW)[0] == Status.NEW
    assert next_sweep(leader.state, now_ns=NOW + 20 * S, window_ns=WINDOW, entries_max=12) is None
    assert check(leader.state) == []


def test_the_floor_never_sinks_and_keeps_what_it_does_not_know():
    """A sweep of older ids leaves a higher floor where it is."""
    newer = records.encode([1, NOW, "from the future"])  # type: ignore[arg-type]
    leader = Leader(state_of((Table.FLOOR, FLOOR_KEY, newer), (Table.WRITE_ID, b"id", write_id(5, 5))))
    draft = next_sweep(leader.state, now_ns=NOW, window_ns=WINDOW, entries_max=10)
    assert draft is not None
    leader.do(draft)

    assert (3, newer) == leader.state.get(Table.FLOOR, FLOOR_KEY)


def test_a_pending_sweep_is_not_decided_twice():
    """On the overlay the next one goes on behind it; ends exactly at the bound."""
    leader = Leader(
        state_of(*((Table.WRITE_ID, b"%02d" % number, write_id(NOW + number, NOW + number)) for number in range(30)))
    )
    swept = []
    while (
        draft := next_sweep(
            leader.state, now_ns=NOW + S, window_ns=WINDOW, entries_max=13, limit=7, view=leader.overlay
        )
    ) is not None:
        swept.append([key for _, key in draft.drops])
        leader.propose(draft)
    leader.apply_all()

    assert [[b"%02d" % number for number in numbers] for numbers in (range(7), range(7, 14), range(14, 17))] == swept
    assert leader.state.counts[Table.WRITE_ID] == 13
    assert floor_ns(leader.state) == NOW + 17


IDS = st.dictionaries(st.integers(0, 60), st.tuples(st.integers(0, 1 << 30), st.integers(0, 1 << 30)), max_size=40)


@settings(max_examples=40, deadline=None)
@given(IDS, st.randoms(use_true_random=False))
def test_the_order_of_forgetting_is_a_function_of_the_records(ids, source):
    """Not of the order of arrival, and a snapshot brings it back."""
    puts = [(Table.WRITE_ID, b"%d" % key, write_id(*times)) for key, times in ids.items()]
    state = state_of(*puts)
    source.shuffle(puts)
    other = reloaded(state_of(*puts))
    expected = [key for _, key in sorted((max(*times, 1), b"%d" % key) for key, times in ids.items())]

    assert expected == oldest_keys(state, 100) == oldest_keys(other, 100)
    assert expected[:3] == oldest_keys(state, 3)


@settings(max_examples=60, deadline=None)
@given(IDS, st.integers(0, 1 << 31), st.integers(0, 1 << 29), st.integers(0, 30))
def test_whatever_was_forgotten_is_never_new_again(ids, now_ns, window_ns, entries_max):
    """For any times, windows and bounds; and what may stay stays."""
    leader = Leader(state_of(*((Table.WRITE_ID, b"%d" % key, write_id(*times)) for key, times in ids.items())))
    while (
        draft := next_sweep(leader.state, now_ns=now_ns, window_ns=window_ns, entries_max=entries_max, limit=5)
    ) is not None:
        leader.do(draft)
    left = {int(key) for key, _, _ in leader.state.items(Table.WRITE_ID)}
    for key in ids.keys() - left:
        assert status(leader.state, b"%d" % key, ids[key][0], now_ns=0, window_ns=1 << 62)[0] in {
            Status.FORGOTTEN,
            Status.AHEAD,
        }
    young = {key for key, times in ids.items() if max(*times, 1) + window_ns > now_ns}

    assert len(left) <= max(entries_max, 0)
    assert left <= young
    assert len(left) == min(entries_max, len(young))
    assert check(leader.state) == []
