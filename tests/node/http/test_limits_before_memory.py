"""What is too large is refused by its size: before it is read, kept or parsed, and with its status."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from node.http import HttpLimits, body
from node.http.complexity import check_complexity
from node.http.errors import BadRequestError
from node.http.server import READ_BUFFER_BYTES

from .conftest import HOST, Serve, until

POST = b"POST /v1/a HTTP/1.1\r\n" + HOST
GET = b"GET /v1/a HTTP/1.1\r\n" + HOST
MIB = 1 << 20
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"

OVER_BY_ITS_HEAD = {
    "announced body": (POST + b"Content-Length: 1048577\r\n\r\n", 413),
    "announced body of a size no number holds": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "path": (b"POST /v1/" + b"a" * 1021 + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n", 414),
    "encoded path": (b"POST /v1/" + b"%41" * 1021 + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n", 414),
    "fields of a query": (b"GET /v1/a?" + b"a&" * 64 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "token": (GET + b"X-Vault-Token: " + b"a" * 4097 + b"\r\n\r\n", 400),
    "number of headers": (GET + b"A: b\r\n" * 65 + b"\r\n", 400),
    "a line that does not end": (GET + b"A: " + b"x" * 8191, 400),
    "a target that does not end": (b"GET /v1/" + b"x" * 8191, 400),
    "a head that does not end": (GET + b"".join(b"A%d: " % n + b"x" * 4000 + b"\r\n" for n in range(5)), 431),
    "a method that does not end": (b"X" * 17, 400),
}

WITHIN = {
    "path": (b"POST /v1/" + b"a" * 1020 + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", 200),
    "fields of a query": (b"GET /v1/a?" + b"a&" * 63 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "token": (GET + b"X-Vault-Token: " + b"a" * 4096 + b"\r\n\r\n", 200),
    "number of headers": (GET + b"A: b\r\n" * 63 + b"\r\n", 200),
    "a line": (GET + b"A: " + b"x" * 8000 + b"\r\n\r\n", 200),
    "a head": (GET + b"".join(b"A%d: " % n + b"x" * 4000 + b"\r\n" for n in range(4)) + b"\r\n", 200),
}


@pytest.mark.parametrize("name", OVER_BY_ITS_HEAD)
async def test_what_its_head_says_is_too_large_is_refused_before_the_rest_comes(serve: Serve, name: str) -> None:
    """Nothing more than these bytes is sent: who waits for a body, or for the end of a head, would not answer."""
    site = await serve()
    data, status = OVER_BY_ITS_HEAD[name]

    assert ((await site.ask(data)).status, site.received) == (status, [])


@pytest.mark.parametrize("name", WITHIN)
async def test_what_is_as_large_as_may_be_is_taken(serve: Serve, name: str) -> None:
    """The twins of the refused ones."""
    site = await serve()
    data, status = WITHIN[name]

    assert ((await site.ask(data)).status, len(site.received)) == (status, 1)


async def test_a_body_without_an_announced_end_is_kept_no_further_than_its_bound(serve: Serve) -> None:
    """The client never ends it; 413 leaves as soon as the bound is passed, and no more than a buffer was kept."""
    site = await serve(body_bytes=MIB)
    client = await site.connect()
    client.send(POST, CHUNKS)
    await until(lambda: bool(site.server.edge.manager.protocols))
    (protocol,) = site.server.edge.manager.protocols
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    client.send(piece * 64)
    reply = await client.reply()

    assert (reply.status, reply.headers["connection"], site.received) == (413, "close", [])
    assert MIB < protocol.body_received <= MIB + 4 * READ_BUFFER_BYTES


class NoDecoder:
    """Parses nothing: whoever gets here has spent the memory already."""

    def __init__(self) -> None:
        self.asked = 0

    def decode(self, _raw: bytes) -> Any:
        self.asked += 1
        return {}


TOO_COMPLEX = [
    b'{"a":[' + b",".join([b'"x"'] * 1000) + b"]}",
    b"{" + b",".join(b'"%d":1' % n for n in range(1001)) + b"}",
    b'{"a":' * 257 + b"1" + b"}" * 257,
    b'{"a":' + b"[" * 256 + b"]" * 256 + b"}",
    b"[" * 500_000,
    b'{"a":[' + b"[]," * 50_000 + b"1]}",
    b'{"a":[' + b"1," * 100_000 + b"1]}",
]
SIMPLE_ENOUGH = [
    b'{"a":[' + b",".join([b'"x"'] * 999) + b"]}",
    b'{"a":' * 256 + b"1" + b"}" * 256,
    b'{"a":[' + b"1," * 99_997 + b"1]}",
]


@pytest.mark.parametrize(("bodies", "status", "asked"), [(TOO_COMPLEX, 400, 0), (SIMPLE_ENOUGH, 200, 1)])
async def test_a_body_that_is_too_complex_reaches_no_parser(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, bodies: list[bytes], status: int, asked: int
) -> None:
    """Strings, nesting and elements are counted on the bytes (CVE-2025-59043)."""
    for raw in bodies:
        decoder = NoDecoder()
        monkeypatch.setattr(body.msgspec, "json", decoder)
        site = await serve()
        reply = await site.post(raw)
        monkeypatch.undo()

        assert (reply.status, decoder.asked, len(site.received)) == (status, asked, asked)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * MIB, b'"' * MIB, b"[]," * (MIB // 3), b'"",' * (MIB // 3), b"{:" * (MIB // 2), b"1," * (MIB // 2),
        b'["' + b'\\"' * (MIB // 2) + b'"' + b"[" * 300, b'"\\\\' * (MIB // 3),
    ],
    ids=lambda raw: repr(raw[:6]),
)  # fmt: skip
def test_counting_costs_a_few_times_what_came(raw: bytes) -> None:
    """However hostile the largest body is: it is copied a few times, and nothing is made of its parts."""
    tracemalloc.start()
    try:
        with pytest.raises(BadRequestError):
            check_complexity(raw, HttpLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * len(raw)
