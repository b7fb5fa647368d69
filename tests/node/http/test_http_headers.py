"""Header rules: each allowed form beside the denied one."""

from __future__ import annotations

import ipaddress

import pytest

from node.http import HttpLimits
from node.http.errors import EdgeRefusal
from node.http.headers import Peer, Trust, plain_address, read_headers

from .conftest import HOST, Serve

LIMITS = HttpLimits()
PEER = Peer("10.0.0.9", 4711, "10.0.0.1")
TRUST = Trust(frozenset({"vault.example"}), (ipaddress.ip_network("10.0.0.0/24"),))
START = [(b"Host", b"10.0.0.1")]

REFUSED = [
    (b"X-Vault-Token: a\r\nX-Vault-Token: b\r\n", 400),
    (b"X-Vault-Token: a\r\nx-vault-token: a\r\n", 400),
    (b"X-Vault-Namespace: \r\nX-Vault-Namespace: root\r\n", 400),
    (b"X-Strongroom-Consistency: strong\r\nX-Strongroom-Consistency: strong\r\n", 400),
    (b"X-Strongroom-Consistency: eventual\r\n", 400),
    (b"X-Strongroom-Write-Id: a\r\nX-Strongroom-Write-Id: a\r\n", 400),
    (b"X-Vault-Wrap-TTL: 1\r\nX-Vault-Wrap-TTL: 2\r\n", 400),
    (b"X-Vault-Token: a\r\nAuthorization: Bearer b\r\n", 400),
    (b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", 400),
    (b"X-Vault-Token: a\x7fb\r\n", 400),
    (b"X-Vault-Token: \xc3\xa9\r\n", 400),
    (b"X-Vault-Token: " + b"a" * 5000 + b"\r\n", 400),
    (b"X-Vault-Namespace: team\r\n", 404),
    (b"X-Vault-Namespace: root/x\r\n", 404),
    (b"X-Vault-Namespace: Root\r\n", 404),
    (b"X-Vault-Wrap-TTL: abc\r\n", 400),
    (b"X-Vault-Wrap-TTL: 1.5\r\n", 400),
    (b"X-Vault-Wrap-TTL: -1s\r\n", 400),
    (b"Expect: the-unexpected\r\n", 417),
    (b"Transfer-Encoding: gzip\r\n", 400),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
    (b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
    (b"Content-Length: +3\r\n", 400),
    (b"Host: localhost\r\n", 400),
    (b"A: b\r\n c\r\n", 400),
    (b"A : b\r\n", 400),
    (b"A: b\x00\r\n", 400),
    (b"Upgrade: websocket\r\nConnection: Upgrade\r\n", 400),
]

ACCEPTED = [
    b"X-Vault-Token: a\r\nAuthorization: Bearer a\r\n",
    b"X-Vault-Token: a\r\nAuthorization: Basic dXNlcjpw\r\n",
    b"Authorization: bearer a\r\n",
    b"X-Vault-Namespace:\r\n",
    b"X-Vault-Namespace: root\r\n",
    b"X-Vault-Namespace: root/\r\n",
    b"X-Vault-Index: a\r\nX-Vault-Index: b\r\n",
    b"X-Vault-Inconsistent: fail\r\nX-Vault-Inconsistent: forward-active-node\r\n",
    b"X-Strongroom-Consistency: local\r\n",
    b"X-Vault-Request: true\r\nX-Vault-Request: true\r\n",
    b"User-Agent: caf\xe9\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
]


@pytest.mark.parametrize(("headers", "status"), REFUSED)
async def test_a_header_with_two_readings_is_refused(serve: Serve, headers, status):
    """And nothing reaches the handler."""
    site = await serve()

    reply = await site.get(headers=headers)

    assert (reply.status, site.received) == (status, [])
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("headers", ACCEPTED)
async def test_a_header_with_one_reading_is_accepted(serve: Serve, headers):
    """The twins of the refused ones."""
    site = await serve()

    assert ((await site.get(headers=headers)).status, len(site.received)) == (200, 1)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (b"X-Vault-Token: t1\r\n", "t1"),
        (b"x-VAULT-token: t1\r\n", "t1"),
        (b"Authorization: Bearer t1\r\n", "t1"),
        (b"Authorization: Basic t1\r\n", None),
        (b"Authorization: Basic x\r\nAuthorization: Bearer t1\r\n", "t1"),
        (b"X-Vault-Token:\r\n", None),
        (b"", None),
    ],
)
async def test_the_token_comes_from_its_header_or_a_bearer(serve: Serve, headers, token):
    """And it is handed on in no other field."""
    site = await serve()

    await site.get(headers=headers + b"Cookie: t1\r\nProxy-Authorization: t1\r\n")

    request = site.received[0]
    assert request.token == token
    assert "t1" not in repr(request) + repr(request.headers)


