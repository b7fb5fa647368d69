"""The peers unsealer: who gets the root key, who does not, and that a grant opens for its request only."""

import dataclasses

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError
from cluster.keyring.unsealers.peers import (
    CHALLENGES_MAX,
    Asking,
    Challenges,
    HandOut,
    HandOutRefusedError,
    Request,
    Standing,
    grant,
    hand_out,
    may_hand_out,
    may_propose,
)

CLUSTER_ID = b"cluster-of-tests"
SPKI = b"s" * 32
OTHER_SPKI = b"o" * 32
CHALLENGE = b"c" * 32
ROOT_KEY = bytes(range(32))
ASKER = {
    "node_id": "n2",
    "spki": SPKI,
    "incarnation": 9,
    "cluster_id": CLUSTER_ID,
    "epoch": 3,
    "challenge": CHALLENGE,
}
STANDING = Standing(
    peers=True,
    giver_id="n1",
    giver_marked=False,
    asker_marked=False,
    cluster_id=CLUSTER_ID,
    epoch=3,
    member_spki=SPKI,
    link_spki=SPKI,
    address="10.0.0.2",
    absence_s=60.0,
    absence_max_s=86_400.0,
    challenge_fresh=True,
    majority=True,
)


@pytest.fixture(name="asking")
def _asking(fixed_random):
    return Asking(fixed_random, **ASKER)


@pytest.fixture(name="request_")
def _request(asking):
    return asking.request


def _with(**changed):
    return dataclasses.replace(STANDING, **changed)


def _committed(request, standing=STANDING):
    return dataclasses.replace(standing, committed=(*standing.committed, hand_out(request, standing)))


# --- the rules


def test_a_member_that_restarted_gets_the_key_once_the_fact_is_committed(request_):
    """Allowed to propose; allowed to hand out only after the commit."""
    assert may_propose(request_, STANDING) is None
    assert may_hand_out(request_, STANDING) == "the hand-out is not committed"
    assert may_hand_out(request_, _committed(request_)) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"peers": False}, "seal.peers is false"),
        ({"giver_marked": True}, "this node is sealed by an operator"),
        ({"asker_marked": True}, "the asking node is sealed by an operator"),
        ({"member_spki": None}, "the asking node is not a member"),
        ({"member_spki": OTHER_SPKI}, "the fingerprint is not the one in the member record"),
        ({"member_spki": b""}, "the fingerprint is not the one in the member record"),
        ({"link_spki": OTHER_SPKI}, "the fingerprint is not that of the link's certificate"),
        ({"challenge_fresh": False}, "the challenge is not the one that was given, or too old"),
        (
            {"cluster_id": b"cluster-of-other"},
            "the asking node holds another keyring envelope and must fetch the present one first",
        ),
        ({"epoch": 4}, "the asking node holds another keyring envelope and must fetch the present one first"),
        ({"absence_s": None}, "the asking node was never unsealed"),
        ({"absence_s": 86_400.5}, "the asking node was unsealed last more than 86400 s ago"),
        ({"absence_s": -1.0}, "the asking node was unsealed last more than 86400 s ago"),
        ({"absence_s": float("nan")}, "the asking node was unsealed last more than 86400 s ago"),
        ({"absence_s": 900.5, "majority": False}, "the asking node was unsealed last more than 900 s ago"),
        (
            {"absence_s": 60.5, "absence_max_s": 60.0, "majority": False},
            "the asking node was unsealed last more than 60 s ago",
        ),
    ],
)
def test_each_rule_refuses_alone(request_, changed, sentence):
    """With everything else as it should be, the fact committed: neither proposed nor handed out."""
    standing = _committed(request_, _with(**changed))

    assert sentence == may_propose(request_, standing) == may_hand_out(request_, standing)


@pytest.mark.parametrize(
    "changed",
    [{"absence_s": 86_400.0}, {"absence_s": 0.0}, {"absence_s": 900.0, "majority": False}],
)
def test_the_bounds_themselves_are_allowed(request_, changed):
    """The twins of the refusals above."""
    assert may_hand_out(request_, _committed(request_, _with(**changed))) is None


