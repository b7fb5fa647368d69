"""Strangers at the peer port of a cluster that goes on writing: refused, said once, and nobody's write notices.

Each test attacks members that hold the real thing: journals, TLS, a leader. While it does, a client writes; afterwards
the term and the leader are what they were, and the log has one line for each reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from cluster.keyring.sealing import Sealer
from cluster.links import certs, connection, wire
from cluster.links.certs import write_certificates
from cluster.links.handshake import prove
from cluster.links.messages import (
    Ack,
    Append,
    Call,
    Hello,
    Ping,
    PreVote,
    Proof,
    Reply,
    RequestVote,
    encode,
    pack_entries,
)
from cluster.seams import SystemRandom
from tests.cluster.links.site import HOST
from tests.hostile.besieged import CLUSTER_NAME, NAMES, Siege, besieged, happens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cluster import Member

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMES = 5
HALF_OPEN = 1000
NONCE = b"nonce-of-12b"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("besieged")) as siege:
        yield siege


@pytest_asyncio.fixture(loop_scope="module")
async def siege(cluster: Siege, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Siege]:
    """Nothing that a test does may move the term, the leader, or stop the writes."""
    await cluster.calm()
    caplog.clear()
    caplog.set_level(logging.WARNING, "strongroom")
    leader, term, refused = cluster.leader, cluster.term, len(cluster.refused)
    yield cluster
    await cluster.commits()
    assert (cluster.leader, cluster.term) == (leader, term)
    assert (cluster.fatal, cluster.refused[refused:]) == ([], [])


def said(caplog: pytest.LogCaptureFixture, what: str) -> int:
    """Lines of the log with these words."""
    return sum(what in record.getMessage() for record in caplog.records)


def hello(name: str, **fields: Any) -> Hello:
    values = {
        "cluster_name": CLUSTER_NAME, "link": "raft", "incarnation": 9, "nonce": b"s" * 32, "formats": [wire.FORMAT],
    } | fields  # fmt: skip
    return Hello(name, **values)


def linked(member: Member, name: str) -> object:
    """The connection on which the member hears `name`."""
    assert member.links is not None
    return member.links._standing.get((name, "raft"))


async def refused(siege: Siege, member: Member, name: str | None, *said_: Hello, folder: Path | None = None) -> None:
    """TIMES times: TLS or the member itself hangs up, and not a byte of a hello comes back."""
    for _ in range(TIMES):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            stranger = await siege.dial(member, name, folder=folder)
            for message in said_:
                stranger.say(message)
            assert await stranger.hung_up()
            assert stranger.received == []
    await siege.commits()


# ---- certificates
async def test_a_certificate_of_another_authority_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The right names under a CA of the stranger's own."""
    write_certificates(tmp_path, {"n2": [HOST]}, None, CLUSTER_NAME)
    await refused(siege, siege.members["n1"], "n2", hello("n2"), folder=tmp_path)

    assert said(caplog, "no TLS") == 1


async def test_no_certificate_at_all_is_refused(siege: Siege, caplog: pytest.LogCaptureFixture) -> None:
    """And plain bytes are no TLS either."""
    await refused(siege, siege.members["n1"], None, hello("n2"))
    before = said(caplog, "no TLS")
    for _ in range(TIMES):
        reader, writer = await asyncio.open_connection(HOST, siege.door(siege.members["n1"]).port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"n1" not in await reader.read()
        writer.close()

    assert (before, said(caplog, "no TLS")) == (1, 2)


@pytest.mark.parametrize("uri", ["https://example.org/n2", "strongroom://besieged", "strongroom://besieged/n2/n3", ""])
async def test_a_certificate_of_ours_that_names_no_node_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """Signed by the right authority for something else."""
    monkeypatch.setattr(certs, "identity_uri", lambda *_: uri or f"strongroom:{CLUSTER_NAME}/n2")
    write_certificates(tmp_path / "made", {"n2": [HOST]}, siege.certs, CLUSTER_NAME)
    await refused(siege, siege.members["n1"], "n2", hello("n2"), folder=tmp_path / "made")

    assert said(caplog, "the certificate names no node") == 1


@pytest.mark.parametrize(
    ("name", "cluster_name", "why"),
    [
        ("n9", CLUSTER_NAME, "not another member"),
        ("n1", CLUSTER_NAME, "not another member"),
        ("n2", "another", "the certificate is of another cluster"),
    ],
)
async def test_a_certificate_of_another_name_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture, tmp_path: Path, name: str, cluster_name: str, why: str
) -> None:
    """No member, the node itself, a member of another cluster of the same authority."""
    write_certificates(tmp_path / "made", {name: [HOST]}, siege.certs, cluster_name)
    await refused(
        siege, siege.members["n1"], name, hello(name, cluster_name=cluster_name), folder=tmp_path / "made"
    )

    assert said(caplog, why) == 1


