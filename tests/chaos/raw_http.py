"""A server that says exactly the bytes that a test gives it: what edges, proxies and dying nodes answer.

Listens on loopback, in the test's own loop. Each request is kept; connections are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSE = b""
NEVER = None


def answer(status: int, body: bytes = b"{}", *, length: int | None = None, more: str = "") -> bytes:
    """One whole answer, unless `length` says another."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{more}\r\n".encode() + body


class RawServer:
    """`async with` it. `say(number, head)`: the bytes for that request, CLOSE to close, NEVER to say nothing."""

    def __init__(self, say: Callable[[int, str], bytes | None], *, then_close: bool = False) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.heard = asyncio.Event()
        self._say = say
        self._then_close = then_close
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def send(self, raw: bytes) -> None:
        """To every connection, unasked."""
        for writer in self._writers:
            writer.write(raw)
            await writer.drain()

    async def hang_up(self) -> None:
        """Every connection is closed by the server."""
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = head.lower().partition("content-length:")[2].partition("\r\n")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                self.asked.append(head)
                self.heard.set()
                raw = self._say(len(self.asked), head)
                if raw is NEVER:
                    continue
                writer.write(raw or b"")
                await writer.drain()
                if not raw or self._then_close:
                    break
        writer.close()
