"""From a configuration to what the rooms are told. Pure but for reading certificates."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import (
    MemberAddress,
    MemberSettings,
    Timing,
    certificate_der,
    tls_contexts,
)

from .config.document import is_wildcard, split_address
from .http.headers import Trust
from .http.limits import HttpLimits
from .version import PRODUCT_VERSION

if TYPE_CHECKING:
    from .config import Config


def member_settings(config: Config) -> MemberSettings:
    """What the cluster is told. A peer section without an address is a cluster of one."""
    peer = config.peer
    data_dir = Path(config.node.data_dir)
    members: dict[str, MemberAddress] = {}
    tls = None
    der = b""
    listen = split_address(peer.address) if peer.address else None
    if listen is not None and peer.members:
        for member in peer.members:
            address = split_address(member.peer)
            assert address is not None
            members[member.id] = MemberAddress(address, member.api)
        tls = tls_contexts(peer.tls_cert_file, peer.tls_key_file, peer.tls_ca_file)
        der = certificate_der(Path(peer.tls_cert_file))
    else:
        members[config.node.id] = MemberAddress(listen or _next_port(config), config.advertise_url)
    raft = config.raft
    return MemberSettings(
        node_id=config.node.id,
        cluster_name=config.node.cluster_name,
        data_dir=data_dir,
        members=members,
        tls=tls,
        certificate_der=der,
        listen=listen,
        timing=Timing(raft.heartbeat_ms / 1000, raft.election_min_ms / 1000, raft.election_max_ms / 1000),
        profile=config.profile,
        segment_bytes=config.journal.segment_bytes,
        journal_mode=config.journal.mode,
        unsynced_bytes_max=config.journal.unsynced_bytes_max,
        log_keep_bytes=config.journal.log_keep_bytes,
        read_timeout_s=config.consistency.read_timeout_ms / 1000,
        write_timeout_s=config.limits.request_timeout_s,
        clock_skew_max_s=config.raft.clock_skew_max_s,
        version=PRODUCT_VERSION,
    )


def _next_port(config: Config) -> tuple[str, int]:
    """Where a node without a peer section would be linked to: the API's port plus one, as Vault's cluster address."""
    host, port = split_address(config.api.address) or ("127.0.0.1", 0)
    return host, port + 1


def http_limits(config: Config) -> HttpLimits:
    """The edge's limits."""
    return HttpLimits(**{field.name: getattr(config.limits, field.name) for field in dataclasses.fields(HttpLimits)})


def trust_of(config: Config) -> Trust:
    """Names this listener goes by, and whom it believes."""
    names = set(config.api.host_names)
    split = split_address(config.api.address)
    if split is not None and not is_wildcard(split[0]):
        names.add(split[0])
    names |= {"localhost", "127.0.0.1", "::1"}
    advertised = config.advertise_url.split("://", 1)[-1].split("/", 1)[0]
    host = split_address(advertised)
    names.add(host[0] if host is not None else advertised)
    return Trust(
        frozenset(name.lower() for name in names),
        tuple(ipaddress.ip_network(network) for network in config.api.trusted_proxies),
    )
