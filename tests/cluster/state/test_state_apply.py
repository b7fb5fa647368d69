"""What `apply` installs, and what it refuses."""

from __future__ import annotations

import gc
import random

import pytest

from cluster.state import machine, records
from cluster.state.invariants import check
from cluster.state.machine import BAD_SHAPE, FAILED_EXPECTATION, INSTALLED, Outcome, State
from cluster.state.slots import shard_of
from cluster.state.tables import KEY_BYTES_MAX, RECORDS_MAX, Table, version_key
from tests.cluster.state.building import (
    KEY,
    MOUNT,
    UNKNOWN_TABLE,
    Leader,
    all_records,
    facts_of,
    put_draft,
    random_log,
    random_transaction,
    replay,
    state_of,
)

PATH = MOUNT + b"a/b"

SHAPES = [
    (Table.SECRET, MOUNT + b"a", True),
    (Table.SECRET, MOUNT, False),
    (Table.SECRET, MOUNT + b"a" * (KEY_BYTES_MAX - 16), True),
    (Table.SECRET, MOUNT + b"a" * (KEY_BYTES_MAX - 15), False),
    (Table.VERSION, version_key(MOUNT + b"a", 1), True),
    (Table.VERSION, version_key(MOUNT, 1), False),
    (Table.VERSION, version_key(MOUNT + b"a", 0), False),
    (Table.VERSION, version_key(MOUNT + b"a", 256), True),
    (Table.VERSION, version_key(MOUNT + b"a" * (KEY_BYTES_MAX - 20), 1), True),
    (Table.VERSION, version_key(MOUNT + b"a" * (KEY_BYTES_MAX - 19), 1), False),
    (Table.ENTRY, b"k", True),
    (Table.ENTRY, b"", False),
    (Table.TOKEN, b"k" * KEY_BYTES_MAX, True),
    (Table.TOKEN, b"k" * (KEY_BYTES_MAX + 1), False),
    (255, b"k", True),
    (256, b"k", False),
    (-1, MOUNT + b"a", False),
]


@pytest.mark.parametrize(("table", "key", "ok"), SHAPES)
@pytest.mark.parametrize("where", ["put", "drop", "expect"])
def test_a_key_that_cannot_stand_in_its_table_is_a_bad_shape_wherever_it_is_named(table, key, ok, where):
    """The same rule for puts, drops and expectations; nothing of the rest is installed."""
    made = facts_of((Table.FACT, b"other", b"x"))
    if where == "put":
        made.puts.append((table, key, b""))
    elif where == "drop":
        made.drops.append((table, key))
    else:
        made.expects.append((table, key, 0))
    state = State(KEY)

    assert (INSTALLED if ok else BAD_SHAPE) == state.apply(1, 1, made)
    assert ok == (state.get(Table.FACT, b"other") is not None)
    assert check(state) == []


@pytest.mark.parametrize(("time_ns", "ok"), [(0, True), ((1 << 63) - 1, True), (1 << 63, False), (-1, False)])
def test_a_time_outside_63_bits_is_a_bad_shape(time_ns, ok):
    """Times fit every field that will ever hold them."""
    assert ok == State(KEY).apply(1, 1, facts_of(time_ns=time_ns)).ok


@pytest.mark.parametrize(("count", "ok"), [(RECORDS_MAX, True), (RECORDS_MAX + 1, False)])
def test_more_records_than_a_transaction_may_change_are_a_bad_shape(count, ok):
    """Puts and drops count together."""
    made = facts_of(*((Table.FACT, b"%d" % number, b"") for number in range(count - 1)), drops=[(Table.FACT, b"gone")])

    assert ok == State(KEY).apply(1, 1, made).ok


