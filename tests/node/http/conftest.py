"""A server on a loopback port, a clock that stands still, and raw bytes to talk with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop

from node.http import HttpLimits, HttpServer, respond
from node.http.headers import Trust
from node.request import Answer, RawRequest, RawResponse

HOST = b"Host: localhost\r\n"


class StillClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000 + int(self.now * 1e9)


class SystemBytes:
    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


@dataclass
class Reply:
    """One answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def errors(self) -> Any:
        return self.json["errors"]


class Client:
    """One connection that sends what it is told and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> Client:
        self.writer.write(b"".join(parts))
        return self

    async def reply(self, *, head_only: bool = False) -> Reply:
        """The next answer; ConnectionError if there is none."""
        async with asyncio.timeout(10):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                raise ConnectionError("no answer") from None
            first, *lines = head.decode("latin-1").split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size = 0 if head_only else int(headers.get("content-length", "0"))
            return Reply(int(first.split()[1]), headers, await self.reader.readexactly(size))

    async def closed(self) -> bytes:
        """Whatever comes until the server closes."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@dataclass
class Site:
    """A running server, what it received, and clients of it."""

    server: HttpServer
    clock: StillClock
    address: tuple[str, int]
    received: list[RawRequest]
    clients: list[Client] = field(default_factory=list)

    async def connect(self, **options: Any) -> Client:
        client = Client(*await asyncio.open_connection(*self.address, **options))
        self.clients.append(client)
        return client

    async def ask(self, *parts: bytes) -> Reply:
        """The answer to bytes on a connection of their own."""
        client = await self.connect()
        reply = await client.send(*parts).reply(head_only=parts[0] == b"HEAD")
        await client.close()
        return reply

    async def get(self, target: bytes = b"/v1/a", headers: bytes = b"", method: bytes = b"GET") -> Reply:
        return await self.ask(method, b" ", target, b" HTTP/1.1\r\n", HOST, headers, b"\r\n")

    async def post(self, body: bytes, headers: bytes = b"", method: bytes = b"POST", target: bytes = b"/v1/a") -> Reply:
        length = b"Content-Length: %d\r\n" % len(body)
        return await self.ask(method, b" ", target, b" HTTP/1.1\r\n", HOST, headers, length, b"\r\n", body)


Serve = Callable[..., Awaitable[Site]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers; takes a handler, limits by name and options of HttpServer."""
    sites: list[Site] = []

    async def start(handler: Callable[[RawRequest], Awaitable[RawResponse]] | None = None, **options: Any) -> Site:
        names = {name for name in options if name in HttpLimits.__slots__}
        limits = replace(HttpLimits(), **{name: options.pop(name) for name in names})
        received: list[RawRequest] = []

        async def echo(request: RawRequest) -> RawResponse:
            received.append(request)
            data = {"operation": request.operation.value, "path": request.path}
            return respond(request.id, Answer(data=data))

        clock = StillClock()
        server = HttpServer(
            handler or echo,
            limits=limits,
            clock=clock,
            random=SystemBytes(),
            trust=options.pop("trust", Trust()),
            **options,
        )
        site = Site(server, clock, await server.start("127.0.0.1", 0), received)
        sites.append(site)
        return site

    yield start
    for site in sites:
        for client in site.clients:
            await client.close()
        await site.server.stop(1)


async def until(condition: Callable[[], bool]) -> None:
    """Turns of the loop until the condition holds: what is awaited sits behind sockets and has no event."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    """Both loops: uvloop in production, asyncio where it does not exist."""
    return {"uvloop": uvloop.new_event_loop}
