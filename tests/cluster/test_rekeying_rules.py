"""The keys of a rekey on their way: who may take the root key, what a member believes, and what is wiped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cluster.errors import DamagedError, UnavailableError
from cluster.keyring import NewSeal, initialise, rekey
from cluster.keyring.seal import Unsealed, open_envelope, rotate
from cluster.keyring.unsealers.peers import HandOutRefusedError, Request
from cluster.rekeying import Giving, Rekeying
from cluster.rotation import HOPELESS_S, KEY, OFFERS_MAX, Keyrings, Offer
from cluster.state import records
from cluster.state.tables import Table
from tests.cluster.backup.backing import SystemLikeRandom

GOLDEN = Path(__file__).parents[1] / "golden" / "formats" / "keyring_offer.json"
CLUSTER_ID = b"cluster-of-tests"
CERTIFICATE = b"certificate of n2"
SPKI = b"fingerprint-of-n2".ljust(32, b"-")
CHALLENGE = b"challenge".ljust(32, b"-")
RANDOM = SystemLikeRandom(7)


def first_seal() -> NewSeal:
    return initialise(RANDOM, CLUSTER_ID, 1, seal_type="shamir", shares=1, threshold=1, peers=False)


def next_seal(former: NewSeal) -> NewSeal:
    return rekey(former.keyring, former.seal, RANDOM, 2, shares=1, threshold=1)


def unsealed_of(seal: NewSeal) -> Unsealed:
    return open_envelope(bytearray(seal.root_key), seal.envelope)


class FakeView:
    def __init__(self, *, member: records.Member | None = None) -> None:
        self.member = member

    def get(self, table: Table, _key: bytes) -> Any:
        return (1, records.encode(self.member)) if table == Table.MEMBER and self.member is not None else None


def a_leader(*, leads: bool = True, spki: bytes = SPKI, incarnation: int = 4) -> tuple[Rekeying, Any]:
    hello = SimpleNamespace(incarnation=incarnation)
    member: Any = SimpleNamespace(
        is_leader=leads, view=FakeView(member=records.Member(spki=spki)), cluster_id=CLUSTER_ID, random=RANDOM,
        links=SimpleNamespace(hellos={"n2": hello}), settings=SimpleNamespace(node_id="n1", members={"n1": 1, "n2": 1}),
    )  # fmt: skip
    return Rekeying(member), member


def request(**changed: Any) -> Request:
    fields = {
        "node_id": "n2", "spki": SPKI, "incarnation": 4, "cluster_id": CLUSTER_ID, "epoch": 2, "challenge": CHALLENGE,
        "public_key": b"p" * 32,
    }  # fmt: skip
    return Request(**(fields | changed))


def refusal(desk: Rekeying, asked: Request, *, link_spki: bytes = SPKI, peer: str = "n2") -> str | None:
    giving = Giving(next_seal(first_seal()), {"n2": 4})
    giving.challenges["n2"] = CHALLENGE
    return desk._refusal(giving, peer, asked, link_spki)


def test_who_was_offered_the_root_key_may_take_it() -> None:
    """Over its own link, in the same life, for this envelope."""
    assert refusal(a_leader()[0], request()) is None


@pytest.mark.parametrize(
    ("leader", "asked", "how", "word"),
    [
        ({"leads": False}, {}, {}, "no rekey"),
        ({}, {"node_id": "n3"}, {}, "another id"),
        ({}, {"challenge": b"x" * 32}, {}, "challenge"),
        ({}, {}, {"peer": "n3"}, "another id"),
        ({"spki": b"y" * 32}, {}, {}, "fingerprint"),
        ({"spki": b""}, {}, {}, "fingerprint"),
        ({}, {"spki": b"z" * 32}, {}, "fingerprint"),
        ({}, {}, {"link_spki": b"z" * 32}, "fingerprint"),
        ({}, {"epoch": 1}, {}, "another envelope"),
        ({}, {"cluster_id": b"c" * 16}, {}, "another envelope"),
        ({"incarnation": 5}, {}, {}, "started since"),
    ],
)
def test_nobody_else_may(leader: dict[str, Any], asked: dict[str, Any], how: dict[str, Any], word: str) -> None:
    """The twin: whoever was opened since, perhaps with old shares, gets nothing."""
    found = refusal(a_leader(**leader)[0], request(**asked), **how)

    assert found is not None
    assert word in found


async def test_a_challenge_is_good_once_and_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second request with it is refused, counted as an event, and gets no grant."""
    monkeypatch.setattr("cluster.rekeying.public_key_sha256", lambda _certificate: SPKI)
    desk, _ = a_leader()
    events: list[str] = []
    desk.on_event = lambda event, **_details: events.append(event)
    desk._giving = Giving(next_seal(first_seal()), {"n2": 4})
    desk._giving.challenges["n2"] = CHALLENGE
    body = request(public_key=bytes(range(32))).encode()
    assert await desk.take("n2", body, CERTIFICATE)
    with pytest.raises(HandOutRefusedError):
        await desk.take("n2", body, CERTIFICATE)

    assert events == ["rekey hand-out", "rekey hand-out refused"]


def test_the_root_key_is_wiped_when_the_rekey_is_over() -> None:
    """Nobody can take it any more."""
    desk, _ = a_leader()
    giving = desk._giving = Giving(next_seal(first_seal()), {})
    desk.forget()

    assert (giving.root_key, desk._giving) == (bytearray(32), None)


