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

ROOT_NAMESPACES = frozenset({"", "/", "root", "root/"})
CONSISTENCIES = frozenset({"strong", "local"})


@dataclass(frozen=True, slots=True)
class Peer:
    """The connection a request came on: addresses as text, ports as numbers."""

    address: str
    port: int
    local_address: str
    secure: bool = False


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


def read_headers(
    raw: Iterable[tuple[bytes, bytes]], peer: Peer, trust: Trust, limits: HttpLimits, *, host_needed: bool = True
) -> HeaderFacts:
    """What the headers say. Raises EdgeRefusal by the rules of this module."""
    found: dict[str, list[str]] = {}
    for name_bytes, value_bytes in raw:
        found.setdefault(name_bytes.decode("latin-1").lower(), []).append(_text(value_bytes))
    if any(len(values) > 1 and name in ONCE for name, values in found.items()):
        raise BadRequestError("a header that may come once is repeated")
    if host_needed:
        check_host(found.get("host", []), peer, trust)
    facts = HeaderFacts()
    facts.token = _token(found, limits)
    facts.namespace = _namespace(found)
    proxied = trust.is_proxy(peer.address)
    facts.remote_address = _client_address(found, peer, trust) if proxied else peer.address
    facts.wrap_ttl_s = _wrap_ttl_s(found)
    facts.index_states = tuple(found.get("x-vault-index", ()))
    facts.inconsistent = tuple(found.get("x-vault-inconsistent", ()))
    facts.consistency = _one(found, "x-strongroom-consistency").lower() or "strong"
    if facts.consistency not in CONSISTENCIES:
        raise BadRequestError("X-Strongroom-Consistency must be strong or local")
    facts.write_id = _one(found, "x-strongroom-write-id") or None
    facts.no_forwarding = bool(_one(found, "x-vault-no-request-forwarding"))
    facts.content_type = _one(found, "content-type")
    facts.content_encoding = _one(found, "content-encoding").lower()
    facts.expect = _one(found, "expect").lower()
    facts.headers = {
        name: ", ".join(values)
        for name, values in found.items()
        if name not in DROPPED and (proxied or not name.startswith(PROXY_ONLY))
    }
    return facts


def check_host(values: Sequence[str], peer: Peer, trust: Trust) -> None:
    """Refuse a Host that is no name or address of this listener: that is how a web page reaches a loopback port."""
    if len(values) != 1:
        raise BadRequestError("the Host header must come exactly once")
    host = values[0].lower()
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


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _one(found: Mapping[str, Sequence[str]], name: str) -> str:
    values = found.get(name)
    return values[0] if values else ""


def _token(found: Mapping[str, Sequence[str]], limits: HttpLimits) -> str | None:
    token = _one(found, "x-vault-token")
    for value in found.get("authorization", ()):
        if value[:7].lower() != "bearer ":
            continue  # another scheme carries no token of ours; a proxy in front may use it
        bearer = value[7:].strip()
        if token and not hmac.compare_digest(token.encode(), bearer.encode()):
            raise BadRequestError("two different tokens in one request")
        token = bearer
    if len(token) > limits.token_bytes or not (token.isascii() and token.isprintable()):
        raise BadRequestError("the token has a form that no token has")
    return token or None


def _namespace(found: Mapping[str, Sequence[str]]) -> str | None:
    if "x-vault-namespace" not in found:
        return None
    namespace = _one(found, "x-vault-namespace")
    if namespace not in ROOT_NAMESPACES:
        raise NamespaceNotFoundError
    return namespace


def _wrap_ttl_s(found: Mapping[str, Sequence[str]]) -> int | None:
    text = _one(found, "x-vault-wrap-ttl")
    if not text:
        return None
    try:
        ttl_ns = parse_duration_ns(text)
    except DurationError as error:
        raise BadRequestError(f"error parsing X-Vault-Wrap-TTL header: {error}") from None
    if ttl_ns < 0:
        raise BadRequestError("error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative")
    return -(-ttl_ns // UNIT_NS["s"]) or None  # a part of a second is a second, nothing is no wrapping


def _client_address(found: Mapping[str, Sequence[str]], peer: Peer, trust: Trust) -> str:
    """Rightmost hop that is not a trusted proxy: what stands left of it, anybody may have written."""
    hops = [hop.strip() for value in found.get("x-forwarded-for", ()) for hop in value.split(",")]
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
