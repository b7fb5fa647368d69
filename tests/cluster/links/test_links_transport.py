"""Links on loopback, with real certificates: who is let in, what an unproven link serves, what breaks a link."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cluster.errors import DamagedError, NotLeaderError, UnavailableError
from cluster.links import wire
from cluster.links.calls import CALLS_MAX
from cluster.links.certs import write_certificates
from cluster.links.connection import CALLS_SILENCE_S
from cluster.links.messages import (
    Append,
    Call,
    Hello,
    Ping,
    PreVote,
    Proof,
    Reply,
    SnapshotPart,
    TimeoutNow,
    encode,
    pack_entries,
)
from cluster.links.transport import CallError, NotSentError
from tests.cluster.links.site import WAIT_S, Stranger, happens, sites

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("certs")
    write_certificates(out, {name: ["127.0.0.1"] for name in ("n1", "n2", "n3", "n9")}, None, "c")
    return out


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("other")
    write_certificates(out, {"n2": []}, None, "c")
    return out


@pytest.fixture(scope="module")
def other_cluster(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Path:
    out = tmp_path_factory.mktemp("cluster")
    write_certificates(out, {"n2": []}, certs, "another")
    (out / "ca.pem").write_bytes((certs / "ca.pem").read_bytes())
    return out


# ---- members among themselves
async def test_two_members_prove_each_other_and_talk(certs: Path) -> None:
    """T2: connected when the raft link is proven; messages arrive as they were sent."""
    async with sites(certs, "n1", "n2") as (n1, n2):
        await n1.until(lambda: n1.events)
        await n2.until(lambda: n2.events)
        assert n2.links.send("n1", TimeoutNow(7)) is True
        await n1.until(lambda: n1.heard)

        assert (n1.events, n2.events) == ([("up", "n2")], [("up", "n1")])
        assert n1.heard == [("n2", TimeoutNow(7))]
        assert n1.links.hellos["n2"].incarnation == 3


async def test_a_member_without_keys_gets_links_that_are_not_proven(certs: Path) -> None:
    """They stand for init, join and unseal; no Raft message leaves over them."""
    async with sites(certs, "n1", "n2", n2_key=None) as (n1, n2):
        await n2.until(lambda: n2.links.standing("n1"))

        assert n2.links.send("n1", TimeoutNow(7)) is False
        assert await n2.links.call("n1", "state", b"?", 5.0) == b"?"
        assert n1.asked == [("n2", False, "state", b"?")]
        assert (n1.events, n2.events) == ([], [])


async def test_a_secret_never_leaves_over_an_unproven_link(certs: Path) -> None:
    """A forwarded request holds a token: the other end must have proven the keys."""
    async with sites(certs, "n1", "n2", n1_key=None) as (n1, n2):
        await n2.until(lambda: n2.links.standing("n1"))

        with pytest.raises(NotSentError):
            await n2.links.call("n1", "forward", b"token", 5.0)
        assert n1.asked == []


async def test_members_with_different_keys_never_stand(certs: Path) -> None:
    """Both can prove something, and not to each other."""
    async with sites(certs, "n1", "n2", n2_key=b"x" * 32) as (n1, _n2):
        stranger = await Stranger.dial(n1, certs, "n3")
        await stranger.shake("n3")  # time for n2 to have tried

        assert ("up", "n2") not in n1.events
        assert n1.links.standing("n2") is False


# ---- strangers
async def test_plain_tcp_gets_nothing(certs: Path) -> None:
    """No TLS, no answer."""
    async with sites(certs, "n1") as (n1,):
        reader, writer = await asyncio.open_connection("127.0.0.1", n1.port)
        writer.write(b"".join(wire.frames(encode(Hello("n2", "c", "raft", 1, b"n" * 32, [1])), data_lane=False)))
        said = await reader.read()
        writer.close()

        assert b"n1" not in said
        assert n1.links.connections == set()


@pytest.mark.parametrize("who", ["no certificate", "another CA"])
async def test_tls_without_a_certificate_of_ours_gets_nothing(certs: Path, other_ca: Path, who: str) -> None:
    """The site hangs up before its hello."""
    async with sites(certs, "n1") as (n1,):
        try:
            folder, name = (certs, None) if who == "no certificate" else (other_ca, "n2")
            stranger = await Stranger.dial(n1, folder, name, ca=certs)
            stranger.say(Hello("n2", "c", "raft", 1, b"n" * 32, [1]))
            assert await stranger.hung_up()
        except (ConnectionError, ssl.SSLError):
            pass

        assert (n1.heard, n1.events) == ([], [])


async def test_a_certificate_of_another_cluster_gets_nothing(certs: Path, other_cluster: Path) -> None:
    """The same CA may serve several."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, other_cluster, "n2")
        stranger.say(Hello("n2", "c", "raft", 1, b"n" * 32, [1]))

        assert await stranger.hung_up()


