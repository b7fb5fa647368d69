"""What another member says: frames, hello, proof, every message, calls and what their bodies hold.

Most of it goes into a real Connection, over a transport that only listens: whatever arrives, nothing may escape from
`data_received`. Raft's messages go on to a real replica, which may end no more than the link, or say that it must stop.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from cluster import answering, coordinator, initialise, turns
from cluster.errors import DamagedError, FatalError
from cluster.files import Bootstrap
from cluster.initialise import Store
from cluster.journal import frames as child_frames
from cluster.keyring.envelope import read_seal
from cluster.links import calls, connection, handshake, messages, wire
from cluster.links.connection import Connection, Identity
from cluster.links.handshake import Side
from cluster.links.messages import Append, Call, Hello, Proof, encode
from cluster.links.refusals import Refusals
from cluster.raft import core, election, following, leading, log, snapshots
from node import forward
from tests.cluster.raft.wiring import FakeStore, Node, an_entry, lone
from tests.hostile.running import Target
from tests.hostile.targets_files import golden

MEMBERS = frozenset({"n2", "n3"})
CERTIFICATE = b"certificate of n2"
KEY = b"k" * 32


class Silent:
    """A transport: it takes what is written and counts it."""

    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high

    def get_extra_info(self, name: str) -> Any:
        if name == "ssl_object":
            return self
        if name == "peercert":
            return {"subjectAltName": (("URI", "strongroom://c/n2"),)}
        return None

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return CERTIFICATE

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def abort(self) -> None:
        self.closed = True


class Listening:
    """The links that a connection belongs to; what they are told, a node's own parts hear."""

    def __init__(self) -> None:
        self.clock = self.random = self
        self.fingerprint = b"f" * 32
        self.connections: set[Connection] = set()
        self.peers = MEMBERS
        self.refusals = Refusals(self)  # type: ignore[arg-type]
        self.heard = 0

    def boot(self) -> float:
        return 1.0

    def bytes(self, count: int) -> bytes:
        return b"o" * count

    def identity(self) -> Identity:
        return Identity("n1", "c", 3, b"c" * 16, b"g" * 16, "running", "1", _mac)

    def stands(self, _connection: Connection, hello: Hello) -> None:
        """What the member does with a hello is `hello-met`'s target."""
        self.heard += len(hello.node_id)

    def lost(self, made: Connection) -> None:
        self.connections.discard(made)

    def on_message(self, _peer: str, message: messages.Message) -> None:
        self.heard += 1
        if isinstance(message, Append):
            try:
                messages.unpack_entries(message.entries)
            except msgspec.MsgspecError as error:
                raise DamagedError("as following.py does") from error

    def on_ping(self, _connection: Connection, message: messages.Ping) -> None:
        self.heard += message.wall_ns & 1

    def on_call_message(self, _connection: Connection, message: Call | messages.Reply) -> None:
        self.heard += message.id & 1


def _mac(text: bytes) -> bytes:
    return hashlib.blake2b(text, key=KEY).digest()


def met(link: str | None = None) -> tuple[Connection, Listening]:
    """A connection from n2; with `link`, it has shaken hands."""
    listening = Listening()
    made = Connection(listening, None, None)  # type: ignore[arg-type]
    made.connection_made(Silent())  # type: ignore[arg-type]
    if link is not None:
        hello = encode(Hello("n2", "c", link, 4, b"n" * 32, [1], b"c" * 16, b"g" * 16))
        made.data_received(framed(hello))
        assert made._mine is not None
        theirs = Side(hello, hashlib.sha256(CERTIFICATE).digest())
        made.data_received(framed(encode(Proof(handshake.prove(_mac, theirs, made._mine)))))
        assert made.proven
    return made, listening


def framed(message: bytes, *, data_lane: bool = False) -> bytes:
    return b"".join(wire.frames(message, data_lane=data_lane))


def hear_stream(data: bytes) -> None:
    """Bytes as they come, in pieces, before any hello and over a proven link."""
    for link in (None, "raft", "bulk"):
        made, _ = met(link)
        for at in range(0, len(data), 4096):
            if made.closing:
                break
            made.data_received(data[at : at + 4096])


