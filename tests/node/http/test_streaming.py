"""Answers in pieces: how they end, how they break off, and who sets the pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from node.request import RawRequest, RawResponse
from tests.node.http.conftest import HOST, Serve, Site


class Pieces:
    """A body of these pieces; an exception among them ends it."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.given = 0
        self.closed = 0

    async def parts(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.given += 1
            yield piece

    def close(self) -> None:
        self.closed += 1


def answering(stream: Pieces) -> Any:
    async def handle(_request: RawRequest) -> RawResponse:
        return RawResponse(200, b"", [("X-A", "b")], "application/gzip", stream=stream)

    return handle


async def all_of(site: Site, *sent: bytes) -> tuple[bytes, bytes]:
    """(head, everything behind it) until the server closes."""
    client = await site.connect()
    data = await client.send(*sent).closed()
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


async def test_a_body_in_pieces_is_chunked_and_the_connection_goes_on(serve: Serve) -> None:
    """Empty pieces are left out: one would be the end."""
    stream = Pieces(b"abc", b"", b"0123456789abcdef" * 2)
    site = await serve(answering(stream))
    get = b"GET /v1/a HTTP/1.1\r\n" + HOST
    head, rest = await all_of(site, get, b"\r\n", get, b"Connection: close\r\n\r\n")
    whole = b"3\r\nabc\r\n20\r\n" + b"0123456789abcdef" * 2 + b"\r\n0\r\n\r\n"

    assert [word in head for word in (b"Transfer-Encoding: chunked", b"Content-Length", b"X-A: b")] == [
        True,
        False,
        True,
    ]
    assert rest.startswith(whole + b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(whole)
    assert stream.closed == 2


async def test_an_old_client_reads_to_the_end_of_the_connection(serve: Serve) -> None:
    """HTTP/1.0 knows no chunks."""
    stream = Pieces(b"abc", b"def")
    site = await serve(answering(stream))
    head, rest = await all_of(site, b"GET /v1/a HTTP/1.0\r\n", HOST, b"Connection: keep-alive\r\n\r\n")

    assert (b"chunked" in head, b"Connection: close" in head, rest, stream.closed) == (False, True, b"abcdef", 1)


async def test_what_breaks_off_does_not_look_whole(serve: Serve) -> None:
    """No last chunk, and the connection is gone; the error is in no byte of it."""
    stream = Pieces(b"abc", ValueError("planted"), b"def")
    site = await serve(answering(stream))
    _, rest = await all_of(site, b"GET /v1/a HTTP/1.1\r\n", HOST, b"\r\n")

    assert (b"0\r\n\r\n" in rest, b"planted" in rest, b"def" in rest, stream.closed) == (False, False, False, 1)


async def test_a_client_that_does_not_read_is_not_given_more(serve: Serve) -> None:
    """The stream waits for it; when it leaves, the stream is closed."""
    stream = Pieces(*[bytes(1 << 16)] * 400)
    site = await serve(answering(stream))
    client = await site.connect(limit=1 << 16)
    client.send(b"GET /v1/a HTTP/1.1\r\n", HOST, b"\r\n")
    given = -1
    async with asyncio.timeout(10):
        while stream.given == 0 or stream.given != given:
            given = stream.given
            await asyncio.sleep(0.05)
        assert given < 400
        client.writer.transport.abort()
        while not stream.closed:  # noqa: ASYNC110 - the loss of a connection has no event here
            await asyncio.sleep(0.005)


async def test_who_is_slow_is_not_who_does_not_read(serve: Serve) -> None:
    """Each piece that the client takes gives it its whole time again."""
    stream = Pieces(*[bytes(1 << 16)] * 400)
    site = await serve(answering(stream))
    client = await site.connect(limit=1 << 16)
    client.send(b"GET /v1/a HTTP/1.1\r\n", HOST, b"\r\n")
    while stream.given < 400:
        given = stream.given
        async with asyncio.timeout(10):
            while stream.given == given:
                await client.reader.read(1 << 20)
                await asyncio.sleep(0)
        site.server.sweep()
        site.clock.now += 20
    async with asyncio.timeout(10):
        while not (await client.reader.read(1 << 20)).endswith(b"0\r\n\r\n"):
            site.server.sweep()
