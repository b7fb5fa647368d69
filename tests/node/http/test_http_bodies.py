"""Bodies: what is parsed, what is kept as it came, what is refused with which text."""

from __future__ import annotations

import pytest

from .conftest import HOST, Serve

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
JSON = "failed to decode JSON input: "

REFUSED = [
    (b"{", JSON + "unexpected EOF"),
    (b"[]", JSON + "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    (b'"text"', JSON + "json: cannot unmarshal string into Go value of type map[string]interface {}"),
    (b"17", JSON + "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    (b" -1.5", JSON + "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    (b"true", JSON + "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
    (b'{"a":1} trailing', JSON + "invalid character 'a' in literal true (expecting 'u')"),
    (b'{"a":1}{"b":2}', JSON + "invalid character after top-level value"),
    (b'{"a":1} x', JSON + "invalid character after top-level value"),
    (b'{"a":1E+400}', JSON + "number out of range"),
    (b'{"a":NaN}', JSON + "invalid character"),
    (b'{"a":"\xff\xfe"}', JSON + "invalid character"),
    (b'{"a":"\x01"}', JSON + "invalid character"),
    (b"{'a':1}", JSON + "invalid character"),
    (b"a=1&b=2", JSON + "invalid character"),
    (b'{"a":[' + b",".join([b'"x"'] * 1000) + b"]}",
     "refused JSON input due to high complexity: exceeded maximum number of strings"),
    (b'{"a":' + b"[" * 20000 + b"]" * 20000 + b"}", JSON + "invalid character '[' exceeded max depth"),
    (b'{"a":' * 300 + b"1" + b"}" * 300, JSON + "invalid character '{' exceeded max depth"),
    (b'{"a":[' + b",".join([b"1"] * 100_001) + b"]}",
     "refused JSON input due to high complexity: exceeded maximum number of elements"),
]  # fmt: skip

ACCEPTED = [
    b"{}",
    b' \r\n{"a":\t1}\n',
    b'{"a":12345678901234567890123,"b":1.10,"c":1e3}',
    b'{"a":1,"a":2}',
    b'{"a":"\\u0000\\ud83d\\ude00"}',
    b'{"a":[' + b",".join([b'"x"'] * 999) + b"]}",
    b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
    b'{"a":"' + b"[{,:" * 60_000 + b'"}',
    b'{"a":"' + b'\\"' * 5000 + b'"}',
    b'{"a":"' + b"\\\\" * 5000 + b'"}',
]


@pytest.mark.parametrize(("body", "text"), REFUSED)
@pytest.mark.parametrize("method", [b"POST", b"PUT"])
async def test_a_body_that_is_no_object_within_the_limits_is_refused(serve: Serve, method, body, text):
    """With Vault's words, and nothing of the body."""
    site = await serve()

    reply = await site.post(body, method=method)

    assert (reply.status, reply.errors, site.received) == (400, [text], [])


@pytest.mark.parametrize("body", ACCEPTED)
async def test_a_body_keeps_its_bytes(serve: Serve, body):
    """Numbers, spaces and escapes as the client wrote them."""
    site = await serve()

    reply = await site.post(body)

    assert (reply.status, site.received[0].body.raw) == (200, body)
    assert isinstance(site.received[0].body.values, dict)


@pytest.mark.parametrize("body", [b"", b"null", b"  ", b" null\n"])
async def test_nothing_is_an_empty_body(serve: Serve, body):
    """Which an engine may find wanting, not the edge."""
    site = await serve()

    reply = await site.post(body)

    assert (reply.status, site.received[0].body.raw, site.received[0].body.values) == (200, b"", {})


async def test_fields_are_slices_of_what_came(serve: Serve):
    """A secret is stored as these bytes."""
    site = await serve()

    await site.post(b'{"data": {"n": 1.10, "big": 12345678901234567890123}}')

    assert bytes(site.received[0].body.fields["data"]) == b'{"n": 1.10, "big": 12345678901234567890123}'


@pytest.mark.parametrize(
    ("body", "values", "is_form"),
    [
        (b"a=1&b=2", {"a": "1", "b": "2"}, True),
        (b"a=1&a=2&c=", {"a": ["1", "2"], "c": ""}, True),
        (b"a=%C3%A9+x", {"a": "é x"}, True),
        (b'{"a":"json"}', {"a": "json"}, False),
        (b"", {}, False),
    ],
)
async def test_a_form_is_a_form_unless_it_is_json(serve: Serve, body, values, is_form):
    """What `curl -d` sends says form and is JSON."""
    site = await serve()

    await site.post(body, FORM)

    assert (site.received[0].body.values, site.received[0].body_is_form) == (values, is_form)


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"&".join(b"a=1" for _ in range(1001))])
async def test_a_broken_form_is_refused(serve: Serve, body):
    """Not UTF-8, or too many fields."""
    site = await serve()

    assert ((await site.post(body, FORM)).status, site.received) == (400, [])


@pytest.mark.parametrize("kind", [b"text/plain", b"application/json; charset=utf-8", b"nonsense"])
async def test_any_other_type_is_read_as_json(serve: Serve, kind):
    """As Vault does."""
    site = await serve()

    assert (await site.post(b'{"a":1}', b"Content-Type: " + kind + b"\r\n")).status == 200


PATCHES = [
    (b"", 400, "mime: no media type"),
    (b"Content-Type: nonsense\r\n", 400, "mime: no media type"),
    (b"Content-Type: application/json\r\n", 415,
     "PATCH requires Content-Type of application/merge-patch+json, provided application/json"),
    (FORM, 415,
     "PATCH requires Content-Type of application/merge-patch+json, provided application/x-www-form-urlencoded"),
    (b"Content-Type: hvs/CAESIJsecret\r\n", 415,
     "PATCH requires Content-Type of application/merge-patch+json, provided another type"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "status", "text"), PATCHES)
async def test_a_patch_is_a_merge_patch(serve: Serve, headers, status, text):
    """Said in its content type."""
    site = await serve()

    reply = await site.post(b'{"a":1}', headers, method=b"PATCH")

    assert (reply.status, reply.errors, site.received) == (status, [text], [])


@pytest.mark.parametrize("kind", [b"application/merge-patch+json", b"Application/Merge-Patch+JSON; charset=utf-8"])
async def test_a_merge_patch_is_accepted(serve: Serve, kind):
    """In any spelling."""
    site = await serve()

    assert (await site.post(b"{}", b"Content-Type: " + kind + b"\r\n", method=b"PATCH")).status == 200


@pytest.mark.parametrize(("encoding", "status"), [(b"gzip", 415), (b"br", 415), (b"x", 415), (b"identity", 200)])
async def test_a_compressed_body_is_refused(serve: Serve, encoding, status):
    """A kilobyte may be a gigabyte."""
    site = await serve()

    assert (await site.post(b"{}", b"Content-Encoding: " + encoding + b"\r\n")).status == status


async def test_a_body_above_the_limit_is_413(serve: Serve):
    """The limit itself is fine, with either framing."""
    site = await serve(body_bytes=1000)
    fits, over = b'{"a":"' + b"x" * 992 + b'"}', b'{"a":"' + b"x" * 993 + b'"}'
    chunked = b"POST /v1/a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"

    assert (await site.post(fits)).status == 200
    assert (await site.ask(chunked % (len(fits), fits))).status == 200
    for reply in (await site.post(over), await site.ask(chunked % (len(over), over))):
        assert (reply.status, reply.errors) == (413, ["http: request body too large"])
    assert len(site.received) == 2


async def test_a_huge_body_is_413_and_the_client_can_read_it(serve: Serve):
    """It is read on and dropped for a while: a reset would take the answer with it."""
    site = await serve()

    reply = await site.post(b'{"a":"' + b"x" * (33 << 20) + b'"}')

    assert (reply.status, reply.headers["connection"], site.received) == (413, "close", [])


async def test_a_large_body_is_read_through_a_small_buffer(serve: Serve):
    """Reading pauses and goes on, and the request behind it is still found."""
    site = await serve(body_bytes=8 << 20)
    body = b'{"a":"' + b"x" * (4 << 20) + b'"}'
    client = await site.connect()
    client.send(b"POST /v1/a HTTP/1.1\r\n", HOST, b"Content-Length: %d\r\n\r\n" % len(body), body)
    client.send(
        b"POST /v1/a HTTP/1.1\r\n",
        HOST,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body),
        body,
        b"\r\n0\r\n\r\n",
    )
    client.send(b"LIST /v1/a HTTP/1.1\r\n", HOST, b"\r\n")

    assert [(await client.reply()).status for _ in range(3)] == [200, 200, 200]
    assert [len(request.body.raw) for request in site.received] == [len(body), len(body), 0]
    assert site.received[2].method == "LIST"


