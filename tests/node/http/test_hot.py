"""Plain GETs told from their bytes: a match means what the ordinary rules say, and nothing in doubt is one."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParserPy
from hypothesis import given
from hypothesis import strategies as st

from node.http import HttpLimits, respond
from node.http.headers import Peer, Trust
from node.http.hot import HEADERS, PATH_BYTES_MAX, TOKEN_BYTES_MAX, Hosts, Hot, fits, match
from node.http.parse import Wire, parse_head
from node.request import Answer, Operation, RawResponse

from .conftest import Serve, until

HEAD = b"Host: localhost:8200\r\nX-Vault-Token: hvs.abc\r\n"
PEER = Peer("127.0.0.1", 4000, "127.0.0.1")


def get(path: bytes = b"secret/data/a", headers: bytes = HEAD, tail: bytes = b"\r\n") -> bytes:
    return b"GET /v1/" + path + b" HTTP/1.1\r\n" + headers + tail


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (HEAD, "hvs.abc"),
        (b"host: localhost\r\nx-vault-token: t\r\n", "t"),
        (HEAD + b"User-Agent: python-requests/2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
         b"Connection: keep-alive\r\nX-Vault-Request: true\r\n", "hvs.abc"),
        (HEAD + b"Connection: Keep-Alive\r\nAccept: a\r\nAccept: b\r\n", "hvs.abc"),
    ],
)  # fmt: skip
def test_what_clients_send_matches(headers: bytes, token: str) -> None:
    """hvac, curl and Go's client."""
    assert match(get(headers=headers)) == Hot("secret/data/a", token, headers.split(b"\r\n")[0][6:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        get()[:-1],
        get() + get(),
        get() + b"x",
        get().replace(b"GET", b"HEAD"),
        get().replace(b"GET", b"get"),
        get().replace(b"HTTP/1.1", b"HTTP/1.0"),
        get().replace(b"GET /v1/", b"GET  /v1/"),
        get().replace(b"/v1/", b"/v2/"),
        get().replace(b"/v1/", b"http://localhost/v1/"),
        get(b""),
        get(b"a/"),
        get(b"/a"),
        get(b"a//b"),
        get(b"a/./b"),
        get(b"../a"),
        get(b".a"),
        get(b"a/.b"),
        get(b"a?list=true"),
        get(b"a#b"),
        get(b"a%2fb"),
        get(b"a b"),
        get(b"a\tb"),
        get(b"a;b"),
        get("a/ü".encode()),
        get(b"a" * (PATH_BYTES_MAX + 1)),
        get(headers=b""),
        get(headers=b"Host: localhost\r\n"),
        get(headers=b"X-Vault-Token: t\r\n"),
        get(headers=HEAD + HEAD),
        get(headers=HEAD + b"X-Vault-Token: hvs.abc\r\n"),
        get(headers=HEAD + b"Host: localhost:8200\r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token: \r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token: \r\nX-Vault-Token: t\r\n"),
        get(headers=b"Host: \r\nHost: localhost\r\nX-Vault-Token: t\r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token\r\nX-Vault-Token: t\r\n"),
        get(headers=HEAD + b"Accept\r\n"),
        get(headers=HEAD + b"Accept:x\r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token:  t\r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token: t \r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token:t\r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token : t\r\n"),
        get(headers=b"Host: localhost\r\nX-VAULT-Token: t\r\n"),
        get(headers=b"Host: localhost\r\nX-Vault-Token: " + b"t" * (TOKEN_BYTES_MAX + 1) + b"\r\n"),
        get(headers=HEAD + b" folded\r\n"),
        get(headers=HEAD + b"Accept: a\r\n\tb\r\n"),
        get(headers=HEAD + b"Accept: a\x00\r\n"),
        get(headers=HEAD + b"Accept: \xc3\xbc\r\n"),
        get(headers=HEAD + b"Accept: a\rb\r\n"),
        get(headers=HEAD + b"Accept: a\nb\r\n"),
        get(headers=HEAD + b"Accept: a\r\r\n"),
        get(headers=HEAD + b"Accept: a\rb\nc\r\n"),
        get(headers=HEAD.replace(b"\r\n", b"\n")),
        get(headers=HEAD + b"Accept: " + b"a" * 2048 + b"\r\n"),
        get(headers=HEAD + b"Accept: a\r\n" * 30),
        get(headers=HEAD + b"\r\n" + HEAD),
        *(
            get(headers=HEAD + header + b"\r\n")
            for header in (
                b"Connection: close", b"Connection: upgrade", b"Content-Length: 0", b"Content-Length: 5",
                b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Authorization: Bearer t",
                b"X-Vault-Namespace: root", b"X-Vault-Wrap-TTL: 5m", b"X-Vault-Index: x", b"X-Vault-Inconsistent: fail",
                b"X-Vault-Forward: active-node", b"X-Vault-No-Request-Forwarding: 1", b"X-Forwarded-For: 10.0.0.1",
                b"X-Strongroom-Consistency: local", b"X-Strongroom-Write-Id: x", b"Cookie: a", b"Upgrade: h2c",
                b"Anything: else",
            )
        ),
    ],
)  # fmt: skip
def test_whatever_could_mean_more_does_not_match(data: bytes) -> None:
    """It is left to the parser and the rules for headers."""
    assert match(data) is None


