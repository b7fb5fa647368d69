"""Links on loopback with real TLS, and strangers that dial them. Nothing sleeps: tests wait for what happens."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
from typing import TYPE_CHECKING, Any, ClassVar

from cluster.links import messages, wire
from cluster.links.handshake import Side, prove
from cluster.links.messages import Call, Hello, Message, Proof, decode, encode
from cluster.links.transport import Identity, Links, tls_contexts
from cluster.seams import SystemClock, SystemRandom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

HOST = "127.0.0.1"
WAIT_S = 10.0
KEY = b"k" * 32


def link_mac(key: bytes) -> Callable[[bytes], bytes]:
    return lambda message: hmac.new(key, message, hashlib.sha256).digest()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class Site:
    """One node's links, and what they told."""

    def __init__(self, certs: Path, node_id: str, members: dict[str, tuple[str, int]], **identity: Any) -> None:
        fields = {"cluster_name": "c", "incarnation": 3, "cluster_id": b"c", "generation": b"g"} | identity
        self.who = Identity(node_id, link_mac=link_mac(KEY), **{k: v for k, v in fields.items() if k != "key"})
        if "key" in identity:
            self.who.link_mac = None if identity["key"] is None else link_mac(identity["key"])
            del fields["key"]
        self.port = members[node_id][1]
        self.heard: list[tuple[str, Message]] = []
        self.events: list[tuple[str, str]] = []
        self.asked: list[tuple[str, bool, str, bytes]] = []
        self.answer: Callable[[Call], Any] = lambda call: call.body
        self._changed = asyncio.Condition()
        tls = tls_contexts(str(certs / f"{node_id}.pem"), str(certs / f"{node_id}.key"), str(certs / "ca.pem"))
        self.links = Links(
            lambda: self.who,
            {name: place for name, place in members.items() if name != node_id},
            tls,
            SystemClock(),
            SystemRandom(),
            on_message=self._on_message,
            on_connected=lambda peer, _hello: self._note("up", peer),
            on_disconnected=lambda peer: self._note("down", peer),
            on_call=self._on_call,
            on_turn=self._wake,
        )

    def _note(self, what: str, peer: str) -> None:
        self.events.append((what, peer))

    def _on_message(self, peer: str, message: Message) -> None:
        self.heard.append((peer, message))

    async def _on_call(self, peer: str, proven: bool, call: Call, _certificate: bytes) -> bytes:
        self.asked.append((peer, proven, call.method, call.body))
        answer = self.answer(call)
        return await answer if asyncio.iscoroutine(answer) else answer  # type: ignore[no-any-return]

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._waker = asyncio.ensure_future(wake())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something the links told makes the condition true."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    async def start(self) -> None:
        await self.links.start(HOST, self.port)


async def turns(count: int) -> None:
    """So many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def happens(condition: Callable[[], object]) -> None:
    """Turns of the loop until the condition is true, for what the links do not tell."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await turns(1)


@contextlib.asynccontextmanager
async def sites(certs: Path, *names: str, **identity: Any) -> AsyncIterator[list[Site]]:
    """Running links of these nodes; identity fields of all, or with the node's name before them (n2_key=…)."""
    members = {name: (HOST, free_port()) for name in ("n1", "n2", "n3")}
    made = []
    for name in names:
        own = {key.removeprefix(f"{name}_"): value for key, value in identity.items() if key.startswith(f"{name}_")}
        shared = {key: value for key, value in identity.items() if key[:3] not in {"n1_", "n2_", "n3_"}}
        made.append(Site(certs, name, members, **(shared | own)))
    try:
        for site in made:
            await site.start()
        yield made
    finally:
        for stranger in Stranger.dialled:
            stranger.close()
        Stranger.dialled.clear()
        for site in made:
            await site.links.stop()
        await turns(5)  # whatever was aborted is told so


class Stranger:
    """A peer that a test plays itself, byte by byte."""

    dialled: ClassVar[list[Stranger]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fingerprint: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self.fingerprint = fingerprint
        self.frames = wire.Reader()
        self.received: list[messages.AnyMessage] = []
        self.dialled.append(self)

    @classmethod
    async def dial(cls, site: Site, certs: Path, name: str | None, *, ca: Path | None = None) -> Stranger:
        """TLS to the site with that node's certificate, or none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations((ca or certs) / "ca.pem")
        fingerprint = b""
        if name is not None:
            context.load_cert_chain(certs / f"{name}.pem", certs / f"{name}.key")
            der = ssl.PEM_cert_to_DER_cert((certs / f"{name}.pem").read_text())
            fingerprint = hashlib.sha256(der).digest()
        reader, writer = await asyncio.open_connection(HOST, site.port, ssl=context)
        return cls(reader, writer, fingerprint)

    def say(self, message: Message, *, data_lane: bool = False) -> None:
        self.say_bytes(b"".join(wire.frames(encode(message), data_lane=data_lane)))

    def say_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> messages.AnyMessage:
        """The next message; ConnectionError when the site hangs up."""
        async with asyncio.timeout(WAIT_S):
            while not self.received:
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionError
                self.received += [decode(payload) for payload in self.frames.feed(data)]
        return self.received.pop(0)

    async def hung_up(self) -> bool:
        """The site closes the connection, whatever it says before."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while True:
                await self.hear()
        return True

    async def shake(self, name: str, *, link: str = "bulk", key: bytes | None = KEY, **fields: Any) -> Hello:
        """Hello and proof; the site's hello."""
        values = {
            "cluster_name": "c", "incarnation": 9, "nonce": b"s" * 32, "formats": [1], "cluster_id": b"c",
            "generation": b"g",
        } | fields  # fmt: skip
        mine = Hello(name, link=link, **values)
        self.say(mine)
        theirs = await self.hear()
        assert isinstance(theirs, Hello)
        their_certificate = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        me = Side(encode(mine), self.fingerprint)
        site = Side(encode(theirs), hashlib.sha256(their_certificate).digest())
        self.say(Proof(prove(None if key is None else link_mac(key), me, site)))
        assert isinstance(await self.hear(), Proof)
        return theirs

    def close(self) -> None:
        self.writer.transport.abort()
