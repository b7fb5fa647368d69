"""Methods, verbs and their operations over a real socket."""

from __future__ import annotations

import pytest

from .conftest import HOST, Serve

OPERATIONS = [
    (b"GET", b"/v1/a", "read", "a"),
    (b"LIST", b"/v1/a", "list", "a/"),
    (b"LIST", b"/v1/a/", "list", "a/"),
    (b"LIST", b"/v1/", "list", ""),
    (b"GET", b"/v1/a?list=true", "list", "a/"),
    (b"GET", b"/v1/a/?list=T", "list", "a/"),
    (b"GET", b"/v1/a?list=1", "list", "a/"),
    (b"GET", b"/v1/a?list=false", "read", "a"),
    (b"GET", b"/v1/a?list=", "read", "a"),
    (b"GET", b"/v1/a?list=false&scan=1", "scan", "a/"),
    (b"SCAN", b"/v1/a", "scan", "a/"),
    (b"POST", b"/v1/a", "update", "a"),
    (b"POST", b"/v1/a?list=true", "update", "a"),
    (b"PUT", b"/v1/a", "update", "a"),
    (b"DELETE", b"/v1/a", "delete", "a"),
    (b"HELP", b"/v1/a", "help", "a"),
    (b"GET", b"/v1/a?help=1", "help", "a"),
    (b"DELETE", b"/v1/a?help=1", "help", "a"),
    (b"GET", b"/livez", "read", "/livez"),
    (b"GET", b"/", "read", "/"),
    (b"GET", b"/v1", "read", "/v1"),
]


@pytest.mark.parametrize(("method", "target", "operation", "path"), OPERATIONS)
async def test_a_method_becomes_its_operation(serve: Serve, method, target, operation, path):
    """Verb and query decide the operation; lists get their slash."""
    site = await serve()

    reply = await site.get(target, method=method)

    assert reply.json["data"] == {"operation": operation, "path": path}


@pytest.mark.parametrize("target", [b"/v1/a?list=perhaps", b"/v1/a?list=true&scan=true", b"/v1/a?list=true&list=true"])
async def test_a_list_query_that_says_nothing_clear_is_refused(serve: Serve, target):
    """Unparsable, contradicting or doubled."""
    site = await serve()

    reply = await site.get(target)

    assert (reply.status, reply.json, site.received) == (400, {"errors": []}, [])


@pytest.mark.parametrize("method", [b"FOO", b"TRACE", b"CONNECT", b"PROPFIND"])
async def test_a_method_of_no_api_is_405(serve: Serve, method):
    """With the body Vault sends."""
    site = await serve()

    reply = await site.get(method=method)

    assert (reply.status, reply.json, site.received) == (405, {"errors": []}, [])
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", [b"LINK", b"UNLINK", b"COPY", b"MOVE"])
async def test_a_stand_in_for_list_is_refused_on_the_wire(serve: Serve, method):
    """A second spelling of LIST would pass filters in front of us."""
    site = await serve()

    assert ((await site.get(method=method)).status, site.received) == (400, [])


async def test_options_has_no_preflight_to_answer(serve: Serve):
    """Cross-origin requests are off."""
    site = await serve()

    reply = await site.get(method=b"OPTIONS")

    assert (reply.status, reply.errors) == (400, ["cannot handle internal-only request operation"])


async def test_head_is_answered_without_a_body(serve: Serve):
    """The length is that of the body a GET would have."""
    site = await serve()
    client = await site.connect()

    head = await client.send(b"HEAD /v1/a HTTP/1.1\r\n", HOST, b"\r\n").reply(head_only=True)
    after = await client.send(b"GET /v1/a HTTP/1.1\r\n", HOST, b"\r\n").reply()

    assert (head.status, head.body, int(head.headers["content-length"]) > 0) == (200, b"", True)
    assert after.json["data"]["operation"] == "read"
    assert site.received[0].operation == "header"


@pytest.mark.parametrize("method", [b"GET", b"LIST", b"SCAN", b"HEAD", b"HELP"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
async def test_a_reading_method_with_a_body_is_refused(serve: Serve, method, framing):
    """Two servers in a row could disagree on where it ends."""
    site = await serve()

    reply = await site.ask(method, b" /v1/a HTTP/1.1\r\n", HOST, framing)

    assert (reply.status, site.received) == (400, [])


async def test_an_announced_length_of_nothing_is_no_body(serve: Serve):
    """Some clients send Content-Length: 0 with everything."""
    site = await serve()

    assert (await site.get(headers=b"Content-Length: 0\r\n")).status == 200


async def test_a_body_of_delete_is_read_and_means_nothing(serve: Serve):
    """As in Vault; the connection stays usable."""
    site = await serve()
    client = await site.connect()
    client.send(b"DELETE /v1/a?versions=1 HTTP/1.1\r\n", HOST, b"Content-Length: 7\r\n\r\nnotJSON")
    client.send(b"GET /v1/b HTTP/1.1\r\n", HOST, b"\r\n")

    first, second = await client.reply(), await client.reply()

    assert (first.status, second.status) == (200, 200)
    assert (site.received[0].body.raw, site.received[0].query) == (b"", {"versions": "1"})


async def test_pipelined_lists_are_answered_in_order(serve: Serve):
    """All in one segment, chunked and sized bodies between them."""
    site = await serve()
    client = await site.connect()
    client.send(
        b"LIST /v1/a HTTP/1.1\r\n", HOST, b"\r\n",
        b"POST /v1/b HTTP/1.1\r\n", HOST, b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n0\r\n\r\n',
        b"SCAN /v1/c HTTP/1.1\r\n", HOST, b"\r\n",
        b"POST /v1/d HTTP/1.1\r\n", HOST, b"Content-Length: 2\r\n\r\n{}",
        b"LIST /v1/e HTTP/1.1\r\n", HOST, b"\r\n",
    )  # fmt: skip

    replies = [(await client.reply()).json["data"] for _ in range(5)]

    assert [reply["path"] for reply in replies] == ["a/", "b", "c/", "d", "e/"]
    assert [request.method for request in site.received] == ["LIST", "POST", "SCAN", "POST", "LIST"]


async def test_a_refused_request_is_answered_behind_those_before_it(serve: Serve):
    """An error in the third request of a segment costs the first two nothing."""
    site = await serve()
    client = await site.connect()
    client.send(b"LIST /v1/a HTTP/1.1\r\n", HOST, b"\r\n", b"GET /v1/b HTTP/1.1\r\n", HOST, b"\r\n", b"\x00\x01")

    assert [(await client.reply()).status for _ in range(3)] == [200, 200, 400]
    assert await client.closed() == b""