@pytest.mark.parametrize(
    ("certificate", "claimed", "fields"),
    [
        ("n2", "n3", {}),
        ("n1", "n1", {}),
        ("n9", "n9", {}),
        ("n2", "n2", {"cluster_name": "d"}),
        ("n2", "n2", {"formats": [7]}),
        ("n2", "n2", {"link": "admin"}),
        ("n2", "n2", {"nonce": b"short"}),
    ],
    ids=["another id", "our own id", "no member", "another cluster name", "another format", "another kind", "nonce"],
)
async def test_a_hello_that_does_not_fit_drops_the_link(
    certs: Path, certificate: str, claimed: str, fields: dict[str, Any]
) -> None:
    """Before the site proves anything."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, certificate)
        values = {"cluster_name": "c", "link": "raft", "incarnation": 1, "nonce": b"n" * 32, "formats": [1]} | fields
        stranger.say(Hello(claimed, **values))

        assert await stranger.hung_up()
        assert stranger.received == []


async def test_a_wrong_link_key_drops_the_link(certs: Path) -> None:
    """A certificate opens a link, not a conversation."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft", key=b"x" * 32)

        assert await stranger.hung_up()
        assert n1.events == []


async def test_another_generation_with_the_same_key_drops_the_link(certs: Path) -> None:
    """A restored cluster may have kept the key; its twin: the same generation stands."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft", generation=b"restored")
        assert await stranger.hung_up()
        before = list(n1.events)
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        await n1.until(lambda: n1.events)

        assert (before, n1.events[:1]) == ([], [("up", "n2")])


# ---- an unproven link
@pytest.mark.parametrize("method", ["init.promise", "init.store", "init.final", "state", "envelope", "peers.ask"])
async def test_an_unproven_link_serves_these_calls(certs: Path, method: str) -> None:
    """T4."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", key=None)
        stranger.say(Call(1, method, b"body"), data_lane=True)

        assert await stranger.hear() == Reply(1, b"body")


@pytest.mark.parametrize("method", ["forward", "audit", "", "state ", "STATE"])
async def test_an_unproven_link_serves_no_other_call(certs: Path, method: str) -> None:
    """T4; the handler is not even asked."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", key=None)
        stranger.say(Call(1, method, b"body"), data_lane=True)

        assert await stranger.hear() == Reply(1, b"", "unproven")
        assert n1.asked == []


async def test_a_raft_message_over_an_unproven_link_drops_it(certs: Path) -> None:
    """And is not heard."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft", key=None)
        stranger.say(PreVote(1, 1, 1))

        assert await stranger.hung_up()
        assert n1.heard == []