# ---- the handshake
@pytest.mark.parametrize(
    ("message", "why"),
    [
        (hello("n3"), "an id that its certificate does not have"),
        (hello("n2", cluster_name="another"), "belongs to another cluster"),
        (hello("n2", formats=[wire.FORMAT + 1]), "does not read this format"),
        (hello("n2", link="admin"), "the hello is not whole"),
        (hello("n2", nonce=b""), "the hello is not whole"),
        (Ping(1), "the first message is not a hello"),
        (RequestVote(1 << 40, 1 << 40, 1 << 40), "the first message is not a hello"),
    ],
    ids=["another id", "another cluster", "another format", "another kind", "no nonce", "no hello", "a vote"],
)
async def test_a_hello_that_does_not_fit_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture, message: Any, why: str
) -> None:
    """With a member's own certificate, from its own machine."""
    genuine = linked(siege.members["n1"], "n2")
    await refused(siege, siege.members["n1"], "n2", message)

    assert said(caplog, why) == 1
    assert linked(siege.members["n1"], "n2") is genuine


@pytest.mark.parametrize("key", [b"x" * 32, b""], ids=["wrong", "empty"])
async def test_a_wrong_proof_of_the_keyring_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture, key: bytes
) -> None:
    """A stolen certificate does not take the place of its owner."""
    genuine = linked(siege.leader, name := siege.followers[0].settings.node_id)
    for _ in range(TIMES):
        stranger = await siege.dial(siege.leader, name)
        await stranger.shake(name, link="raft", **siege.said(name, key=key))
        assert await stranger.hung_up()
    await siege.commits()

    assert said(caplog, "does not hold this cluster's keys") == 1
    assert linked(siege.leader, name) is genuine


@pytest.mark.parametrize("link", ["raft", "bulk"])
async def test_no_proof_of_the_keyring_ends_no_link_that_has_one(
    siege: Siege, caplog: pytest.LogCaptureFixture, link: str
) -> None:
    """A node without keys may ask to be opened, but not instead of a member that is open and there."""
    name = siege.followers[0].settings.node_id
    assert siege.leader.links is not None
    genuine = siege.leader.links._standing[name, link]
    for _ in range(TIMES):
        stranger = await siege.dial(siege.leader, name)
        await stranger.shake(name, link=link, **siege.said(name, key=None))
        assert await stranger.hung_up()
    await siege.commits()

    assert said(caplog, "does not prove the keys") == 1
    assert siege.leader.links._standing[name, link] is genuine


async def test_a_hello_and_a_proof_that_were_recorded_convince_nobody(
    siege: Siege, caplog: pytest.LogCaptureFixture
) -> None:
    """The very bytes of a genuine handshake, with the genuine certificate: the listener's nonce is another one."""
    genuine: Any = linked(siege.leader, name := siege.followers[0].settings.node_id)
    proof = prove(siege.leader._identity().link_mac, genuine._theirs, genuine._mine)
    for _ in range(TIMES):
        stranger = await siege.dial(siege.leader, name)
        stranger.say_bytes(b"".join(wire.frames(genuine._theirs.hello, data_lane=False)))
        stranger.say(Proof(proof))
        assert await stranger.hung_up()
    await siege.commits()

    assert said(caplog, "does not hold this cluster's keys") == 1
    assert linked(siege.leader, name) is genuine


