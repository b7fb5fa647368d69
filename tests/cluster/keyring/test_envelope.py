"""The envelope: opens with its root key and nothing else, and nothing in its clear part can be changed."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring import Envelope, Keyring, SealConfig, key_check, open_keyring, read_seal, seal_keyring
from cluster.keyring.purposes import Purpose, derive

CLUSTER_ID = b"cluster-of-tests"
ROOT_KEY = bytes(range(32))
NONCE = b"nonce-of-12b"
SEAL = SealConfig("shamir", 5, 3, key_check(ROOT_KEY), True, 4)


@pytest.fixture(name="envelope")
def _envelope(keyring):
    return seal_keyring(ROOT_KEY, keyring, SEAL, NONCE)


def test_the_keyring_comes_back(keyring, envelope):
    """With the root key as bytes or in a wipeable buffer."""
    for root_key in (ROOT_KEY, bytearray(ROOT_KEY)):
        assert open_keyring(root_key, envelope).encode() == keyring.encode()


def test_a_sealed_node_reads_the_seal_without_keys(envelope):
    """Cluster id and configuration stand in the clear."""
    assert read_seal(envelope) == (CLUSTER_ID, SEAL)


def test_no_key_of_the_keyring_is_in_the_envelope(keyring, envelope):
    """Nor the root key."""
    secrets = [ROOT_KEY, *(bytes(term.key) for term in keyring._terms.values()), *map(bytes, keyring._macs.values())]

    assert not [one for one in secrets if one in envelope]


@pytest.mark.parametrize("root_key", [bytes(32), bytes(range(1, 33)), b"", bytes(range(31)), bytes(range(33))])
def test_another_root_key_is_told_from_damage(envelope, keyring, root_key):
    """WrongKeyError both ways: neither opened nor sealed under a configuration that names another key."""
    with pytest.raises(WrongKeyError):
        open_keyring(root_key, envelope)
    with pytest.raises(WrongKeyError):
        seal_keyring(root_key, keyring, SEAL, NONCE)


@pytest.mark.parametrize("nonce", [b"", b"n" * 11, b"n" * 13])
def test_a_nonce_of_the_envelope_has_twelve_bytes(keyring, nonce):
    """The layout has room for exactly that."""
    with pytest.raises(ValueError, match="12 bytes"):
        seal_keyring(ROOT_KEY, keyring, SEAL, nonce)


@pytest.mark.parametrize(
    "changed",
    [
        {"seal": SealConfig("static", 5, 3, SEAL.key_check, True, 4)},
        {"seal": SealConfig("shamir", 6, 3, SEAL.key_check, True, 4)},
        {"seal": SealConfig("shamir", 5, 2, SEAL.key_check, True, 4)},
        {"seal": SealConfig("shamir", 5, 3, SEAL.key_check, False, 4)},
        {"seal": SealConfig("shamir", 5, 3, SEAL.key_check, True, 5)},
        {"seal": SealConfig("shamir", 5, 3, SEAL.key_check, True, 4, b"wrapped")},
        {"cluster_id": b"cluster-of-other"},
    ],
)
def test_nothing_in_the_clear_can_be_changed(envelope, changed):
    """Each field, the seal epoch and the cluster id among them; unchanged parts open."""
    parts = Envelope.decode(envelope)
    seal = changed.get("seal", parts.seal)
    moved = Envelope(changed.get("cluster_id", CLUSTER_ID), seal, msgspec.msgpack.encode(seal), parts.box)

    assert parts.encode() == envelope
    with pytest.raises(DamagedError):
        open_keyring(ROOT_KEY, moved.encode())


def test_the_same_configuration_in_other_bytes_does_not_open(envelope):
    """What is authenticated are the bytes as they stand, not what they mean."""
    parts = Envelope.decode(envelope)
    longer = parts.seal_bytes[:-1] + b"\xa0"  # the last field, empty, as text instead of bytes
    moved = Envelope(parts.cluster_id, parts.seal, longer, parts.box)

    with pytest.raises(DamagedError):
        open_keyring(ROOT_KEY, moved.encode())


def test_every_flipped_bit_and_every_prefix_is_refused(envelope):
    """One of the two typed errors: a changed key check looks like a wrong key."""
    bad = [envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :] for at in range(len(envelope))]
    bad += [envelope[:length] for length in range(len(envelope))] + [envelope + b"\x00"]
    for one in bad:
        with pytest.raises((DamagedError, WrongKeyError)):
            open_keyring(ROOT_KEY, one)


@settings(max_examples=100)
@given(st.binary(max_size=120) | st.binary(max_size=80).map(lambda tail: b"SRKR\x00\x01" + b"c" * 16 + tail))
def test_no_bytes_crash_the_reader(data):
    """A sealed node reads this file before it holds any key."""
    try:
        read_seal(data)
    except DamagedError:
        return
    raise AssertionError("random bytes are no envelope")


@pytest.mark.parametrize(
    "seal",
    [
        ["shamir", -1, 3, SEAL.key_check, True, 4],
        ["shamir", 5, 3, SEAL.key_check, True, -4],
        ["shamir", 5, 3, SEAL.key_check, "yes", 4],
        ["shamir", 5, 3],
        {"type": "shamir"},
        None,
    ],
)
def test_a_seal_configuration_of_other_types_is_damage(envelope, seal):
    """Numbers are natural, flags are flags."""
    parts = Envelope.decode(envelope)
    moved = Envelope(parts.cluster_id, parts.seal, msgspec.msgpack.encode(seal), parts.box)

    with pytest.raises(DamagedError):
        read_seal(moved.encode())


def test_a_seal_configuration_with_later_fields_opens(keyring):
    """A field that a newer program added stays in what is authenticated, and is passed over."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from cluster.keyring import envelope as room

    longer = msgspec.msgpack.encode([*msgspec.to_builtins(SEAL, builtin_types=(bytes,)), "from the future"])
    draft = Envelope(CLUSTER_ID, SEAL, longer, b"")
    box = AESGCM(derive(ROOT_KEY, Purpose.KEYRING)).encrypt(NONCE, keyring.encode(), room._aad(draft, draft.head()))
    data = draft.head() + NONCE + box

    assert read_seal(data) == (CLUSTER_ID, SEAL)
    assert open_keyring(ROOT_KEY, data).encode() == keyring.encode()
    assert Envelope.decode(data).encode() == data


def test_the_right_key_with_no_keyring_inside_is_damage(keyring, envelope, monkeypatch):
    """The box opened and what is in it is not a keyring: still a typed error."""
    monkeypatch.setattr(Keyring, "encode", lambda _: bytearray(b"not a keyring"))
    data = seal_keyring(ROOT_KEY, keyring, SEAL, NONCE)

    with pytest.raises(DamagedError):
        open_keyring(ROOT_KEY, data)


def test_the_key_check_is_made_under_a_key_of_its_own():
    """It differs by root key, is not the root key, and is no key that anything is sealed with."""
    check = key_check(ROOT_KEY)

    assert check == key_check(bytearray(ROOT_KEY))
    assert check != key_check(bytes(32))
    assert check not in {ROOT_KEY, *(bytes(derive(ROOT_KEY, purpose)) for purpose in Purpose)}