# ---- the member that follows
def following(seal: NewSeal) -> tuple[Keyrings, Any]:
    member: Any = SimpleNamespace(
        unsealed=unsealed_of(seal), rekeying=None, state_listeners=[], leader_id="n1", links=None
    )
    member.replica = member.running = SimpleNamespace(sealer=None)
    keyrings = Keyrings(member)
    keyrings.in_use = seal.envelope
    return keyrings, member


def record(envelope: bytes) -> bytes:
    return records.encode(records.KeyringRecord(envelope=envelope))


async def test_records_that_bring_nothing_new_change_nothing() -> None:
    """What is in use, what is older, what is no record, what is no envelope: none of it raises."""
    old = first_seal()
    new = next_seal(old)
    keyrings, member = following(new)
    sibling = rotate(old.root_key, old.keyring, old.seal, RANDOM, 3)[1]
    forged = bytearray(new.envelope)
    forged[-1] ^= 1
    for data in (record(new.envelope), record(old.envelope), record(sibling), record(b""), b"\xff", record(b"SRKR"),
                 record(bytes(forged))):  # fmt: skip
        keyrings._applied(data)

    assert not keyrings._coming
    assert (keyrings._missing, keyrings.in_use) == (b"", new.envelope)
    assert member.unsealed.keyring.active_term_id == new.keyring.active_term_id


async def test_a_record_under_a_root_key_that_is_still_to_come_is_missing_nothing() -> None:
    """A snapshot shows a rotation behind a rekey whose file is being written: both come, in their order."""
    old = first_seal()
    new = next_seal(old)
    keyrings, _ = following(old)
    written: list[bytes] = []
    never = asyncio.Event()

    async def write(envelope: bytes) -> None:
        written.append(envelope)
        await never.wait()

    keyrings._write = write  # type: ignore[method-assign]
    keyrings.keep(new.envelope, unsealed_of(new))
    keyrings._applied(record(new.envelope))
    later = rotate(new.root_key, new.keyring, new.seal, RANDOM, 3)[1]
    keyrings._applied(record(later))
    await asyncio.sleep(0)

    assert [envelope for envelope, _ in keyrings._coming] == [new.envelope, later]
    assert (written, keyrings._missing) == ([new.envelope], b"")
    keyrings.forget()


async def test_a_term_that_the_leader_does_not_show_is_damage_for_a_while() -> None:
    """It is waited for until the leader has answered; then the link that brings it is dropped, and later asked anew."""
    seal = first_seal()
    keyrings, member = following(seal)
    member.clock, member.sealed = SimpleNamespace(boot=lambda: now_s), False
    now_s = 100.0

    async def shown(_peer: str) -> bytes:
        return seal.envelope

    keyrings._shown_by = shown  # type: ignore[method-assign]
    first = keyrings.awaited()
    assert keyrings._fetching is not None
    await keyrings._fetching
    second = keyrings.awaited()
    now_s += HOPELESS_S + 1

    assert (first, second, keyrings.awaited()) == (True, False, True)
    keyrings.forget()


async def test_offers_are_bounded_and_wiped() -> None:
    """The oldest gives way; a seal leaves none."""
    seal = first_seal()
    keyrings, _ = following(seal)
    made = [next_seal(seal) for _ in range(OFFERS_MAX + 2)]
    opened = [unsealed_of(one) for one in made]
    for new, unsealed in zip(made, opened, strict=True):
        keyrings.keep(new.envelope, unsealed)
    assert [any(one.root_key) for one in opened] == [False, False, *[True] * OFFERS_MAX]
    keyrings.forget()
    assert not any(any(one.root_key) for one in opened)


async def test_a_sealed_node_keeps_no_offer() -> None:
    """It was sealed while the key was on its way."""
    seal = first_seal()
    keyrings, member = following(seal)
    member.unsealed = None
    unsealed = unsealed_of(next_seal(seal))
    with pytest.raises(UnavailableError):
        keyrings.keep(b"envelope", unsealed)

    assert not any(unsealed.root_key)


async def test_an_offer_is_taken_up_from_the_leader_alone_and_only_if_it_is_later() -> None:
    """Anybody else's, an unreadable one, one of another format, cluster or epoch: nothing is asked for."""
    seal = first_seal()
    later = next_seal(seal)
    other = initialise(RANDOM, b"another-cluster-", 1, seal_type="shamir", shares=1, threshold=1, peers=False)
    keyrings, member = following(seal)
    member.links, member.cluster_id = SimpleNamespace(), CLUSTER_ID
    good = msgspec.msgpack.encode(Offer(1, CHALLENGE, later.envelope))
    with pytest.raises(UnavailableError):
        await keyrings.offered("n3", good)
    bodies = [
        b"\x93",
        msgspec.msgpack.encode(Offer(2, CHALLENGE, later.envelope)),
        msgspec.msgpack.encode(Offer(1, CHALLENGE, other.envelope)),
        msgspec.msgpack.encode(Offer(1, CHALLENGE, rotate(seal.root_key, seal.keyring, seal.seal, RANDOM, 3)[1])),
        msgspec.msgpack.encode(Offer(1, CHALLENGE, b"no envelope")),
    ]
    for body in bodies:
        with pytest.raises(DamagedError):
            await keyrings.offered("n1", body)


def test_the_golden_offer_opens() -> None:
    """As it was first written, and as it is written today."""
    golden = {key: bytes.fromhex(value) for key, value in json.loads(GOLDEN.read_text()).items()}
    offer = msgspec.msgpack.decode(golden["offer"], type=Offer)

    assert (offer.format, offer.challenge, offer.envelope) == (1, golden["challenge"], golden["envelope"])
    assert msgspec.msgpack.encode(offer) == golden["offer"]
    assert KEY == b"keyring"
