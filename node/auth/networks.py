"""Networks that bind roles, secret-ids and tokens: which addresses are inside, and what two lists have in common.

Pure. Invariant: what cannot be read on either side is outside; no operation here widens a list.
Source: Vault API, "AppRole" (secret_id_bound_cidrs, cidr_list, token_bound_cidrs).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def holds(cidrs: Iterable[str], remote_address: str) -> bool:
    """Whether the address is inside one of the networks. An IPv4 address written as IPv6 is the IPv4 address."""
    address = _address(remote_address)
    return address is not None and any(address in network for network in _networks(cidrs))


def only(remote_address: str) -> list[str]:
    """The networks that hold this address and no other; [] where it cannot be read."""
    address = _address(remote_address)
    return [] if address is None else [str(address)]


def is_subset(inner: Iterable[str], outer: Iterable[str]) -> bool:
    """Whether every network of `inner` lies inside one of `outer`."""
    wider = _networks(outer)
    return all(any(_is_inside(network, other) for other in wider) for network in _networks(inner))


def overlap(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The networks whose addresses are inside both lists; [] where there is no such address."""
    found = []
    others = _networks(second)
    for network in _networks(first):
        for other in others:
            if _is_inside(network, other):
                found.append(network)
            elif _is_inside(other, network):
                found.append(other)
    return [str(network) for network in dict.fromkeys(found)]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_inside(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def _networks(cidrs: Iterable[str]) -> list[Network]:
    """What is stored has passed a check; anything else holds no address."""
    found: list[Network] = []
    for cidr in cidrs:
        try:
            found.append(ipaddress.ip_network(cidr, strict=False))
        except ValueError:
            continue
    return found
