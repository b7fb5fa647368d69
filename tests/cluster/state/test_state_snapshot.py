"""Snapshots: exact at their index whatever happens meanwhile, in small steps, and loaded again."""

from __future__ import annotations

import random

import msgspec
import pytest

from cluster.errors import DamagedError
from cluster.state import snapshot
from cluster.state.invariants import check
from cluster.state.machine import State
from cluster.state.snapshot import Loader, Snapshot, discard, verify_digest
from cluster.state.tables import Table, version_key
from tests.cluster.state.building import (
    KEY,
    MOUNT,
    all_records,
    facts_of,
    random_log,
    random_transaction,
    reloaded,
    state_of,
)


def load(chunks):
    loader = Loader(KEY)
    for chunk in chunks:
        loader.feed(chunk)
    return loader.finish()


def grown(seed, secrets=900):
    """A random state with enough secrets that most shards hold something."""
    state, _ = random_log(seed, 400)
    source = random.Random(seed)
    for _ in range(secrets):
        key = MOUNT + b"big/%d" % source.randrange(2 * secrets)
        state.apply(state.applied_index + 1, 2, facts_of((Table.SECRET, key, source.randbytes(20)), time_ns=5))
    return state


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_is_the_state_at_its_index_while_5000_changes_go_on(seed, monkeypatch):
    """Records, digest, time and indexes; tables that were born later are not in it."""
    monkeypatch.setattr(snapshot, "PART_RECORDS", 8)
    source = random.Random(seed)
    state = grown(seed)
    expected = (all_records(state), state.digest, state.applied_index, state.applied_term, state.time_ns)
    taken = Snapshot(state)
    steps = taken.chunks()
    chunks: list[bytes] = []
    for number in range(5_000):
        index = state.applied_index + 1
        if source.random() < 0.5:
            state.apply(index, 3, random_transaction(source, state, index))
        else:
            key = MOUNT + b"big/%d" % source.randrange(2_000)
            state.apply(
                index, 3, facts_of((Table.SECRET, key, b"new"), (200, b"born later", b"x"), drops=[(Table.MOUNT, b"m")])
            )
        if number % 8 == 0 and (chunk := next(steps, None)) is not None:
            chunks.append(chunk)
    chunks += steps
    loaded = load(chunks)

    assert expected == (all_records(loaded), loaded.digest, loaded.applied_index, loaded.applied_term, loaded.time_ns)
    assert expected[2:4] == (taken.index, taken.term)
    assert check(loaded) == []
    assert check(state) == []
    assert state.pins == []


def test_a_loaded_state_goes_on_like_the_one_it_came_from():
    """The same further log gives the same records and digest."""
    source = random.Random(4)
    state = grown(4, 50)
    loaded = reloaded(state)
    for _ in range(300):
        index = state.applied_index + 1
        made = random_transaction(source, state, index)
        assert state.apply(index, 3, made) == loaded.apply(index, 3, made)

    assert (all_records(state), state.digest) == (all_records(loaded), loaded.digest)
    assert check(loaded) == []


def test_an_empty_state_is_one_chunk():
    """And comes back empty."""
    chunks = list(Snapshot(State(KEY)).chunks())

    assert len(chunks) == 1
    assert all_records(load(chunks)) == []


def test_parts_are_small(monkeypatch):
    """A part is cut by bytes and by records; a slot larger than a part is cut between its elements."""
    monkeypatch.setattr(snapshot, "PART_BYTES", 10_000)
    monkeypatch.setattr(snapshot, "PART_RECORDS", 50)
    key = MOUNT + b"large"
    state = state_of(
        (Table.SECRET, key, b"meta"),
        *((Table.VERSION, version_key(key, number), bytes([number]) * 3_000) for number in range(1, 11)),
        *((Table.SECRET, MOUNT + b"s%d" % number, b"x" * 600) for number in range(40)),
        *((Table.FACT, b"%d" % number, b"x") for number in range(300)),
    )
    chunks = list(Snapshot(state).chunks())

    assert max(map(len, chunks)) < 10_500
    assert max(len(msgspec.msgpack.decode(chunk[4:])) for chunk in chunks[:-1]) <= 50
    assert all_records(state) == all_records(load(chunks))
    assert check(load(chunks)) == []


def test_a_shard_is_copied_once_and_only_until_it_is_written():
    """The first change after the snapshot's index pays, the second does not; afterwards nothing does."""
    key = MOUNT + b"a"
    state = state_of((Table.SECRET, key, b"x"))
    taken = Snapshot(state)
    state.apply(2, 1, facts_of((Table.SECRET, key, b"y")))
    state.apply(3, 1, facts_of((Table.SECRET, key, b"z")))

    assert taken._pin.copies == 1
    steps = taken.chunks()
    assert b"x" in next(steps)
    state.apply(4, 1, facts_of((Table.SECRET, key, b"w")))
    assert taken._pin.copies == 0
    assert len(list(steps)) == 1


