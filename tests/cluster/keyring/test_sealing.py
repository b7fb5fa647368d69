"""Sealing: what opens, and that nothing opens anywhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError
from cluster.keyring import (
    Keyring,
    Sealer,
    UnknownKeyTermError,
    cipher,
)

CLUSTER_ID = b"cluster-of-tests"
GENERATION = b"generation-tests"
NONCE = b"nonce-of-12b"
UUID = b"mount-uuid-16-by"
VALUE = {"table": 1, "key": UUID + b"app/db", "field": b"data", "record_id": b"rid-1\x00\x00\x00\x01"}
ENTRY = {"kind": 1, "term": 7, "sequence": 9, "hashes": (b"hash-one", b"hash-two"), "payload": b"payload"}
CHUNK = {"snapshot_id": b"snapshot-1", "index": 100, "term": 7, "number": 3, "final": False}


def _value(sealer, **place):
    sealer.learn_salt(1, *sealer.value_salt())
    return sealer.seal_value(NONCE, b"secret", **{**VALUE, **place})


# --- values


@settings(max_examples=60, deadline=None)
@given(
    plaintext=st.binary(max_size=200),
    key=st.binary(max_size=60),
    field=st.binary(max_size=10),
    record_id=st.binary(max_size=20),
    table=st.integers(0, 255),
)
def test_a_value_opens_where_it_was_written(make_random, plaintext, key, field, record_id, table):
    """A property over all places; the box is nonce, ciphertext and tag."""
    random = make_random()
    sealer = Sealer(Keyring.create(random, CLUSTER_ID, 1), random, GENERATION)
    sealer.learn_salt(5, *sealer.value_salt())
    place = {"table": table, "key": key, "field": field, "record_id": record_id}
    box = sealer.seal_value(NONCE, plaintext, **place)

    assert plaintext == sealer.open_value(5, box, **place)
    assert box[:12] == NONCE
    assert len(box) == 12 + len(plaintext) + 16


@pytest.mark.parametrize(
    "moved",
    [
        {"table": 7},
        {"key": b"mount-uuid-16-bz" + b"app/db"},  # another mount
        {"key": UUID + b"app/dc"},  # another path
        {"key": UUID + b"app/d", "field": b"bdata"},  # a byte moves from path to field
        {"key": UUID + b"app/dbd", "field": b"ata"},
        {"field": b"custom"},
        {"field": b"datar", "record_id": b"id-1\x00\x00\x00\x01"},  # a byte moves from field to record id
        {"record_id": b"rid-2\x00\x00\x00\x01"},  # the same path, deleted and made again
        {"record_id": b"rid-1\x00\x00\x00\x02"},  # another version
        {"key": UUID[:15], "field": b"y" + b"app/db" + b"data"},  # a byte moves out of the mount uuid
    ],
)
def test_a_value_that_is_moved_does_not_open(sealer, moved):
    """Every dimension of its place, and every boundary between two of them."""
    box = _value(sealer)

    with pytest.raises(DamagedError):
        sealer.open_value(1, box, **{**VALUE, **moved})


@pytest.mark.parametrize("changed", [{"cluster_id": b"cluster-of-other"}, {"term_id": b"other-id"}])
def test_a_value_does_not_open_under_another_cluster_or_key_term(keyring, sealer, fixed_random, changed, rebuilt):
    """The same key bytes under another name are another place; its twin under the same name opens."""
    box = _value(sealer)
    key_term_id, salt = sealer.value_salt()
    for names, opens in ((changed, False), ({}, True)):
        other = Sealer(rebuilt(keyring, **names), fixed_random, GENERATION)
        other.learn_salt(1, names.get("term_id", key_term_id), salt)
        if opens:
            assert other.open_value(1, box, **VALUE) == b"secret"
        else:
            with pytest.raises(DamagedError):
                other.open_value(1, box, **VALUE)


def test_a_value_opens_in_another_generation(keyring, sealer, fixed_random):
    """A value is stored as it is through restore, so the generation is not part of its place."""
    box = _value(sealer)
    restored = Sealer(keyring, fixed_random, b"generation-after")
    restored.learn_salt(1, *sealer.value_salt())

    assert restored.open_value(1, box, **VALUE) == b"secret"


def test_a_changed_bit_or_a_cut_value_does_not_open(sealer, flips):
    """Every byte of the box, every prefix, one byte more."""
    box = _value(sealer)
    bad = [*flips(box), *(box[:length] for length in range(len(box))), box + b"\x00"]
    for one in bad:
        with pytest.raises(DamagedError):
            sealer.open_value(1, one, **VALUE)


def test_an_unknown_salt_id_and_another_salt_do_not_open(sealer):
    """The id names the salt; a wrong table row is damage, not a wrong value."""
    box = _value(sealer)
    key_term_id, _ = sealer.value_salt()
    sealer.learn_salt(2, key_term_id, b"another salt 16b")
    for salt_id in (2, 3):
        with pytest.raises(DamagedError):
            sealer.open_value(salt_id, box, **VALUE)


def test_the_newest_word_about_a_salt_id_wins(sealer):
    """An id that was proposed by a deposed leader is given anew by its successor."""
    box = _value(sealer)
    own = sealer.value_salt()
    sealer.learn_salt(1, own[0], b"another salt 16b")
    with pytest.raises(DamagedError):
        sealer.open_value(1, box, **VALUE)
    sealer.learn_salt(1, *own)

    assert sealer.open_value(1, box, **VALUE) == b"secret"


@pytest.mark.parametrize(("key_term_id", "salt"), [(b"short", b"s" * 16), (b"t" * 8, b"short"), (b"", b"")])
def test_a_salt_record_of_other_lengths_is_damage(sealer, key_term_id, salt):
    """Together they are looked up as one place: their border must stand."""
    with pytest.raises(DamagedError):
        sealer.learn_salt(1, key_term_id, salt)


# --- salts, counters, rotation


def test_each_process_and_each_purpose_draws_its_own_salt(keyring, fixed_random):
    """Two lives of one machine seal under different keys, whatever nonces they draw."""
    sealers = [Sealer(keyring, fixed_random, GENERATION) for _ in range(2)]
    salts = {sealer.value_salt() for sealer in sealers}
    entries = {sealer.seal_entry(**ENTRY, nonce=NONCE)[34:50] for sealer in sealers}
    chunks = {sealer.seal_chunk(**CHUNK, payload=b"", nonce=NONCE)[13:29] for sealer in sealers}

    assert len({salt for _, salt in salts} | entries | chunks) == 6
    assert len({sealer.seal_entry(**ENTRY, nonce=NONCE) for sealer in sealers}) == 2


def test_a_salt_is_kept_until_it_is_used_up(sealer, monkeypatch):
    """After SEALS_MAX seals the next question brings another; what the old one sealed still opens."""
    monkeypatch.setattr(cipher, "SEALS_MAX", 3)
    sealer.learn_salt(1, *sealer.value_salt())
    first = sealer.value_salt()
    box = sealer.seal_value(NONCE, b"secret", **VALUE)
    assert sealer.value_salt() == first
    for _ in range(2):
        sealer.seal_value(NONCE, b"secret", **VALUE)
    second = sealer.value_salt()

    assert second != first
    assert second[0] == first[0]
    assert sealer.open_value(1, box, **VALUE) == b"secret"
    assert sealer.encryptions == 3


def test_an_entry_rolls_its_salt_by_itself(sealer, monkeypatch):
    """The salt travels in the entry, so nobody needs to be asked."""
    monkeypatch.setattr(cipher, "SEALS_MAX", 2)
    entries = [sealer.seal_entry(**ENTRY, nonce=NONCE) for _ in range(4)]

    assert len({entry[34:50] for entry in entries}) == 2
    assert {sealer.open_entry(7, entry) for entry in entries} == {b"payload"}
    assert sealer.encryptions == 4


def test_a_value_salt_that_nobody_asks_for_again_is_not_used_for_ever(sealer):
    """A hard end far below the bound of random nonces."""
    sealer.value_salt()
    sealer._values.own.seals = 2 * cipher.SEALS_MAX

    with pytest.raises(OverflowError):
        sealer.seal_value(NONCE, b"secret", **VALUE)


def test_sealing_a_value_without_asking_for_its_salt_is_a_mistake(sealer):
    """Nobody could write down the salt id."""
    with pytest.raises(AssertionError):
        sealer.seal_value(NONCE, b"secret", **VALUE)


def test_a_rotation_appears_when_the_value_salt_is_asked_for(keyring, sealer, fixed_random):
    """Between `use` and `value_salt` a value is still sealed under the salt its record will name."""
    box_before = _value(sealer)
    first = sealer.value_salt()
    rotated = keyring.rotate(fixed_random, 2)
    sealer.use(rotated)
    box_between = sealer.seal_value(NONCE, b"secret", **VALUE)
    second = sealer.value_salt()
    sealer.learn_salt(2, *second)
    box_after = sealer.seal_value(NONCE, b"secret", **VALUE)

    assert (first[0], second[0]) == tuple(rotated.term_ids)
    assert sealer.open_value(1, box_before, **VALUE) == sealer.open_value(1, box_between, **VALUE) == b"secret"
    assert sealer.open_value(2, box_after, **VALUE) == b"secret"
    assert sealer.encryptions == 1


def test_a_keyring_without_our_term_ends_our_salts(keyring, sealer, fixed_random):
    """Nothing derived from a keyring outlives it: another cluster's keyring opens nothing of ours."""
    entry = sealer.seal_entry(**ENTRY, nonce=NONCE)
    box = _value(sealer)
    sealer.use(Keyring.create(fixed_random, CLUSTER_ID, 1))

    assert sealer.keyring is not keyring
    with pytest.raises(UnknownKeyTermError):
        sealer.open_entry(7, entry)
    with pytest.raises(UnknownKeyTermError):
        sealer.open_value(1, box, **VALUE)
    with pytest.raises(AssertionError):
        sealer.seal_value(NONCE, b"secret", **VALUE)