def hear_first(data: bytes) -> None:
    """One message instead of the hello, and one instead of the proof."""
    made, _ = met()
    made.data_received(framed(data))
    if not made.closing:
        made.data_received(framed(data))


def hear_message(data: bytes) -> None:
    """One message over a proven link of either kind."""
    for link in ("raft", "bulk"):
        made, _ = met(link)
        made.data_received(framed(data, data_lane=bool(len(data) & 1)))


def read_frames(data: bytes) -> None:
    """The two ends of the codec agree on what comes through."""
    reader = wire.Reader()
    for at in range(0, len(data), 1000):
        for message in reader.feed(data[at : at + 1000]):
            again = list(wire.Reader().feed(framed(message)))
            if again != [message]:
                raise AssertionError("a message is not what was sent")


# ---- Raft
class Packing(FakeStore):
    """Snapshot files as the journal's parent hands them on: in frames of their own."""

    def receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes, size: int) -> None:
        child_frames.with_id(snapshot_id[:255], child_frames.OFFSET.pack(index, term, offset) + data)


def tell_replica(data: bytes) -> None:
    """A follower that knows a leader and holds two entries, and a candidate, hear the message twice."""
    message = messages.decode(data)
    if isinstance(message, messages.LinkMessage):
        return
    node, clock = lone()
    node.replica.store = Packing()
    node.hear("n2", Append(2, 1, 2, 1, 0, 1, messages.pack_entries([(2, an_entry(2, 1)), (2, b"\x01")])))
    for _ in range(2):
        node.replica.receive("n2", message)
        node.sync()
        node.replica.tick()
        clock.now_s += 1.0
    _written(node)


def tell_leader(data: bytes) -> None:
    """A leader with its first entry applied hears it from a follower."""
    message = messages.decode(data)
    if isinstance(message, messages.LinkMessage):
        return
    node, _ = leading_node()
    node.replica.receive("n2", message)
    node.sync()
    node.replica.tick()
    _written(node)


def leading_node() -> tuple[Node, Any]:
    node, clock = lone()
    node.replica.campaign_now(transfer=False)
    node.replica._pre_vote_won = True
    clock.now_s += 5.0
    node.replica.tick()
    node.sync()
    node.hear("n2", messages.Vote(node.replica.term, granted=True))
    node.replica.tick()
    assert node.replica.is_leader
    node.sync()
    node.hear("n2", messages.Ack(node.replica.term, 0, 4, True, 3, 0, 2))
    node.replica.tick()
    return node, clock


def _written(node: Node) -> None:
    """Everything that was handed to the journal or to a link has a form there."""
    from cluster.journal import wal
    from cluster.journal.ballot import encode_ballot

    for _, message in node.sent:
        messages.decode(encode(message))
    for _, ballot in node.writer.ballots:
        encode_ballot(ballot)
    for name, sequence, arguments in node.writer.operations:
        if name == "append":
            wal.append_record(sequence, *arguments)
        else:
            getattr(wal, f"{name}_record")(sequence, *arguments)


def meet_hello(data: bytes) -> None:
    """What a proven hello says of this node: what it makes the node write down, and say next, can be written."""
    message = messages.decode(data)
    if not isinstance(message, Hello):
        return
    node, clock = lone()
    member = turns.Turns(None, clock, node.random)  # type: ignore[arg-type]
    member.replica = node.replica
    member._wake = lambda: None  # type: ignore[method-assign]
    member._on_connected("n2", message)
    node.sync()
    node.replica.tick()
    _written(node)
    known = node.log.known["n2"][0]
    encode(Hello("n1", "c", "raft", node.log.ballot.incarnation, b"", [1], known_incarnation=known))