async def test_a_member_is_not_convinced_by_its_own_words(siege: Siege, caplog: pytest.LogCaptureFixture) -> None:
    """Its hello and proof sent back: another id, and another direction."""
    name = siege.followers[0].settings.node_id
    for _ in range(TIMES):
        stranger = await siege.dial(siege.leader, name)
        stranger.say(hello(name, **{k: v for k, v in siege.said(name).items() if k != "key"}))
        assert isinstance(await stranger.hear(), Hello)
        echoed = await stranger.hear()
        assert isinstance(echoed, Proof)
        stranger.say(echoed)
        assert await stranger.hung_up()

    assert said(caplog, "does not hold this cluster's keys") == 1


async def test_another_generation_with_the_right_key_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture
) -> None:
    """A member of the cluster that this one was restored from."""
    name = siege.followers[0].settings.node_id
    for _ in range(TIMES):
        stranger = await siege.dial(siege.leader, name)
        await stranger.shake(name, link="raft", **siege.said(name, generation=b"another"))
        assert await stranger.hung_up()

    assert said(caplog, "another generation") == 1


async def test_the_word_of_an_old_life_does_not_count(siege: Siege) -> None:
    """A member's former life, with all its keys, acknowledges what nobody has: nothing commits by it."""
    follower = siege.followers[0]
    name, leader = follower.settings.node_id, siege.leader.running
    old_life = follower.running.log.incarnation - 1
    stranger = await siege.proven(siege.leader, name, incarnation=old_life)
    far = leader.log.last_index + 1_000_000
    heard = leader.progress[name]
    stranger.say(Ack(leader.term, leader.round, old_life, True, far, 0, far))
    stranger.say(PreVote(leader.term, far, leader.term))
    await siege.commits()

    assert heard.durable <= leader.log.last_index
    assert leader.commit_index <= leader.log.last_index
    assert heard.incarnation > old_life


