"""Types that hold secrets: what they say, that they do not travel, that they can be wiped."""

import copy
import pickle

import msgspec
import pytest

from cluster.backup.sealed import BackupSealer
from cluster.errors import SealedError
from cluster.keyring import Keyring, Sealer, Secret, UnsealProgress, initialise, wipe
from cluster.keyring.purposes import MacKey
from cluster.keyring.unsealers.peers import Asking
from cluster.keyring.unsealers.shamir import ShamirUnsealer
from cluster.keyring.unsealers.static import FileContent
from cluster.keyring.unsealers.transit import Wrapping
from cluster.rekeying import Giving

CLUSTER_ID = b"cluster-of-tests"


@pytest.fixture(name="holders")
def _holders(fixed_random):
    """One of every type that holds a secret, and the secrets."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="shamir", shares=3, threshold=2, peers=False)
    sealer = Sealer(new.keyring, fixed_random, b"g" * 16)
    sealer.seal_entry(kind=1, term=1, sequence=1, hashes=(), payload=b"", nonce=b"n" * 12)
    unsealer = ShamirUnsealer(new.envelope, fixed_random)
    unsealer.offer(new.shares[0].hex())
    opened = ShamirUnsealer(new.envelope, fixed_random)
    opened.offer(new.shares[0].hex())
    unsealed = opened.offer(new.shares[1].hex())
    asking = Asking(
        fixed_random, node_id="n1", spki=b"s" * 32, incarnation=1, cluster_id=CLUSTER_ID, epoch=1, challenge=b"c" * 32
    )
    term = new.keyring._terms[new.keyring.active_term_id]
    holders = [new, new.keyring, term, sealer, sealer._entries, sealer._entries.own, unsealer, unsealer.progress]
    secrets = [bytes(new.root_key), bytes(term.key), *map(bytes, new.shares), *map(bytes, new.keyring._macs.values())]
    wrapping = Wrapping(bytearray(secrets[0]), "vault:v1:x", b"n" * 12)
    holders += [unsealed, asking, BackupSealer(new.keyring, fixed_random), Giving(new, {}), wrapping]
    return holders, secrets


def test_every_secret_type_of_the_room_is_covered_here(holders):
    """A new subclass of Secret must join the list above."""

    def below(kind):
        return {kind} | {deeper for child in kind.__subclasses__() for deeper in below(child)}

    assert below(Secret) - {Secret} == {type(holder) for holder in holders[0]}


def test_repr_str_and_format_are_fixed(holders):
    """The type's name and nothing else, whatever it holds."""
    for holder in holders[0]:
        said = {repr(holder), str(holder), f"{holder}", f"{[holder]}"[1:-1]}

        assert said == {f"<{type(holder).__name__}>"}


def test_they_are_neither_pickled_nor_copied_nor_serialised(holders):
    """Each way refuses with a TypeError whose text holds no secret."""
    ways = [pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, msgspec.msgpack.encode]
    for holder in holders[0]:
        for way in ways:
            with pytest.raises(TypeError) as caught:
                way(holder)

            assert not [one for one in holders[1] if one.hex() in str(caught.value) or repr(one) in str(caught.value)]


def test_the_content_of_a_key_file_is_not_printed():
    """A tuple would print what it holds."""
    assert repr(FileContent(0, 0, 0, bytearray(b"secret"))) == "<FileContent>"


def test_wiping_writes_zeros_in_place():
    """The length stays, and whoever else holds the buffer sees the zeros."""
    buffer = bytearray(b"secret")
    view = memoryview(buffer)
    wipe(buffer)

    assert view.tobytes() == bytes(6)


def test_a_wiped_keyring_holds_no_key(keyring):
    """The very buffers are zero, not only forgotten."""
    buffers = [term.key for term in keyring._terms.values()] + list(keyring._macs.values())
    keyring.wipe()
    keyring.wipe()

    assert [bytes(32)] * 7 == list(map(bytes, buffers))


@pytest.mark.parametrize(
    "use",
    [
        lambda k: k.token_hash(b"t"),
        lambda k: k.conflict_hash(b"k"),
        lambda k: k.index_mac(b"m"),
        lambda k: k.link_mac(b"m"),
        lambda k: k.audit_chain_mac(b"m"),
        lambda k: k.digest_key,
        lambda k: k.cluster_id,
        lambda k: k.active_term_id,
        lambda k: k.installed_ns(b"t" * 8),
        lambda k: k.encode(),
    ],
)
def test_a_wiped_keyring_refuses_instead_of_using_a_zero_key(keyring, use):
    """SealedError, never a result under zeros."""
    keyring.wipe()

    with pytest.raises(SealedError):
        use(keyring)


def test_a_wiped_sealer_neither_seals_nor_opens(sealer):
    """Its own keys and the keyring's are gone."""
    entry = sealer.seal_entry(kind=1, term=1, sequence=1, hashes=(), payload=b"p", nonce=b"n" * 12)
    key = sealer._entries.own._key
    keyring = sealer.keyring
    sealer.wipe()
    sealer.wipe()

    assert bytes(key) == bytes(32)
    assert keyring.term_ids == []
    for use in (
        lambda: sealer.open_entry(1, entry),
        lambda: sealer.seal_entry(kind=1, term=1, sequence=1, hashes=(), payload=b"p", nonce=b"n" * 12),
        sealer.value_salt,
        lambda: sealer.keyring,
    ):
        with pytest.raises(SealedError):
            use()


def test_progress_forgets_its_shares_by_overwriting_them(fixed_random):
    """Reset wipes the buffers."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="shamir", shares=3, threshold=3, peers=False)
    progress = UnsealProgress(new.seal, fixed_random)
    progress.offer(new.shares[0].hex())
    buffers = list(progress._shares)
    progress.reset()

    assert [bytes(33)] == list(map(bytes, buffers))


def test_a_new_seal_can_be_wiped_shares_first(fixed_random):
    """The shares go when they were answered, the rest at seal."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="shamir", shares=2, threshold=2, peers=False)
    shares, root_key = list(new.shares), new.root_key
    new.wipe_shares()

    assert [bytes(33)] * 2 == list(map(bytes, shares))
    assert new.shares == []
    assert bytes(root_key) != bytes(32)

    new.wipe()

    assert bytes(root_key) == bytes(32)
    assert new.keyring.term_ids == []


def test_all_macs_are_named():
    """The numbers are part of the format."""
    assert {key.name: key.value for key in MacKey} == {
        "TOKEN": 1,
        "INDEX": 2,
        "CONFLICT": 3,
        "DIGEST": 4,
        "LINK": 5,
        "AUDIT_CHAIN": 6,
    }
    assert issubclass(Keyring, Secret)
