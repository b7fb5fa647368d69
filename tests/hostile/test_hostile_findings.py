"""What hostile peers and files once did to a node, one test for each; the twin of each stands beside it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import uvloop

from cluster.coordinator import find_cluster, read_envelope_answer
from cluster.errors import DamagedError, UnknownOutcomeError
from cluster.files import BOOTSTRAP, MAGIC, Bootstrap, read_bootstrap
from cluster.initialise import Store
from cluster.journal import snapshot_file
from cluster.journal.ballot import Ballot, decode_ballot, encode_ballot
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.keyring.envelope import read_seal
from cluster.links import messages, refusals, wire
from cluster.links.calls import CallError
from cluster.links.certs import write_certificates
from cluster.links.messages import Call, Hello, encode
from cluster.links.refusals import AGAIN_S, KNOWN_MAX, OTHERS, Refusals
from cluster.salts import follow_salts
from cluster.state import records
from cluster.state.tables import Table
from node.cluster_seal import CLUSTER_SEAL, ClusterSeal
from node.forward import BAD_FRAME, Forwarder
from tests.cluster.links.site import HOST, sites, turns
from tests.cluster.test_member import a_member, running
from tests.hostile.targets_files import MemoryDisk, golden
from tests.hostile.targets_links import an_envelope_answer, frame_of_a_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster.state.view import View

DEEP = b"\x91" * 5000


# ---- frames
@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "of a byte"])
def test_frames_that_never_end_a_message_cost_what_they_carry(payload: bytes) -> None:
    """An endless row of small frames, each with another to follow: they were kept one by one, empty ones for ever."""
    frame = wire._HEAD.pack(len(payload) + 1, wire.MORE) + payload
    reader = wire.Reader()
    tracemalloc.start()
    try:
        for _ in range(4):
            assert list(reader.feed(frame * 5000)) == []
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size < 2 * 20_000 * len(payload) + 50_000
    last = wire._HEAD.pack(1, 0)
    assert list(reader.feed(last)) == [payload * 20_000]


def test_a_reader_has_a_bound_of_its_own() -> None:
    """Before the handshake is over it is one frame; its twin: exactly the bound is read."""
    reader = wire.Reader(wire.PAYLOAD_BYTES_MAX)
    assert [len(one) for one in reader.feed(b"".join(wire.frames(bytes(wire.PAYLOAD_BYTES_MAX), data_lane=True)))] == [
        wire.PAYLOAD_BYTES_MAX
    ]
    with pytest.raises(DamagedError):
        list(reader.feed(b"".join(wire.frames(bytes(wire.PAYLOAD_BYTES_MAX + 1), data_lane=True))))


# ---- messages
NUMBERS = [
    (kind, at)
    for kind in messages.AnyMessage.__args__  # type: ignore[attr-defined]
    for at, field in enumerate(msgspec.structs.fields(kind), 1)
    if field.type is messages.Natural
]


@pytest.mark.parametrize("number", [-1, -(1 << 63), 1 << 63, (1 << 64) - 1])
def test_a_number_that_the_journal_could_not_hold_is_no_message(number: int) -> None:
    """It used to be heard, and ended the node where it was written down, or said with one added."""
    heard = []
    for kind, at in NUMBERS:
        good = bytes.fromhex(golden("link_messages")["messages"][kind.__name__])  # type: ignore[index]
        values = msgspec.msgpack.decode(good)
        assert isinstance(messages.decode(good), kind)
        values[at] = number
        try:
            heard.append(messages.decode(msgspec.msgpack.encode(values)))
        except msgspec.ValidationError:
            continue

    assert heard == []
    assert len(NUMBERS) > 40


def test_only_wall_clocks_may_be_negative() -> None:
    """Every other number of every message is bounded; a new field is thought about here."""
    free = [
        f"{kind.__name__}.{field.name}"
        for kind in messages.AnyMessage.__args__  # type: ignore[attr-defined]
        for field in msgspec.structs.fields(kind)
        if field.type is int
    ]

    assert free == ["Ping.wall_ns"]


@pytest.mark.parametrize("term", [-1, 1 << 63])
def test_an_entry_of_an_impossible_term_is_none(term: int) -> None:
    """A no-op is sealed by nobody: its term is believed as it comes. The twin is any term that there can be."""
    assert messages.unpack_entries(messages.pack_entries([(7, b"\x01")])) == [(7, b"\x01")]
    with pytest.raises(msgspec.ValidationError):
        messages.unpack_entries(messages.pack_entries([(term, b"\x01")]))


# ---- files
@pytest.mark.parametrize(
    "value", [bytes.fromhex("9c0107a26eaf"), b"\x92\x01" + DEEP, b"\x9d" + encode_ballot(Ballot())[1:] + DEEP]
)
def test_a_ballot_of_any_bytes_is_damage_and_nothing_else(value: bytes) -> None:
    """Text that is none, and arrays without end."""
    with pytest.raises(DamagedError):
        decode_ballot(value)
    assert decode_ballot(encode_ballot(Ballot(term=3))).term == 3


def test_a_bootstrap_of_deep_arrays_is_damage() -> None:
    """The start says what is wrong with the folder."""
    good = msgspec.msgpack.encode(Bootstrap(1, b"g", b"e"))
    with pytest.raises(DamagedError):
        read_bootstrap(MemoryDisk(**{BOOTSTRAP: MAGIC + b"\x94" + good[1:] + DEEP}))  # type: ignore[arg-type]
    found = read_bootstrap(MemoryDisk(**{BOOTSTRAP: MAGIC + good}))  # type: ignore[arg-type]

    assert found == Bootstrap(1, b"g", b"e")


@pytest.mark.parametrize("size", [28, 30, 35, 39])
def test_a_snapshot_that_ends_in_its_header_is_refused_and_the_writer_lives(size: int) -> None:
    """A leader's file of 28 bytes ended the process that writes the journal, and the node with it."""
    whole = bytes.fromhex(golden("snapshot")["file"])  # type: ignore[arg-type]
    desk = SnapshotDesk(MemoryDisk())  # type: ignore[arg-type]
    snapshot_id = bytes(range(1, 9))
    answers = []
    for data in (whole[:size], whole):
        desk.receive(snapshot_id, 1000, 9, 0, data)
        answers.append(desk.commit(snapshot_id))

    assert answers == ["the snapshot has no valid header", None]
    assert snapshot_file.parse_name("x") is None