others = [b"Cookie", b"Content-Length", b"x-vault-TOKEN", b"Host ", b""]
names = st.sampled_from([b"Host", b"X-Vault-Token", *HEADERS, *others])
texts = st.one_of(
    st.sampled_from([b"localhost", b"keep-alive", b"hvs.abc", b"close", b"*/*"]), st.binary(max_size=6),
    st.text("ab.:/ \t\r\n", max_size=6).map(str.encode),
)  # fmt: skip
targets = st.one_of(
    st.text("ab/.%?#~_-", min_size=1, max_size=12).map(str.encode),
    st.binary(max_size=8),
    st.just(b"secret/data/a"),
)


@given(
    targets,
    st.lists(st.tuples(names, st.sampled_from([b": ", b": ", b":", b" : ", b""]), texts), max_size=6),
    st.sampled_from([HEAD, b"", b"Host: localhost\r\n", b"X-Vault-Token: hvs.abc\r\n"]),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b"", b"\r\nx", b"\r\n\r\n"]),
)
def test_whatever_matches_means_the_same_to_the_ordinary_rules(
    target: bytes, lines: list[tuple[bytes, bytes, bytes]], first: bytes, tail: bytes
) -> None:
    """Path, token, host and operation, by aiohttp's strict parser and `parse_head`."""
    data = get(target, first + b"".join(b"".join(line) + b"\r\n" for line in lines), tail)
    found = match(data)
    if found is None or not Hosts(Trust()).knows(found.host, PEER):
        return
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParserPy(BaseProtocol(loop), loop, 1 << 16)
        messages, upgraded, rest = parser.feed_data(data)
    finally:
        loop.close()
    assert (len(messages), upgraded, rest) == (1, False, b"")
    message, payload = messages[0]
    wire = Wire(message.method, message.path, message.version, message.raw_headers, 0)
    head = parse_head(wire, PEER, Trust(), HttpLimits())

    assert payload.is_eof()
    assert not message.should_close
    assert (head.operation, head.path, head.query, head.facts.token) == (Operation.READ, found.path, {}, found.token)
    assert head.facts == replace(
        type(head.facts)(), token=found.token, headers=head.facts.headers, remote_address=PEER.address
    )


def test_a_match_shows_nothing() -> None:
    """Its repr may stand in a traceback."""
    assert repr(match(get())) == "<Hot>"


@pytest.mark.parametrize(
    ("limits", "able"),
    [
        (HttpLimits(), True),
        (HttpLimits(path_bytes=100), False),
        (HttpLimits(token_bytes=100), False),
        (HttpLimits(line_bytes=1000), False),
        (HttpLimits(headers=10), False),
    ],
)
def test_limits_that_are_narrower_leave_everything_to_the_ordinary_way(limits: HttpLimits, able: bool) -> None:
    """They hold for everybody."""
    assert fits(limits) is able


