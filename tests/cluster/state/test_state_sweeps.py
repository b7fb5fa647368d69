"""Big removals in steps: from any state in between they end the same; nothing reachable goes."""

from __future__ import annotations

import pytest

from cluster.state import records, sweeps, transaction
from cluster.state.invariants import check, orphans
from cluster.state.machine import State
from cluster.state.removal import Removal
from cluster.state.sweeps import (
    LEASE_KIND,
    LIMIT,
    LIMIT_MIN,
    MOUNT_KIND,
    TOKEN_KIND,
    next_expiry,
    next_sweep,
    sweep_key,
)
from cluster.state.tables import KEY_BYTES_MAX, Table, version_key
from cluster.state.transaction import Draft
from tests.cluster.state.building import Leader, all_records, facts_of, names, run_sweeps, state_of, token_records

GONE, KEPT = b"g" * 16, b"k" * 16
S = 1_000_000_000


def world():
    """Two mounts, a family of tokens and a stranger, leases under two folders."""
    puts = [
        (Table.MOUNT, b"gone/", records.Mount(uuid=GONE)),
        (Table.MOUNT, b"kept/", records.Mount(uuid=KEPT)),
        *token_records(b"stranger"),
        *token_records(b"ancestor"),
        *token_records(b"root of the removed", b"ancestor"),
    ]
    for uuid in (GONE, KEPT):
        for number in range(5):
            key = uuid + b"team/%d/secret" % number
            puts.append((Table.SECRET, key, records.Secret(current=3)))
            puts += [(Table.VERSION, version_key(key, version), records.Version(box=b"v")) for version in (1, 2, 3)]
            puts.append((Table.ENTRY, uuid + b"role/%d" % number, records.Entry(box=b"e")))
    for number in range(4):
        puts += token_records(b"child %d" % number, b"root of the removed")
        puts += [
            put
            for depth in range(3)
            for put in token_records(b"grandchild %d %d" % (number, depth), b"child %d" % number)
        ]
        puts += token_records(b"great %d" % number, b"grandchild %d 0" % number)
        puts += token_records(b"niece %d" % number, b"ancestor")
    for number in range(6):
        puts.append((Table.LEASE, b"db/creds/old-%d" % number, records.Lease(issued_ns=10)))
        puts.append((Table.LEASE, b"db/creds/z-new-%d" % number, records.Lease(issued_ns=30)))
        puts.append((Table.LEASE, b"aws/creds/%d" % number, records.Lease(issued_ns=10)))
    return state_of(*puts)


def remove_all(state):
    """The three small facts; each makes everything below its target unreachable at once."""
    leader = Leader(state)
    draft = Draft()
    draft.drop(Table.MOUNT, b"gone/")
    sweeps.start(leader.overlay, draft, MOUNT_KIND, GONE)
    draft.drop(Table.TOKEN, b"root of the removed")
    draft.drop(Table.ACCESSOR, b"accessor of root of the removed")
    sweeps.start(leader.overlay, draft, TOKEN_KIND, b"root of the removed")
    sweeps.start(leader.overlay, draft, LEASE_KIND, b"db/", time_ns=20)
    leader.do(draft)
    return state


def swept_names(name):
    table, key = name
    return (
        key.startswith((GONE, b"child", b"grandchild", b"great", b"db/creds/old"))
        or key in {b"gone/", b"root of the removed"}
        or (table == Table.ACCESSOR and key[12:].startswith((b"child", b"grandchild", b"great", b"root of")))
    )


@pytest.mark.parametrize("limit", [LIMIT_MIN, 7, LIMIT])
def test_a_sweep_removes_what_is_unreachable_and_nothing_else(limit):
    """Secrets with their versions, entries, descendants with their accessors, leases of before; and its own record."""
    state = world()
    expected = {name for name in names(state) if not swept_names(name)}
    remove_all(state)
    run_sweeps(state, limit)

    assert expected == names(state)
    assert check(state) == []
    assert orphans(state) == []


@pytest.mark.parametrize("limit", [LIMIT_MIN, 10])
def test_a_sweep_resumed_from_every_state_in_between_ends_the_same(limit):
    """Whoever leads next goes on from the state alone; nothing is ever orphaned on the way."""
    state = remove_all(world())
    between = run_sweeps(state, limit)

    assert len(between) > 8
    for start in between:
        assert orphans(start) == []
        run_sweeps(start, 25)
        assert (state.digest, names(state)) == (start.digest, names(start))


def test_unreachable_records_that_a_sweep_covers_are_no_orphans():
    """They are, without their sweep."""
    state = remove_all(world())

    assert orphans(state) == []
    state.apply(
        state.applied_index + 1, 1, facts_of(drops=[(Table.SWEEP, key) for key, _, _ in state.items(Table.SWEEP)])
    )
    assert sorted(
        ["5 secrets of no mount", "5 entries of no mount", "20 tokens of a dead parent that no sweep removes"]
    ) == sorted(orphans(state))


