"""What a token keeps for itself goes when the token goes, however it goes; nothing of a living token does."""

from __future__ import annotations

import pytest

from cluster.state import records, sweeps
from cluster.state.invariants import check, orphans
from cluster.state.sweeps import CUBBYHOLE_KIND, LIMIT, LIMIT_MIN, next_expiry, next_sweep, sweep_key
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.cluster.state.building import Leader, facts_of, run_sweeps, state_of, token_records

CUBBYHOLE, OTHER = b"c" * 16, b"o" * 16
S = 1_000_000_000
MOUNTS = [
    (Table.MOUNT, b"cubbyhole/", records.Mount(uuid=CUBBYHOLE, type="cubbyhole")),
    (Table.MOUNT, b"other/", records.Mount(uuid=OTHER)),
]


def kept_by(token, *paths, uuid=CUBBYHOLE):
    return [(Table.ENTRY, uuid + token.hex().encode() + b"/" + path, records.Entry(box=b"e")) for path in paths]


def many(token, count):
    return kept_by(token, *(b"folder/%d" % number for number in range(count)))


def entries(state):
    return sorted(key for key, _, _ in state.items(Table.ENTRY))


def keys_of(*puts):
    return sorted(key for _, key, _ in puts)


def drop_token(leader, token):
    """As a revocation decides it."""
    draft = Draft()
    draft.drop(Table.TOKEN, token)
    draft.drop(Table.ACCESSOR, b"accessor of " + token)
    sweeps.drop_cubbyhole(leader.overlay, draft, token)
    return draft


def test_little_goes_in_the_transaction_that_drops_the_token():
    """As much as a wrapping token holds: no sweep, nothing left, and the neighbour's is untouched."""
    others = kept_by(b"living", b"a", b"b")
    state = state_of(*MOUNTS, *token_records(b"token"), *token_records(b"living"), *others,
                     *kept_by(b"token", b"response", b"wrapinfo"))  # fmt: skip
    leader = Leader(state)
    leader.do(drop_token(leader, b"token"))

    assert entries(state) == keys_of(*others)
    assert list(state.items(Table.SWEEP)) == []
    assert orphans(state) == []


@pytest.mark.parametrize("limit", [LIMIT_MIN, 7, LIMIT])
def test_much_is_swept_in_steps(limit):
    """One small fact first; folders go too, and the sweep's own record; every state in between is sound."""
    others = kept_by(b"living", b"a/b/c")
    state = state_of(*MOUNTS, *token_records(b"token"), *token_records(b"living"), *others, *many(b"token", 23))
    leader = Leader(state)
    draft = drop_token(leader, b"token")
    assert len(draft.drops) + len(draft.puts) == 3
    leader.do(draft)
    assert orphans(state) == []
    between = run_sweeps(state, limit)

    assert entries(state) == keys_of(*others)
    assert list(state.items(Table.SWEEP)) == []
    assert [orphans(one) for one in between] == [[]] * len(between)
    assert check(state) == []


@pytest.mark.parametrize("limit", [LIMIT_MIN, 5, LIMIT])
@pytest.mark.parametrize("kept", [[], [b"response", b"wrapinfo"], [b"a", b"b", b"c"], [b"folder/a"]])
@pytest.mark.parametrize("with_child", [False, True])
def test_an_expired_token_takes_what_it_kept_with_it(limit, kept, with_child):
    """At once or by a sweep, within the limit of a step; a child's place goes with the child."""
    below = [*token_records(b"child", b"token"), *kept_by(b"child", b"x", b"y")] if with_child else []
    others = kept_by(b"living", b"a")
    state = state_of(*MOUNTS, *token_records(b"token", None, 5 * S), *token_records(b"living"), *others,
                     *kept_by(b"token", *kept), *below)  # fmt: skip
    leader = Leader(state)
    while (draft := next_expiry(state, 6 * S, limit, view=leader.overlay)) is not None:
        assert len(draft.drops) + len(draft.puts) <= limit
        leader.do(draft)
        assert orphans(state) == []
    run_sweeps(state, limit)

    assert {key for key, _, _ in state.items(Table.TOKEN)} == {b"living"}
    assert entries(state) == keys_of(*others)
    assert orphans(state) == []
    assert check(state) == []