async def test_headers_become_fields_of_the_request(serve: Serve):
    """Names in lower case, decisions in fields of their own."""
    site = await serve()

    await site.get(
        headers=b"X-Vault-Wrap-TTL: 90s\r\nX-Vault-Index: i1\r\nX-Vault-Index: i2\r\nX-Vault-Inconsistent: fail\r\n"
        b"X-Strongroom-Consistency: LOCAL\r\nX-Strongroom-Write-Id: w\r\nX-Vault-No-Request-Forwarding: 1\r\n"
        b"X-Custom: a\r\nX-Custom: b\r\n"
    )

    request = site.received[0]
    assert (request.wrap_ttl_s, request.index_states, request.inconsistent) == (90, ("i1", "i2"), ("fail",))
    assert (request.consistency, request.write_id, request.no_forwarding) == ("local", "w", True)
    assert (request.headers["x-custom"], "host" in request.headers) == ("a, b", False)
    assert (request.remote_address, request.remote_port > 0, request.listener) == ("127.0.0.1", True, "main")


@pytest.mark.parametrize(
    ("text", "ttl_s"),
    [(b"60", 60), (b"5m", 300), (b"1d", 86400), (b"1500ms", 2), (b"1ms", 1), (b"0", None), (b"0s", None)],
)
async def test_a_wrap_ttl_is_seconds_or_a_duration(serve: Serve, text, ttl_s):
    """A part of a second is a whole one; nothing is no wrapping."""
    site = await serve()

    await site.get(headers=b"X-Vault-Wrap-TTL: " + text + b"\r\n")

    assert site.received[0].wrap_ttl_s == ttl_s


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"abc", 'error parsing X-Vault-Wrap-TTL header: time: invalid duration "abc"'),
        (b"1.5", 'error parsing X-Vault-Wrap-TTL header: time: missing unit in duration "1.5"'),
        (b"-1", "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative"),
        (b"hvs.CAESIJlU1c3e2Qx", "error parsing X-Vault-Wrap-TTL header: time: invalid duration"),
    ],
)
async def test_a_bad_wrap_ttl_has_go_s_text(serve: Serve, text, message):
    """Repeated only where it is too short for a token in the wrong header."""
    site = await serve()

    reply = await site.get(headers=b"X-Vault-Wrap-TTL: " + text + b"\r\n")

    assert reply.errors == [message]


async def test_the_namespace_is_echoed(serve: Serve):
    """Where it was sent, and only there."""
    site = await serve()

    assert (await site.get(headers=b"X-Vault-Namespace: root\r\n")).headers["x-vault-namespace"] == "root"
    assert "x-vault-namespace" not in (await site.get()).headers
    assert (await site.get(headers=b"X-Vault-Namespace: x\r\n")).errors == ["namespace not found"]