def test_a_step_waits_for_its_sweep_record_to_be_applied():
    """Writes that were proposed before the removal are in the state before the first step."""
    leader = Leader(state_of((Table.MOUNT, b"gone/", records.Mount(uuid=GONE))))
    late = Draft()
    late.put(Table.SECRET, GONE + b"late", records.Secret())
    removal = Draft()
    removal.drop(Table.MOUNT, b"gone/")
    leader.propose(late)
    sweeps.start(leader.overlay, removal, MOUNT_KIND, GONE)
    leader.propose(removal)

    assert next_sweep(leader.state, view=leader.overlay) is None
    leader.apply_all()
    step = next_sweep(leader.state, view=leader.overlay)
    assert step is not None
    assert [(Table.SECRET, GONE + b"late"), (Table.SWEEP, sweep_key(MOUNT_KIND, GONE))] == step.drops
    leader.propose(step)
    assert next_sweep(leader.state, view=leader.overlay) is None
    leader.apply_all()
    assert names(leader.state) == set()


def test_several_sweeps_go_on_beside_each_other():
    """While a step of one is pending, the next one has its turn."""
    leader = Leader(remove_all(world()))
    kinds = []
    while (draft := next_sweep(leader.state, LIMIT_MIN, view=leader.overlay)) is not None:
        kinds.append(draft.expects[-1][1].split(b"\0")[0])
        leader.propose(draft)

    assert kinds == [b"lease", b"mount", b"token"]
    leader.apply_all()


@pytest.mark.parametrize("kind", [MOUNT_KIND, TOKEN_KIND])
def test_a_target_that_is_alive_ends_its_sweep_and_loses_nothing(kind):
    """The twin of a removal: the sweep was started without making anything unreachable."""
    state = world()
    before = names(state)
    leader = Leader(state)
    draft = Draft()
    sweeps.start(leader.overlay, draft, kind, GONE if kind == MOUNT_KIND else b"root of the removed")
    leader.do(draft)
    run_sweeps(state, LIMIT)

    assert before == names(state)


def test_what_something_pending_changes_is_not_swept():
    """A token that is dropped already, and one that is made an orphan, are let alone; no expectation fails."""
    state = remove_all(world())
    leader = Leader(state)
    other = Draft()
    for key in (b"great 0", b"child 1"):
        other.expect(Table.TOKEN, key, state.index_of(Table.TOKEN, key))
    other.drop(Table.TOKEN, b"great 0")
    other.drop(Table.ACCESSOR, b"accessor of great 0")
    found = state.get(Table.TOKEN, b"child 1")
    assert found is not None
    other.put(Table.TOKEN, b"child 1", records.change(records.Token, found[1], parent=None))
    leader.propose(other)
    while (draft := next_sweep(state, LIMIT, view=leader.overlay)) is not None:
        leader.propose(draft)
    leader.apply_all()
    run_sweeps(state, LIMIT)

    assert {
        b"ancestor",
        b"stranger",
        b"child 1",
        b"grandchild 1 0",
        b"grandchild 1 1",
        b"grandchild 1 2",
        b"great 1",
    } | {b"niece %d" % number for number in range(4)} == {key for key, _, _ in state.items(Table.TOKEN)}
    assert orphans(state) == []


@pytest.mark.parametrize(
    ("lease_id", "issued_ns", "dead"),
    [
        (b"db/creds/x", 20, True),
        (b"db/creds/x", 21, False),
        (b"dbx/creds/x", 20, False),
        (b"db", 20, False),
        (b"pki/issue/a/x", 5, True),
        (b"pki/issue/b/x", 5, False),
    ],
)
def test_a_lease_is_dead_from_the_moment_its_folder_was_revoked(lease_id, issued_ns, dead):
    """Issued until then and not yet removed; those issued later live."""
    state = state_of()
    leader = Leader(state)
    draft = Draft()
    sweeps.start(leader.overlay, draft, LEASE_KIND, b"db/", time_ns=20)
    sweeps.start(leader.overlay, draft, LEASE_KIND, b"pki/issue/a/", time_ns=20)
    leader.do(draft)

    assert dead == sweeps.lease_is_swept(state, lease_id, issued_ns)


def test_all_leases_are_a_folder_too():
    """The empty one; and a folder that is revoked again during its sweep starts again."""
    state = world()
    leader = Leader(state)
    for time_ns in (20, 40):
        draft = Draft()
        sweeps.start(leader.overlay, draft, LEASE_KIND, b"", time_ns=time_ns)
        leader.do(draft)
        assert sweeps.lease_is_swept(state, b"any", time_ns)
        step = next_sweep(state, 5)
        assert step is not None
        leader.do(step)
    run_sweeps(state, 5)

    assert list(state.items(Table.LEASE)) == []


