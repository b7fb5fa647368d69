"""Sealed log entries and snapshot chunks: what opens, and that nothing opens anywhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError
from cluster.keyring import (
    Keyring,
    Sealer,
    UnknownKeyTermError,
    entry_hashes,
    entry_kind,
    entry_sequence,
)

CLUSTER_ID = b"cluster-of-tests"
GENERATION = b"generation-tests"
NONCE = b"nonce-of-12b"
ENTRY = {"kind": 1, "term": 7, "sequence": 9, "hashes": (b"hash-one", b"hash-two"), "payload": b"payload"}
CHUNK = {"snapshot_id": b"snapshot-1", "index": 100, "term": 7, "number": 3, "final": False}


def test_old_entries_open_after_a_rotation_and_new_ones_need_it(keyring, sealer, fixed_random, rebuilt):
    """A follower that has not applied the rotation says which of the two it is."""
    follower = Sealer(rebuilt(keyring), fixed_random, GENERATION)
    old = sealer.seal_entry(**ENTRY, nonce=NONCE)
    rotated = keyring.rotate(fixed_random, 2)
    sealer.use(rotated)
    new = sealer.seal_entry(**ENTRY, nonce=NONCE)

    assert sealer.open_entry(7, old) == sealer.open_entry(7, new) == follower.open_entry(7, old) == b"payload"
    with pytest.raises(UnknownKeyTermError):
        follower.open_entry(7, new)
    follower.use(Keyring.decode(rotated.encode()))
    assert follower.open_entry(7, new) == b"payload"


# --- log entries


@settings(max_examples=60, deadline=None)
@given(
    kind=st.integers(0, 255),
    term=st.integers(0, 2**64 - 1),
    sequence=st.integers(0, 2**64 - 1),
    hashes=st.lists(st.binary(min_size=8, max_size=8), max_size=4).map(tuple),
    payload=st.binary(max_size=200),
)
def test_an_entry_opens_and_its_head_is_readable(make_random, kind, term, sequence, hashes, payload):
    """A property over all heads; the head needs no key."""
    random = make_random()
    sealer = Sealer(Keyring.create(random, CLUSTER_ID, 1), random, GENERATION)
    entry = sealer.seal_entry(kind=kind, term=term, sequence=sequence, hashes=hashes, payload=payload, nonce=NONCE)

    assert (kind, sequence, hashes) == (entry_kind(entry), entry_sequence(entry), entry_hashes(entry))
    assert payload == sealer.open_entry(term, entry)
    assert len(entry) == 10 + 8 * len(hashes) + 8 + 16 + 12 + len(payload) + 16


def test_an_entry_of_another_raft_term_does_not_open(sealer):
    """A deposed leader's entry does not pass for its successor's."""
    entry = sealer.seal_entry(**ENTRY, nonce=NONCE)

    assert sealer.open_entry(7, entry) == b"payload"
    with pytest.raises(DamagedError):
        sealer.open_entry(8, entry)


def test_a_changed_bit_or_a_cut_entry_does_not_open(sealer, flips):
    """Type, count, sequence, hashes, key term, salt, nonce, ciphertext, tag: every byte, every prefix, one more."""
    entry = sealer.seal_entry(**ENTRY, nonce=NONCE)
    bad = [*flips(entry), *(entry[:length] for length in range(len(entry))), entry + b"\x00"]
    for one in bad:
        with pytest.raises(DamagedError):
            sealer.open_entry(7, one)


def test_conflict_hashes_cannot_be_added_dropped_swapped_or_taken_from_the_key_term(sealer):
    """A hash too few would let a read pass by the write."""
    entry = sealer.seal_entry(**ENTRY, nonce=NONCE)
    head, one, two, rest = entry[:10], entry[10:18], entry[18:26], entry[26:]

    def with_count(count):
        return head[:1] + bytes([count]) + head[2:]

    for bad in (
        head + two + one + rest,
        with_count(1) + one + rest,
        with_count(3) + one + two + one + rest,
        with_count(3) + one + two + rest,
        with_count(1) + one + two + rest,
        with_count(0) + rest,
    ):
        with pytest.raises(DamagedError):
            sealer.open_entry(7, bad)


@pytest.mark.parametrize("changed", [{"cluster_id": b"cluster-of-other"}, {"term_id": b"other-id"}])
def test_an_entry_does_not_open_under_another_cluster_or_key_term(keyring, sealer, fixed_random, changed, rebuilt):
    """Same key bytes, another name."""
    entry = sealer.seal_entry(**ENTRY, nonce=NONCE)
    moved = entry[:26] + changed.get("term_id", entry[26:34]) + entry[34:]
    other = Sealer(rebuilt(keyring, **changed), fixed_random, GENERATION)

    with pytest.raises(DamagedError):
        other.open_entry(7, moved)


def test_entries_and_chunks_do_not_open_in_another_generation(keyring, sealer, fixed_random):
    """A restore begins a new line of history; the old one's files are not part of it. The twin opens."""
    entry = sealer.seal_entry(**ENTRY, nonce=NONCE)
    chunk = sealer.seal_chunk(**CHUNK, payload=b"part", nonce=NONCE)
    place = {name: CHUNK[name] for name in ("snapshot_id", "index", "term")}
    same = Sealer(keyring, fixed_random, GENERATION)
    other = Sealer(keyring, fixed_random, b"generation-other")

    assert same.open_entry(7, entry) == b"payload"
    assert same.open_chunk(**place, chunk=chunk) == (3, False, b"part")
    with pytest.raises(DamagedError):
        other.open_entry(7, entry)
    with pytest.raises(DamagedError):
        other.open_chunk(**place, chunk=chunk)