async def test_a_client_that_waits_is_told_to_continue(serve: Serve):
    """But not for a request that is refused by its head."""
    site = await serve(body_bytes=100)
    head = b"POST /v1/a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n"
    client = await site.connect()
    client.send(head % 2, b"\r\n")

    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await client.send(b"{}").reply()).status == 200
    assert (await site.ask(head % 101, b"\r\n")).status == 413
    assert (await site.ask(head % 2, b"X-Vault-Namespace: x\r\n\r\n")).status == 404


async def test_a_broken_chunk_is_400(serve: Serve):
    """At once, not when the client gives up."""
    site = await serve()

    reply = await site.ask(b"POST /v1/a HTTP/1.1\r\n", HOST, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")

    assert (reply.status, reply.errors, site.received) == (400, ["error reading data"], [])


async def test_a_request_refused_by_its_head_leaves_the_connection_usable(serve: Serve):
    """Its body is skipped."""
    site = await serve()
    client = await site.connect()
    client.send(b"POST /v1/../a HTTP/1.1\r\n", HOST, b"Content-Length: 5\r\n\r\nLIST ")
    client.send(b"LIST /v1/a HTTP/1.1\r\n", HOST, b"\r\n")

    assert [(await client.reply()).status for _ in range(2)] == [400, 200]


async def test_http_1_0_has_no_chunks(serve: Serve):
    """Its servers read such a body differently."""
    site = await serve()

    reply = await site.ask(b"POST /v1/a HTTP/1.0\r\n", HOST, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")

    assert (reply.status, site.received) == (400, [])
