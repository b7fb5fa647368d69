"""Answers in the turn in which the request came: what is taken so, what is left to the ordinary way, in which order."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from node.http import respond
from node.http.headers import Trust
from node.request import Answer, RawRequest, RawResponse

from .conftest import HOST, Client, Serve, Site, until

GET = b"GET /v1/now HTTP/1.1\r\n" + HOST + b"\r\n"


class Now:
    """Answers paths that begin with "now"; `open` says whether anything can be answered at all."""

    def __init__(self) -> None:
        self.open = True
        self.asked: list[str] = []
        self.error: BaseException | None = None

    def begin(self) -> Any:
        return self if self.open else None

    def answer(self, request: RawRequest, state: Any) -> RawResponse | None:
        assert state is self
        self.asked.append(f"{request.method} {request.path}")
        if self.error is not None:
            raise self.error
        if not request.path.startswith("now"):
            return None
        return respond(request.id, Answer(data={"way": "now", "path": request.path}))


async def ordinary(request: RawRequest) -> RawResponse:
    return respond(request.id, Answer(data={"way": "ordinary", "path": request.path}))


async def served(serve: Serve, handler: Any = ordinary, **options: Any) -> tuple[Site, Now, Client]:
    """A server with both ways, and a connection that waits for its second request."""
    now = Now()
    site = await serve(handler, at_once=now, **options)
    client = await site.connect()
    assert (await client.send(b"POST /v1/first HTTP/1.1\r\n", HOST, b"Content-Length: 0\r\n\r\n").reply()).status == 200
    await until(lambda: waits(site))
    return site, now, client


def waits(site: Site) -> bool:
    return all(protocol._waiter is not None for protocol in site.server.edge.manager.protocols)


@pytest.mark.parametrize("method", [b"GET", b"LIST", b"SCAN"])
async def test_a_read_is_answered_at_once(serve: Serve, method):
    """With the same headers as on the ordinary way, and the connection stays."""
    site, now, client = await served(serve)
    request = (method, b" /v1/now HTTP/1.1\r\n", HOST, b"\r\n")

    first = await client.send(*request).reply()
    second = await client.send(*request).reply()
    now.open = False
    other = await client.send(*request).reply()

    assert [reply.json["data"]["way"] for reply in (first, second, other)] == ["now", "now", "ordinary"]
    assert list(first.headers) == list(other.headers)
    assert len(now.asked) == 2
    assert site.server.edge.turns.admission.in_flight == 0


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"HEAD /v1/now HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /v1/now HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n",
        b"GET /v1/now HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n",
        b"POST /v1/now HTTP/1.1\r\nContent-Length: 2\r\n" + HOST + b"\r\n{}",
        b"DELETE /v1/now HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /v1/now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n0\r\n\r\n",
    ],
)
async def test_what_has_a_body_or_ends_the_connection_takes_the_ordinary_way(serve: Serve, request_bytes):
    """The quick way is not even asked."""
    _, now, client = await served(serve)

    reply = await client.send(request_bytes).reply(head_only=request_bytes.startswith(b"HEAD"))

    assert now.asked == []
    assert reply.status == (400 if b"chunked" in request_bytes else 200)


async def test_what_cannot_be_answered_at_once_takes_the_ordinary_way(serve: Serve):
    """Asked once, and nothing is lost."""
    _, now, client = await served(serve)

    reply = await client.send(b"GET /v1/slow HTTP/1.1\r\n", HOST, b"\r\n").reply()

    assert (now.asked, reply.json["data"]) == (["GET slow"], {"way": "ordinary", "path": "slow"})


async def test_what_the_edge_refuses_is_refused_on_the_ordinary_way(serve: Serve):
    """The rules stand in one place."""
    _, now, client = await served(serve)

    reply = await client.send(b"GET /v1/now HTTP/1.1\r\nHost: elsewhere\r\n\r\n").reply()

    assert (now.asked, reply.status) == ([], 400)


async def test_messages_of_one_segment_are_answered_in_order(serve: Serve):
    """None overtakes another, whatever way it could go."""
    _, now, client = await served(serve)
    paths = [b"now/1", b"slow", b"now/2", b"now/3"]

    client.send(*(b"GET /v1/%b HTTP/1.1\r\n%b\r\n" % (path, HOST) for path in paths))
    replies = [await client.reply() for _ in paths]

    assert [reply.json["data"]["path"].encode() for reply in replies] == paths
    assert now.asked == []


async def test_nothing_overtakes_a_request_in_work(serve: Serve):
    """The second waits for the first, though it could be answered."""
    release = asyncio.Event()

    async def slow(request: RawRequest) -> RawResponse:
        if request.path == "slow":
            await release.wait()
        return await ordinary(request)

    site, now, client = await served(serve, slow)
    client.send(b"GET /v1/slow HTTP/1.1\r\n", HOST, b"\r\n")
    await until(lambda: site.server.edge.turns.admission.in_flight == 1)
    client.send(GET)
    await until(lambda: any(protocol._messages for protocol in site.server.edge.manager.protocols))
    release.set()
    replies = [await client.reply(), await client.reply()]

    assert [reply.json["data"]["path"] for reply in replies] == ["slow", "now"]
    assert now.asked == ["GET slow"]


async def test_a_message_in_two_segments_is_answered_once_it_is_whole(serve: Serve):
    """Half a head is no message, and one and a half are not one."""
    _, now, client = await served(serve)

    client.send(GET[:20])
    await asyncio.sleep(0.01)
    first = await client.send(GET[20:]).reply()
    second = await client.send(GET, GET[:20]).reply()
    third = await client.send(GET[20:]).reply()

    assert [reply.json["data"]["way"] for reply in (first, second, third)] == ["now", "ordinary", "now"]
    assert len(now.asked) == 2


async def test_a_server_that_drains_closes_as_before(serve: Serve):
    """Its answers say so."""
    site, now, client = await served(serve)
    site.server.draining = True

    reply = await client.send(GET).reply()

    assert (now.asked, reply.headers["connection"], await client.closed()) == ([], "close", b"")


async def test_a_connection_that_is_held_takes_the_ordinary_way(serve: Serve):
    """What comes while the loop is late waits like everything else."""
    site, now, client = await served(serve)
    site.server.edge.manager.protocols[0].held = True

    assert (await client.send(GET).reply()).json["data"]["way"] == "ordinary"
    assert now.asked == []


async def test_a_full_turn_takes_the_ordinary_way(serve: Serve):
    """Who is answered at once counts among those begun in the turn."""
    site, now, client = await served(serve, per_turn=1)
    admission = site.server.edge.turns.admission

    assert admission.may_pass("127.0.0.1")
    site.server.edge.turns.passed()
    assert not admission.may_pass("127.0.0.1")
    await until(lambda: admission.may_pass("127.0.0.1"))
    assert (await client.send(GET).reply()).json["data"]["way"] == "now"
    assert len(now.asked) == 1


async def test_an_address_with_too_many_requests_takes_the_ordinary_way(serve: Serve):
    """Which refuses it."""
    site, now, client = await served(serve, in_flight_per_address=1)
    site.server.edge.turns.admission.arrive("127.0.0.1")

    assert ((await client.send(GET).reply()).status, now.asked) == (429, [])
    site.server.edge.turns.admission.leave("127.0.0.1")


async def test_clients_of_a_trusted_proxy_take_the_ordinary_way(serve: Serve):
    """Each counts for itself."""
    import ipaddress

    trust = Trust(proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    _, now, client = await served(serve, trust=trust)

    reply = await client.send(GET[:-2], b"X-Forwarded-For: 192.0.2.1\r\n\r\n").reply()

    assert (reply.json["data"]["way"], now.asked) == ("ordinary", [])


async def test_an_exception_is_a_fixed_500(serve: Serve, caplog):
    """As on the ordinary way, and the connection stays."""
    _, now, client = await served(serve)
    now.error = ValueError("the secret value")

    with caplog.at_level(logging.DEBUG):
        replies = [await client.send(GET).reply() for _ in range(2)]

    assert [(reply.status, reply.errors) for reply in replies] == [(500, ["internal error"])] * 2
    assert "ValueError at" in caplog.text
    assert "secret value" not in caplog.text


async def test_a_fatal_error_is_not_answered(serve: Serve):
    """Whoever started the server hears of it."""

    class Fatal(BaseException):
        pass

    heard: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    _, now, client = await served(serve, on_fatal=heard.append)
    now.error = Fatal()

    assert await client.send(GET).closed() == b""
    assert [type(error) for error in heard] == [Fatal]


async def test_an_answer_begins_the_idle_time_anew(serve: Serve):
    """A client that only reads is not idle."""
    site, _, client = await served(serve)
    protocol = site.server.edge.manager.protocols[0]
    protocol._next_keepalive_close_time = 0.0

    await client.send(GET).reply()

    assert protocol._next_keepalive_close_time > asyncio.get_running_loop().time()


async def test_an_answer_leaves_before_its_connection_is_closed(serve: Serve):
    """Also if it is closed in the turn in which the request came."""
    site, _, client = await served(serve)
    protocol = site.server.edge.manager.protocols[0]

    protocol.data_received(GET)
    protocol.force_close()

    assert (await client.reply()).json["data"]["way"] == "now"
    assert await client.closed() == b""


async def test_an_answer_leaves_before_the_end_of_a_client_that_is_too_slow(serve: Serve):
    """The 408 for the half head stands behind it."""
    site, now, client = await served(serve)
    protocol = site.server.edge.manager.protocols[0]

    protocol.data_received(GET)
    protocol.data_received(GET[:20])
    protocol.expire()

    assert [(await client.reply()).status, (await client.reply()).status] == [200, 408]
    assert len(now.asked) == 1


async def test_several_messages_of_one_turn_are_answered_in_order(serve: Serve):
    """The third has to take the ordinary way, and the fourth may not overtake it."""
    site, now, client = await served(serve)
    protocol = site.server.edge.manager.protocols[0]

    for path in (b"now/1", b"now/2", b"slow", b"now/3"):
        protocol.data_received(b"GET /v1/%b HTTP/1.1\r\n%b\r\n" % (path, HOST))
    replies = [await client.reply() for _ in range(4)]

    assert [reply.json["data"]["path"] for reply in replies] == ["now/1", "now/2", "slow", "now/3"]
    assert now.asked == ["GET now/1", "GET now/2", "GET slow"]


async def test_an_answer_to_a_client_that_is_gone_is_dropped(serve: Serve):
    """Others get theirs."""
    site, _, client = await served(serve)
    other = await site.connect()
    await until(lambda: len(site.server.edge.manager.protocols) == 2 and waits(site))
    gone, stays = sorted(site.server.edge.manager.protocols, key=lambda one: one.peer.port != client_port(client))

    gone.data_received(GET)
    stays.data_received(GET)
    assert gone.transport is not None
    gone.transport.abort()

    assert (await other.reply()).json["data"]["way"] == "now"
    assert await client.closed() == b""


def client_port(client: Client) -> int:
    return int(client.writer.get_extra_info("sockname")[1])