def test_a_step_looks_at_a_bounded_number_of_living_leases(monkeypatch):
    """And goes on behind them."""
    monkeypatch.setattr(sweeps, "LEASES_PASSED_MAX", 4)
    state = world()
    leader = Leader(state)
    draft = Draft()
    sweeps.start(leader.overlay, draft, LEASE_KIND, b"db/", time_ns=20)
    leader.do(draft)
    steps = []
    while (step := next_sweep(state)) is not None:
        steps.append(len([table for table, _ in step.drops if table == Table.LEASE]))
        leader.do(step)

    assert steps == [6, 0]


def test_a_secret_of_more_versions_than_a_step_drops_goes_in_several():
    """Its metadata last, so its place in the tree stays till then."""
    key = GONE + b"a"
    state = state_of(
        (Table.SECRET, key, records.Secret()),
        *((Table.VERSION, version_key(key, number), b"x") for number in range(1, 11)),
        (Table.SWEEP, sweep_key(MOUNT_KIND, GONE), records.Sweep(kind=MOUNT_KIND, target=GONE)),
    )
    steps = run_sweeps(state, 4)

    assert [len(list(step.items(Table.SECRET))) + len(list(step.items(Table.VERSION))) for step in steps] == [7, 3, 0]
    assert all_records(state) == []


def test_tokens_in_a_ring_end_a_sweep():
    """Records that name each other as parents are no family; nothing hangs."""
    state = state_of(
        *token_records(b"a", b"b"),
        *token_records(b"b", b"a"),
        (Table.SWEEP, sweep_key(TOKEN_KIND, b"x"), records.Sweep(kind=TOKEN_KIND, target=b"x")),
        *token_records(b"c", b"x"),
        *token_records(b"d", b"d"),
    )
    run_sweeps(state, LIMIT)

    assert {b"a", b"b", b"d"} == {key for key, _, _ in state.items(Table.TOKEN)}


def test_an_accessor_that_means_another_token_stays():
    """Only the pair goes together."""
    state = state_of(
        (Table.TOKEN, b"dead", records.Token(accessor=b"shared", parent=b"gone")),
        (Table.TOKEN, b"dead too", records.Token(parent=b"gone")),
        (Table.ACCESSOR, b"shared", records.Accessor(token=b"living")),
        (Table.SWEEP, sweep_key(TOKEN_KIND, b"gone"), records.Sweep(kind=TOKEN_KIND, target=b"gone")),
    )
    run_sweeps(state, LIMIT)

    assert {(Table.ACCESSOR, b"shared")} == names(state)


def test_sweeps_of_an_unknown_kind_or_shape_are_let_alone():
    """A newer program's sweep waits for it; the others go on."""
    state = state_of(
        (Table.SWEEP, b"a", records.Sweep(kind="newer")),
        (Table.SWEEP, b"b", b"\xc1"),
        (Table.SWEEP, sweep_key(MOUNT_KIND, GONE), records.Sweep(kind=MOUNT_KIND, target=GONE)),
    )
    run_sweeps(state, LIMIT)

    assert {(Table.SWEEP, b"a"), (Table.SWEEP, b"b")} == names(state)


def test_a_step_fits_into_a_transaction_whatever_its_keys(monkeypatch):
    """Keys of the largest size, a full step: bounded in bytes as well as in records."""
    long_key = GONE + b"x" * (KEY_BYTES_MAX - 30)
    state = state_of(
        *((Table.SECRET, long_key + b"%d" % number, b"") for number in range(600)),
        (Table.SWEEP, sweep_key(MOUNT_KIND, GONE), records.Sweep(kind=MOUNT_KIND, target=GONE)),
    )
    step = next_sweep(state)

    assert step is not None
    size = len(
        transaction.encode(transaction.Transaction(1 << 60, 1 << 60, 1 << 60, step.expects, step.puts, step.drops))
    )
    assert transaction.BYTES_MAX * 0.9 < size <= transaction.BYTES_MAX


def test_a_removal_is_full_at_its_limit():
    """And says so without changing."""
    removal = Removal(2)
    dropped = [removal.drop(Table.FACT, b"%d" % number, number) for number in range(4)]

    assert dropped == [True, True, False, False]
    assert (removal.draft.expects, len(removal.draft.drops), removal.empty) == ([(Table.FACT, b"1", 1)], 2, False)


def test_a_state_without_sweeps_has_no_step():
    """Nothing to do is None."""
    assert next_sweep(State(b"k")) is None
    assert next_expiry(State(b"k"), 1 << 62) is None
