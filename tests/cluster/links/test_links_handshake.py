"""Who is at the other end: the hello's table, and what a proof is good for (H1-H6)."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import pytest

from cluster.links import handshake
from cluster.links.handshake import HandshakeError, Side, check_hello, check_same_cluster, prove, transcript, verify
from cluster.links.messages import Hello, encode

MEMBERS = frozenset({"n2", "n3"})


def hello(node_id: str = "n2", **fields: object) -> Hello:
    values = {
        "cluster_name": "c", "link": "raft", "incarnation": 4, "nonce": b"n" * 32, "formats": [1],
    } | fields  # fmt: skip
    return Hello(node_id, **values)  # type: ignore[arg-type]


def mac(key: bytes) -> object:
    return lambda message: hmac.new(key, message, hashlib.sha256).digest()


OURS = mac(b"k" * 32)
N1 = Side(encode(hello("n1", nonce=b"1" * 32)), b"f" * 32)
N2 = Side(encode(hello("n2", nonce=b"2" * 32)), b"g" * 32)


def test_a_member_that_is_who_it_says_is_heard() -> None:
    """H1; every row below is a twin."""
    check_hello(hello(), own_id="n1", cluster_name="c", members=MEMBERS, certified_id="n2")


REFUSED = [
    ("another cluster", hello(cluster_name="d"), "n2"),
    ("an id that the certificate does not have", hello("n3"), "n2"),
    ("no member", hello("n9"), "n9"),
    ("our own id", hello("n1"), "n1"),
    ("a format we do not write", hello(formats=[2, 3]), "n2"),
    ("a short nonce", hello(nonce=b"n" * 31), "n2"),
    ("an unknown kind of link", hello(link="admin"), "n2"),
]


@pytest.mark.parametrize(("why", "said", "certified_id"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_hello_that_does_not_fit_is_refused(why: str, said: Hello, certified_id: str) -> None:
    """H1, each condition alone."""
    with pytest.raises(HandshakeError):
        check_hello(said, own_id="n1", cluster_name="c", members=MEMBERS, certified_id=certified_id)
    assert why


def test_a_proof_convinces_the_listener_it_was_made_for() -> None:
    """Both directions."""
    assert verify(OURS, N2, N1, prove(OURS, N2, N1)) is True
    assert verify(OURS, N1, N2, prove(OURS, N1, N2)) is True


@pytest.mark.parametrize(
    ("speaker", "listener"),
    [
        (N1, N2),
        (N2, N2),
        (Side(encode(hello("n2", nonce=b"3" * 32)), N2.fingerprint), N1),
        (Side(N2.hello, b"x" * 32), N1),
        (N2, Side(encode(hello("n1", nonce=b"3" * 32)), N1.fingerprint)),
        (N2, Side(N1.hello, b"x" * 32)),
        (Side(encode(hello("n2", nonce=b"2" * 32, incarnation=5)), N2.fingerprint), N1),
        (Side(encode(hello("n2", nonce=b"2" * 32, generation=b"g")), N2.fingerprint), N1),
    ],
    ids=["mirrored", "own echo", "other nonce", "other certificate", "our other nonce", "our other certificate",
         "other incarnation", "other generation"],
)  # fmt: skip
def test_a_proof_is_good_for_one_pair_of_hellos_in_one_direction(speaker: Side, listener: Side) -> None:
    """H2: and for one pair of certificates; moved along any dimension it convinces nobody."""
    proof = prove(OURS, N2, N1)

    with pytest.raises(HandshakeError):
        verify(OURS, speaker, listener, proof)


def test_two_sides_with_different_keys_do_not_talk() -> None:
    """H3."""
    with pytest.raises(HandshakeError):
        verify(OURS, N2, N1, prove(mac(b"x" * 32), N2, N1))


def test_a_side_without_keys_leaves_the_link_unproven() -> None:
    """Either side: init, join and unseal are served, nothing else."""
    assert prove(None, N2, N1) == b""
    assert verify(None, N2, N1, prove(OURS, N2, N1)) is False
    assert verify(OURS, N2, N1, b"") is False


def test_a_hello_with_a_field_of_the_next_version_is_proven_all_the_same() -> None:
    """H5: the proof covers the bytes as they were sent, not what we made of them."""
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(N2.hello), "a new field"])
    speaker = Side(newer, N2.fingerprint)

    assert verify(OURS, speaker, N1, prove(OURS, speaker, N1)) is True
    assert transcript(speaker, N1) != transcript(N2, N1)


def test_no_part_of_the_transcript_can_be_taken_for_its_neighbour() -> None:
    """Each has its length before it."""
    longer = Side(N2.hello + b"f", N2.fingerprint[1:])

    assert transcript(longer, N1) != transcript(N2, N1)


@pytest.mark.parametrize(("cluster_id", "generation"), [(b"other", b"g"), (b"c", b"other")])
def test_members_of_different_generations_do_not_talk(cluster_id: bytes, generation: bytes) -> None:
    """H6: a restore may have kept the link key."""
    said = hello(cluster_id=b"c", generation=b"g")
    check_same_cluster(said, cluster_id=b"c", generation=b"g")

    with pytest.raises(HandshakeError):
        check_same_cluster(said, cluster_id=cluster_id, generation=generation)


def test_what_an_unproven_link_serves_is_this_and_nothing_more() -> None:
    """A new entry must be thought about here."""
    assert {
        "init.promise", "init.store", "init.final", "state", "envelope", "peers.ask",
    } == handshake.UNPROVEN_CALLS  # fmt: skip