@pytest.mark.parametrize("where", ["committed", "local"])
@pytest.mark.parametrize(
    ("earlier", "refused"),
    [
        ({"incarnation": 8}, False),  # an earlier start
        ({"incarnation": 9}, True),  # this start, another request
        ({"incarnation": 10}, True),  # a start after this one: this is a replay, or a copied disk
        ({"incarnation": 9, "giver_id": "n3"}, True),  # this start, by another giver
        ({"incarnation": 10, "node_id": "n4"}, False),  # somebody else
    ],
)
def test_the_key_leaves_once_per_start(request_, where, earlier, refused):
    """Whether the earlier hand-out was committed or only audited here."""
    past = HandOut(**{**_as_dict(hand_out(request_, STANDING)), "request_digest": b"d" * 32, **earlier})
    standing = _committed(request_, _with(**{where: (past,)}))
    expected = "the root key was already handed out for this start of the asking node, or a later one"

    assert may_hand_out(request_, standing) == (expected if refused else None)


def _as_dict(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize(
    "other",
    [
        {"address": "10.0.0.66"},
        {"spki": OTHER_SPKI},
        {"giver_id": "n3"},
        {"request_digest": b"d" * 32},
    ],
)
def test_another_fact_does_not_cover_this_hand_out(request_, other):
    """Who, fingerprint, address, incarnation, giver and request must be those that were committed."""
    fact = HandOut(**{**_as_dict(hand_out(request_, STANDING)), **other})

    assert may_hand_out(request_, _with(committed=(fact,))) is not None


def test_without_a_majority_the_giver_audits_instead(request_):
    """A local record suffices only then."""
    local = (hand_out(request_, STANDING),)

    assert may_hand_out(request_, _with(majority=False, local=local)) is None
    assert may_hand_out(request_, _with(majority=False)) == "the hand-out is not audited on this node"
    assert may_hand_out(request_, _with(local=local)) == "the hand-out is not committed"


# --- challenges


def test_a_challenge_is_good_once_for_its_certificate_and_for_half_a_minute(fixed_random):
    """Not twice, not for another, not later, not after a newer one."""
    challenges = Challenges()
    one = challenges.issue(SPKI, fixed_random, 100.0)
    assert challenges.take(SPKI, one, 130.0)
    assert not challenges.take(SPKI, one, 130.0)

    two = challenges.issue(SPKI, fixed_random, 100.0)
    assert not challenges.take(OTHER_SPKI, two, 100.0)
    assert not challenges.take(SPKI, two, 130.1)

    three = challenges.issue(SPKI, fixed_random, 100.0)
    four = challenges.issue(SPKI, fixed_random, 100.0)
    assert three != four
    assert not challenges.take(SPKI, three, 100.0)
    assert not challenges.take(SPKI, four, 100.0)  # a wrong answer uses it up


def test_an_empty_challenge_is_never_the_open_one():
    """No certificate without a challenge passes with nothing."""
    assert not Challenges().take(SPKI, b"", 0.0)


def test_open_challenges_are_bounded(fixed_random):
    """The oldest goes first."""
    challenges = Challenges()
    issued = {
        bytes([number]) * 32: challenges.issue(bytes([number]) * 32, fixed_random, 1.0)
        for number in range(CHALLENGES_MAX + 1)
    }
    taken = [challenges.take(spki, challenge, 1.0) for spki, challenge in issued.items()]

    assert taken == [False] + [True] * CHALLENGES_MAX


# --- the grant


def test_the_root_key_arrives(asking, fixed_random):
    """Sealed to the request: neither the key nor the shared secret is on the wire."""
    data = grant(ROOT_KEY, Request.decode(asking.request.encode()), _committed(asking.request), fixed_random)

    assert ROOT_KEY not in data
    assert asking.open("n1", data) == bytearray(ROOT_KEY)


def test_the_root_key_does_not_leave_before_the_rules_allow(asking, fixed_random):
    """`grant` asks again itself, so that no caller can forget."""
    with pytest.raises(HandOutRefusedError, match="not committed"):
        grant(ROOT_KEY, asking.request, STANDING, fixed_random)


@pytest.mark.parametrize(
    "other",
    [
        {"node_id": "n3"},
        {"spki": OTHER_SPKI},
        {"incarnation": 10},
        {"cluster_id": b"cluster-of-other"},
        {"epoch": 4},
        {"challenge": b"d" * 32},
    ],
)
def test_a_grant_opens_only_for_the_request_it_answers(make_random, other):
    """The asker has the same X25519 key each time; every other field of the request is bound too."""
    asking = Asking(make_random(b"asker"), **ASKER)
    moved = Asking(make_random(b"asker"), **{**ASKER, **other})
    data = grant(ROOT_KEY, asking.request, _committed(asking.request), make_random(b"giver"))

    assert moved.request.public_key == asking.request.public_key
    with pytest.raises(DamagedError):
        moved.open("n1", data)
    assert asking.open("n1", data) == bytearray(ROOT_KEY)


def test_a_grant_does_not_open_with_another_key_or_for_another_giver(make_random):
    """Same request but for the key; same grant under another giver's name."""
    asking = Asking(make_random(b"asker"), **ASKER)
    data = grant(ROOT_KEY, asking.request, _committed(asking.request), make_random(b"giver"))
    for stranger, giver_id in ((Asking(make_random(b"thief"), **ASKER), "n1"), (asking, "n3")):
        with pytest.raises(DamagedError):
            stranger.open(giver_id, data)


def test_an_asker_takes_one_grant(make_random):
    """A second one is not opened, whatever became of the first."""
    asking = Asking(make_random(b"asker"), **ASKER)
    data = grant(ROOT_KEY, asking.request, _committed(asking.request), make_random(b"giver"))
    asking.open("n1", data)

    with pytest.raises(DamagedError, match="second grant"):
        asking.open("n1", data)


def test_a_changed_bit_or_a_cut_grant_does_not_open(make_random):
    """Magic, format, public key, nonce, ciphertext, tag; every prefix; one byte more."""
    asking = Asking(make_random(b"asker"), **ASKER)
    data = grant(ROOT_KEY, asking.request, _committed(asking.request), make_random(b"giver"))
    # Bit 0: X25519 leaves the topmost bit of a public key out, but the transcript does not.
    bad = [data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :] for at in range(len(data)) for flip in (1, 0x80)]
    for one in [*bad, *(data[:length] for length in range(len(data))), data + b"\x00"]:
        with pytest.raises(DamagedError):
            Asking(make_random(b"asker"), **ASKER).open("n1", one)


