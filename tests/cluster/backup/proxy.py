"""What stands between a sink and its server: passes bytes on, and breaks the connection where a test says.

Also a server that only says what it was told to, for what a true one never says.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

SSL_REQUEST = struct.pack(">II", 8, 80877103)


class Proxy:
    """From a port of its own to another one. What is set on it holds for bytes that come later."""

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self._ends: list[asyncio.StreamWriter] = []
        self.port = 0
        self.sent = b""
        self.cut_before = b""  # the connection is reset instead of passing on what begins here
        self.cut_after = b""  # it is reset once the server has answered this
        self.hold = b""  # what holds this waits for `released`, and is passed on even if the sender has gone
        self.held = asyncio.Event()
        self.released = asyncio.Event()
        self.on_packet: Callable[[], None] = lambda: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.append(writer)
        if self._tls is not None:
            assert await reader.readexactly(8) == SSL_REQUEST
            writer.write(b"S")
            plain = writer.transport
            with contextlib.suppress(OSError, AttributeError):
                await writer.start_tls(self._tls)
            if writer.transport is None or writer.transport is plain:  # refused by the client
                writer._transport = plain  # type: ignore[attr-defined] # asyncio leaves None there
                plain.abort()
                return
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._ends.append(downstream)
        await asyncio.gather(self._up(reader, writer, downstream, upstream), return_exceptions=True)
        downstream.close()
        writer.close()

    async def _up(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
    ) -> None:  # fmt: skip
        down = asyncio.ensure_future(self._down(answers, back))
        try:
            while data := await reader.read(1 << 16):
                self.sent += data
                self.on_packet()
                if self.cut_before and self.cut_before in data:
                    writer.write(data[: data.index(self.cut_before)])
                    await writer.drain()
                    back.transport.abort()
                    return
                if self.cut_after and self.cut_after in data:
                    down.cancel()
                    await asyncio.gather(down, return_exceptions=True)
                    writer.write(data)
                    await answers.read(1 << 16)
                    back.transport.abort()
                    return
                if self.hold and self.hold in data:
                    self.held.set()
                    await self.released.wait()
                writer.write(data)
                await writer.drain()
        finally:
            down.cancel()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    def close(self) -> None:
        for end in self._ends:
            end.transport.abort()


@contextlib.asynccontextmanager
async def proxy(upstream: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy that runs."""
    made = Proxy(upstream, tls)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.released.set()
        server.close()
        made.close()
        await server.wait_closed()
        await asyncio.sleep(0)


class Script:
    """A server that answers each message of the sink with the next of `answers`, and keeps what it got."""

    def __init__(self, answers: list[bytes], *, bytewise: bool) -> None:
        self._answers = answers
        self._bytewise = bytewise
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.got: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        for answer in self._answers:
            data = await reader.read(1 << 16)
            if not data:
                break
            self.got.append(data)
            for place in range(len(answer) if self._bytewise else 1):
                writer.write(answer[place : place + 1] if self._bytewise else answer)
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.got.append(data)
        writer.close()


@contextlib.asynccontextmanager
async def script(*answers: bytes, bytewise: bool = False) -> AsyncIterator[Script]:
    """A scripted server that runs."""
    made = Script(list(answers), bytewise=bytewise)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for writer in made._writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def message(kind: bytes, body: bytes) -> bytes:
    """As PostgreSQL frames one."""
    return kind + struct.pack(">I", len(body) + 4) + body


def asks(number: int, more: bytes = b"") -> bytes:
    """A request of authentication; 0 lets the client in."""
    return message(b"R", struct.pack(">I", number) + more)
