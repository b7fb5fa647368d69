"""Bodies that the handler reads: not before it asks, whole or not at all, and each client at a pace that is borne."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from node.request import RawRequest, RawResponse, Refusal
from tests.node.http.conftest import HOST, Serve, until

POST = b"POST /v1/sys/storage/raft/snapshot HTTP/1.1\r\n" + HOST
LARGE = bytes(range(256)) * 20_000  # more than any other body may be


class Reader:
    """A handler that reads what it is sent, and answers with its length; `refusing`: one that does not read."""

    def __init__(self, *, refusing: bool = False) -> None:
        self.refusing = refusing
        self.got = b""
        self.errors: list[BaseException] = []
        self.begun = False
        self.length: int | None = -1

    async def __call__(self, request: RawRequest) -> RawResponse:
        assert request.upload is not None
        self.length = request.upload.length
        if self.refusing:
            raise Refusal(403, "permission denied")
        self.begun = True
        try:
            async with aclosing(request.upload.parts()) as parts:  # type: ignore[type-var]
                async for part in parts:
                    self.got += part
        except Refusal as error:
            self.errors.append(error)
            raise
        return RawResponse(200, b"%d" % len(self.got))


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_reaches_the_handler_as_it_was_sent(serve: Serve, *, chunked: bool) -> None:
    """Announced or in chunks; the connection goes on with the next request."""
    reader = Reader()
    site = await serve(reader)
    client = await site.connect()
    if chunked:
        pieces = [LARGE[at : at + 99_991] for at in range(0, len(LARGE), 99_991)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        client.send(POST, b"Transfer-Encoding: chunked\r\n\r\n", body)
    else:
        client.send(POST, b"Content-Length: %d\r\n\r\n" % len(LARGE), LARGE)
    assert (await client.reply()).body == b"%d" % len(LARGE)
    assert (reader.got == LARGE, reader.length) == (True, None if chunked else len(LARGE))
    reader.got = b""
    client.send(POST, b"Content-Length: 0\r\n\r\n")
    assert (await client.reply()).body == b"0"


async def test_another_path_has_no_upload(serve: Serve) -> None:
    """Its body is read, within its limit, before anybody is asked; and a GET there has none either."""
    site = await serve()
    assert (await site.post(b"{}")).status == 200
    assert (await site.get(b"/v1/sys/storage/raft/snapshot")).status == 200
    assert [request.upload for request in site.received] == [None, None]
    assert (await site.post(LARGE)).status == 413


async def test_who_waits_for_leave_gets_it_only_from_who_reads(serve: Serve) -> None:
    """`100 Continue` when the handler asks; the answer at once where it refuses, and the body was never sent."""
    expecting = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
    site = await serve(Reader())
    client = await site.connect()
    client.send(expecting)
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(LARGE)
    assert (await client.reply()).body == b"%d" % len(LARGE)

    refusing = await serve(Reader(refusing=True))
    client = await refusing.connect()
    client.send(expecting)
    assert (await client.reply()).status == 403


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_breaks_off_is_no_whole_one(serve: Serve, *, chunked: bool) -> None:
    """The handler hears of it, whatever came before."""
    reader = Reader()
    site = await serve(reader)
    client = await site.connect()
    head = b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n" if chunked else b"Content-Length: 10\r\n\r\nabcde"
    client.send(POST, head)
    await until(lambda: reader.got == b"abcde")
    await client.close()
    await until(lambda: bool(reader.errors))
    assert isinstance(reader.errors[0], Refusal)


async def test_a_body_that_does_not_come_is_not_waited_for(serve: Serve) -> None:
    """The clock of bodies runs while it is read, and stops with it."""
    reader = Reader()
    site = await serve(reader, body_grace_s=10.0)
    client = await site.connect()
    client.send(POST, b"Content-Length: 10\r\n\r\nabc")
    await until(lambda: reader.got == b"abc")
    site.clock.now += 9
    site.server.sweep()
    client.send(b"d")
    await until(lambda: reader.got == b"abcd")
    site.clock.now += 2
    site.server.sweep()
    assert (await client.reply()).status == 408
    await until(lambda: bool(reader.errors))


async def test_work_behind_the_body_may_take_its_time(serve: Serve) -> None:
    """A restore takes minutes: its client is not dropped for it."""
    reader = Reader()
    clock: list[Any] = []

    async def handle(request: RawRequest) -> RawResponse:
        answer = await reader(request)
        clock[0].clock.now += 10_000
        clock[0].server.sweep()
        return answer

    site = await serve(handle)
    clock.append(site)
    client = await site.connect()
    client.send(POST, b"Content-Length: 3\r\n\r\nabc")
    assert (await client.reply()).body == b"3"