# ---- calls
def serve_calls(data: bytes) -> None:
    """Init's calls with any body; a call that cannot be understood is answered by the name of a failure."""
    loop = asyncio.new_event_loop()
    try:
        made, _ = met("bulk")
        spawned: list[Any] = []

        async def handle(_peer: str, _proven: bool, call: Call, _certificate: bytes) -> bytes:
            answering._decoded(call.body, Store if call.method == "init.store" else int)
            return b""

        served = calls.Calls(handle, spawned.append)
        for method in ("init.store", "init.promise", "forward"):
            served.on_message(made, Call(1, method, data))
        for one in spawned:
            loop.run_until_complete(one)
    finally:
        loop.close()


def read_envelope_answer(data: bytes) -> None:
    coordinator.read_envelope_answer(data)


def an_envelope_answer() -> bytes:
    envelope = bytes.fromhex(str(golden("keyring_envelope")["envelope"]))
    return msgspec.msgpack.encode([read_seal(envelope)[0], envelope, Bootstrap(1, b"g" * 16, b"entry")])


def read_forwarded(data: bytes) -> None:
    forward.unpack(data, "n2")


def read_answer(data: bytes) -> None:
    forward._answer(data)


def goldens() -> tuple[bytes, ...]:
    found = golden("link_messages")["messages"]
    assert isinstance(found, dict)
    return tuple(bytes.fromhex(text) for text in found.values())


def frame_of_a_request() -> bytes:
    return msgspec.msgpack.encode(
        forward.Frame(
            1, "id", "PUT", "/v1/secret/data/x", "update", "secret/data/x", {"list": "true"}, b'{"data":{}}', "hvs.x",
            {"x-vault-token": "hvs.x"}, "127.0.0.1", 5, None, None, "n2",
        )
    )  # fmt: skip


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
CODEC = (wire, messages, handshake, connection)
RAFT = (following, leading, snapshots, core)
ENTRIES = messages.pack_entries([(2, b"\x01"), (2, an_entry(2, 2))])
ALL = (
    Target("frames", read_frames, (DamagedError,),
           (framed(b"x" * 30), framed(b"y" * 70_000, data_lane=True), framed(b"", data_lane=True)), (wire,)),
    Target("link-stream", hear_stream, (), tuple(map(framed, goldens())), CODEC),
    Target("link-hello", hear_first, (), goldens()[-5:], CODEC, packed_at=0),
    Target("link-message", hear_message, (), goldens(), CODEC, packed_at=0),
    Target("message", messages.decode, UNREADABLE, goldens(),
           (messages,), packed_at=0),
    Target("raft-follower", tell_replica,
           (DamagedError, FatalError, *UNREADABLE),
           (*goldens(), encode(Append(2, 2, 2, 3, 2, 1, ENTRIES)), encode(Append(3, 2, 2, 2, 2, 1, ENTRIES))),
           RAFT, packed_at=0, memory_factor=2048),
    Target("raft-leader", tell_leader,
           (DamagedError, FatalError, *UNREADABLE),
           (*goldens(), encode(messages.Ack(1, 1, 4, True, 3, 0, 2))), RAFT, packed_at=0, memory_factor=2048),
    Target("calls", serve_calls, (),
           (msgspec.msgpack.encode(Store(5, b"envelope", Bootstrap(1, b"g", b"e"))), msgspec.msgpack.encode(7)),
           (calls, answering, initialise), packed_at=0, memory_factor=256),
    Target("envelope-answer", read_envelope_answer, (DamagedError,), (an_envelope_answer(),), (coordinator,),
           packed_at=0),
    Target("hello-met", meet_hello, UNREADABLE, (goldens()[-4], encode(Hello("n2", "c", "raft", 4, b"n" * 32, [1]))),
           (turns, election, log), packed_at=0, memory_factor=2048),
    Target("forwarded-request", read_forwarded, (msgspec.MsgspecError, ValueError, RecursionError),
           (frame_of_a_request(),), (forward,), packed_at=0),
    Target("forwarded-answer", read_answer, (msgspec.MsgspecError, ValueError, RecursionError),
           (msgspec.msgpack.encode(forward.AnswerFrame(200, b"{}", [("a", "b")], "text")),), (forward,), packed_at=0),
)  # fmt: skip