# ---- records
async def test_a_salt_that_is_none_ends_no_node(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Committed once, it ended every node at every start; now its values do not open, and others do."""
    caplog.set_level(logging.ERROR, "strongroom")
    async with running(tmp_path) as (member, _):
        def decide(_view: View, _now_ns: int) -> tuple[Any, None]:
            from cluster.state.transaction import Draft

            draft = Draft()
            for key, record in ((b"\0\0\0\1", b"\xc1"), (b"\0\0\0\2", records.encode(records.Salt(b"k", b"s")))):
                draft.put(Table.SALT, key, record)
            draft.put(Table.SALT, b"\0\0\0\3", records.encode(records.Salt(key_term=b"k" * 8, salt=b"s" * 16)))
            return draft, None

        await member.write(decide)
        follow_salts(member.view, member.running.sealer)  # as a start does

        assert member.fatal == []  # type: ignore[attr-defined]
        assert set(member.running.sealer._salts) == {3}
        assert len([record for record in caplog.records if "salt" in record.getMessage()]) == 4


def test_a_seal_of_the_cluster_that_is_none_is_not_carried_out() -> None:
    """The record is applied all the same: a listener of the state must not raise."""
    seal = ClusterSeal(None, None)  # type: ignore[arg-type]
    judged: list[int] = []
    seal._judge = judged.append  # type: ignore[method-assign]

    class Said:
        puts = tuple((Table.FACT, CLUSTER_SEAL, one) for one in (b"\xc1", records.encode(records.Fact(time_ns=5))))

    seal.on_change(1, Said)

    assert judged == [0, 5]


# ---- calls
@pytest.mark.parametrize("method", ["init.promise", "init.store"])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xa2\xff\xfe", DEEP], ids=["empty", "none", "text", "deep"])
async def test_a_call_of_nonsense_is_told_so_and_fills_no_log(tmp_path: Path, method: str, body: bytes) -> None:
    """A stolen certificate is enough to ask: each question was a line of the log."""
    with pytest.raises(CallError, match="bad body"):
        await a_member(tmp_path)._on_call("n2", False, Call(1, method, body), b"")


async def test_a_call_that_can_be_read_is_served(tmp_path: Path) -> None:
    """The twin."""
    member = a_member(tmp_path)
    member.init_state.promise(5)
    body = msgspec.msgpack.encode(Store(5, b"envelope", Bootstrap(1, b"g", b"e")))

    assert await member._on_call("n2", False, Call(1, "init.store", body), b"") == b""


ANSWERS = [
    b"", b"\xc1", DEEP, msgspec.msgpack.encode([b"", b"", [1, b"", b""]]), b"\x93\xa2\xff\xfe\xc0\xc0",
    msgspec.msgpack.encode([b"c" * 16, bytes.fromhex(str(golden("keyring_envelope")["envelope"])), [1, b"g", b"e"]]),
    an_envelope_answer().replace(b"\x93\x01\xc4\x10gg", b"\x93\x02\xc4\x10gg"),
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_empty_node_takes_no_envelope_that_is_none(tmp_path: Path, answer: bytes) -> None:
    """It ended the node that looked for its cluster, or was stored and could never be opened."""
    member = a_member(tmp_path)

    class Answering:
        def standing(self, _peer: str) -> bool:
            return True

        async def call(self, *_: object) -> bytes:
            return answer

    member.settings.members["n2"] = member.settings.members["n1"]
    member.links = Answering()  # type: ignore[assignment]

    assert await find_cluster(member) is False
    assert member.initialised is False
    assert read_envelope_answer(an_envelope_answer())[0] == read_seal(read_envelope_answer(an_envelope_answer())[1])[0]


async def test_a_forwarded_frame_of_deep_arrays_is_a_bad_frame() -> None:
    """The follower learns that nothing happened."""

    class Leading:
        is_leader = True

    forwarder = Forwarder(Leading(), timeout_s=1.0, per_peer_max=1)  # type: ignore[arg-type]
    forwarder.handler = lambda _request: pytest.fail("nothing may be served")
    good = frame_of_a_request()
    with pytest.raises(CallError) as refused:
        await forwarder.serve("n2", b"\xdc\x00\x12" + good[1 if good[0] < 0xDC else 3 :] + DEEP)

    assert refused.value.error == BAD_FRAME


@pytest.mark.parametrize("answer", [b"", b"\xc1", b"\x96" + DEEP, b"\x94\xc8\xc0\xc0\xa1\xff"])
async def test_an_answer_of_the_leader_that_cannot_be_read_leaves_the_outcome_unknown(answer: bytes) -> None:
    """Whatever it was, it may have been done."""

    class Following:
        leader_id = "n1"
        replica = None

        class settings:  # noqa: N801 - as the member has it
            node_id = "n2"

        async def forward(self, _body: bytes, _timeout_s: float) -> bytes:
            return answer

    from node.forward import unpack

    forwarder = Forwarder(Following(), timeout_s=1.0, per_peer_max=1)  # type: ignore[arg-type]
    with pytest.raises(UnknownOutcomeError):
        await forwarder._send(unpack(frame_of_a_request(), "n2"))


# ---- the log
class Ticking:
    def __init__(self) -> None:
        self.now_s = 0.0

    def boot(self) -> float:
        return self.now_s


def test_a_reason_is_said_once_for_each_peer_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """And again after a while, with how often it came meanwhile."""
    caplog.set_level(logging.WARNING, "strongroom.links")
    clock = Ticking()
    said = Refusals(clock)  # type: ignore[arg-type]
    for _ in range(100):
        said.say("n2", "nonsense")
    said.say("n3", "nonsense")
    said.say("n2", "silence")
    clock.now_s = AGAIN_S
    said.say("n2", "nonsense")

    assert [record.getMessage() for record in caplog.records] == [
        "link to n2 closed: nonsense",
        "link to n3 closed: nonsense",
        "link to n2 closed: silence",
        "link to n2 closed: nonsense (and 99 times more before)",
    ]
    assert said.count == 103


def test_what_is_remembered_of_strangers_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand addresses are not a thousand lines, and those of an hour ago are forgotten."""
    caplog.set_level(logging.WARNING, "strongroom.links")
    clock = Ticking()
    said = Refusals(clock)  # type: ignore[arg-type]
    for number in range(1000):
        said.say(f"10.0.0.{number}", "no TLS")
    lines = [record.getMessage() for record in caplog.records]
    clock.now_s = AGAIN_S
    said.say("10.9.9.9", "no TLS")

    assert len(lines) == KNOWN_MAX + 1
    assert OTHERS in lines[-1]
    assert (len(said._said), "10.9.9.9" in caplog.records[-1].getMessage()) == (1, True)
    assert refusals.KNOWN_MAX < 1000


# ---- the peer port
def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one of them is the folder itself, each time


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_strangers_are_bounded_and_leave_nothing_behind(tmp_path: Path, loop: Callable[[], Any]) -> None:
    """On either loop: the oldest goes, its descriptor too, and a member is let in meanwhile."""
    write_certificates(tmp_path, {name: [HOST] for name in ("n1", "n2", "n3")}, None, "c")

    async def besiege() -> tuple[int, int]:
        async with sites(tmp_path, "n1") as (n1,):
            n1.links.listener.strangers_max = 8
            before = descriptors()
            strangers = []
            for _ in range(50):
                stranger = socket.socket()
                stranger.setblocking(False)
                strangers.append(stranger)
                await asyncio.get_running_loop().sock_connect(stranger, (HOST, n1.port))
            while n1.links.refusals.count < 42:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)
            await turns(20)
            held = descriptors() - before - len(strangers)
            async with sites(tmp_path, "n2") as (n2,):
                n2.links.members["n1"] = (HOST, n1.port)
                await n1.until(lambda: n1.events)
            for stranger in strangers:
                stranger.close()
            return held, n1.links.listener.strangers

    made = loop()
    try:
        held, there = made.run_until_complete(asyncio.wait_for(besiege(), 20.0))
    finally:
        made.close()

    assert held <= 8 + 4  # of the loop itself
    assert there <= 8


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_stopped_port_accepts_nobody(tmp_path: Path, loop: Callable[[], Any]) -> None:
    """The twin: it accepted before, and what it had accepted is closed."""
    write_certificates(tmp_path, {name: [HOST] for name in ("n1", "n2", "n3")}, None, "c")

    async def stop() -> tuple[bytes, bool]:
        async with sites(tmp_path, "n1") as (n1,):
            reader, writer = await asyncio.open_connection(HOST, n1.port)
            while not n1.links.listener.strangers:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)
            await n1.links.stop()
            try:
                heard = await asyncio.wait_for(reader.read(), 5.0)
            except ConnectionError:
                heard = b""
            writer.close()
            try:
                await asyncio.open_connection(HOST, n1.port)
            except OSError:
                return heard, True
            return heard, False

    made = loop()
    try:
        assert made.run_until_complete(asyncio.wait_for(stop(), 20.0)) == (b"", True)
    finally:
        made.close()


