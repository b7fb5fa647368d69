"""A marker in every class of malformed request: it is in no answer and in no log record."""

from __future__ import annotations

import asyncio
import logging

import pytest

from node.http.quiet import LIBRARIES, quiet_libraries

from .conftest import HOST, Serve

MARK = b"hvs.XYZZYxyzzyXYZZYxyzzyXYZZYxyz"
TOKEN = b"X-Vault-Token: " + MARK + b"\r\n"
START = b"GET /v1/a HTTP/1.1\r\n" + HOST
WRITE = b"POST /v1/a HTTP/1.1\r\n" + HOST + TOKEN

CLASSES = {
    "unknown method": b"FOO /v1/a HTTP/1.1\r\n" + HOST + TOKEN + b"\r\n",
    "secret as method": MARK + b" /v1/a HTTP/1.1\r\n" + HOST + b"\r\n",
    "stand-in": b"LINK /v1/" + MARK + b" HTTP/1.1\r\n" + HOST + TOKEN + b"\r\n",
    "no version": b"GET /v1/" + MARK + b"\r\n\r\n",
    "bad version": b"GET /v1/" + MARK + b" HTTP/9.9\r\n" + HOST + b"\r\n",
    "secret as version": b"GET /v1/a " + MARK + b"\r\n" + HOST + b"\r\n",
    "TLS on a plain port": b"\x16\x03\x01\x02\x00" + MARK,
    "bare line feeds": b"GET /v1/a HTTP/1.1\nX-Vault-Token: " + MARK + b"\n\n",
    "control character in the target": b"GET /v1/\x01" + MARK + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form": b"GET http://" + MARK + b"/v1/a HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority form": b"CONNECT " + MARK + b":443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "relative path": b"GET /v1/../" + MARK + b" HTTP/1.1\r\n" + HOST + TOKEN + b"\r\n",
    "broken escape": b"GET /v1/%zz" + MARK + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long path": b"GET /v1/" + MARK * 40 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long line": b"GET /v1/" + MARK * 400 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad query": b"GET /v1/a?list=" + MARK + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "header without colon": START + MARK + b"\r\n\r\n",
    "space before the colon": START + b"X-Vault-Token : " + MARK + b"\r\n\r\n",
    "folded header": START + b"X-Vault-Token: a\r\n " + MARK + b"\r\n\r\n",
    "NUL in a header": START + b"X-Vault-Token: " + MARK + b"\x00\r\n\r\n",
    "secret as header name": START + MARK + b"\x01: a\r\n\r\n",
    "long header": START + b"X-Vault-Token: " + MARK * 400 + b"\r\n\r\n",
    "many headers": START + TOKEN * 100 + b"\r\n",
    "large head": START + b"".join(b"A%d: " % n + MARK * 20 + b"\r\n" for n in range(40)) + b"\r\n",
    "repeated token": START + TOKEN + TOKEN + b"\r\n",
    "two tokens": START + TOKEN + b"Authorization: Bearer other\r\n\r\n",
    "two bearers": START + b"Authorization: Bearer " + MARK + b"\r\nAuthorization: Bearer b\r\n\r\n",
    "unprintable token": START + b"X-Vault-Token: \xc3\xa9" + MARK + b"\r\n\r\n",
    "no host": b"GET /v1/a HTTP/1.1\r\n" + TOKEN + b"\r\n",
    "foreign host": b"GET /v1/a HTTP/1.1\r\nHost: " + MARK + b"\r\n\r\n",
    "two hosts": START + HOST + TOKEN + b"\r\n",
    "namespace": START + b"X-Vault-Namespace: " + MARK + b"\r\n\r\n",
    "wrap ttl": START + b"X-Vault-Wrap-TTL: " + MARK + b"\r\n\r\n",
    "consistency": START + b"X-Strongroom-Consistency: " + MARK + b"\r\n\r\n",
    "expectation": START + b"Expect: " + MARK + b"\r\n\r\n",
    "upgrade": START + TOKEN + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "bad length": WRITE + b"Content-Length: " + MARK + b"\r\n\r\n",
    "two lengths": WRITE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + MARK,
    "length and chunks": WRITE + b"Content-Length: 32\r\nTransfer-Encoding: chunked\r\n\r\n" + MARK,
    "unknown coding": WRITE + b"Transfer-Encoding: " + MARK + b"\r\n\r\n",
    "bad chunk": WRITE + b"Transfer-Encoding: chunked\r\n\r\n" + MARK + b"\r\n",
    "bad chunk behind a good one": WRITE
    + b"Transfer-Encoding: chunked\r\n\r\n20\r\n"
    + MARK
    + b"\r\nzz"
    + MARK
    + b"\r\n",
    "bad trailer": WRITE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + MARK + b"\r\n\r\n",
    "body of a GET": START + b"Content-Length: 32\r\n\r\n" + MARK,
    "compressed body": WRITE + b"Content-Encoding: gzip\r\nContent-Length: 32\r\n\r\n" + MARK,
    "no JSON": WRITE + b"Content-Length: 32\r\n\r\n" + MARK,
    "cut JSON": WRITE + b'Content-Length: 38\r\n\r\n{"a":"' + MARK,
    "JSON with a tail": WRITE + b"Content-Length: 35\r\n\r\n{} " + MARK,
    "JSON array": WRITE + b'Content-Length: 36\r\n\r\n["' + MARK + b'"]',
    "JSON in another encoding": WRITE + b'Content-Length: 41\r\n\r\n{"a":"' + MARK + b'\xff"}',
    "large body": WRITE + b"Content-Length: 9999999\r\n\r\n" + MARK,
    "bad form": WRITE + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 35\r\n\r\n%ff" + MARK,
    "patch type": b"PATCH" + WRITE[4:] + b"Content-Type: x/" + MARK + b"\r\nContent-Length: 2\r\n\r\n{}",
    "behind a good one": START + b"\r\n" + b"\x00" + MARK,
}