def test_a_public_key_of_small_order_gets_nothing(asking, fixed_random):
    """The shared secret would be known to everyone."""
    weak = msgspec.structs.replace(asking.request, public_key=bytes(32))

    with pytest.raises(DamagedError):
        grant(ROOT_KEY, weak, _committed(weak), fixed_random)


# --- the wire form of a request


@settings(max_examples=50)
@given(
    node_id=st.text(max_size=20),
    spki=st.binary(min_size=32, max_size=32),
    incarnation=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**64 - 1),
)
def test_a_request_round_trips(node_id, spki, incarnation, epoch):
    """A property over its fields."""
    request = Request(node_id, spki, incarnation, CLUSTER_ID, epoch, CHALLENGE, b"p" * 32)

    assert request == Request.decode(request.encode())


@pytest.mark.parametrize(
    "other",
    [
        {"spki": b"short"},
        {"cluster_id": b""},
        {"challenge": b"c" * 31},
        {"public_key": b"p" * 33},
        {"epoch": -1},
        {"incarnation": -1},
    ],
)
def test_a_request_with_a_part_of_another_length_is_refused(request_, other):
    """Before any rule looks at it."""
    with pytest.raises(DamagedError):
        Request.decode(msgspec.structs.replace(request_, **other).encode())


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"SRHR\x00\x01" + tail))
def test_no_bytes_crash_the_reader_of_requests(data):
    """It reads what an unproven peer sends."""
    with pytest.raises(DamagedError):
        Request.decode(data)