# ---- what is too much
@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\x00",
        (wire.PAYLOAD_BYTES_MAX + 2).to_bytes(4) + b"\x00",
        bytes(5),
        wire.frames(bytes(wire.PAYLOAD_BYTES_MAX + 1), data_lane=True)[0] * 2,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["4 GiB", "one too many", "nothing", "two frames before the hello", "TLS in TLS"],
)
async def test_an_impossible_frame_before_the_hello_is_refused(
    siege: Siege, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    """At its head: nothing is kept for what it announces."""
    for _ in range(TIMES):
        stranger = await siege.dial(siege.members["n1"], "n2")
        stranger.say_bytes(data)
        assert await stranger.hung_up()

    assert said(caplog, "a frame's head cannot be") + said(caplog, "a message is too long") == 1


async def test_a_message_over_the_bound_ends_a_proven_link(siege: Siege, caplog: pytest.LogCaptureFixture) -> None:
    """Eight megabytes and one frame, in frames that are each allowed."""
    follower = siege.followers[0].settings.node_id
    stranger = await siege.proven(siege.leader, follower, link="bulk")
    frame = wire._HEAD.pack(wire.PAYLOAD_BYTES_MAX + 1, wire.MORE | wire.DATA_LANE) + bytes(wire.PAYLOAD_BYTES_MAX)
    for _ in range(wire.MESSAGE_BYTES_MAX // wire.PAYLOAD_BYTES_MAX + 1):
        stranger.say_bytes(frame)
        await asyncio.sleep(0)

    assert await stranger.hung_up()
    await happens(lambda: said(caplog, "a message is too long") == 1)


@pytest.mark.parametrize("where", ["TLS", "hello", "proof"])
async def test_a_handshake_that_dribbles_is_closed_in_time(
    siege: Siege, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A byte now and then keeps nobody's place; the bound is shortened here."""
    member = siege.members["n1"]
    assert member.links is not None
    monkeypatch.setattr(member.links.listener, "_handshake_s", 0.4)
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.4)
    if where == "TLS":
        reader, writer = await asyncio.open_connection(HOST, siege.door(member).port)
        words = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    else:
        stranger = await siege.dial(member, "n2")
        reader, writer = stranger.reader, stranger.writer
        words = b"".join(wire.frames(encode(hello("n2", version="v" * 500)), data_lane=False))
        if where == "proof":
            stranger.say_bytes(words)
            words = b"".join(wire.frames(encode(Proof(b"p" * 500)), data_lane=False))

    async def dribble() -> None:
        for byte in words[:-1]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    dribbling = asyncio.get_running_loop().create_task(dribble())
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        async with asyncio.timeout(10.0):
            while await reader.read(4096):
                pass
    dribbling.cancel()
    writer.close()

    assert said(caplog, "no TLS" if where == "TLS" else "the handshake took too long") == 1


async def test_a_thousand_half_open_connections_keep_nobody_out(
    siege: Siege, caplog: pytest.LogCaptureFixture
) -> None:
    """They are bounded, the oldest go, and members that lose their links meanwhile find each other again."""
    member = siege.members["n1"]
    assert member.links is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * HALF_OPEN)), hard))
    sockets: list[socket.socket] = []
    most = 0
    try:
        for number in range(HALF_OPEN):
            sock = socket.socket()
            sock.setblocking(False)
            sockets.append(sock)
            with contextlib.suppress(BlockingIOError):
                sock.connect((HOST, siege.door(member).port))
            if number % 20 == 0:
                await asyncio.sleep(0.005)
            most = max(most, member.links.listener.strangers)
        await siege.commits()
        for name in ("n2", "n3"):
            for kind in ("raft", "bulk"):
                member.links._standing[name, kind].close()
                await happens(lambda name=name, kind=kind: (name, kind) in member.links._standing)  # type: ignore[union-attr]
        await siege.commits()
        strangers, limit = member.links.listener.strangers, member.links.listener.strangers_max
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await happens(lambda: member.links is not None and member.links.listener.strangers == 0)

    assert (most, strangers <= limit) == (limit, True)
    assert said(caplog, "too many connections have not said who they are") == 1


# ---- members that turned hostile
UNKNOWN = [
    ("an unknown kind", msgspec.msgpack.encode([99, 1])),
    ("a map", b"\x80"),
    ("text for a number", msgspec.msgpack.encode([2, "x", True])),
    ("a thousand arrays", b"\x91" * 1000),
    ("nothing", b""),
    ("a negative term", msgspec.msgpack.encode([1, -1, 0, 0])),
    ("a second hello", encode(hello("n2"))),
    ("a call on the raft link", encode(Call(1, "state", b""))),
]


@pytest.mark.parametrize(("what", "message"), UNKNOWN, ids=[what for what, _ in UNKNOWN])
async def test_a_message_of_no_known_form_ends_the_link_and_no_more(
    siege: Siege, caplog: pytest.LogCaptureFixture, what: str, message: bytes
) -> None:
    """From a member that holds everything; its genuine self comes back."""
    name = siege.followers[0].settings.node_id
    for _ in range(2):
        stranger = await siege.proven(siege.leader, name)
        stranger.say_bytes(b"".join(wire.frames(message, data_lane=False)))
        assert await stranger.hung_up(), what
    await siege.commits()

    assert said(caplog, f"link to {name} closed") == 1


async def test_what_an_older_connection_says_is_not_heard(siege: Siege) -> None:
    """A newer one of the same member stands: the older is closed, and nothing of it is processed."""
    name = siege.followers[0].settings.node_id
    old = await siege.proven(siege.leader, name)
    heard: list[object] = []
    receive = siege.leader.running.receive
    siege.leader.running.receive = lambda peer, message: (heard.append(message), receive(peer, message))[1]  # type: ignore[method-assign]
    try:
        new = await siege.proven(siege.leader, name)
        old.say(PreVote(0, 7, 7))
        new.say(PreVote(0, 8, 8))
        await happens(lambda: PreVote(0, 8, 8) in heard)
        assert await old.hung_up()
    finally:
        siege.leader.running.receive = receive  # type: ignore[method-assign]

    assert PreVote(0, 7, 7) not in heard


