"""Links to the other members: two connections a pair, mutual TLS 1.3, dialled by the member with the higher id.

`raft` carries votes, appends, acknowledgements and ReadIndex; `bulk` carries snapshot parts and calls (forwarded
requests, init). A shell: it moves bytes, and tells the member of messages, calls, and of links that stand or fall.

Invariants
  T1  nothing of an older connection is processed once a newer one of the same peer and kind stands
  T2  a peer is connected when its raft link is proven; a link that breaks, or says nonsense, is gone at once
  T3  what waits to be written is bounded: beyond QUEUE_BYTES_MAX a message is not accepted, and `send` says so
  T4  an unproven link serves UNPROVEN_CALLS only
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from ..errors import DamagedError, StrongroomError, UnavailableError
from . import handshake, wire
from .certs import certificate_expiry, certified_identity
from .handshake import HandshakeError, Side
from .messages import Append, Call, Hello, Message, Ping, Proof, Reply, SnapshotPart, decode, encode

if TYPE_CHECKING:
    from ..seams import Clock, Random

log = logging.getLogger("strongroom.links")

QUEUE_BYTES_MAX = 16 * 1024 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
PING_S = 0.5
SILENCE_S = 5.0
REDIAL_S = 0.2
HANDSHAKE_S = 5.0
CALLS_MAX = 4096  # per peer, in each direction


class CallError(StrongroomError):
    """The peer answered a call with a failure; `error` is its type, `detail` what it said."""

    def __init__(self, error: str, detail: bytes) -> None:
        super().__init__(f"the peer answered {error}")
        self.error = error
        self.detail = detail


@dataclass(slots=True)
class Tls:
    """Contexts for both directions, the SHA-256 of our certificate, and when it ends (ns since the epoch)."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    fingerprint: bytes
    ends_ns: float = math.inf