@pytest.mark.parametrize(
    ("table", "key"),
    [(Table.SECRET, PATH), (Table.VERSION, version_key(PATH, 3)), (Table.MOUNT, b"kv/"), (UNKNOWN_TABLE, b"k")],
)
def test_an_expectation_holds_only_at_the_index_that_was_read(table, key):
    """0 expects that there is none; a record has the index of the entry that wrote it last."""
    state = state_of((Table.FACT, b"first", b""), (table, key, b"old"))
    for seen in (0, 1, 3, -1, 1 << 64):
        refused = facts_of((Table.FACT, b"never", b""), drops=[(table, key)], time_ns=9)
        refused.expects.append((table, key, seen))
        assert state.apply(state.applied_index + 1, 1, refused) == FAILED_EXPECTATION
    accepted = facts_of((table, key, b"new"))
    accepted.expects.append((table, key, 2))
    absent = facts_of((Table.FACT, b"second", b""))
    absent.expects.append((table, key + b"x", 0))

    assert state.apply(10, 2, accepted) == INSTALLED
    assert state.apply(11, 2, absent) == INSTALLED
    assert state.get(table, key) == (10, b"new")
    assert state.get(Table.FACT, b"never") is None
    assert (state.applied_index, state.applied_term, state.time_ns) == (11, 2, 0)


def test_a_refused_transaction_moves_nothing_but_the_applied_index():
    """All or nothing: records, digest, counts, time and listeners stay as they were."""
    state, _ = random_log(3, 200)
    before = (all_records(state), state.digest, dict(state.counts), state.time_ns, state.indexes.contents())
    heard = []
    state.listeners.append(lambda index, _made: heard.append(index))
    wrong = facts_of((Table.SECRET, PATH, b"x"), drops=[(Table.TOKEN, b"%032d" % 1)], time_ns=1 << 60)
    wrong.expects.append((Table.FACT, b"nothing", 7))

    assert Outcome(ok=False, why="expect") == state.apply(201, 4, wrong)
    assert before == (all_records(state), state.digest, dict(state.counts), state.time_ns, state.indexes.contents())
    assert (state.applied_index, state.applied_term, heard) == (201, 4, [])


def test_listeners_hear_of_what_was_installed_after_it_was():
    """So a cache can read the new records when it hears of them."""
    state = State(KEY)
    heard = []
    state.listeners.append(lambda index, made: heard.append((index, made.puts[0][1], state.get(Table.POLICY, b"p"))))
    state.apply(1, 1, facts_of((Table.POLICY, b"p", b"text")))
    state.apply_nothing(2, 2)

    assert heard == [(1, b"p", (1, b"text"))]
    assert (state.applied_index, state.applied_term) == (2, 2)


@pytest.mark.parametrize("table", [Table.SECRET, Table.VERSION, Table.FACT])
def test_drops_come_first_and_the_last_put_wins(table):
    """Whatever order they were written in."""
    key = version_key(PATH, 1)
    state = state_of((table, key, b"old"))
    state.apply(
        2, 1, facts_of((table, key, b"one"), (table, key + b"x", b"other"), (table, key, b"two"), drops=[(table, key)])
    )

    assert state.get(table, key) == (2, b"two")
    assert state.get(table, key + b"x") == (2, b"other")
    assert check(state) == []


def test_time_is_that_of_the_newest_stamp_and_never_goes_back():
    """An older stamp changes nothing."""
    state = State(KEY)
    state.apply(1, 1, facts_of(time_ns=50))
    state.apply(2, 1, facts_of(time_ns=40))

    assert state.time_ns == 50


def test_a_secret_is_one_slot_with_its_metadata_first_and_versions_newest_first():
    """Whatever the order of arrival; dropping one leaves the others; an empty slot leaves the tree."""
    numbers = [3, 1, 300, 2]
    state = State(KEY)
    for index, number in enumerate(numbers, 1):
        state.apply(index, 1, facts_of((Table.VERSION, version_key(PATH, number), b"v%d" % number)))
    state.apply(5, 1, facts_of((Table.SECRET, PATH, b"meta")))
    slot = state.secret(PATH)

    assert slot is not None
    assert [int.from_bytes(held[:4], "big") for held in slot] == [0, 300, 3, 2, 1]
    state.apply(6, 1, facts_of(drops=[(Table.SECRET, PATH), (Table.VERSION, version_key(PATH, 3))]))
    assert [(6, state.get(Table.SECRET, PATH)), state.get(Table.VERSION, version_key(PATH, 300))] == [
        (6, None),
        (3, b"v300"),
    ]
    assert state.list(MOUNT) == [b"a/"]
    state.apply(7, 1, facts_of(drops=[(Table.VERSION, version_key(PATH, number)) for number in (1, 2, 300)]))
    assert state.secret(PATH) is None
    assert state.list(MOUNT) == []
    assert check(state) == []