HOSTS = [
    (b"localhost", True), (b"LOCALHOST:8200", True), (b"127.0.0.1", True), (b"127.0.0.1:1", True),
    (b"vault.example", True), (b"vault.example.:443", True),
    (b"evil.example", False), (b"127.0.0.2", False), (b"localhost:x", False), (b"", False), (b"[::1]", False),
    (b"localhost@evil.example", False), (b"vault.example.evil", False), (b"[127.0.0.1", False),
]  # fmt: skip


@pytest.mark.parametrize(("host", "allowed"), HOSTS)
async def test_the_host_is_a_name_of_this_listener(serve: Serve, host, allowed):
    """A page that rebinds its name to loopback still sends that name."""
    site = await serve(trust=Trust(frozenset({"vault.example"})))

    reply = await site.ask(b"GET /v1/a HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    assert (reply.status, len(site.received)) == ((200, 1) if allowed else (400, 0))


async def test_a_request_without_a_host_is_refused(serve: Serve):
    """Also from HTTP/1.0, which does not demand one."""
    site = await serve()

    assert (await site.ask(b"GET /v1/a HTTP/1.1\r\n\r\n")).status == 400
    assert (await site.ask(b"GET /v1/a HTTP/1.0\r\n\r\n")).status == 400
    assert (await site.ask(b"GET /v1/a HTTP/1.0\r\n", HOST, b"\r\n")).status == 200


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3.0"])
async def test_another_version_is_refused(serve: Serve, version):
    """By the parser or by us."""
    site = await serve()

    assert (await site.ask(b"GET /v1/a ", version, b"\r\n", HOST, b"\r\n")).status in {400, 505}


FORWARDED = [
    ("10.0.0.9", [], "10.0.0.9"),
    ("10.0.0.9", [b"192.0.2.7"], "192.0.2.7"),
    ("10.0.0.9", [b"6.6.6.6, 192.0.2.7"], "192.0.2.7"),
    ("10.0.0.9", [b"6.6.6.6, 192.0.2.7, 10.0.0.8"], "192.0.2.7"),
    ("10.0.0.9", [b"6.6.6.6", b"192.0.2.7"], "192.0.2.7"),
    ("10.0.0.9", [b"10.0.0.7, 10.0.0.8"], "10.0.0.7"),
    ("10.0.0.9", [b"::ffff:192.0.2.7"], "192.0.2.7"),
    ("192.0.2.9", [b"6.6.6.6"], "192.0.2.9"),
]


@pytest.mark.parametrize(("peer", "values", "expected"), FORWARDED)
def test_a_forwarded_address_counts_from_trusted_proxies_only(peer, values, expected):
    """The rightmost hop that is no proxy of ours; from anybody else nothing."""
    raw = [*START, *((b"X-Forwarded-For", value) for value in values)]

    facts = read_headers(raw, Peer(peer, 1, "10.0.0.1"), TRUST, LIMITS)

    assert facts.remote_address == expected


def test_a_forwarded_address_that_is_none_is_refused():
    """Rather than taken for the proxy's."""
    with pytest.raises(EdgeRefusal):
        read_headers([*START, (b"X-Forwarded-For", b"unknown")], PEER, TRUST, LIMITS)


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Client-Cert", "X-Forwarded-For", "X-SSL-Client-Cert", "X-Real-IP", "Client-Cert"]
)
def test_headers_that_speak_for_the_client_come_from_proxies_only(name):
    """A client certificate in a header is worth what its sender is."""
    raw = [*START, (name.encode(), b"10.0.0.5")]

    trusted = read_headers(raw, PEER, TRUST, LIMITS)
    untrusted = read_headers(raw, Peer("192.0.2.1", 1, "10.0.0.1"), TRUST, LIMITS)

    assert (name.lower() in trusted.headers, name.lower() in untrusted.headers) == (True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:1.2.3.4", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("1.2.3.4", "1.2.3.4"), ("::1", "::1")],
)
def test_an_address_has_one_spelling(text, expected):
    """IPv4 inside IPv6, zones."""
    assert plain_address(text) == expected