# ---- nonsense over a proven link
NONSENSE = [
    ("pickle", b"\x80\x04\x95\x0b\x00\x00\x00"),
    ("an oversize frame", b"\xff\xff\xff\xff\x00"),
    ("an unknown kind", b"".join(wire.frames(msgspec.msgpack.encode([99, 1]), data_lane=False))),
    ("an unknown field type", b"".join(wire.frames(msgspec.msgpack.encode([2, "x", 1]), data_lane=False))),
    ("a second hello", b"".join(wire.frames(encode(Hello("n2", "c", "raft", 1, b"n" * 32, [1])), data_lane=False))),
    ("a second proof", b"".join(wire.frames(encode(Proof(b"p" * 32)), data_lane=False))),
    ("a call over the raft link", b"".join(wire.frames(encode(Call(1, "state", b"")), data_lane=True))),
    ("a snapshot part over the raft link",
     b"".join(wire.frames(encode(SnapshotPart(1, 1, b"i", 1, 1, 9, 0, b"d")), data_lane=True))),
]  # fmt: skip


@pytest.mark.parametrize(("why", "data"), NONSENSE, ids=[why for why, _ in NONSENSE])
async def test_nonsense_drops_a_proven_link_and_the_member_hears_of_it(certs: Path, why: str, data: bytes) -> None:
    """T2: what came before it was heard, nothing after it is."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        good = b"".join(wire.frames(encode(PreVote(1, 1, 1)), data_lane=False))
        stranger.say_bytes(good + data + good)
        assert await stranger.hung_up(), why
        await n1.until(lambda: ("down", "n2") in n1.events)

        assert n1.heard == [("n2", PreVote(1, 1, 1))]


async def test_a_raft_message_over_the_bulk_link_drops_it(certs: Path) -> None:
    """Each kind carries its own; its twin: a snapshot part is heard."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2")
        part = SnapshotPart(1, 1, b"i", 1, 1, 9, 0, b"d")
        stranger.say(part, data_lane=True)
        stranger.say(PreVote(1, 1, 1))

        assert await stranger.hung_up()
        assert n1.heard == [("n2", part)]


async def test_a_message_that_the_member_finds_damaged_drops_the_link(certs: Path) -> None:
    """An entry that does not open says that something is wrong with the other end."""
    async with sites(certs, "n1") as (n1,):

        def damaged(_peer: str, _message: object) -> None:
            raise DamagedError("an entry from the leader does not open")

        n1.links._on_message = damaged
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        stranger.say(PreVote(1, 1, 1))

        assert await stranger.hung_up()


# ---- T1
async def test_a_newer_connection_replaces_the_older(certs: Path) -> None:
    """The old one is closed, in order: down, up; nothing of it is heard any more."""
    async with sites(certs, "n1") as (n1,):
        old = await Stranger.dial(n1, certs, "n2")
        await old.shake("n2", link="raft")
        await n1.until(lambda: n1.events)
        new = await Stranger.dial(n1, certs, "n2")
        await new.shake("n2", link="raft")
        assert await old.hung_up()
        old.say(PreVote(1, 1, 1))
        new.say(PreVote(2, 2, 2))
        await n1.until(lambda: n1.heard)

        assert n1.events[:3] == [("up", "n2"), ("down", "n2"), ("up", "n2")]
        assert n1.heard == [("n2", PreVote(2, 2, 2))]