async def test_an_answer_to_a_question_that_was_put_to_another_is_not_taken(siege: Siege) -> None:
    """Numbers of calls can be guessed; who was asked cannot."""
    asker, asked, liar = siege.members["n1"], siege.members["n2"], "n3"
    assert asker.links is not None
    stranger = await siege.proven(asker, liar, link="bulk")
    calls = asker.links._calls
    task = asyncio.get_running_loop().create_task(asker.links.call("n2", "state", b"", 5.0))
    await asyncio.sleep(0)
    stranger.say(Reply(calls._id, b"a lie"), data_lane=True)

    assert msgspec.msgpack.decode(await task)[0] == asked.state_word


def poison(siege: Siege, kind: str) -> bytes:
    """Entries that no follower may acknowledge."""
    leader = siege.leader.running
    sealed = {"kind": 0, "term": leader.term, "sequence": 1, "hashes": (), "nonce": NONCE}
    good = leader.sealer.seal_entry(**sealed, payload=msgspec.msgpack.encode([leader.term, 1, 1, [], [], []]))
    other = Sealer(siege.leader.unsealed.keyring, SystemRandom(), b"another generation")  # type: ignore[union-attr]
    return {
        "a changed bit": good[:-1] + bytes([good[-1] ^ 1]),
        "cut": good[:40],
        "an unknown kind": b"\x07" + good[1:],
        "a long no-op": b"\x01" + good[1:],
        "empty": b"",
        "no transaction": leader.sealer.seal_entry(**sealed, payload=b"\xc1"),
        "of deep arrays": leader.sealer.seal_entry(**sealed, payload=b"\x91" * 50_000),
        "of another term": leader.sealer.seal_entry(
            **sealed | {"term": leader.term - 1}, payload=msgspec.msgpack.encode([leader.term, 1, 1, [], [], []])
        ),
        "of another generation": other.seal_entry(**sealed, payload=b""),
    }[kind]


KINDS = (
    "a changed bit", "cut", "an unknown kind", "a long no-op", "empty", "no transaction", "of deep arrays",
    "of another term", "of another generation",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_a_poison_entry_touches_no_log(siege: Siege, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """In the leader's name and term, behind the follower's last entry: the link is dropped and counted, no more."""
    follower = siege.followers[0]
    log, before = follower.running.log, follower.running.damaged_entries
    entry = poison(siege, kind)
    stranger = await siege.proven(follower, siege.leader.settings.node_id)
    last = log.last_index
    entries = pack_entries([(siege.leader.running.term, entry)])
    stranger.say(
        Append(siege.leader.running.term, 1, last, last, log.last_term, log.incarnation, entries), data_lane=True
    )
    assert await stranger.hung_up()
    await siege.commits()

    assert follower.running.damaged_entries == before + 1
    assert said(caplog, "an entry from the leader does not open") == 1
    assert entry not in [command for command, _, _ in log._entries]


# ---- the leader itself: the last test, because the term does change
async def test_a_poison_entry_of_the_leader_never_commits(cluster: Siege) -> None:
    """Nobody acknowledges it, so its leader is deposed, and the cluster goes on without the entry."""
    await cluster.calm()
    leader, term = cluster.leader, cluster.term
    entry = b"\0" * 80
    index = leader.running.append_entry(entry)
    await happens(lambda: not leader.is_leader)
    await happens(lambda: any(member.is_leader for member in cluster.members.values()))
    await cluster.commits(20)
    await happens(lambda: leader.running.applied_index > index)

    assert cluster.term > term
    assert cluster.fatal == []
    assert {
        name: entry in [command for command, _, _ in cluster.members[name].running.log._entries] for name in NAMES
    } == dict.fromkeys(NAMES, False)
