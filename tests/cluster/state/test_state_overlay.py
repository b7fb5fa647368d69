"""The leader's overlay: a view of the whole log, gone without a trace."""

from __future__ import annotations

import random

import pytest

from cluster.state import records
from cluster.state.invariants import check
from cluster.state.machine import State
from cluster.state.overlay import Overlay
from cluster.state.tables import Table, version_key
from cluster.state.transaction import Draft, Transaction
from cluster.state.view import index_of
from tests.cluster.state.building import (
    KEY,
    MOUNT,
    Leader,
    all_records,
    facts_of,
    plain,
    put_draft,
    random_log,
    random_transaction,
    replay,
)


def test_256_concurrent_puts_to_one_path_give_256_consecutive_versions():
    """All decided before the first is applied; the newest ten stay."""
    leader = Leader()
    versions = []
    for number in range(1, 257):
        draft, version = put_draft(leader.overlay, b"a/b", b"v%d" % number, b"%016d" % number)
        versions.append(version)
        leader.propose(draft)

    assert list(range(1, 257)) == versions
    assert (leader.state.digest, all_records(leader.state)) == (0, [])
    leader.apply_all()
    slot = leader.state.secret(MOUNT + b"a/b")
    assert slot is not None
    assert [0, *range(256, 246, -1)] == [int.from_bytes(held[:4], "big") for held in slot]
    assert len(leader.overlay) == 0
    assert check(leader.state) == []


def test_applies_between_proposals_lose_no_version():
    """Whatever the interleaving, each put sees all before it, and no expectation fails."""
    source = random.Random(3)
    leader = Leader()
    last: dict[bytes, int] = {}
    for _ in range(1_500):
        if source.random() < 0.6 or not leader.waiting:
            path = b"p/%d" % source.randrange(9)
            draft, version = put_draft(leader.overlay, path, b"x")
            leader.propose(draft)
            assert version == last.get(path, 0) + 1
            last[path] = version
        else:
            assert leader.apply_one().ok
    leader.apply_all()

    assert len(leader.overlay) == 0
    assert check(leader.state) == []


def test_a_dropped_overlay_leaves_no_trace():
    """Records, digest and folders of the state are as before, and the next decision starts from them."""
    leader = Leader()
    for number in range(50):
        leader.do(put_draft(leader.overlay, b"a/%d" % (number % 7), b"x")[0], number)
    before = (all_records(leader.state), leader.state.digest, leader.state.indexes.contents())
    for number in range(40):
        leader.propose(put_draft(leader.overlay, b"a/%d" % (number % 11), b"y", b"%016d" % number)[0], 10_000 + number)
    child = Draft()
    child.put(Table.TOKEN, b"child", records.Token(parent=b"parent"))
    leader.propose(child)
    leader.overlay.drop()

    assert before == (all_records(leader.state), leader.state.digest, leader.state.indexes.contents())
    assert (len(leader.overlay), leader.overlay.time_ns) == (0, 49)
    assert list(leader.overlay.token_children(b"parent")) == []
    assert put_draft(leader.overlay, b"a/0", b"z")[1] == put_draft(leader.state, b"a/0", b"z")[1]
    assert leader.overlay.list(MOUNT + b"a/") == leader.state.list(MOUNT + b"a/")


def test_a_record_leaves_exactly_when_its_own_entry_is_applied():
    """The later of two proposals for one record stays until it is applied itself."""
    state = State(KEY)
    overlay = Overlay(state)
    first, second = facts_of((Table.FACT, b"k", b"one")), facts_of((Table.FACT, b"k", b"two"))
    overlay.add(1, first)
    overlay.add(2, second)
    state.apply(1, 1, first)
    overlay.applied(1, first)

    assert overlay.get(Table.FACT, b"k") == (2, b"two")
    state.apply(2, 1, second)
    overlay.applied(2, second)
    assert len(overlay) == 0
    assert overlay.get(Table.FACT, b"k") == (2, b"two")


def test_an_entry_that_was_refused_leaves_as_well():
    """A failed expectation is a bug of the leader; its records are not in the state, so not in the view."""
    leader = Leader()
    draft = Draft()
    draft.expect(Table.FACT, b"k", 77)
    draft.put(Table.FACT, b"k", b"x")
    leader.propose(draft)

    assert not leader.apply_one().ok
    assert leader.overlay.get(Table.FACT, b"k") is None


def test_the_index_of_a_record_is_that_of_its_newest_put_in_the_view_that_is_asked():
    """What is pending counts in the overlay alone; nothing, never there or dropped, is 0."""
    leader = Leader()

    def seen() -> tuple[int, int]:
        return index_of(leader.overlay, Table.FACT, b"k"), index_of(leader.state, Table.FACT, b"k")

    put, again, drop = Draft(), Draft(), Draft()
    put.put(Table.FACT, b"k", b"one")
    again.put(Table.FACT, b"k", b"two")
    drop.drop(Table.FACT, b"k")
    found = [seen()]
    leader.do(put)
    found.append(seen())
    leader.propose(again)
    found.append(seen())
    leader.propose(drop)
    found.append(seen())
    leader.apply_all()
    found.append(seen())

    assert found == [(0, 0), (1, 1), (2, 1), (0, 1), (0, 0)]
    assert index_of(leader.state, Table.POLICY, b"k") == 0


