"""Request headers → what they say, or a refusal.

Pure. Rules (docs/threat-model.md, "HTTP edge"): a header that decides something may come once; two different tokens
are refused rather than ranked; a namespace we do not have is 404; who the client is comes from the connection unless
the peer is a trusted proxy. Values are never quoted in a refusal.
Source: Vault API, "Request headers"; RFC 9110 5.3.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .durations import UNIT_NS, DurationError, parse_duration_ns
from .errors import BadRequestError, NamespaceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .limits import HttpLimits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ONCE = frozenset({
    "x-vault-token", "x-vault-namespace", "x-vault-wrap-ttl", "x-vault-wrap-format", "x-vault-forward",
    "x-vault-no-request-forwarding", "x-vault-policy-override", "x-strongroom-consistency",
    "x-strongroom-write-id", "x-strongroom-init-secret", "content-encoding", "expect",
})  # fmt: skip
"""Headers that may not be repeated; Host, Content-Type, Content-Length are held to it by the parser."""

DROPPED = frozenset({
    "x-vault-token", "authorization", "proxy-authorization", "cookie", "connection", "keep-alive", "te",
    "transfer-encoding", "upgrade", "content-length", "expect", "host",
})  # fmt: skip
"""Never handed on: tokens, and what concerns this connection only."""

PROXY_ONLY = ("x-forwarded-", "forwarded", "x-real-ip", "x-client-", "x-ssl-", "ssl-client-", "client-cert",
              "x-tls-client-", "x-amzn-mtls-")  # fmt: skip
"""Beginnings of names that say who the client is: handed on only if a trusted proxy sent them."""

PLAIN = frozenset({
    "accept", "accept-encoding", "accept-language", "content-type", "user-agent", "x-vault-request",
    "x-vault-namespace", "x-vault-wrap-ttl", "x-vault-index", "x-vault-inconsistent", "x-strongroom-write-id",
    "x-strongroom-consistency",
})  # fmt: skip
"""Handed on without a further look, to be quick about what every client sends."""

USUAL = frozenset({
    "host", "x-vault-token", "authorization", "x-vault-request", "accept", "accept-encoding", "accept-language",
    "user-agent", "connection", "keep-alive",
})  # fmt: skip
"""Headers of which only Host and the token decide anything: a request with no others is read in half the time."""

SPELLINGS = {
    spelling.encode("ascii"): name
    for name in PLAIN | DROPPED
    for spelling in (name, name.title(), name.title().replace("-Ttl", "-TTL"))
}
"""Usual spellings of usual names. Not a cache: a secret sent as the name of a header must not stay in memory."""

ROOT_NAMESPACES = frozenset({"", "/", "root", "root/"})
CONSISTENCIES = frozenset({"strong", "local"})


@dataclass(frozen=True, slots=True)
class Peer:
    """The connection a request came on: addresses as text, ports as numbers."""

    address: str
    port: int
    local_address: str
    secure: bool = False
    certificate: bytes = b""  # of the client (request.py); the handshake proved that it holds the key


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom this listener believes: names it goes by (lower case), networks of proxies in front of it."""

    host_names: frozenset[str] = frozenset()
    proxies: tuple[Network, ...] = ()

    def is_proxy(self, address: str) -> bool:
        """Whether the address may speak for others."""
        if not self.proxies:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self.proxies)


@dataclass(slots=True)
class HeaderFacts:
    """What the headers say. The repr shows no token."""

    token: str | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    remote_address: str = ""
    namespace: str | None = None  # as sent, for the echo; None = no such header
    wrap_ttl_s: int | None = None
    index_states: tuple[str, ...] = ()
    inconsistent: tuple[str, ...] = ()
    consistency: str = "strong"
    write_id: str | None = None
    no_forwarding: bool = False
    content_type: str = ""
    content_encoding: str = ""
    expect: str = ""


