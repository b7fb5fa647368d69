"""What was to become mounts and is not: left alone while somebody writes to it, and swept once nobody does."""

from __future__ import annotations

from cluster.state import records
from cluster.state.invariants import check, orphans
from cluster.state.sweeps import LIMIT, LIMIT_MIN, MOUNT_KIND, RESTORE_KIND, next_abandoned, next_sweep, sweep_key
from cluster.state.tables import Table, version_key
from cluster.state.transaction import Draft
from tests.cluster.state.building import Leader, facts_of, run_sweeps, state_of

ONE, OTHER, MOUNTED = b"1" * 16, b"2" * 16, b"m" * 16


def held(uuid: bytes):
    return Table.SWEEP, sweep_key(RESTORE_KIND, uuid), records.Sweep(kind=RESTORE_KIND, target=uuid)


def world():
    """Two that are written to, each with a secret and an entry, beside a mount."""
    puts = [(Table.MOUNT, b"mounted/", records.Mount(uuid=MOUNTED)), held(ONE), held(OTHER)]
    for uuid in (ONE, OTHER, MOUNTED):
        puts.append((Table.SECRET, uuid + b"a", records.Secret(current=1)))
        puts.append((Table.VERSION, version_key(uuid + b"a", 1), records.Version(box=b"v")))
        puts.append((Table.ENTRY, uuid + b"e", records.Entry(box=b"e")))
    return state_of(*puts)


def test_what_is_held_is_no_orphan_and_no_sweep_touches_it():
    """Whoever reads the state alone leaves it where it is."""
    state = world()
    assert (check(state), orphans(state)) == ([], [])
    assert next_sweep(state) is None
    assert next_abandoned(state, {ONE, OTHER}) is None


def test_what_nobody_writes_to_goes_and_what_somebody_does_stays():
    """As if a mount had been removed; nothing else is touched."""
    leader = Leader(world())
    draft = next_abandoned(leader.state, {OTHER}, view=leader.overlay)
    assert draft is not None
    leader.do(draft)
    kinds = {records.decode(records.Sweep, record).kind for _, _, record in leader.state.items(Table.SWEEP)}
    assert kinds == {RESTORE_KIND, MOUNT_KIND}
    run_sweeps(leader.state, LIMIT)
    assert {key[:16] for table, key, _, _ in leader.state.records() if table in {Table.SECRET, Table.ENTRY}} == {
        OTHER, MOUNTED,
    }  # fmt: skip
    assert next_abandoned(leader.state, {OTHER}) is None
    assert (check(leader.state), orphans(leader.state)) == ([], [])


def test_a_pending_swap_is_not_given_up():
    """Its record is on its way out: the contents are about to be a mount's."""
    leader = Leader(world())
    draft = Draft()
    for uuid in (ONE, OTHER):
        draft.drop(Table.SWEEP, sweep_key(RESTORE_KIND, uuid))
        draft.put(Table.MOUNT, b"mount %s/" % uuid, records.Mount(uuid=uuid))
    leader.propose(draft)
    assert next_abandoned(leader.state, (), view=leader.overlay) is None
    leader.apply_all()
    assert (next_abandoned(leader.state, ()), next_sweep(leader.state)) == (None, None)


def test_a_batch_behind_the_end_of_it_is_refused_by_the_state():
    """It expects the record that holds the place: where that is gone, nothing of it is installed."""
    leader = Leader(world())
    name = sweep_key(RESTORE_KIND, ONE)
    found = leader.state.get(Table.SWEEP, name)
    assert found is not None
    late = facts_of((Table.SECRET, ONE + b"late", records.Secret(current=1)))
    late.expects.append((Table.SWEEP, name, found[0]))
    draft = next_abandoned(leader.state, (), view=leader.overlay)
    assert draft is not None
    leader.do(draft)
    outcome = leader.state.apply(leader.state.applied_index + 1, 1, late)
    assert (outcome.ok, leader.state.get(Table.SECRET, ONE + b"late")) == (False, None)


def test_more_than_fits_goes_in_steps():
    """Each step is a transaction that may be."""
    leader = Leader(state_of(*(held(b"%016d" % number) for number in range(9))))
    steps = 0
    while (draft := next_abandoned(leader.state, (), LIMIT_MIN, view=leader.overlay)) is not None:
        assert len(draft.puts) + len(draft.drops) <= LIMIT_MIN
        leader.do(draft)
        steps += 1
    assert steps > 1
    assert leader.state.counts[Table.SWEEP] == 9


def test_the_overlay_names_what_is_pending_below_a_name():
    """Put or dropped, until it is applied; nothing beside it."""
    leader = Leader(world())
    draft = Draft()
    draft.put(Table.ENTRY, ONE + b"new", records.Entry())
    draft.drop(Table.ENTRY, ONE + b"e")
    draft.drop(Table.ENTRY, OTHER + b"e")
    leader.propose(draft)
    assert sorted(leader.overlay.changing(Table.ENTRY, ONE)) == [ONE + b"e", ONE + b"new"]
    assert leader.overlay.changing(Table.SECRET, ONE) == []
    leader.apply_all()
    assert leader.overlay.changing(Table.ENTRY, ONE) == []