def test_time_is_the_newest_stamp_proposed_or_applied():
    """And goes back to the applied one with the overlay."""
    leader = Leader()
    draft = Draft()
    draft.put(Table.FACT, b"k", b"x")
    leader.do(draft, 5)
    leader.propose(draft, 9)
    leader.propose(draft, 7)

    assert (leader.overlay.time_ns, leader.state.time_ns) == (9, 5)
    leader.overlay.drop()
    assert leader.overlay.time_ns == 5


@pytest.mark.parametrize("seed", range(12))
def test_the_view_is_what_the_state_will_be(seed):
    """Every read over pending proposals is that of a state that applied them; half of them applied already."""
    source = random.Random(seed)
    state, log = random_log(seed, 150)
    overlay = Overlay(state)
    waiting = []
    future = replay(log)
    for index in range(151, 191):
        made = random_transaction(source, state, index)
        made.expects.clear()
        future.apply(index, 1, made)
        overlay.add(index, made)
        waiting.append((index, made))
    for index, made in waiting[: source.randrange(40)]:
        state.apply(index, 1, made)
        overlay.applied(index, made)

    for table in (*Table, 77):
        assert sorted(future.items(table)) == sorted(overlay.items(table))
    for table, key, _, _ in all_records(future) + all_records(state):
        assert future.get(table, key) == overlay.get(table, key)
    for folder in {*future.indexes.secrets.folders, *state.indexes.secrets.folders, MOUNT + b"none/"}:
        names = future.list(folder)
        assert names == overlay.list(folder)
        for after in (b"a", b"b1/", b"zz"):
            assert future.list(folder, after=after, limit=2) == overlay.list(folder, after=after, limit=2)
    parents = {*future.indexes.children, *state.indexes.children, b"none"}
    assert {parent: set(future.token_children(parent)) for parent in parents} == {
        parent: set(overlay.token_children(parent)) for parent in parents
    }
    assert future.time_ns == overlay.time_ns


def test_a_pending_drop_hides_a_folder_only_with_its_last_secret():
    """A secret is there while its metadata or any version is."""
    leader = Leader()
    for path in (b"f/a", b"f/b", b"g"):
        leader.do(put_draft(leader.overlay, path, b"x")[0])
    pending = []
    for table, key in (
        (Table.SECRET, MOUNT + b"f/a"),
        (Table.VERSION, version_key(MOUNT + b"f/a", 1)),
        (Table.SECRET, MOUNT + b"f/b"),
        (Table.VERSION, version_key(MOUNT + b"f/b", 1)),
    ):
        draft = Draft()
        draft.drop(table, key)
        leader.propose(draft)
        pending.append((leader.overlay.list(MOUNT), leader.overlay.list(MOUNT + b"f/")))

    assert pending == [
        ([b"f/", b"g"], [b"a", b"b"]),
        ([b"f/", b"g"], [b"b"]),
        ([b"f/", b"g"], [b"b"]),
        ([b"g"], []),
    ]


def test_fields_this_program_does_not_know_survive_changes():
    """Seventeen puts over a metadata record of a newer program."""
    leader = Leader()
    leader.do(put_draft(leader.overlay, b"a", b"1")[0])
    found = leader.state.get(Table.SECRET, MOUNT + b"a")
    assert found is not None
    newer = [*plain(found[1]), "from the future", {"x": 1}]
    draft = Draft()
    draft.put(Table.SECRET, MOUNT + b"a", records.encode(newer))  # type: ignore[arg-type]
    leader.do(draft)
    for number in range(17):
        leader.do(put_draft(leader.overlay, b"a", b"%d" % number)[0])
    found = leader.state.get(Table.SECRET, MOUNT + b"a")

    assert found is not None
    assert plain(found[1])[-2:] == ["from the future", {"x": 1}]
    assert plain(found[1])[1] == 18


def test_nothing_of_a_plain_transaction_stays_after_it_is_applied():
    """Drops and puts of one record in one transaction are one pending record."""
    state = State(KEY)
    overlay = Overlay(state)
    made = Transaction(1, 1, 1, [], [(Table.FACT, b"k", b"x")], [(Table.FACT, b"k"), (Table.FACT, b"j")])
    overlay.add(1, made)

    assert (overlay.get(Table.FACT, b"k"), len(overlay)) == ((1, b"x"), 2)
    overlay.applied(1, made)
    assert len(overlay) == 0


@pytest.mark.parametrize("seed", range(20))
def test_what_an_engine_stores_is_listed_as_it_will_be(seed: int) -> None:
    """Folder by folder, with puts and drops that are proposed and not applied."""
    source = random.Random(seed)
    leader = Leader()
    names = [b"%c/%c%d" % (97 + at % 3, 97 + at % 2, at % 4) for at in range(12)] + [b"a", b"b/deep/x"]

    def change() -> Draft:
        draft = Draft()
        for name in source.sample(names, 3):
            if source.random() < 0.4:
                draft.drop(Table.ENTRY, MOUNT + name)
            else:
                draft.put(Table.ENTRY, MOUNT + name, records.Entry(box=name))
        return draft

    for _ in range(30):
        leader.propose(change())
        if source.random() < 0.5:
            leader.apply_all()
        twin = Leader()
        for key, _, record in leader.overlay.items(Table.ENTRY):
            draft = Draft()
            draft.put(Table.ENTRY, key, record)
            twin.do(draft)
        for folder in (MOUNT, MOUNT + b"a/", MOUNT + b"b/", MOUNT + b"b/deep/"):
            for after, limit in ((b"", 0), (b"a", 2)):
                seen = leader.overlay.list_entries(folder, after=after, limit=limit)
                assert seen == twin.state.list_entries(folder, after=after, limit=limit)
