"""The check of a state finds each kind of damage, and says nothing of a state that is well."""

from __future__ import annotations

import pytest

from cluster.state import records
from cluster.state.invariants import check, orphans
from cluster.state.tables import Table, version_key
from tests.cluster.state.building import MOUNT, facts_of, random_log, state_of

S = 1_000_000_000
KEY = MOUNT + b"a/b"


def sample():
    return state_of(
        (Table.MOUNT, b"kv/", records.Mount(uuid=MOUNT)),
        (Table.SECRET, KEY, records.Secret(current=2)),
        (Table.VERSION, version_key(KEY, 1), b"one"),
        (Table.VERSION, version_key(KEY, 2), b"two"),
        (Table.ENTRY, MOUNT + b"role/x", b"e"),
        (Table.TOKEN, b"parent", records.Token(accessor=b"A", expires_ns=S)),
        (Table.ACCESSOR, b"A", records.Accessor(token=b"parent")),
        (Table.TOKEN, b"child", records.Token(accessor=b"B", parent=b"parent")),
        (Table.ACCESSOR, b"B", records.Accessor(token=b"child")),
        (Table.LEASE, b"db/1", records.Lease(expires_ns=S)),
        (Table.WRITE_ID, b"id", records.WriteId(5, 5)),
    )


def reslot(state, change):
    shard = next(shard for shard in state.secrets if shard)
    shard[KEY] = change(shard[KEY])


def misplace(state):
    number = next(number for number, shard in enumerate(state.tables[Table.MOUNT]) if shard)
    shards = state.tables[Table.MOUNT]
    shards[number], shards[number - 1] = shards[number - 1], shards[number]


DAMAGE = {
    "digest": lambda state: setattr(state, "digest", state.digest ^ 1),
    "counts": lambda state: state.counts.update({int(Table.TOKEN): 5}),
    "path tree": lambda state: state.indexes.secrets.add(MOUNT + b"x"),
    "entry tree": lambda state: state.indexes.entries.remove(MOUNT + b"role/x"),
    "lease tree": lambda state: state.indexes.leases.add(b"db/2"),
    "children": lambda state: state.indexes.children.clear(),
    "instants": lambda state: state.indexes.instants[Table.TOKEN].remove(S, b"parent"),
    "table 8": misplace,
    "secrets": lambda state: reslot(state, lambda slot: slot[::-1]),
    "table 19": lambda state: state.tables.update({19: [{}]}),
    "table 0": lambda state: setattr(state, "applied_index", 1),
}


def test_a_state_that_is_well_has_no_problems():
    """The sample, and a random one."""
    assert check(sample()) == []
    assert orphans(sample()) == []
    assert check(random_log(1, 300)[0]) == []


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_of_each_kind_is_named(name):
    """With what is wrong first, and no key in the sentence."""
    state = sample()
    DAMAGE[name](state)
    problems = check(state)

    assert name in {problem.split(":")[0] for problem in problems}
    assert "a/b" not in " ".join(problems)


@pytest.mark.parametrize(
    ("drops", "expected"),
    [
        ([(Table.SECRET, KEY)], ["2 versions without metadata"]),
        ([(Table.MOUNT, b"kv/")], ["1 secrets of no mount", "1 entries of no mount"]),
        ([(Table.ACCESSOR, b"A")], ["1 tokens without their accessor"]),
        ([(Table.TOKEN, b"child")], ["1 accessors of no token"]),
        (
            [(Table.TOKEN, b"parent"), (Table.ACCESSOR, b"A")],
            ["1 tokens of a dead parent that no sweep removes"],
        ),
    ],
)
def test_each_kind_of_orphan_is_counted(drops, expected):
    """Records whose owner went without them."""
    state = sample()
    state.apply(99, 1, facts_of(drops=drops))

    assert expected == orphans(state)
    assert check(state) == []


def test_tokens_that_are_each_others_parents_are_orphans():
    """No chain of theirs ends."""
    state = state_of(
        (Table.TOKEN, b"a", records.Token(accessor=b"A", parent=b"b")),
        (Table.TOKEN, b"b", records.Token(accessor=b"B", parent=b"a")),
        (Table.ACCESSOR, b"A", records.Accessor(token=b"a")),
        (Table.ACCESSOR, b"B", records.Accessor(token=b"b")),
    )

    assert orphans(state) == ["2 tokens of a dead parent that no sweep removes"]