def test_reading_a_secret_gives_its_metadata_and_the_version_asked_for():
    """The current one by default; None where it is not there; nothing without metadata."""
    leader = Leader()
    for number in range(1, 13):
        leader.do(put_draft(leader.overlay, b"a", b"v%d" % number)[0])
    read = leader.state.read_secret
    current, third, second = read(MOUNT + b"a"), read(MOUNT + b"a", 3), read(MOUNT + b"a", 2)

    assert current is not None
    assert (current[0].current, current[1], current[2] and current[2].box) == (12, 12, b"v12")
    assert third is not None
    assert third[2] == records.Version(box=b"v3")
    assert second is not None
    assert second[1:] == (2, None)
    assert read(MOUNT + b"a", 1 << 40) == (current[0], 1 << 40, None)
    assert read(MOUNT + b"b") is None
    leader.state.apply(99, 1, facts_of(drops=[(Table.SECRET, MOUNT + b"a")]))
    assert read(MOUNT + b"a") is None


def test_secrets_entries_and_leases_are_listed_by_folder():
    """Each table has folders of its own; an entry without a key behind its mount uuid is in none."""
    state = state_of(
        (Table.SECRET, MOUNT + b"a/s", b""),
        (Table.ENTRY, MOUNT + b"a/e", b""),
        (Table.ENTRY, MOUNT + b"b", b""),
        (Table.ENTRY, MOUNT, b""),
        (Table.LEASE, b"db/creds/1", b""),
    )

    assert (state.list(MOUNT), state.list_count(MOUNT)) == ([b"a/"], 1)
    assert (state.list_entries(MOUNT), state.list_entries(MOUNT, after=b"a/")) == ([b"a/", b"b"], [b"b"])
    assert state.list_entries(MOUNT + b"a/", limit=5) == [b"e"]
    assert (state.list_leases(b""), state.list_leases(b"db/creds/")) == ([b"db/"], [b"1"])
    assert list(state.descend(MOUNT)) == [MOUNT + b"a/s"]
    assert check(state) == []


def test_an_unknown_table_is_stored_digested_and_not_indexed():
    """A newer program's table survives an older one."""
    state = state_of((UNKNOWN_TABLE, b"k", b"x"))

    assert list(state.items(UNKNOWN_TABLE)) == [(b"k", 1, b"x")]
    assert state.counts == {UNKNOWN_TABLE: 1}
    assert state.digest == state.fingerprint(UNKNOWN_TABLE, b"k", b"x")


@pytest.mark.parametrize("seed", range(8))
def test_a_plain_dict_of_records_agrees(seed):
    """The model: {(table, key): (index, record)}; folders follow from its keys."""
    source = random.Random(seed)
    state = State(KEY)
    model: dict[tuple[int, bytes], tuple[int, bytes]] = {}
    for index in range(1, 400):
        made = random_transaction(source, state, index)
        ok = all(model.get((table, key), (0,))[0] == seen for table, key, seen in made.expects)
        assert ok == state.apply(index, 1, made).ok
        if ok:
            for table, key in made.drops:
                model.pop((table, key), None)
            for table, key, record in made.puts:
                model[table, key] = (index, record)

    assert model == {(table, key): (index, record) for table, key, index, record in state.records()}
    assert all(state.get(table, key) == held for (table, key), held in model.items())
    folders: dict[bytes, set[bytes]] = {}
    for table, key in model:
        if table <= Table.VERSION:
            parts = (key if table == Table.SECRET else key[:-4])[16:].split(b"/")
            for depth, part in enumerate(parts):
                folder = MOUNT + b"".join(above + b"/" for above in parts[:depth])
                folders.setdefault(folder, set()).add(part if depth + 1 == len(parts) else part + b"/")
    assert {folder: sorted(names) for folder, names in folders.items()} == {
        folder: state.list(folder) for folder in state.indexes.secrets.folders
    }