def test_what_is_only_proposed_goes_too():
    """An entry that is under way when its token is dropped is in the leader's overlay, and dropped behind it."""
    state = state_of(*MOUNTS, *token_records(b"token"))
    leader = Leader(state)
    writing = Draft()
    for table, key, record in kept_by(b"token", b"late"):
        writing.put(table, key, record)
    leader.propose(writing)
    leader.propose(drop_token(leader, b"token"))
    leader.apply_all()

    assert entries(state) == []
    assert orphans(state) == []


def test_a_sweep_waits_for_what_was_proposed_before_it():
    """With many entries, one of which is not applied when the sweep is proposed."""
    state = state_of(*MOUNTS, *token_records(b"token"), *many(b"token", 5))
    leader = Leader(state)
    writing = Draft()
    for table, key, record in kept_by(b"token", b"late"):
        writing.put(table, key, record)
    leader.propose(writing)
    leader.propose(drop_token(leader, b"token"))
    assert next_sweep(state, view=leader.overlay) is None
    leader.apply_all()
    run_sweeps(state, LIMIT)

    assert entries(state) == []
    assert orphans(state) == []


@pytest.mark.parametrize(
    "target",
    [
        CUBBYHOLE + b"living".hex().encode() + b"/",
        OTHER + b"gone".hex().encode() + b"/",  # another mount's
        CUBBYHOLE,
        CUBBYHOLE + b"not hex/",
        CUBBYHOLE + b"gone".hex().encode(),  # no folder
        b"",
    ],
)
def test_a_sweep_removes_nothing_that_may_be_reached(target):
    """A living token's place, another mount's entries, or a target that is no token's place at all end it."""
    kept = [*kept_by(b"living", b"a"), *kept_by(b"gone", b"b", uuid=OTHER)]
    sweep = records.Sweep(kind=CUBBYHOLE_KIND, target=target)
    state = state_of(*MOUNTS, *token_records(b"living"), *kept, (Table.SWEEP, sweep_key(CUBBYHOLE_KIND, target), sweep))
    run_sweeps(state, LIMIT)

    assert entries(state) == keys_of(*kept)
    assert list(state.items(Table.SWEEP)) == []


def test_what_is_left_of_a_token_for_its_orphans_keeps_nothing():
    """Its record is of another type then; the place is swept all the same."""
    left = records.Token(type="orphaner")
    folder = sweeps.cubbyhole(state_of(*MOUNTS), b"token")
    sweep = records.Sweep(kind=CUBBYHOLE_KIND, target=folder)
    state = state_of(
        *MOUNTS, (Table.TOKEN, b"token", left), *many(b"token", 5),
        (Table.SWEEP, sweep_key(CUBBYHOLE_KIND, folder), sweep),
    )  # fmt: skip
    run_sweeps(state, 4)

    assert entries(state) == []


def test_without_a_mount_nothing_is_kept_and_nothing_fails():
    """A state from before there was a cubbyhole."""
    state = state_of(*token_records(b"token", None, S))
    leader = Leader(state)

    assert sweeps.cubbyhole(state, b"token") == b""
    assert not sweeps.keeps_something(state, b"token")
    draft = next_expiry(state, 2 * S, view=leader.overlay)
    assert draft is not None
    leader.do(draft)
    assert list(state.items(Table.TOKEN)) == []


def test_an_entry_that_nobody_owns_and_nothing_removes_is_an_orphan():
    """The invariant sees what a forgotten drop would leave; with its sweep it is none."""
    state = state_of(*MOUNTS, *token_records(b"token"), *many(b"token", 3))
    dropped = [(Table.TOKEN, b"token"), (Table.ACCESSOR, b"accessor of token")]
    state.apply(state.applied_index + 1, 1, facts_of(drops=dropped))
    assert orphans(state) == ["1 entries that a dead token kept and no sweep removes"]

    folder = sweeps.cubbyhole(state, b"token")
    sweep = records.Sweep(kind=CUBBYHOLE_KIND, target=folder)
    state.apply(state.applied_index + 1, 1, facts_of((Table.SWEEP, sweep_key(CUBBYHOLE_KIND, folder), sweep)))
    assert orphans(state) == []