@pytest.fixture
def records(caplog):
    """Every record at every level, as text and with all its attributes."""
    caplog.set_level(logging.DEBUG)
    for name in LIBRARIES:
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def leaks(records) -> list[str]:
    formatter = logging.Formatter("%(name)s %(message)s")
    texts = [formatter.format(record) + repr(record.__dict__) for record in records.records]
    return [text for text in texts if "xyzzy" in text.lower()]


@pytest.mark.parametrize("name", CLASSES)
async def test_a_malformed_request_leaves_no_trace(serve: Serve, records, name):
    """Refused with a 4xx; not one letter of the marker comes back or stays."""
    site = await serve()
    asyncio.get_running_loop().set_debug(True)  # asyncio says more then
    client = await site.connect()
    client.send(CLASSES[name])
    good = int(name == "behind a good one")

    replies = [await client.reply() for _ in range(good + 1)]
    client.writer.write_eof()
    rest = await client.closed()

    assert [reply.status for reply in replies[:-1]] == [200] * good
    assert replies[-1].status in range(400, 500) or replies[-1].status == 505
    assert len(site.received) == good
    assert b"xyzzy" not in (repr(replies).encode() + rest).lower()
    assert leaks(records) == []


async def test_a_request_that_is_broken_off_leaves_no_trace(serve: Serve, records):
    """Nobody is there to answer, and nothing is handed on."""
    site = await serve()
    client = await site.connect()
    client.send(WRITE, b"Content-Length: 100\r\n\r\n", MARK).writer.write_eof()

    assert (await client.closed(), site.received, leaks(records)) == (b"", [], [])


async def test_an_exception_that_quotes_a_secret_leaves_no_trace(serve: Serve, records):
    """Whatever handlers raise."""

    async def fail(_request):
        raise RuntimeError(MARK.decode())

    answer = await (await serve(fail)).get(headers=TOKEN)

    assert (answer.status, b"xyzzy" in answer.body.lower(), leaks(records)) == (500, False, [])
    assert [r.getMessage().partition(" at ")[0] for r in records.records if r.levelname == "ERROR"] == [
        "http: request failed: RuntimeError"
    ]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_record_of_a_library_is_type_and_place(records, name):
    """Message, arguments, exception and stack are gone."""
    quiet_libraries()
    quiet_libraries()
    logger = logging.getLogger(name)
    try:
        int(MARK)
    except ValueError:
        logger.exception("bad line %r", MARK, stack_info=True)
    logger.error(MARK.decode())

    assert leaks(records) == []
    assert "ValueError at" in records.records[0].getMessage()
    assert "test_planted_secrets" in records.records[0].getMessage()