@pytest.mark.parametrize("seed", range(8))
def test_what_is_derived_is_what_the_records_say_after_any_sequence(seed):
    """Digest, counts, trees, children, instants, shards and slots."""
    state, log = random_log(seed, 500)
    again = replay(log)

    assert check(state) == []
    assert (state.digest, all_records(state)) == (again.digest, all_records(again))


@pytest.mark.parametrize("seed", range(5))
def test_derived_indexes_do_not_depend_on_the_order_of_arrival(seed):
    """Records put in another order, over others that go again, give the same indexes, digest and counts."""
    state, _ = random_log(seed, 400)
    held = all_records(state)
    source = random.Random(seed)
    other, _ = random_log(seed + 100, 200)
    for table, key, _, _ in all_records(other):
        other.apply(other.applied_index + 1, 1, facts_of(drops=[(table, key)]))
    source.shuffle(held)
    for table, key, _, record in held:
        other.apply(other.applied_index + 1, 1, facts_of((table, key, record)))

    assert state.indexes.contents() == other.indexes.contents()
    assert state.digest == other.digest
    assert {table: count for table, count in state.counts.items() if count} == {
        table: count for table, count in other.counts.items() if count
    }


# ---- causes of cost
def test_a_put_hashes_only_the_records_it_changes(monkeypatch):
    """Old and new metadata, the new version, the write id; at the limit also the version that goes."""
    leader = Leader()
    hashed = []
    fingerprint = leader.state.fingerprint
    monkeypatch.setattr(leader.state, "fingerprint", lambda *named: hashed.append(named[0]) or fingerprint(*named))
    counts = []
    for number in range(12):
        hashed.clear()
        leader.do(put_draft(leader.overlay, b"a", b"v" * 1024, b"%016d" % number)[0])
        counts.append(len(hashed))

    assert [3, *[4] * 9, 5, 5] == counts


def test_a_put_keeps_the_bytes_of_the_other_versions_where_they_are():
    """No record is encoded or copied again."""
    leader = Leader()
    leader.do(put_draft(leader.overlay, b"a", b"one")[0])
    before = leader.state.secret(MOUNT + b"a")
    leader.do(put_draft(leader.overlay, b"a", b"two")[0])
    after = leader.state.secret(MOUNT + b"a")

    assert before is not None
    assert after is not None
    assert before[1] is after[2]


def test_folders_hold_the_tables_own_key_objects_and_the_collector_forgets_slots():
    """8 bytes a name, and nothing per secret that a collection looks at."""
    leader = Leader()
    for name in (b"a", b"b"):
        leader.do(put_draft(leader.overlay, b"x/" + name, b"v")[0])
    key = MOUNT + b"x/a"
    stored = next(held for held in leader.state.secrets[shard_of(key)] if held == key)
    gc.collect()

    assert leader.state.indexes.secrets.folders[MOUNT + b"x/"][0] is stored
    assert not gc.is_tracked(leader.state.secret(key))


def test_a_secrets_slot_does_not_change_under_its_reader():
    """A later write makes another one."""
    leader = Leader()
    leader.do(put_draft(leader.overlay, b"a", b"one")[0])
    held = leader.state.secret(MOUNT + b"a")
    leader.do(put_draft(leader.overlay, b"a", b"two")[0])

    assert held is not None
    assert (len(held), len(leader.state.secret(MOUNT + b"a") or ())) == (2, 3)


def test_what_is_shown_of_a_state_names_no_record():
    """Neither a key nor a value is in any repr."""
    leader = Leader()
    leader.propose(put_draft(leader.overlay, b"path-of-a-secret", b"value-of-a-secret")[0])
    shown = repr(leader.overlay) + repr(leader.state) + repr(machine.INSTALLED)

    assert "of-a-secret" not in shown