async def test_bytes_of_a_connection_that_was_closed_meanwhile_are_not_processed(certs: Path) -> None:
    """Several messages may come with one read; the first may close the connection."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        await n1.until(lambda: n1.events)
        connection = next(iter(n1.links.connections))
        n1.links._on_message = lambda peer, message: (n1.heard.append((peer, message)), connection.close())[0]
        connection.data_received(b"".join(wire.frames(encode(PreVote(1, 1, 1)), data_lane=False)) * 2)

        assert len(n1.heard) == 1


# ---- lanes and bounds
async def test_two_lanes_keep_their_order_and_heartbeats_overtake_entries(certs: Path) -> None:
    """Entries in order, heartbeats in order, and no heartbeat behind all the entries."""
    async with sites(certs, "n1", "n2") as (n1, n2):
        await n2.until(lambda: n2.events)
        big = pack_entries([(1, b"x" * 200_000)])
        for number in range(40):
            assert n2.links.send("n1", Append(1, number, 0, 0, 0, 1, big))
        for number in range(5):
            assert n2.links.send("n1", PreVote(number, 0, 0))
        await n1.until(lambda: len(n1.heard) == 45)
        order = [message for _, message in n1.heard]
        rounds = [message.round for message in order if isinstance(message, Append)]
        votes = [message.term for message in order if isinstance(message, PreVote)]

        assert (rounds, votes) == (list(range(40)), list(range(5)))
        assert not isinstance(order[-1], PreVote)


async def test_what_waits_for_a_peer_that_does_not_read_is_bounded_and_heartbeats_still_fit(certs: Path) -> None:
    """T3: `send` says no; the control lane has room of its own."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        await n1.until(lambda: n1.events)
        stranger.writer.transport.pause_reading()  # type: ignore[attr-defined]
        big = Append(1, 1, 0, 0, 0, 1, pack_entries([(1, b"x" * 1_000_000)]))
        sent = 0
        while n1.links.send("n2", big):
            sent += 1
            assert sent < 100
        heartbeat = n1.links.send("n2", PreVote(1, 1, 1))
        votes = 0
        while n1.links.send("n2", PreVote(1, 1, 1)):
            votes += 1
            assert votes < 200_000

        assert (heartbeat, votes > 0) == (True, True)


async def test_silence_closes_and_so_does_a_handshake_that_takes_too_long(certs: Path) -> None:
    """T5: by the own clock; a talker in time stays."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        await Stranger.dial(n1, certs, "n3")  # and says nothing
        await happens(lambda: len(n1.links.connections) == 2 and n1.events)
        connections = {connection.standing: connection for connection in n1.links.connections}
        now = n1.links.clock.boot()
        connections[False].heard_s = now + 5.0  # it trickles bytes and never says hello
        verdicts = [connections[standing].overdue(now + late) for standing in (True, False) for late in (4.0, 6.0)]

        assert verdicts == [None, "silence", None, "the handshake took too long"]


async def test_the_watch_closes_what_is_overdue(certs: Path) -> None:
    """Within a ping's time."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        await n1.until(lambda: n1.events)
        for connection in n1.links.connections:
            connection.heard_s -= 60.0

        assert await stranger.hung_up()


async def test_pings_carry_the_wall_clock(certs: Path) -> None:
    """The difference is known to a fraction of a second on loopback."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2", link="raft")
        stranger.say(Ping(n1.links.clock.wall_ns() + 5_000_000_000))
        stranger.say(PreVote(1, 1, 1))
        await n1.until(lambda: n1.heard)

        assert abs(n1.links.skew_ns["n2"] - 5_000_000_000) < 1_000_000_000


# ---- calls
async def test_failures_come_back_as_their_names(certs: Path) -> None:
    """Ours by type, a mistake as `internal`, never with its text."""
    async with sites(certs, "n1", "n2") as (n1, n2):
        await n2.until(lambda: n2.links.standing("n1"))

        def fails(call: Call) -> bytes:
            raise {"ours": NotLeaderError("n3"), "theirs": CallError("refused", b"why"), "mistake": KeyError("secret")}[
                call.method
            ]

        n1.answer = fails
        seen = []
        for method in ("ours", "theirs", "mistake"):
            with pytest.raises(CallError) as refused:
                await n2.links.call("n1", method, b"", 5.0)
            seen.append((refused.value.error, refused.value.detail))

        assert seen == [("NotLeaderError", b""), ("refused", b"why"), ("internal", b"")]


async def test_an_answer_that_is_too_long_says_so(certs: Path) -> None:
    """The asker does not wait for its deadline."""
    async with sites(certs, "n1", "n2") as (n1, n2):
        await n2.until(lambda: n2.links.standing("n1"))
        n1.answer = lambda _call: b"x" * (wire.MESSAGE_BYTES_MAX + 1)

        with pytest.raises(CallError, match="OversizeError"):
            await n2.links.call("n1", "forward", b"", 5.0)


async def test_a_link_that_breaks_fails_what_waits_for_its_answers(certs: Path) -> None:
    """At once; whether the peer acted is not known."""
    async with sites(certs, "n1", "n2") as (n1, n2):
        await n2.until(lambda: n2.links.standing("n1"))

        async def never(_call: Call) -> bytes:
            n1.links.drop_all()
            await asyncio.Event().wait()
            return b""

        n1.answer = never
        with pytest.raises(UnavailableError, match="broke") as lost:
            await n2.links.call("n1", "forward", b"", 60.0)
        assert not isinstance(lost.value, NotSentError)


async def test_a_peer_that_falls_silent_fails_what_waits_for_its_answers(certs: Path) -> None:
    """K6: a host that died resets no connection. Whether it acted is not known; the link has its own time."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2")
        await n1.until(lambda: n1.links.standing("n2"))
        asked = asyncio.ensure_future(n1.links.call("n2", "forward", b"", 60.0))
        while not isinstance(await stranger.hear(), Call):
            pass
        (connection,) = n1.links.connections
        connection.heard_s -= CALLS_SILENCE_S
        with pytest.raises(UnavailableError, match="silent") as lost:
            await asyncio.wait_for(asked, WAIT_S)
        with pytest.raises(NotSentError, match="silent"):
            await n1.links.call("n2", "forward", b"", 60.0)

        assert not isinstance(lost.value, NotSentError)
        assert n1.links.standing("n2")