def tls_contexts(cert_file: str, key_file: str, ca_file: str) -> Tls:
    """TLS 1.3 both ways, the peer's certificate required and checked against the node CA."""
    contexts = []
    for purpose in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(cert_file, key_file)
        context.load_verify_locations(ca_file)
        context.check_hostname = False  # identity is the URI, checked after the handshake
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    with open(cert_file, encoding="ascii") as file:  # noqa: PTH123 - a path as configured
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(file.read()))
    ends_ns = certificate_expiry(Path(cert_file)).timestamp() * 1e9
    return Tls(contexts[0], contexts[1], hashlib.sha256(der).digest(), ends_ns)


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]


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
    known_incarnations: dict[str, int] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One connection, either direction."""

    def __init__(self, links: Links, expected: str | None, kind: str | None) -> None:
        self.links = links
        self.expected = expected
        self.kind = kind
        self.peer: str | None = None
        self.proven = False
        self.standing = False
        self.public_certificate = b""
        self.incarnation_said = 0
        self.heard_s = links.clock.boot()
        self._reader = wire.Reader()
        self._transport: asyncio.Transport | None = None
        self._control: deque[bytes] = deque()
        self._data: deque[bytes] = deque()
        self.queued_bytes = 0
        self._paused = False
        self._certified = ""
        self._mine: Side | None = None
        self._theirs: Side | None = None
        self._ended = False  # by us

    # ---- asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up: identity from the certificate, then our hello."""
        transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from asyncio's
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.links.connections.add(self)
        try:
            self._certified = self._identity_of_peer(transport)
        except HandshakeError as error:
            self.fail(str(error))
            return
        if self.expected is not None:
            self._say_hello(self.expected)

    def _identity_of_peer(self, transport: asyncio.Transport) -> str:
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            raise HandshakeError("a link without TLS")
        cluster_name, node_id = certified_identity(transport.get_extra_info("peercert"))
        if cluster_name != self.links.identity().cluster_name:
            raise HandshakeError("the certificate is of another cluster")
        if self.expected is not None and node_id != self.expected:
            raise HandshakeError(f"dialled {self.expected!r}, found {node_id!r}")
        self.public_certificate = tls.getpeercert(binary_form=True) or b""
        return node_id

    def data_received(self, data: bytes) -> None:
        """Messages, until one is nonsense."""
        self.heard_s = self.links.clock.boot()
        try:
            for payload in self._reader.feed(data):
                self._handle(decode(payload))
                if self._transport is None or self._transport.is_closing():
                    return
        except (DamagedError, HandshakeError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.fail(str(error) if isinstance(error, StrongroomError) else type(error).__name__)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone. In TLS 1.3 the other end refuses our certificate only now, and uvloop does not say that it did."""
        if self.expected is not None and self._theirs is None and not self._ended:
            self.links.note_refusal(self.expected, exc)
        self.links.lost(self)

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has room again: control first."""
        self._paused = False
        self._drain()

    # ---- writing
    def write(self, message: Message) -> bool:
        """Queue a message; False if too much is waiting (T3)."""
        if self._transport is None or self._transport.is_closing() or self.queued_bytes > QUEUE_BYTES_MAX:
            return False
        # Everything that carries entries keeps its order; heartbeats, votes and acknowledgements may overtake it.
        if isinstance(message, Append):
            lane = self._data if len(message.entries) > 1 else self._control
        else:
            lane = self._data if isinstance(message, (SnapshotPart, Call, Reply)) else self._control
        payload = encode(message)
        for frame in wire.frames(payload, data_lane=lane is self._data):
            lane.append(frame)
            self.queued_bytes += len(frame)
        if not self._paused:
            self._drain()
        return True

    def _drain(self) -> None:
        transport = self._transport
        while not self._paused and transport is not None and not transport.is_closing():
            lane = self._control or self._data
            if not lane:
                return
            frame = lane.popleft()
            self.queued_bytes -= len(frame)
            transport.write(frame)

    # ---- handshake and messages
    def _say_hello(self, peer: str) -> None:
        identity = self.links.identity()
        assert self.kind is not None
        hello = Hello(
            identity.node_id,
            identity.cluster_name,
            self.kind,
            identity.incarnation,
            self.links.random.bytes(handshake.NONCE_BYTES),
            [wire.FORMAT],
            identity.cluster_id,
            identity.generation,
            identity.version,
            identity.known_incarnations.get(peer, 0),
            identity.state,
        )
        self._mine = Side(hello, self.links.fingerprint)
        self.incarnation_said = hello.incarnation
        self.write(hello)

    def _handle(self, message: Message) -> None:
        if self._theirs is None:
            self._on_hello(message)
        elif not self.standing:
            self._on_proof(message)
        elif isinstance(message, Ping):
            self.links.on_ping(self, message)
        elif isinstance(message, (Call, Reply)):
            self.links.on_call_message(self, message)
        elif self.proven and self.peer is not None:
            self.links.on_message(self.peer, message)
        else:
            raise HandshakeError("a Raft message over an unproven link")

    def _on_hello(self, message: Message) -> None:
        if not isinstance(message, Hello):
            raise HandshakeError("the first message is not a hello")
        identity = self.links.identity()
        handshake.check_hello(
            message,
            own_id=identity.node_id,
            cluster_name=identity.cluster_name,
            members=frozenset(self.links.members),
            certified_id=self._certified,
        )
        if self.kind is None:
            self.kind = message.link
            self._say_hello(message.node_id)
        elif message.link != self.kind:
            raise HandshakeError("the answer is of another kind of link")
        self._theirs = Side(message, hashlib.sha256(self.public_certificate).digest())
        assert self._mine is not None
        self.write(Proof(handshake.prove(identity.link_mac, self._mine, self._theirs)))

    def _on_proof(self, message: Message) -> None:
        if not isinstance(message, Proof):
            raise HandshakeError("no proof followed the hello")
        assert self._mine is not None
        assert self._theirs is not None
        identity = self.links.identity()
        self.proven = handshake.verify(identity.link_mac, self._theirs, self._mine, message.mac)
        self.peer = self._theirs.hello.node_id
        self.standing = True
        self.links.stands(self, self._theirs.hello)

    def fail(self, why: str) -> None:
        """Close at once; the reason goes to the log, never what was received."""
        log.warning("link to %s closed: %s", self.peer or self.expected or "unknown", why)
        self._ended = True
        if self._transport is not None:
            self._transport.abort()
        self.links.lost(self)

    def close(self) -> None:
        """Close without a word."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()
        self.links.lost(self)


CallHandler = Callable[[str, bool, Call, bytes], Awaitable[bytes]]
"""(peer, proven, call, certificate of the peer) → body of the reply; a StrongroomError becomes the reply's error."""


class Links:
    """All links of one node."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        members: dict[str, tuple[str, int]],
        tls: Tls,
        clock: Clock,
        random: Random,
        *,
        on_message: Callable[[str, Message], None],
        on_connected: Callable[[str, Hello], None],
        on_disconnected: Callable[[str], None],
        on_call: CallHandler,
        on_turn: Callable[[], None],
    ) -> None:
        self.identity = identity
        self.members = members
        self.tls = tls
        self.fingerprint = tls.fingerprint
        self.clock = clock
        self.random = random
        self.connections: set[Connection] = set()
        self._walls: dict[str, tuple[int, float]] = {}  # peer's wall clock, and our boot clock when it came
        self.hellos: dict[str, Hello] = {}
        self._refusals: dict[str, str] = {}  # why the last attempt at a peer ended, if TLS refused it
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_call = on_call
        self._on_turn = on_turn
        self._standing: dict[tuple[str, str], Connection] = {}
        self._calls: dict[int, tuple[str, asyncio.Future[Reply]]] = {}
        self._serving: dict[str, int] = {}
        self._call_id = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    # ---- life
    async def start(self, host: str, port: int) -> None:
        """Listen and dial for ever."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, None, None),
            host,
            port,
            ssl=self.tls.server,
            ssl_handshake_timeout=HANDSHAKE_S,
        )
        own = self.identity().node_id
        for peer in self.members:
            if own > peer:
                for kind in ("raft", "bulk"):
                    self._spawn(self._dial(peer, kind))
        self._spawn(self._watch())

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self.connections):
            connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_all(self) -> None:
        """Close every connection, so that the next handshakes use the present identity."""
        for connection in list(self.connections):
            connection.close()

    def _spawn(self, coroutine: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, peer: str, kind: str) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.members[peer]
        while True:
            if (peer, kind) not in self._standing:
                try:
                    async with asyncio.timeout(HANDSHAKE_S):
                        _, connection = await loop.create_connection(
                            lambda: Connection(self, peer, kind),
                            host,
                            port,
                            ssl=self.tls.client,
                            server_hostname="",
                            ssl_handshake_timeout=HANDSHAKE_S,
                        )
                    await self._until_standing(connection)
                except OSError as error:
                    self.note_refusal(peer, error)
            await asyncio.sleep(REDIAL_S * (0.5 + self.random.uniform()))

    def note_refusal(self, peer: str, error: Exception | None) -> None:
        """A dial ended in TLS, or before the other end's hello: the log says why once, not at every dial."""
        if self.clock.wall_ns() > self.tls.ends_ns:
            why = "the certificate of this node has ended; replace it and start the node again"
        elif isinstance(error, ssl.SSLError):
            why = getattr(error, "verify_message", "") or error.reason or type(error).__name__
        elif error is None:
            why = "the other end hung up before its hello; it may have refused the certificate of this node"
        else:
            return
        if self._refusals.get(peer) != why:
            self._refusals[peer] = why
            log.warning("no link to %s: %s", peer, why)

    async def _until_standing(self, connection: Connection) -> None:
        end = self.clock.boot() + HANDSHAKE_S
        while connection in self.connections and not connection.standing:
            if self.clock.boot() > end:
                connection.fail("the handshake took too long")
                return
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            now = self.clock.boot()
            for connection in list(self.connections):
                if now - connection.heard_s > SILENCE_S:
                    connection.fail("silence")
                elif connection.standing:
                    connection.write(Ping(self.clock.wall_ns()))

    # ---- from connections
    def stands(self, connection: Connection, hello: Hello) -> None:
        """T1, T2."""
        assert connection.peer is not None
        assert connection.kind is not None
        key = (connection.peer, connection.kind)
        older = self._standing.get(key)
        if older is not None:
            older.close()
        self._standing[key] = connection
        self.hellos[connection.peer] = hello
        self._refusals.pop(connection.peer, None)
        if connection.kind == "raft" and connection.proven:
            self._on_connected(connection.peer, hello)
        self._on_turn()

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if connection.peer is None or connection.kind is None:
            return
        key = (connection.peer, connection.kind)
        if self._standing.get(key) is not connection:
            return
        del self._standing[key]
        if connection.kind == "raft" and connection.proven:
            self._on_disconnected(connection.peer)
        if connection.kind == "bulk":
            for call_id, (peer, future) in list(self._calls.items()):
                if peer == connection.peer and not future.done():
                    future.set_exception(UnavailableError("the link broke before the answer came"))
                    self._calls.pop(call_id, None)
        self._on_turn()

    def on_message(self, peer: str, message: Message) -> None:
        """A Raft message over a proven link."""
        self._on_message(peer, message)
        self._on_turn()

    def on_ping(self, connection: Connection, message: Ping) -> None:
        """The peer's wall clock, to be compared with ours."""
        assert connection.peer is not None
        self._walls[connection.peer] = (message.wall_ns, self.clock.boot())

    @property
    def skew_ns(self) -> dict[str, int]:
        """Each peer's wall clock minus ours, now: a jump of our own shows at once, of theirs with their next ping."""
        boot_s, wall_ns = self.clock.boot(), self.clock.wall_ns()
        return {peer: heard_ns + int((boot_s - at_s) * 1e9) - wall_ns for peer, (heard_ns, at_s) in self._walls.items()}

    # ---- sending
    def send(self, peer: str, message: Message) -> bool:
        """Over the raft link, or bulk for snapshot parts; False if it cannot leave."""
        kind = "bulk" if isinstance(message, SnapshotPart) else "raft"
        connection = self._standing.get((peer, kind))
        return connection is not None and connection.proven and connection.write(message)

    def certificate(self, peer: str) -> bytes:
        """The certificate (DER) of the peer's bulk link; empty if none stands."""
        connection = self._standing.get((peer, "bulk"))
        return b"" if connection is None else connection.public_certificate

    def standing(self, peer: str) -> bool:
        """A bulk link, proven or not, stands."""
        return (peer, "bulk") in self._standing

    # ---- calls
    async def call(self, peer: str, method: str, body: bytes, timeout_s: float) -> bytes:
        """Ask a peer. Raises UnavailableError if it cannot be asked or does not answer, CallError if it refuses.

        After UnavailableError the peer may have acted: callers that must know treat it as unknown.
        """
        connection = self._standing.get((peer, "bulk"))
        if connection is None or len(self._calls) >= CALLS_MAX:
            raise NotSentError("no link to the peer")
        self._call_id += 1
        call_id = self._call_id
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = (peer, future)
        try:
            if not connection.write(Call(call_id, method, body, int(timeout_s * 1000))):
                raise NotSentError("too much waits for the peer")
            async with asyncio.timeout(timeout_s):
                reply = await future
        except TimeoutError:
            raise UnavailableError("the peer did not answer in time") from None
        finally:
            self._calls.pop(call_id, None)
        if reply.error:
            raise CallError(reply.error, reply.detail)
        return reply.body

    def on_call_message(self, connection: Connection, message: Call | Reply) -> None:
        """A question to us, or an answer to ours."""
        assert connection.peer is not None
        if isinstance(message, Reply):
            peer, future = self._calls.get(message.id, (None, None))
            if future is not None and peer == connection.peer and not future.done():
                future.set_result(message)
            return
        if not connection.proven and message.method not in handshake.UNPROVEN_CALLS:
            connection.write(Reply(message.id, b"", "unproven"))
        elif self._serving.get(connection.peer, 0) >= CALLS_MAX:
            connection.write(Reply(message.id, b"", "overloaded"))
        else:
            self._spawn(self._serve(connection, message))

    async def _serve(self, connection: Connection, call: Call) -> None:
        peer = connection.peer
        assert peer is not None
        self._serving[peer] = self._serving.get(peer, 0) + 1
        try:
            body = await self._on_call(peer, connection.proven, call, connection.public_certificate)
            connection.write(Reply(call.id, body))
        except CallError as error:
            connection.write(Reply(call.id, b"", error.error, error.detail))
        except StrongroomError as error:
            connection.write(Reply(call.id, b"", type(error).__name__))
        finally:
            self._serving[peer] -= 1


class NotSentError(UnavailableError):
    """The question never left: nothing happened at the peer."""
