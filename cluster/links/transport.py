"""Links to the other members: two connections a pair, mutual TLS 1.3, dialled by the member with the higher id.

`raft` carries votes, appends, acknowledgements and ReadIndex; `bulk` carries snapshot parts and calls (forwarded
requests, init). A shell: it moves bytes, and tells the member of messages, calls, and of links that stand or fall.

Invariants
  T1  nothing of an older connection is processed once a newer one of the same peer and kind stands
  T2  a peer is connected when its raft link is proven; a link that breaks, or says nonsense, is gone at once
  T4  an unproven link serves UNPROVEN_CALLS only, and replaces no proven one: a certificate alone ends no conversation
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .calls import CallError, CallHandler, Calls, NotSentError
from .connection import HANDSHAKE_S, Connection, Identity
from .listening import Listener
from .messages import Call, Hello, Message, Ping, Reply, SnapshotPart
from .refusals import Refusals
from .tls import Tls, refusal, tls_contexts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..seams import Clock, Random

__all__ = ["CallError", "CallHandler", "Connection", "Identity", "Links", "NotSentError", "Tls", "tls_contexts"]

log = logging.getLogger("strongroom.links")

PING_S = 0.5
REDIAL_S = 0.2


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
        self._identity = identity
        self.members = members
        self.peers = frozenset(members)
        self.tls = tls
        self.fingerprint = tls.fingerprint
        self.clock = clock
        self.random = random
        self.connections: set[Connection] = set()
        self.refusals = Refusals(clock)
        self.listener = Listener(lambda: Connection(self, None, None), tls.server, HANDSHAKE_S, self.refusals.say)
        self._walls: dict[str, tuple[int, float]] = {}  # peer's wall clock, and our boot clock when it came
        self.hellos: dict[str, Hello] = {}
        self.is_recovering: Callable[[], bool] = lambda: False  # said in every ping
        self._recovering: set[str] = set()  # peers whose newest ping said so
        self.on_certificate: Callable[[str, bytes], None] = lambda _peer, _der: None  # told of each proven link
        self._refusals: dict[str, str] = {}  # why the last dial of a peer gave no link
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_turn = on_turn
        self._standing: dict[tuple[str, str], Connection] = {}
        self._calls = Calls(on_call, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()

    def identity(self) -> Identity:
        """This node as it is now."""
        return self._identity()

    # ---- life
    async def start(self, host: str, port: int) -> None:
        """Listen and dial for ever."""
        await self.listener.start(host, port)
        own = self.identity().node_id
        for peer in self.members:
            if own > peer:
                for kind in ("raft", "bulk"):
                    self._spawn(self._dial(peer, kind))
        self._spawn(self._watch())

    async def stop(self) -> None:
        """Close everything."""
        self.listener.close()
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
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, peer: str, kind: str) -> None:
        while True:
            if (peer, kind) not in self._standing:
                try:
                    await self._dial_once(peer, kind)
                except Exception as error:  # noqa: BLE001 - whatever it was, the next attempt may do
                    log.debug("dialling %s failed: %s", peer, type(error).__name__)
                    self._refused(peer, error)
            await asyncio.sleep(REDIAL_S * (0.5 + self.random.uniform()))

    async def _dial_once(self, peer: str, kind: str) -> None:
        host, port = self.members[peer]
        async with asyncio.timeout(HANDSHAKE_S):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self, peer, kind),
                host,
                port,
                ssl=self.tls.client,
                server_hostname="",
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        await connection.settled.wait()
        if connection.hung_up:
            self._refused(peer, None)

    def _refused(self, peer: str, error: Exception | None) -> None:
        """The log says why TLS gives no link: once, not at every dial."""
        why = refusal(self.tls, error, self.clock.wall_ns())
        if why is not None and self._refusals.get(peer) != why:
            self._refusals[peer] = why
            log.warning("no link to %s: %s", peer, why)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            now = self.clock.boot()
            for connection in list(self.connections):
                why = connection.overdue(now)
                if why is not None:
                    connection.fail(why)
                elif connection.standing:
                    connection.write(Ping(self.clock.wall_ns(), recovering=self.is_recovering()))
                    if connection.silent and connection is self._standing.get((connection.peer or "", "bulk")):
                        self._calls.lost(connection.peer or "", "the peer fell silent before the answer came")

    # ---- from connections
    def stands(self, connection: Connection, hello: Hello) -> None:
        """T1, T2."""
        assert connection.peer is not None
        assert connection.kind is not None
        key = (connection.peer, connection.kind)
        older = self._standing.get(key)
        if older is not None and older.proven and not connection.proven:
            connection.fail("it does not prove the keys, and a link that did still stands")
            return
        if older is not None:
            older.close()
        self._standing[key] = connection
        self.hellos[connection.peer] = hello
        self._refusals.pop(connection.peer, None)
        if connection.proven:
            self.on_certificate(connection.peer, connection.public_certificate)
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
            self._calls.lost(connection.peer)
        self._on_turn()

    def on_message(self, peer: str, message: Message) -> None:
        """A Raft message over a proven link."""
        self._on_message(peer, message)
        self._on_turn()

    def on_call_message(self, connection: Connection, message: Call | Reply) -> None:
        """A question to us, or an answer to ours."""
        self._calls.on_message(connection, message)

    def on_ping(self, connection: Connection, message: Ping) -> None:
        """The peer's wall clock, to be compared with ours, and whether it is recovering."""
        assert connection.peer is not None
        self._walls[connection.peer] = (message.wall_ns, self.clock.boot())
        (self._recovering.add if message.recovering else self._recovering.discard)(connection.peer)

    @property
    def recovering(self) -> frozenset[str]:
        """Peers that said so last, over a link that stands."""
        return frozenset(peer for peer in self._recovering if self.standing(peer))

    @property
    def skew_ns(self) -> dict[str, int]:
        """Each peer's wall clock minus ours, now: a jump of ours shows at once, one of theirs with their next ping."""
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

    async def call(self, peer: str, method: str, body: bytes, timeout_s: float) -> bytes:
        """Ask a peer. Raises UnavailableError if it cannot be asked or does not answer, CallError if it refuses.

        After UnavailableError the peer may have acted: callers that must know treat it as unknown.
        """
        return await self._calls.ask(self._standing.get((peer, "bulk")), method, body, timeout_s)
