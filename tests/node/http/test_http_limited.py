"""Which limit refused whom: each limit of the edge tells of what it refuses, and of nothing else."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from node.http.headers import Trust
from node.http.limits import Limited
from node.request import RawResponse
from node.tls import self_signed, server_context

from .conftest import HOST, Serve, Site, until

ADDRESS = "127.0.0.1"
GET = b"GET /v1/a HTTP/1.1\r\n" + HOST
Told = list[tuple[Limited, str]]


@pytest.fixture
def told() -> Told:
    return []


def hearing(told: Told) -> dict[str, Any]:
    return {"on_limited": lambda limit, address: told.append((limit, address))}


async def long_line(site: Site) -> int:
    return (await site.get(headers=b"X: " + b"a" * 9_000 + b"\r\n")).status


async def large_head(site: Site) -> int:
    return (await site.get(headers=b"".join(b"X-%d: %b\r\n" % (n, b"a" * 1_000) for n in range(20)))).status


async def long_path(site: Site) -> int:
    return (await site.get(b"/v1/" + b"a" * 2_000)).status


async def many_fields(site: Site) -> int:
    return (await site.get(b"/v1/a?" + b"&".join(b"f%d=1" % n for n in range(100)))).status


async def large_body(site: Site) -> int:
    return (await site.post(b'{"a":"%b"}' % (b"a" * (1 << 20)))).status


async def many_strings(site: Site) -> int:
    return (await site.post(b'{"a":[%b]}' % b",".join([b'""'] * 2_000))).status


async def deep_body(site: Site) -> int:
    return (await site.post(b'{"a":' + b"[" * 300 + b"]" * 300 + b"}")).status


@pytest.mark.parametrize(
    ("ask", "status", "limit"),
    [
        (long_line, 400, Limited.HEAD),
        (large_head, 431, Limited.HEAD),
        (long_path, 414, Limited.HEAD),
        (many_fields, 400, Limited.HEAD),
        (large_body, 413, Limited.BODY),
        (many_strings, 400, Limited.BODY),
        (deep_body, 400, Limited.BODY),
    ],
)
async def test_what_is_too_large_is_told(
    serve: Serve, told: Told, ask: Callable[[Site], Awaitable[int]], status: int, limit: Limited
):
    """Once for each request, with the address it came from."""
    site = await serve(**hearing(told))

    assert await ask(site) == status
    assert told == [(limit, ADDRESS)]


async def test_what_is_merely_wrong_is_not(serve: Serve, told: Told):
    """Nor what is right: a refusal by a limit is one by number, size or time."""
    site = await serve(**hearing(told))
    answers = [
        await site.get(),
        await site.post(b'{"a":1}'),
        await site.post(b"no JSON"),
        await site.get(b"/v1/a/../b"),
        await site.ask(b"NONSENSE\r\n\r\n"),
        await site.ask(b"OPTIONS /v1/a HTTP/1.1\r\n", HOST, b"\r\n"),
    ]

    assert [answer.status for answer in answers] == [200, 200, 400, 400, 400, 400]
    assert told == []


async def test_a_connection_too_many_is_told(serve: Serve, told: Told):
    """Of one address, and of all; the ones that were let in are not."""
    site = await serve(**hearing(told), connections_per_address=1)
    await site.connect()
    assert await (await site.connect()).closed() == b""
    assert told == [(Limited.CONNECTIONS_PER_ADDRESS, ADDRESS)]

    told.clear()
    site = await serve(**hearing(told), connections=1)
    await site.connect()
    assert await (await site.connect()).closed() == b""
    assert told == [(Limited.CONNECTIONS, ADDRESS)]


@pytest.mark.parametrize(
    ("limits", "limit", "status"),
    [
        ({"in_flight": 1}, Limited.IN_FLIGHT, 503),
        ({"in_flight_per_address": 1}, Limited.IN_FLIGHT_PER_ADDRESS, 429),
    ],
)
async def test_a_request_too_many_is_told(
    serve: Serve, told: Told, limits: dict[str, int], limit: Limited, status: int
):
    """With the address of the client, which a trusted proxy names."""
    released = asyncio.Event()

    async def wait(_request: Any) -> RawResponse:
        await released.wait()
        return RawResponse(204)

    trust = Trust(frozenset({"localhost"}), (ipaddress.ip_network("127.0.0.0/8"),))
    client = b"X-Forwarded-For: 203.0.113.9\r\n"
    site = await serve(wait, **hearing(told), **limits, trust=trust)
    first = (await site.connect()).send(GET, client, b"\r\n")
    await until(lambda: site.server.edge.turns.admission.in_flight == 1)

    assert (await site.get(headers=client)).status == status
    assert told == [(limit, "203.0.113.9")]
    released.set()
    assert (await first.reply()).status == 204


async def test_a_client_that_is_too_slow_is_told(serve: Serve, told: Told):
    """One that is quick enough is not."""
    site = await serve(**hearing(told), head_timeout_s=5.0)
    slow = (await site.connect()).send(b"GET /v1/a HTTP/1.1\r\n")
    await until(lambda: any(protocol._parser.in_head for protocol in site.server.edge.manager.protocols))
    site.server.sweep()
    assert told == []

    site.clock.now += 6.0
    site.server.sweep()
    assert b"408" in await slow.closed()
    assert told == [(Limited.TIME, ADDRESS)]


async def test_a_handshake_that_never_begins_is_told(serve: Serve, told: Told, tmp_path: Path):
    """Whoever connects and says nothing to a listener of TLS."""
    files = self_signed(tmp_path, "localhost")
    site = await serve(**hearing(told), ssl_context=server_context(*files), handshake_timeout_s=5.0)
    silent = await site.connect()
    await until(lambda: site.server.acceptor.counts.total() == 1)
    site.clock.now += 6.0
    site.server.sweep()

    assert await silent.closed() == b""
    assert told == [(Limited.TIME, ADDRESS)]