@pytest.mark.parametrize(
    ("host", "trust", "known"),
    [
        (b"localhost:8200", Trust(), True),
        (b"127.0.0.1", Trust(), True),
        (b"vault.example", Trust(host_names=frozenset({"vault.example"})), True),
        (b"vault.example", Trust(), False),
        (b"localhost:port", Trust(), False),
        (b"localhost", Trust(proxies=(ipaddress.ip_network("127.0.0.0/8"),)), False),
    ],
)
def test_only_hosts_of_this_listener_are_known(host: bytes, trust: Trust, known: bool) -> None:
    """The second time, too; and with proxies about, addresses are not what they seem."""
    hosts = Hosts(trust)

    assert [hosts.knows(host, PEER), hosts.knows(host, PEER)] == [known, known]
    assert not hosts.knows(host, replace(PEER, local_address="192.0.2.1")) or host == b"vault.example"


class Reads:
    """Answers plain GETs; `open` says whether it would."""

    def __init__(self) -> None:
        self.open = True
        self.read_paths: list[str] = []

    def begin(self) -> Any:
        return self

    def answer(self, _request: Any, _state: Any) -> RawResponse | None:
        return None

    def read(self, request: Hot, request_id: str, address: str, _state: Any) -> RawResponse | None:
        self.read_paths.append(f"{request.path} {address}")
        return respond(request_id, Answer(data={"way": "hot"})) if self.open else None


async def test_a_plain_get_is_read_from_its_bytes(serve: Serve) -> None:
    """With the headers of the ordinary way, on a connection that stays; one that is not taken is answered there."""
    reads = Reads()
    site = await serve(at_once=reads)
    client = await site.connect()
    first = await client.send(get(headers=HEAD.replace(b":8200", b""))).reply()
    await until(lambda: all(protocol._waiter is not None for protocol in site.server.edge.manager.protocols))
    second = await client.send(get(headers=HEAD.replace(b":8200", b""))).reply()
    reads.open = False
    third = await client.send(get(headers=HEAD.replace(b":8200", b""))).reply()

    assert second.json["data"] == {"way": "hot"}
    assert third.json["data"] == {"operation": "read", "path": "secret/data/a"}
    assert (list(second.headers), second.headers["content-length"]) == (list(third.headers), str(len(second.body)))
    assert reads.read_paths[-1] == "secret/data/a 127.0.0.1"
    assert first.status == 200
    assert site.server.edge.turns.admission.in_flight == 0


async def test_a_plain_get_behind_another_request_waits_its_turn(serve: Serve) -> None:
    """Half of one is no message, and two in one segment go the ordinary way, in order."""
    reads = Reads()
    site = await serve(at_once=reads)
    client = await site.connect()
    plain = get(headers=HEAD.replace(b":8200", b""))
    await client.send(plain).reply()
    await until(lambda: all(protocol._waiter is not None for protocol in site.server.edge.manager.protocols))
    reads.read_paths.clear()
    client.send(plain[:30])
    await until(lambda: any(protocol.head_since is not None for protocol in site.server.edge.manager.protocols))
    halves = await client.send(plain[30:]).reply()
    client.send(plain + plain)
    both = [await client.reply(), await client.reply()]

    assert [reply.json["data"]["path"] for reply in (halves, *both)] == ["secret/data/a"] * 3
    assert reads.read_paths == []


async def test_a_plain_get_for_another_host_is_refused(serve: Serve) -> None:
    """By the ordinary rules."""
    reads = Reads()
    site = await serve(at_once=reads)
    client = await site.connect()

    reply = await client.send(get(headers=HEAD.replace(b"localhost:8200", b"elsewhere"))).reply()

    assert (reply.status, reads.read_paths) == (400, [])