async def test_a_peer_that_is_heard_is_waited_for(certs: Path) -> None:
    """The twin: pings are enough, however long the answer takes."""
    async with sites(certs, "n1") as (n1,):
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2")
        await n1.until(lambda: n1.links.standing("n2"))
        asked = asyncio.ensure_future(n1.links.call("n2", "forward", b"", 60.0))
        pings = 0
        while pings < 4:  # more than CALLS_SILENCE_S
            heard = await stranger.hear()
            pings += isinstance(heard, Ping)
            if isinstance(heard, Call):
                call_id = heard.id
            stranger.say(Ping(1))
        stranger.say(Reply(call_id, b"late"), data_lane=True)

        assert await asyncio.wait_for(asked, WAIT_S) == b"late"


async def test_a_peer_that_does_not_answer_is_given_up_at_the_deadline(certs: Path) -> None:
    """The caller's own."""
    async with sites(certs, "n1", "n2") as (n1, n2):
        await n2.until(lambda: n2.links.standing("n1"))

        async def never(_call: Call) -> bytes:
            await asyncio.Event().wait()
            return b""

        n1.answer = never
        with pytest.raises(UnavailableError, match="in time"):
            await n2.links.call("n1", "forward", b"", 0.05)


async def test_a_call_without_a_link_never_left(certs: Path) -> None:
    """NotSentError: nothing happened at the peer."""
    async with sites(certs, "n1") as (n1,):
        with pytest.raises(NotSentError):
            await n1.links.call("n2", "forward", b"", 1.0)


async def test_calls_of_a_peer_are_bounded(certs: Path) -> None:
    """Also when they arrive all at once; the rest hears `overloaded`."""
    async with sites(certs, "n1") as (n1,):
        release = asyncio.Event()

        async def wait(_call: Call) -> bytes:
            await release.wait()
            return b"done"

        n1.answer = wait
        stranger = await Stranger.dial(n1, certs, "n2")
        await stranger.shake("n2")
        for number in range(CALLS_MAX + 5):
            stranger.say(Call(number, "forward", b""), data_lane=True)
        refused = [await stranger.hear() for _ in range(5)]
        release.set()
        served = [await stranger.hear() for _ in range(3)]

        assert {reply.error for reply in refused if isinstance(reply, Reply)} == {"overloaded"}
        assert {reply.body for reply in served if isinstance(reply, Reply)} == {b"done"}