def test_a_hello_is_far_below_one_frame() -> None:
    """T4 of a connection: a genuine handshake never needs a second one."""
    hello = Hello("n" * 64, "c" * 64, "bulk", 1, b"n" * 32, [1], b"c" * 16, b"g" * 16, "v" * 64, 1, "sealed")

    assert len(encode(hello)) * 10 < wire.PAYLOAD_BYTES_MAX


# ---- who is dialled
@pytest.mark.parametrize(
    ("certificate", "authority", "why"),
    [("n3", "", "dialled 'n1', found 'n3'"), ("n1", "another", "certificate"), ("n2", "", "dialled 'n1', found 'n2'")],
)
async def test_a_stranger_at_a_members_address_is_refused_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, certificate: str, authority: str, why: str
) -> None:
    """However often it is dialled; not a byte of a hello is said to it."""
    caplog.set_level(logging.WARNING, "strongroom.links")
    write_certificates(tmp_path, {name: [HOST] for name in ("n1", "n2", "n3")}, None, "c")
    folder = tmp_path / authority
    if authority:
        write_certificates(folder, {"n1": [HOST]}, None, "c")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    heard: list[bytes] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            heard.append(await reader.read())
        writer.close()

    async with sites(tmp_path, "n2") as (n2,):
        real = n2.links._dial_once
        dials = 0

        async def counted(peer: str, kind: str) -> None:
            nonlocal dials
            dials += 1
            await real(peer, kind)

        n2.links._dial_once = counted  # type: ignore[method-assign]
        server = await asyncio.start_server(impostor, *n2.links.members["n1"], ssl=context)
        async with asyncio.timeout(20.0):
            while dials < 6 or not any(why in record.getMessage() for record in caplog.records):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        standing = n2.links.standing("n1")
        server.close()
        await server.wait_closed()

    assert sum(why in record.getMessage() for record in caplog.records) == 1
    assert (standing, b"".join(heard)) == (False, b"")