@pytest.mark.parametrize("hashes", [(b"12345678",) * 5, (b"short",), (b"too long!",)])
def test_impossible_hashes_are_a_mistake_of_ours(sealer, hashes):
    """They are not written in the first place."""
    with pytest.raises(AssertionError):
        sealer.seal_entry(**{**ENTRY, "hashes": hashes}, nonce=NONCE)


@pytest.mark.parametrize("entry", [b"", b"\x01" * 9, b"\x01\x05" + bytes(200), b"\x01\x04" + bytes(80)])
@pytest.mark.parametrize("read", [entry_kind, entry_hashes, entry_sequence])
def test_the_head_of_what_is_no_entry_is_not_read(read, entry):
    """DamagedError, not an index error and not a wrong answer."""
    with pytest.raises(DamagedError):
        read(entry)


# --- snapshot chunks


@settings(max_examples=40, deadline=None)
@given(
    snapshot_id=st.binary(max_size=16),
    index=st.integers(0, 2**64 - 1),
    term=st.integers(0, 2**64 - 1),
    number=st.integers(0, 2**32 - 1),
    final=st.booleans(),
    payload=st.binary(max_size=200),
)
def test_a_chunk_opens_as_what_it_was(make_random, snapshot_id, index, term, number, final, payload):
    """A property over all places."""
    random = make_random()
    sealer = Sealer(Keyring.create(random, CLUSTER_ID, 1), random, GENERATION)
    place = {"snapshot_id": snapshot_id, "index": index, "term": term}
    chunk = sealer.seal_chunk(**place, number=number, final=final, payload=payload, nonce=NONCE)

    assert (number, final, payload) == sealer.open_chunk(**place, chunk=chunk)


@pytest.mark.parametrize("moved", [{"snapshot_id": b"snapshot-2"}, {"index": 101}, {"term": 8}])
def test_a_chunk_of_another_snapshot_does_not_open(sealer, moved):
    """Its id, the index and the term it was taken at."""
    chunk = sealer.seal_chunk(**CHUNK, payload=b"part", nonce=NONCE)
    place = {name: CHUNK[name] for name in ("snapshot_id", "index", "term")}

    assert sealer.open_chunk(**place, chunk=chunk) == (3, False, b"part")
    with pytest.raises(DamagedError):
        sealer.open_chunk(**{**place, **moved}, chunk=chunk)


def test_a_changed_bit_or_a_cut_chunk_does_not_open(sealer, flips):
    """Number, final flag, key term, salt, nonce, ciphertext, tag: every byte, every prefix, one more."""
    chunk = sealer.seal_chunk(**CHUNK, payload=b"part", nonce=NONCE)
    bad = [*flips(chunk), *(chunk[:length] for length in range(len(chunk))), chunk + b"\x00"]
    for one in bad:
        with pytest.raises(DamagedError):
            sealer.open_chunk(snapshot_id=b"snapshot-1", index=100, term=7, chunk=one)


@pytest.mark.parametrize("changed", [{"cluster_id": b"cluster-of-other"}, {"term_id": b"other-id"}])
def test_a_chunk_does_not_open_under_another_cluster_or_key_term(keyring, sealer, fixed_random, changed, rebuilt):
    """Same key bytes, another name."""
    chunk = sealer.seal_chunk(**CHUNK, payload=b"part", nonce=NONCE)
    moved = chunk[:5] + changed.get("term_id", chunk[5:13]) + chunk[13:]
    other = Sealer(rebuilt(keyring, **changed), fixed_random, GENERATION)

    with pytest.raises(DamagedError):
        other.open_chunk(snapshot_id=b"snapshot-1", index=100, term=7, chunk=moved)
