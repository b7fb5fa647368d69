"""Rules for listeners, advertised URLs, TLS and members. Pure.

What production refuses is in docs/threat-model.md: plain HTTP beyond loopback unless it is said in so many words,
unauthenticated rekey, an authority that signs both nodes and clients.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .document import Config, is_loopback, is_wildcard, split_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def _listeners(config: Config) -> Iterator[str]:
    addresses = {
        "api: address": config.api.address,
        "api: cert_address": config.api.cert_address,
        "api: locked_address": config.api.locked_address,
        "peer: address": config.peer.address,
    }
    taken: dict[str, str] = {}
    for name, address in addresses.items():
        if not address and name != "api: address":
            continue
        split = split_address(address)
        if split is None:
            yield f"{name} must be HOST:PORT"
            continue
        host, port = split
        if port == 0 and config.profile == "production":
            yield f"{name} must have a fixed port"
        if config.profile == "dev" and not is_loopback(host):
            yield f"{name} must be on loopback in profile dev"
        if port and address in taken:
            yield f"{name} must not be the same as {taken[address]}"
        taken[address] = name
    if config.api.locked_address and config.profile == "production":
        yield "api: locked_address is for profile dev"


def _api_tls(config: Config) -> Iterator[str]:
    api = config.api
    host = (split_address(api.address) or ("", 0))[0]
    if bool(api.tls_cert_file) != bool(api.tls_key_file):
        yield "api: tls_cert_file and tls_key_file must be given together"
    if api.tls == "on" and config.profile == "production" and not (api.tls_cert_file or api.tls_key_file):
        yield "api: tls_cert_file and tls_key_file are needed while tls is on"
    if api.tls == "off" and not is_loopback(host):
        yield 'api: tls may be off only on loopback; tokens beyond it in the clear need tls = "off-i-know"'
    if api.cert_address and api.tls != "on":
        yield "api: cert_address needs tls = on"
    if bool(api.cert_address) != bool(api.cert_client_ca_file):
        yield "api: cert_address and cert_client_ca_file must be given together"
    if api.cert_client_ca_file and api.cert_client_ca_file == config.peer.tls_ca_file:
        yield "api: cert_client_ca_file must not be the authority of the nodes (peer.tls_ca_file)"


def _api(config: Config) -> Iterator[str]:
    api = config.api
    split = split_address(api.address)
    if split and is_wildcard(split[0]) and not api.advertise:
        yield "api: advertise must be given while address is a wildcard"
    if api.advertise:
        yield from _api_url("api: advertise", api.advertise)
    if api.unauthenticated_rekey and config.profile == "production":
        yield "api: unauthenticated_rekey is refused in production"
    for network in api.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield "api: trusted_proxies must be networks such as 10.0.0.0/8"
    if any(not name or re.search(r"[\s/*@]", name) for name in api.host_names):
        yield "api: host_names must be plain names or addresses, without wildcards"


def _api_url(name: str, url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.username is not None or parts.password is not None:
        yield f"{name} must not hold a user or password"
    elif parts.scheme not in {"http", "https"} or not host or parts.path.strip("/") or parts.query or port == 0:
        yield f"{name} must be a URL such as https://vault-1.example:8200"


def _peers(config: Config) -> Iterator[str]:
    peer = config.peer
    ids = [member.id for member in peer.members]
    if len(set(ids)) != len(ids):
        yield "peer: members must have different ids"
    if len({member.peer for member in peer.members}) != len(ids):
        yield "peer: members must have different peer addresses"
    if ids and config.node.id not in ids:
        yield "peer: members must name this node too: node.id is not among peer.members"
    for member in peer.members:
        split = split_address(member.peer)
        if split is None or is_wildcard(split[0]) or not split[1]:
            yield f"peer: members: the peer of {member.id} must be a HOST:PORT that the others can reach"
        yield from _api_url(f"peer: members: the api of {member.id}", member.api)
    if len(ids) > 1:
        if not peer.address:
            yield "peer: address is needed by a cluster of several members"
        if not (peer.tls_cert_file and peer.tls_key_file and peer.tls_ca_file):
            yield "peer: tls_cert_file, tls_key_file and tls_ca_file are needed by a cluster of several members"


NETWORK_RULES: tuple[Callable[[Config], Iterable[str]], ...] = (_listeners, _api_tls, _api, _peers)
