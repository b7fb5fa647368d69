"""The server as a whole: clocks, caps, errors of handlers, draining."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

import pytest

from node.http import HttpLimits
from node.request import RawResponse, Refusal

from .conftest import HOST, Client, Serve, Site, until

GET = b"GET /v1/a HTTP/1.1\r\n" + HOST
POST = b"POST /v1/a HTTP/1.1\r\n" + HOST


def connections(site: Site) -> int:
    return len(site.server.edge.manager.protocols)


async def test_every_answer_has_its_headers(serve: Serve):
    """Type, no-store, date, length."""
    site = await serve()

    reply = await site.get()

    assert (reply.headers["content-type"], reply.headers["cache-control"]) == ("application/json", "no-store")
    assert reply.headers["date"].endswith("GMT")
    assert "server" not in reply.headers
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.json["request_id"])


async def test_request_ids_are_never_given_twice(serve: Serve):
    """Across the blocks they are drawn in."""
    site = await serve()
    ids = {site.server._ids.next() for _ in range(1000)}

    assert len(ids) == 1000


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"HTTP/1.1\r\n", True),
        (b"HTTP/1.1\r\nConnection: close\r\n", False),
        (b"HTTP/1.0\r\n", False),
        (b"HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
async def test_a_connection_stays_if_both_want_it(serve: Serve, head, stays):
    """And the answer says so."""
    site = await serve()
    client = await site.connect()

    reply = await client.send(b"GET /v1/a ", head, HOST, b"\r\n").reply()
    client.send(GET, b"\r\n")

    if stays:
        assert (await client.reply()).status == 200
    else:
        assert (reply.headers.get("connection"), await client.closed()) == ("close", b"")


async def test_an_exception_of_the_handler_is_a_fixed_500(serve: Serve, caplog):
    """The record has type and place, the answer neither."""

    async def fail(_request):
        raise ValueError("the secret value")

    site = await serve(fail)
    with caplog.at_level(logging.DEBUG):
        client = await site.connect()
        replies = [await client.send(GET, b"\r\n").reply() for _ in range(2)]

    assert [(reply.status, reply.errors) for reply in replies] == [(500, ["internal error"])] * 2
    assert "ValueError at" in caplog.text
    assert "secret value" not in caplog.text


async def test_a_refusal_of_the_handler_is_its_answer(serve: Serve):
    """Status, texts, Retry-After."""

    async def refuse(_request):
        raise Refusal(503, "Vault is sealed", retry_after_s=1)

    reply = await (await serve(refuse)).get()

    assert (reply.status, reply.errors, reply.headers["retry-after"]) == (503, ["Vault is sealed"], "1")


async def test_a_fatal_error_is_not_answered(serve: Serve):
    """It ends the process, which must acknowledge nothing more; whoever started the server hears of it."""

    class Fatal(BaseException):
        pass

    async def fail(_request):
        raise Fatal

    heard: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    site = await serve(fail, on_fatal=heard.append)
    client = await site.connect()

    assert await client.send(GET, b"\r\n").closed() == b""
    assert [type(error) for error in heard] == [Fatal]


async def test_a_client_that_leaves_does_not_stop_its_request(serve: Serve):
    """A write goes on; its place is given back at the end."""
    release, ended = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        await release.wait()
        ended.set()
        return RawResponse(200)

    site = await serve(slow)
    client = (await site.connect()).send(GET, b"\r\n")
    gate = site.server.edge.turns.admission
    await until(lambda: gate.in_flight == 1)
    await client.close()
    release.set()
    await ended.wait()

    await until(lambda: gate.in_flight == 0 and connections(site) == 0)


@pytest.mark.parametrize("sent", [b"", b"GE", b"GET /v1/a HTTP/1.1\r\nHost: loc", b"\r\n"])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(serve: Serve, sent):
    """From the start of the connection, however slowly bytes come."""
    site = await serve()
    client = (await site.connect()).send(sent)
    await until(lambda: connections(site) == 1)
    site.clock.now += HttpLimits().head_timeout_s - 1
    site.server.sweep()
    client.send(b"X" if sent.endswith(b"loc") else b"")
    await asyncio.sleep(0)
    assert connections(site) == 1

    site.clock.now += 2
    await until(lambda: (site.server.sweep(), connections(site) == 0)[1])

    answer = await client.closed()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


async def test_a_late_head_behind_a_request_in_work_is_not_answered(serve: Serve):
    """A 408 would be read as the answer to the request in work, which may be a write that commits."""
    release = asyncio.Event()

    async def slow(_request):
        await release.wait()
        return RawResponse(200)

    site = await serve(slow)
    client = (await site.connect()).send(GET, b"\r\n", b"GET /v1/b")
    await until(lambda: site.server.edge.turns.admission.in_flight == 1)
    site.clock.now += 11
    site.server.sweep()

    assert await client.closed() == b""
    release.set()


async def test_the_second_head_has_its_time_from_its_first_byte(serve: Serve):
    """Idle before it costs nothing."""
    site = await serve()
    client = await site.connect()
    await client.send(GET, b"\r\n").reply()
    site.clock.now += 60
    site.server.sweep()
    client.send(GET)
    (protocol,) = site.server.edge.manager.protocols
    await until(lambda: protocol.head_since is not None)
    site.clock.now += 9
    site.server.sweep()

    assert (await client.send(b"\r\n").reply()).status == 200
    assert protocol.head_since is None


async def test_a_body_below_the_rate_ends_the_connection(serve: Serve):
    """With 408, and the request reaches nobody."""
    site = await serve()
    client = (await site.connect()).send(POST, b"Content-Length: 100000\r\n\r\n", b"x" * 20_480)
    gate = site.server.edge.turns.admission
    await until(lambda: connections(site) == 1 and site.server.edge.manager.protocols[0].body_received == 20_480)
    site.clock.now += 29  # 10 s of grace and 20 s for what came
    site.server.sweep()
    assert connections(site) == 1

    site.clock.now += 2
    site.server.sweep()

    assert (await client.closed()).startswith(b"HTTP/1.1 408 ")
    await until(lambda: gate.in_flight == 0)
    assert site.received == []


async def test_a_client_that_does_not_read_its_answer_is_dropped(serve: Serve):
    """Its answers would pile up here."""

    async def large(_request):
        return RawResponse(200, b"x" * (32 << 20))

    site = await serve(large)
    client = await site.connect(limit=1)
    client.writer.transport.pause_reading()
    client.send(GET, b"\r\n")
    await until(lambda: connections(site) == 1 and site.server.edge.manager.protocols[0].writing_paused)
    site.server.sweep()
    site.clock.now += HttpLimits().send_s + 1
    site.server.sweep()

    await until(lambda: connections(site) == 0)


async def test_an_address_has_so_many_connections(serve: Serve):
    """The next is closed at once; one that ends makes room."""
    site = await serve(connections_per_address=2)
    first, second = await site.connect(), await site.connect()
    for client in (first, second):
        await client.send(GET, b"\r\n").reply()

    third = await site.connect()
    assert await third.closed() == b""
    await first.close()
    await until(lambda: site.server.acceptor.counts["127.0.0.1"] == 1)

    assert ((await site.get()).status, site.server.acceptor.refused) == (200, 1)


async def test_the_node_has_so_many_connections(serve: Serve):
    """Whatever their addresses."""
    site = await serve(connections=1)
    await (await site.connect()).send(GET, b"\r\n").reply()

    assert await (await site.connect()).closed() == b""


async def test_stopping_answers_what_is_in_work_and_closes_what_is_idle(serve: Serve):
    """And accepts nobody."""
    release = asyncio.Event()

    async def slow(request):
        if request.path == "slow":
            await release.wait()
        return RawResponse(200, b"{}\n")

    site = await serve(slow)
    idle, busy = await site.connect(), await site.connect()
    await idle.send(GET, b"\r\n").reply()
    busy.send(b"GET /v1/slow HTTP/1.1\r\n", HOST, b"\r\n")
    await until(lambda: site.server.edge.turns.admission.in_flight == 1)
    stopping = asyncio.ensure_future(site.server.stop(10))

    assert await idle.closed() == b""
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await asyncio.open_connection(*site.address)
    release.set()
    reply = await busy.reply()
    await stopping

    assert (reply.status, reply.headers["connection"], await busy.closed()) == (200, "close", b"")


async def test_stopping_does_not_wait_longer_than_it_is_told(serve: Serve):
    """A handler that hangs is cancelled."""
    cancelled = asyncio.Event()

    async def hang(_request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    site = await serve(hang)
    client = (await site.connect()).send(GET, b"\r\n")
    await until(lambda: site.server.edge.turns.admission.in_flight == 1)

    await site.server.stop(0.01)

    assert (await client.closed(), cancelled.is_set()) == (b"", True)


async def test_many_connections_at_once_are_all_served(serve: Serve):
    """Clients, pipelines and turns together: each gets its own answers, in order."""
    site = await serve(per_turn=3)

    async def one(number: int) -> list[str]:
        client: Client = await site.connect()
        for index in range(10):
            client.send(b"LIST /v1/c%d/r%d HTTP/1.1\r\n" % (number, index), HOST, b"\r\n")
        return [(await client.reply()).json["data"]["path"] for _ in range(10)]

    found = await asyncio.gather(*(one(number) for number in range(20)))

    assert found == [[f"c{number}/r{index}/" for index in range(10)] for number in range(20)]
    assert site.server.edge.turns.admission.in_flight == 0


async def test_a_server_without_descriptors_tries_again(serve: Serve, monkeypatch):
    """It neither spins nor gives up."""
    site = await serve()
    acceptor = site.server.acceptor

    class Full:
        def accept(self):
            raise OSError(24, "Too many open files")

        def __getattr__(self, name):
            return getattr(listener, name)

    listener = acceptor._listener
    monkeypatch.setattr(acceptor, "_listener", Full())
    acceptor._loop.remove_reader(listener)
    acceptor._accept()
    paused = not acceptor._reading
    monkeypatch.setattr(acceptor, "_listener", listener)
    acceptor.sweep()

    assert (paused, (await site.get()).status) == (True, 200)


def test_limits_that_cannot_work_are_named():
    """All of them, in sentences."""
    assert HttpLimits().problems() == []
    assert len(HttpLimits(body_bytes=0, lag_resume_s=1.0, header_bytes=10).problems()) == 3


async def test_the_port_can_be_bound_again_after_a_stop(serve: Serve):
    """And not while somebody else has it."""
    site = await serve()
    other = await serve()
    with pytest.raises(OSError, match=r"[Aa]ddress"):
        await other.server.acceptor.listen(*site.address)
    with contextlib.suppress(ConnectionError):
        await site.get()
    await site.server.stop(1)

    assert await site.server.start(*site.address) == site.address
