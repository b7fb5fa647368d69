"""The keyring: terms, rotation, its plaintext form, and that no key serves two uses."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError
from cluster.keyring import Keyring, Purpose, UnknownKeyTermError
from cluster.keyring.keyring import unreserved
from cluster.keyring.purposes import derive, derive_for_salt, pack

CLUSTER_ID = b"cluster-of-tests"
OTHER_ID = b"cluster-restored"
NOW_NS = 1_700_000_000_000_000_000


def test_a_new_keyring_has_one_term(keyring):
    """Random 8-byte id, the cluster's id, the time it was made."""
    term_id = keyring.active_term_id

    assert keyring.term_ids == [term_id]
    assert len(term_id) == 8
    assert keyring.cluster_id == keyring.term_cluster_id(term_id) == CLUSTER_ID
    assert keyring.installed_ns(term_id) == NOW_NS


def test_rotation_returns_another_keyring_with_a_further_term(keyring, fixed_random):
    """The old one is what it was; the new one's active term is the new one."""
    old_id = keyring.active_term_id
    rotated = keyring.rotate(fixed_random, NOW_NS + 5)

    assert keyring.term_ids == [old_id]
    assert rotated.term_ids == [old_id, rotated.active_term_id]
    assert rotated.active_term_id != old_id
    assert rotated.installed_ns(rotated.active_term_id) == NOW_NS + 5


def test_rotation_keeps_old_terms_and_mac_keys(keyring, fixed_random):
    """Tokens are still found and old data still opens after it, also when the old keyring is wiped."""
    old_id = keyring.active_term_id
    before = (keyring.token_hash(b"t"), keyring.digest_key, bytes(keyring.purpose_key(old_id, Purpose.VALUE)))
    rotated = keyring.rotate(fixed_random, NOW_NS)
    keyring.wipe()

    assert before == (rotated.token_hash(b"t"), rotated.digest_key, bytes(rotated.purpose_key(old_id, Purpose.VALUE)))


def test_each_term_keeps_the_cluster_id_it_was_made_under(keyring, fixed_random):
    """A restore names a new cluster; old terms stay what they were, through encode and decode."""
    restored = Keyring.decode(keyring.rotate(fixed_random, NOW_NS, cluster_id=OTHER_ID).encode())
    old_id, new_id = restored.term_ids

    assert (restored.term_cluster_id(old_id), restored.term_cluster_id(new_id)) == (CLUSTER_ID, OTHER_ID)
    assert restored.cluster_id == OTHER_ID


def test_a_cluster_id_has_sixteen_bytes(fixed_random):
    """Another length would shift the format."""
    with pytest.raises(ValueError, match="16 bytes"):
        Keyring.create(fixed_random, b"short", NOW_NS)


def test_an_unknown_term_is_a_typed_error(keyring):
    """A follower may meet a term whose rotation it has not applied: it must be able to tell."""
    for use in (keyring.installed_ns, keyring.term_cluster_id, lambda term: keyring.purpose_key(term, Purpose.VALUE)):
        with pytest.raises(UnknownKeyTermError):
            use(b"no term!")


@settings(max_examples=30, deadline=None)
@given(rotations=st.lists(st.integers(0, 2**63), max_size=4), seed=st.binary(max_size=8))
def test_the_plaintext_form_round_trips(make_random, rotations, seed):
    """Any number of terms, any times."""
    random = make_random(seed)
    keyring = Keyring.create(random, CLUSTER_ID, 1)
    for now_ns in rotations:
        keyring = keyring.rotate(random, now_ns)
    again = Keyring.decode(bytes(keyring.encode()))

    assert again.encode() == keyring.encode()
    assert again.term_ids == keyring.term_ids
    assert [again.installed_ns(term) for term in again.term_ids] == [1, *rotations]
    assert again.token_hash(b"t") == keyring.token_hash(b"t")


def test_mac_keys_of_a_newer_program_survive(keyring, fixed_random):
    """A node of the previous version rotates without losing what it does not know."""
    data = keyring.encode()
    count_at = 4 + 64
    (count,) = struct.unpack_from(">H", data, count_at)
    struct.pack_into(">H", data, count_at, count + 1)
    data += bytes([99]) + b"k" * 32
    rotated = Keyring.decode(data).rotate(fixed_random, NOW_NS)

    assert bytes(rotated.encode()).endswith(bytes([99]) + b"k" * 32)