def test_two_snapshots_and_a_verification_do_not_disturb_each_other():
    """Each is the state at its own index."""
    state = state_of((Table.FACT, b"k", b"one"))
    first = Snapshot(state)
    verification = verify_digest(state)
    state.apply(2, 1, facts_of((Table.FACT, b"k", b"two")))
    second = Snapshot(state)
    state.apply(3, 1, facts_of((Table.FACT, b"k", b"three")))

    assert [all_records(load(taken.chunks()))[0][3] for taken in (first, second)] == [b"one", b"two"]
    assert list(verification) == [True]
    assert state.pins == []


def test_an_aborted_snapshot_keeps_nothing():
    """Before its first step, in the middle, and twice."""
    state = grown(1, 50)
    for steps_taken in (0, 1):
        taken = Snapshot(state)
        steps = taken.chunks()
        for _ in range(steps_taken):
            next(steps)
        taken.abort()
        taken.abort()
        assert state.pins == []
    state.apply(state.applied_index + 1, 1, facts_of((Table.FACT, b"k", b"x")))

    assert check(state) == []


def test_the_digest_is_verified_in_steps_while_the_state_changes(monkeypatch):
    """True for what the digest says; the changes meanwhile do not count."""
    monkeypatch.setattr(snapshot, "VERIFY_BYTES", 2_000)
    state = grown(2, 200)
    steps = []
    for step in verify_digest(state):
        steps.append(step)
        state.apply(state.applied_index + 1, 1, facts_of((Table.SECRET, MOUNT + b"n%d" % len(steps), b"x")))

    assert [*[None] * (len(steps) - 1), True] == steps
    assert len(steps) > 20


def test_a_record_that_changed_behind_the_digest_is_found():
    """One byte of one value."""
    state = grown(3, 50)
    shard = next(shard for shard in state.secrets if shard)
    key, slot = next(iter(shard.items()))
    shard[key] = (*slot[:-1], slot[-1][:-1] + bytes([slot[-1][-1] ^ 1]))

    assert list(verify_digest(state))[-1] is False
    assert state.pins == []


def end_of(state):
    return list(Snapshot(state).chunks())[-1]


def test_parts_that_are_missing_or_follow_the_end_are_damage():
    """Counts are in the end; order and authenticity are the sealer's."""
    state = grown(5, 30)
    chunks = list(Snapshot(state).chunks())

    assert all_records(load(chunks)) == all_records(state)
    for wrong in (chunks[:-1], chunks[1:], [*chunks, chunks[0]], [chunks[-1]], []):
        with pytest.raises(DamagedError):
            load(wrong)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\1",
        b"\0\2\0\x13\x80",
        b"\0\1\0\x13\xc1",
        b"\0\1\0\0\x80",
        b"\0\1\1\x13\x80",
        b"\0\1\1\0" + msgspec.msgpack.encode({b"k": ()}),
        b"\0\1\2\0" + msgspec.msgpack.encode({b"k": (b"\0\0\0\1",)}),
        b"\0\1\3\0\x90",
        b"\0\1\4\0\x80",
    ],
)
def test_a_payload_that_is_none_is_damage(payload):
    """Short, of another format, of no kind, or of the wrong table; never another exception."""
    with pytest.raises(DamagedError):
        Loader(KEY).feed(payload)


def test_an_end_of_other_counts_or_digest_size_is_damage():
    """The loader verifies what is cheap to verify."""
    state = state_of((Table.FACT, b"k", b"x"))
    part, end = Snapshot(state).chunks()
    index, term, time_ns, digest, counts = msgspec.msgpack.decode(end[4:], strict=False)
    for wrong in (
        [index, term, time_ns, digest, {**counts, 19: 2}],
        [index, term, time_ns, digest[:15], counts],
        [-1, term, time_ns, digest, counts],
    ):
        loader = Loader(KEY)
        loader.feed(part)
        loader.feed(end[:4] + msgspec.msgpack.encode(wrong))
        with pytest.raises(DamagedError):
            loader.finish()


def test_a_loader_that_ended_takes_nothing_more():
    """After abort and after finish."""
    end = end_of(State(KEY))
    aborted, finished = Loader(KEY), Loader(KEY)
    aborted.abort()
    finished.feed(end)
    finished.finish()

    for loader in (aborted, finished):
        with pytest.raises(DamagedError):
            loader.feed(end)
        with pytest.raises(DamagedError):
            loader.finish()


def test_a_state_that_nobody_looks_at_is_emptied_in_steps():
    """One shard a step."""
    state = grown(6, 100)
    steps = sum(1 for _ in discard(state))

    assert steps > 50
    assert all_records(state) == []


def test_what_is_shown_of_snapshots_names_no_record():
    """Neither a key nor a value is in any repr."""
    state = state_of((Table.SECRET, MOUNT + b"path-of-a-secret", b"value-of-a-secret"))
    taken = Snapshot(state)

    assert "of-a-secret" not in repr(taken) + repr(taken._pin) + repr(Loader(KEY))