def read_headers(raw: Iterable[tuple[bytes, bytes]], peer: Peer, trust: Trust, limits: HttpLimits) -> HeaderFacts:
    """What the headers say. Raises EdgeRefusal by the rules of this module."""
    first, all_of = _gather(raw)
    if all_of and any(name in ONCE for name in all_of):
        raise BadRequestError("a header that may come once is repeated")
    check_host(first, all_of, peer, trust)
    proxied = trust.is_proxy(peer.address)
    if not (proxied or all_of) and first.keys() <= USUAL:
        handed_on = {name: text for name, text in first.items() if name in PLAIN}
        return HeaderFacts(_token(first, all_of, limits), handed_on, peer.address)  # the rest would find nothing
    one = first.get
    facts = HeaderFacts(
        token=_token(first, all_of, limits),
        headers={
            name: text if name not in all_of else ", ".join(all_of[name])
            for name, text in first.items()
            if name in PLAIN or (name not in DROPPED and (proxied or not name.startswith(PROXY_ONLY)))
        },
        remote_address=_client_address(first, all_of, peer, trust) if proxied else peer.address,
        namespace=one("x-vault-namespace"),
        wrap_ttl_s=_wrap_ttl_s(one("x-vault-wrap-ttl", "")),
        index_states=_all(first, all_of, "x-vault-index"),
        inconsistent=_all(first, all_of, "x-vault-inconsistent"),
        consistency=one("x-strongroom-consistency", "").lower() or "strong",
        write_id=one("x-strongroom-write-id") or None,
        no_forwarding=bool(one("x-vault-no-request-forwarding")),
        content_type=one("content-type", ""),
        content_encoding=one("content-encoding", "").lower(),
        expect=one("expect", "").lower(),
    )
    if facts.namespace is not None and facts.namespace not in ROOT_NAMESPACES:
        raise NamespaceNotFoundError
    if facts.consistency not in CONSISTENCIES:
        raise BadRequestError("X-Strongroom-Consistency must be strong or local")
    return facts


def check_host(first: Mapping[str, str], all_of: Mapping[str, Sequence[str]], peer: Peer, trust: Trust) -> None:
    """Refuse a Host that is no name or address of this listener: that is how a web page reaches a loopback port."""
    if "host" not in first or "host" in all_of:
        raise BadRequestError("the Host header must come exactly once")
    host = first["host"].lower()
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        port = port.removeprefix(":") if bracket and port[:1] in {"", ":"} else "?"
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        raise BadRequestError("the Host header is no name or address of this listener")
    name = name.removesuffix(".")
    local = peer.local_address
    if name == local or name in trust.host_names or (name == "localhost" and is_loopback(local)):
        return
    raise BadRequestError("the Host header is no name or address of this listener")


def is_loopback(address: str) -> bool:
    """Whether only this machine can come from, or reach, the address."""
    return address == "::1" or address.startswith("127.")


def plain_address(address: str) -> str:
    """The address without zone, and as IPv4 where IPv6 only carries it."""
    address = address.partition("%")[0]
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address


def _gather(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """(first value of each name, all values of those that came several times), names in lower case."""
    first: dict[str, str] = {}
    all_of: dict[str, list[str]] = {}
    for name_bytes, value in raw:
        name = SPELLINGS.get(name_bytes) or name_bytes.decode("latin-1").lower()
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        if name not in first:
            first[name] = text
        else:
            all_of.setdefault(name, [first[name]]).append(text)
    return first, all_of


def _all(first: Mapping[str, str], all_of: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...]:
    return (first[name],) if name in first and name not in all_of else tuple(all_of.get(name, ()))


def _token(first: Mapping[str, str], all_of: Mapping[str, Sequence[str]], limits: HttpLimits) -> str | None:
    token = first.get("x-vault-token", "")
    for value in _all(first, all_of, "authorization") if "authorization" in first else ():
        if value[:7].lower() != "bearer ":
            continue  # another scheme carries no token of ours; a proxy in front may use it
        bearer = value[7:].strip()
        if token and not hmac.compare_digest(token.encode(), bearer.encode()):
            raise BadRequestError("two different tokens in one request")
        token = bearer
    if len(token) > limits.token_bytes or not (token.isascii() and token.isprintable()):
        raise BadRequestError("the token has a form that no token has")
    return token or None


def _wrap_ttl_s(text: str) -> int | None:
    if not text:
        return None
    try:
        ttl_ns = parse_duration_ns(text)
    except DurationError as error:
        raise BadRequestError(f"error parsing X-Vault-Wrap-TTL header: {error}") from None
    if ttl_ns < 0:
        raise BadRequestError("error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative")
    return -(-ttl_ns // UNIT_NS["s"]) or None  # a part of a second is a second, nothing is no wrapping


def _client_address(first: Mapping[str, str], all_of: Mapping[str, Sequence[str]], peer: Peer, trust: Trust) -> str:
    """Rightmost hop that is not a trusted proxy: what stands left of it, anybody may have written."""
    hops = [hop.strip() for value in _all(first, all_of, "x-forwarded-for") for hop in value.split(",")]
    address = peer.address
    for hop in reversed(hops):
        address = plain_address(hop)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise BadRequestError("X-Forwarded-For holds something that is no address") from None
        if not trust.is_proxy(address):
            return address
    return address
