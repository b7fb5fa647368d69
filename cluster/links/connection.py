"""One connection to another member: TLS identity, hello, proof, then messages in two lanes.

The control lane (heartbeats, votes, acknowledgements) overtakes the data lane (entries, snapshot parts, calls); within
a lane order is kept. A shell: what a message means is `Links`' and the member's business.

Invariants
  T2  a connection that breaks, or says nonsense, or something that its kind does not carry, is closed at once
  T3  what waits to be written is bounded, each lane apart: beyond it a message is not accepted, and `write` says so
  T4  before the handshake is over a message is one frame: a stranger fills no memory
  T5  one that does not finish its handshake in time, or falls silent, is closed (`overdue`); nobody waits that long for
      answers of a peer that is `silent`: a host that died resets no connection
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

import msgspec

from ..errors import StrongroomError
from . import handshake, wire
from .certs import certified_identity
from .handshake import HandshakeError, Side
from .messages import Append, Call, Hello, Message, Ping, Proof, Reply, SnapshotPart, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..seams import Clock, Random
    from .refusals import Refusals

DATA_BYTES_MAX: Final = 16 * 1024 * 1024
CONTROL_BYTES_MAX: Final = 1024 * 1024  # apart, so that heartbeats leave while entries wait
WRITE_BUFFER_BYTES: Final = 256 * 1024
SILENCE_S: Final = 5.0
CALLS_SILENCE_S: Final = 1.5  # three pings
HANDSHAKE_S: Final = 5.0
CALLS = (Call, Reply)


@dataclass(slots=True)
class Identity:
    """What this node says of itself; `link_mac` is None without keys. Read anew for every handshake."""

    node_id: str
    cluster_name: str
    incarnation: int = 0
    cluster_id: bytes = b""
    generation: bytes = b""
    state: str = "uninitialised"
    version: str = ""
    link_mac: Callable[[bytes], bytes] | None = None
    known: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # peer → incarnation, term, index


class Owner(Protocol):
    """What a connection tells, and asks of, the links it belongs to."""

    clock: Clock
    random: Random
    fingerprint: bytes
    connections: set[Connection]
    refusals: Refusals

    def identity(self) -> Identity: ...  # noqa: D102 - as the node is now
    @property
    def peers(self) -> frozenset[str]: ...  # noqa: D102 - ids of the other members
    def stands(self, connection: Connection, hello: Hello) -> None: ...  # noqa: D102 - the handshake is over
    def lost(self, connection: Connection) -> None: ...  # noqa: D102 - it is gone, told at least once
    def on_message(self, peer: str, message: Message) -> None: ...  # noqa: D102 - of Raft, over a proven link
    def on_ping(self, connection: Connection, message: Ping) -> None: ...  # noqa: D102
    def on_call_message(self, connection: Connection, message: Call | Reply) -> None: ...  # noqa: D102


class Connection(asyncio.Protocol):
    """One connection, either direction; `expected` and `kind` are known to the side that dialled."""

    def __init__(self, owner: Owner, expected: str | None, kind: str | None) -> None:
        self.owner = owner
        self.expected = expected
        self.kind = kind
        self.peer: str | None = None
        self.proven = False
        self.standing = False
        self.settled = asyncio.Event()  # it stands, or is gone
        self.hung_up = False  # by the other end, before its hello
        self.public_certificate = b""
        self.incarnation_said = 0
        self.made_s = self.heard_s = owner.clock.boot()
        self._reader = wire.Reader(wire.PAYLOAD_BYTES_MAX)  # T4
        self._host = "unknown"
        self._transport: asyncio.Transport | None = None
        self._control: deque[bytes] = deque()
        self._data: deque[bytes] = deque()
        self.control_bytes = 0
        self.data_bytes = 0
        self._paused = False
        self._closed = False
        self._certified = ""
        self._mine: Side | None = None
        self._theirs: Side | None = None
        self._their_hello: Hello

    # ---- asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up: identity from the certificate, then our hello."""
        transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from asyncio's
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = str((transport.get_extra_info("peername") or ("unknown",))[0])
        self.owner.connections.add(self)
        try:
            self._certified = self._identity_of_peer(transport)
            if self.expected is not None:
                self._say_hello(self.expected)
        except (HandshakeError, OSError) as error:
            self.fail(str(error) if isinstance(error, StrongroomError) else type(error).__name__)

    def _identity_of_peer(self, transport: asyncio.Transport) -> str:
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            raise HandshakeError("a link without TLS")
        cluster_name, node_id = certified_identity(transport.get_extra_info("peercert"))
        if cluster_name != self.owner.identity().cluster_name:
            raise HandshakeError("the certificate is of another cluster")
        if self.expected is not None and node_id != self.expected:
            raise HandshakeError(f"dialled {self.expected!r}, found {node_id!r}")
        self.public_certificate = tls.getpeercert(binary_form=True) or b""
        return node_id

    @property
    def closing(self) -> bool:
        """Nothing is heard or said any more."""
        return self._transport is None or self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Messages, until one is nonsense, or the connection is closed meanwhile."""
        self.heard_s = self.owner.clock.boot()
        try:
            for payload in self._reader.feed(data):
                if self.closing:
                    return
                self._handle(decode(payload), payload)
        except (StrongroomError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as error:
            self.fail(str(error) if isinstance(error, StrongroomError) else type(error).__name__)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Gone. In TLS 1.3 a certificate is refused only now, and uvloop does not say that it was."""
        self.hung_up = self._theirs is None and not self._closed
        self.settled.set()
        self.owner.lost(self)

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has room again: control first."""
        self._paused = False
        self._drain()

    # ---- writing
    def write(self, message: Message) -> bool:
        """Queue a message; False if too much is waiting (T3). Raises OversizeError."""
        # Everything that carries entries keeps its order; heartbeats, votes and acknowledgements may overtake it.
        if isinstance(message, Append):
            data_lane = len(message.entries) > 1
        else:
            data_lane = isinstance(message, (SnapshotPart, Call, Reply))
        full = self.data_bytes > DATA_BYTES_MAX if data_lane else self.control_bytes > CONTROL_BYTES_MAX
        if self.closing or full:
            return False
        for frame in wire.frames(encode(message), data_lane=data_lane):
            if data_lane:
                self._data.append(frame)
                self.data_bytes += len(frame)
            else:
                self._control.append(frame)
                self.control_bytes += len(frame)
        if not self._paused:
            self._drain()
        return True

    def _drain(self) -> None:
        transport = self._transport
        while not self._paused and transport is not None and not transport.is_closing():
            if self._control:
                frame = self._control.popleft()
                self.control_bytes -= len(frame)
            elif self._data:
                frame = self._data.popleft()
                self.data_bytes -= len(frame)
            else:
                return
            transport.write(frame)

    # ---- handshake and messages
    def _say_hello(self, peer: str) -> None:
        identity = self.owner.identity()
        incarnation, term, index = identity.known.get(peer, (0, 0, 0))
        assert self.kind is not None
        hello = Hello(
            identity.node_id,
            identity.cluster_name,
            self.kind,
            identity.incarnation,
            self.owner.random.bytes(handshake.NONCE_BYTES),
            [wire.FORMAT],
            identity.cluster_id,
            identity.generation,
            identity.version,
            incarnation,
            identity.state,
            term,
            index,
        )
        self._mine = Side(encode(hello), self.owner.fingerprint)
        self.incarnation_said = hello.incarnation
        self.write(hello)

    def _handle(self, message: Message, payload: bytes) -> None:
        if self._theirs is None:
            self._on_hello(message, payload)
        elif not self.standing:
            self._on_proof(message)
        elif isinstance(message, Ping):
            self.owner.on_ping(self, message)
        elif isinstance(message, (Hello, Proof)):
            raise HandshakeError("a second handshake on one link")
        elif isinstance(message, (*CALLS, SnapshotPart)) != (self.kind == "bulk"):
            raise HandshakeError("a message that this kind of link does not carry")
        elif isinstance(message, CALLS):
            self.owner.on_call_message(self, message)
        elif self.proven and self.peer is not None:
            self.owner.on_message(self.peer, message)
        else:
            raise HandshakeError("a Raft message over an unproven link")

    def _on_hello(self, message: Message, payload: bytes) -> None:
        if not isinstance(message, Hello):
            raise HandshakeError("the first message is not a hello")
        identity = self.owner.identity()
        handshake.check_hello(
            message,
            own_id=identity.node_id,
            cluster_name=identity.cluster_name,
            members=self.owner.peers,
            certified_id=self._certified,
        )
        if self.kind is None:
            self.kind = message.link
            self._say_hello(message.node_id)
        elif message.link != self.kind:
            raise HandshakeError("the answer is of another kind of link")
        self._their_hello = message
        self._theirs = Side(payload, hashlib.sha256(self.public_certificate).digest())
        assert self._mine is not None
        self.write(Proof(handshake.prove(identity.link_mac, self._mine, self._theirs)))

    def _on_proof(self, message: Message) -> None:
        if not isinstance(message, Proof):
            raise HandshakeError("no proof followed the hello")
        assert self._mine is not None
        assert self._theirs is not None
        identity = self.owner.identity()
        self.proven = handshake.verify(identity.link_mac, self._theirs, self._mine, message.mac)
        hello = self._their_hello
        if self.proven:
            handshake.check_same_cluster(hello, cluster_id=identity.cluster_id, generation=identity.generation)
        self.peer = hello.node_id
        self.standing = True
        self._reader.message_bytes_max = wire.MESSAGE_BYTES_MAX
        self.settled.set()
        self.owner.stands(self, hello)

    # ---- the end
    @property
    def silent(self) -> bool:
        """T5: too little was heard for an answer to be waited for; the link may still be good."""
        return self.owner.clock.boot() - self.heard_s > CALLS_SILENCE_S

    def overdue(self, now_s: float) -> str | None:
        """T5: why it should be closed, if it should."""
        if now_s - self.heard_s > SILENCE_S:
            return "silence"
        if not self.standing and now_s - self.made_s > HANDSHAKE_S:
            return "the handshake took too long"
        return None

    def fail(self, why: str) -> None:
        """Close at once; the reason goes to the log, never what was received."""
        self.owner.refusals.say(self.peer or self.expected or self._certified or self._host, why)
        self.close()

    def close(self) -> None:
        """Close without a word."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        self.settled.set()
        self.owner.lost(self)