def test_only_what_opened_is_remembered_and_only_so_much(keyring, sealer, fixed_random, monkeypatch):
    """A peer that sends salts of its own invention fills nothing."""
    monkeypatch.setattr(cipher, "CIPHERS_MAX", 3)
    entries = [Sealer(keyring, fixed_random, GENERATION).seal_entry(**ENTRY, nonce=NONCE) for _ in range(5)]
    own = sealer.seal_entry(**ENTRY, nonce=NONCE)
    for entry in entries:
        with pytest.raises(DamagedError):
            sealer.open_entry(7, entry[:-1] + bytes([entry[-1] ^ 1]))
    assert len(sealer._entries._known) == 1
    for entry in entries:
        assert sealer.open_entry(7, entry) == b"payload"

    assert len(sealer._entries._known) <= 3
    assert sealer.open_entry(7, own) == b"payload"


@pytest.mark.parametrize("nonce", [b"", b"n" * 8, b"n" * 11, b"n" * 13, b"n" * 16])
def test_a_nonce_has_twelve_bytes(sealer, nonce):
    """The cipher would take others; the layout could not be read back."""
    sealer.value_salt()
    for seal in (
        lambda: sealer.seal_value(nonce, b"", **VALUE),
        lambda: sealer.seal_entry(**ENTRY, nonce=nonce),
        lambda: sealer.seal_chunk(**CHUNK, payload=b"", nonce=nonce),
    ):
        with pytest.raises(ValueError, match=r"[Nn]once"):
            seal()


def test_no_blob_opens_as_one_of_another_purpose(sealer):
    """A value's box in an entry's frame, under the same key term and salt: another purpose, another key."""
    box = _value(sealer)
    key_term_id, salt = sealer.value_salt()
    head = b"\x01\x00" + bytes(8)

    with pytest.raises(DamagedError):
        sealer.open_entry(7, head + key_term_id + salt + box)
    with pytest.raises(DamagedError):
        sealer.open_chunk(snapshot_id=b"s", index=1, term=7, chunk=bytes(5) + key_term_id + salt + box)


def test_wiping_a_key_buffer_does_not_change_a_cipher_that_was_made_of_it():
    """What one-shot uses of the library rely on: it keeps its own key, never a view of a buffer that we zero."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = bytearray(range(32))
    aead = AESGCM(key)
    key[:] = bytes(32)

    assert aead.encrypt(NONCE, b"p", None) == AESGCM(bytes(range(32))).encrypt(NONCE, b"p", None)
