"""What batch tokens carry: sealed for one cluster and one generation, under a key made for nothing else."""

import pytest

from cluster.errors import DamagedError, SealedError
from cluster.keyring import Keyring, Sealer, UnknownKeyTermError

GENERATION = b"generation-tests"
NONCE = b"nonce-of-12b"
PAYLOAD = b"what the token says of itself"


def test_a_token_opens_in_every_process_of_the_cluster(keyring, sealer, make_random, rebuilt):
    """Another node, and a later life of the same one, seal with other salts and open each other's."""
    other = Sealer(rebuilt(keyring), make_random(b"another process"), GENERATION)

    assert other.open_token(sealer.seal_token(NONCE, PAYLOAD)) == PAYLOAD
    assert sealer.open_token(other.seal_token(NONCE, PAYLOAD)) == PAYLOAD
    assert sealer.seal_token(NONCE, PAYLOAD) != other.seal_token(NONCE, PAYLOAD)


@pytest.mark.parametrize(
    ("changed", "generation"),
    [({"cluster_id": b"cluster-of-chaos"}, GENERATION), ({"term_id": b"term-two"}, GENERATION), ({}, b"later")],
)
def test_it_opens_nowhere_else(keyring, sealer, fixed_random, rebuilt, changed, generation):
    """Another cluster, key term or generation: the same keys under another name are other keys."""
    other = Sealer(rebuilt(keyring, **changed), fixed_random, generation)

    with pytest.raises(DamagedError):
        other.open_token(sealer.seal_token(NONCE, PAYLOAD))


def test_a_changed_bit_or_a_cut_token_does_not_open(sealer, flips):
    """Also where the key term's id or the salt is made up."""
    sealed = sealer.seal_token(NONCE, PAYLOAD)
    for other in (*flips(sealed), *(sealed[:end] for end in range(len(sealed)))):
        with pytest.raises(DamagedError):
            sealer.open_token(other)


def test_no_other_purpose_s_box_is_a_token(sealer):
    """A value, and an entry's payload, are under keys of their own."""
    place = b"".join(sealer.value_salt())
    box = sealer.seal_value(NONCE, PAYLOAD, table=7, key=b"k" * 20, field=b"e", record_id=b"r")
    with pytest.raises(DamagedError):
        sealer.open_token(place + box)


def test_tokens_outlive_a_rotation_and_count_as_encryptions(keyring, sealer, fixed_random, rebuilt):
    """Old ones open, new ones need the new term."""
    before = sealer.encryptions
    old = sealer.seal_token(NONCE, PAYLOAD)
    assert sealer.encryptions == before + 1
    follower = Sealer(rebuilt(keyring), fixed_random, GENERATION)
    rotated = keyring.rotate(fixed_random, 2)
    sealer.use(rotated)
    new = sealer.seal_token(NONCE, PAYLOAD)

    assert sealer.open_token(old) == sealer.open_token(new) == PAYLOAD
    with pytest.raises(UnknownKeyTermError):
        follower.open_token(new)
    follower.use(Keyring.decode(rotated.encode()))
    assert follower.open_token(new) == PAYLOAD


def test_a_sealed_node_opens_none(sealer):
    """It has no key for it."""
    sealed = sealer.seal_token(NONCE, PAYLOAD)
    sealer.wipe()

    with pytest.raises(SealedError):
        sealer.open_token(sealed)
