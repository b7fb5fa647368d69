"""The peer port: accepts, shakes hands by TLS, and bounds those who have not said yet who they are.

A shell. Whoever is between its first packet and the end of its handshake is a stranger; one costs a descriptor and a
little memory, so there are only so many, and the newest always has its turn: a flood must not keep a member away.

Invariants
  N1  at most STRANGERS_MAX strangers are there; one more closes the oldest one of the address that has most
  N2  accepting goes on whatever a stranger does, one in a turn of the loop, and after a want of descriptors
  N3  a stranger that has not shaken hands by TLS within `handshake_s` is closed; what follows is `Connection.overdue`'s
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Connection

STRANGERS_MAX: Final = 256
BACKLOG: Final = 128
REST_S: Final = 0.05  # when there is no descriptor left


class Listener:
    """The listening sockets of one node. `refused(address, why)` is told of each stranger that came to nothing."""

    strangers_max = STRANGERS_MAX

    def __init__(
        self,
        make: Callable[[], Connection],
        context: ssl.SSLContext,
        handshake_s: float,
        refused: Callable[[str, str], None],
    ) -> None:
        self._make = make
        self._context = context
        self._handshake_s = handshake_s
        self._refused = refused
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._strangers: dict[Connection, tuple[str, asyncio.Task[None]]] = {}

    async def start(self, host: str, port: int) -> None:
        """Bound and accepting. Raises OSError if an address cannot be had."""
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(infos):
                self._sockets.append(_listening(family, kind, protocol, address))
        except OSError:
            self.close()
            raise
        self._accepting = [loop.create_task(self._accept(sock)) for sock in self._sockets]

    def close(self) -> None:
        """Nobody is accepted any more, and who is a stranger is closed."""
        for task in self._accepting:
            task.cancel()
        for sock in self._sockets:
            sock.close()
        for connection in list(self._strangers):
            self._drop(connection)

    @property
    def strangers(self) -> int:
        """How many have not finished their handshake."""
        return len(self._strangers)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                self._refused("unknown", f"could not be accepted: {error.strerror}")
                self._drop_oldest()
                await asyncio.sleep(REST_S)
                continue
            self._welcome(sock, str(address[0]))
            await asyncio.sleep(0)  # N2: a socket that is ready at once would not give the loop its turn

    def _welcome(self, sock: socket.socket, host: str) -> None:
        if len(self._strangers) >= self.strangers_max:
            self._refused(host, "too many connections have not said who they are")
            self._drop_oldest()
        connection = self._make()
        task = asyncio.get_running_loop().create_task(self._shake(sock, host, connection))
        self._strangers[connection] = (host, task)

    def _drop_oldest(self) -> None:
        """N1."""
        if self._strangers:
            most, _ = Counter(host for host, _ in self._strangers.values()).most_common(1)[0]
            self._drop(next(one for one, (host, _) in self._strangers.items() if host == most))

    def _drop(self, connection: Connection) -> None:
        _, task = self._strangers.pop(connection)
        task.cancel()
        connection.close()

    async def _shake(self, sock: socket.socket, host: str, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, sock, ssl=self._context, ssl_handshake_timeout=self._handshake_s
            )
            await connection.settled.wait()
        except (OSError, EOFError) as error:  # TLS errors and timeouts are OSErrors
            self._refused(host, f"no TLS: {_reason(error)}")
        finally:
            self._strangers.pop(connection, None)


def _reason(error: Exception) -> str:
    """Nothing that was received: OpenSSL's own word, or the type."""
    if isinstance(error, ssl.SSLError):
        return str(getattr(error, "verify_message", "") or error.reason or type(error).__name__)
    return type(error).__name__


def _listening(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