def test_no_other_bytes_are_a_keyring(keyring):
    """Every prefix, a longer one, another format, no terms, a term or a MAC key twice, a missing MAC key."""
    data = bytes(keyring.encode())
    term, macs = data[4:68], data[70:]
    bad = [data[:length] for length in range(len(data))]
    bad += [
        data + b"\x00",
        b"\x00\x02" + data[2:],
        b"\x00\x01\x00\x00" + data[68:],
        b"\x00\x01\x00\x02" + term + term + data[68:],
        data[:68] + b"\x00\x07" + macs + macs[:33],
        data[:68] + b"\x00\x05" + macs[33:],
        b"",
    ]
    for one in bad:
        with pytest.raises(DamagedError):
            Keyring.decode(one)


def test_no_key_serves_two_uses(keyring):
    """All purpose keys, salted keys, MAC keys and the term key itself differ from each other."""
    term_id = keyring.active_term_id
    term_key = bytes(keyring._terms[term_id].key)
    purpose_keys = [bytes(keyring.purpose_key(term_id, purpose)) for purpose in Purpose]
    salted = [bytes(derive_for_salt(key, p, b"s" * 16)) for key, p in zip(purpose_keys, Purpose, strict=True)]
    keys = [term_key, *purpose_keys, *salted, *map(bytes, keyring._macs.values())]

    assert len(keys) == len(set(keys))
    assert len({purpose.value for purpose in Purpose}) == len(list(Purpose))


def test_a_purpose_key_is_hkdf_of_the_term_key():
    """RFC 5869 by hand: extract with an empty salt, expand with the label; one block is 32 bytes."""
    parent = bytes(range(32))
    extracted = hmac.digest(bytes(32), parent, "sha256")
    expected = hmac.digest(extracted, b"strongroom/v1/value\x01", "sha256")

    assert expected == derive(parent, Purpose.VALUE)


def test_the_same_message_under_each_mac_key_differs(keyring):
    """Index, link, audit chain, token and conflict hash are five different functions."""
    message = b"m"
    macs = {keyring.index_mac(message), keyring.link_mac(message), keyring.audit_chain_mac(message)}
    macs |= {keyring.token_hash(message), keyring.conflict_hash(message)}

    assert len(macs) == 5
    assert sorted(map(len, macs)) == [8, 32, 32, 32, 32]


def test_two_clusters_share_no_hash(fixed_random):
    """MAC keys are made anew at create."""
    one, two = (Keyring.create(fixed_random, CLUSTER_ID, NOW_NS) for _ in range(2))

    assert one.token_hash(b"t") != two.token_hash(b"t")
    assert one.conflict_hash(b"k") != two.conflict_hash(b"k")
    assert one.digest_key != two.digest_key


def test_hashing_is_keyed_blake2b_and_leaves_no_trace(keyring):
    """The second call gives what the first gave: the keyed state is copied, not used."""
    expected = hashlib.blake2b(b"hvs.token", digest_size=32, key=bytes(keyring._macs[1])).digest()

    assert expected == keyring.token_hash(b"hvs.token") == keyring.token_hash(b"hvs.token")


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (bytes(8), b"\x00" * 7 + b"\x01"),
        (b"\xff" * 8, b"\xff" * 7 + b"\x01"),
        (b"\x00" * 7 + b"\x02", b"\x00" * 7 + b"\x02"),
    ],
)
def test_a_conflict_hash_is_never_a_reserved_one(digest, expected):
    """Zeros touch everything, ones are read by no request."""
    assert expected == unreserved(digest)


@settings(max_examples=80)
@given(one=st.lists(st.binary(max_size=6), max_size=5), two=st.lists(st.binary(max_size=6), max_size=5))
def test_parts_behind_their_lengths_are_unambiguous(one, two):
    """Equal bytes only for equal lists."""
    assert (pack(*one) == pack(*two)) == (one == two)


def test_a_part_that_is_too_long_is_refused():
    """Not cut, not wrapped around."""
    with pytest.raises(struct.error):
        pack(bytes(65_536))
