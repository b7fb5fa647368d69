"""Is this configuration one that a node may serve? All objections, as sentences.

Pure: it looks at the configuration alone, at no file and no network. Sources: the relations of leases (leader and
follower lease against the election timeout, each against heartbeat and round trip), docs/threat-model.md for what
production refuses.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from .check_sinks import sink_problems
from .document import FIELDS, Config, is_loopback, is_wildcard, split_address
from .secret_text import SecretText
from .sentence import must_be

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TRANSACTION_BYTES_MAX = 1572864
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def problems(config: Config) -> list[str]:
    """Every reason not to serve this configuration, empty if there is none."""
    return [sentence for rule in RULES for sentence in rule(config)]


def _bounds(config: Config) -> Iterator[str]:
    for key, field in FIELDS.items():
        value = config.value(key)
        if isinstance(value, SecretText | tuple):
            continue
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            yield f"{field.section or 'profile'}: {field.name} must be {must_be(field)}"


def _node(config: Config) -> Iterator[str]:
    if not _NAME.fullmatch(config.node.id):
        yield "node: id must be 1 to 63 lower-case letters, digits and hyphens"
    if not _NAME.fullmatch(config.node.cluster_name):
        yield "node: cluster_name must be 1 to 63 lower-case letters, digits and hyphens"
    if not config.node.data_dir:
        yield "node: data_dir must name a folder of this node's own"


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
        yield "peer: members must name this node too (node.id)"
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


def _timing(config: Config) -> Iterator[str]:
    raft, reads = config.raft, config.consistency
    if raft.election_max_ms <= raft.election_min_ms:
        yield "raft: election_max_ms must exceed election_min_ms"
    if raft.election_min_ms < 3 * raft.heartbeat_ms:
        yield "raft: election_min_ms must be at least 3 x heartbeat_ms"
    if reads.slow_ms < reads.rtt_max_ms:
        yield "consistency: slow_ms must be at least rtt_max_ms"
    if reads.penalty_max_s < reads.penalty_min_s:
        yield "consistency: penalty_max_s must be at least penalty_min_s"
    if not reads.lease:
        return
    if (reads.leader_lease_ms + reads.follower_lease_ms) * (1 + reads.rho) > raft.election_min_ms:
        yield "consistency: leader_lease_ms + follower_lease_ms must not exceed election_min_ms / (1 + rho)"
    for name, lease_ms in (("leader_lease_ms", reads.leader_lease_ms), ("follower_lease_ms", reads.follower_lease_ms)):
        if lease_ms * (1 - reads.rho) < 2 * raft.heartbeat_ms + reads.rtt_max_ms:
            yield f"consistency: {name} x (1 - rho) must be at least 2 x heartbeat_ms + rtt_max_ms"
    if 2 * reads.rtt_max_ms >= reads.follower_lease_ms:
        yield "consistency: rtt_max_ms must be below follower_lease_ms / 2"


def _seal(config: Config) -> Iterator[str]:
    seal = config.seal
    if config.profile == "production" and seal.peers is None:
        yield (
            "seal: peers must be said true or false in production: with true, one node's private key and reach "
            "to a live member open everything"
        )
    if seal.key and config.profile == "production":
        yield "seal: key is refused in production; give key_file"
    if seal.key and seal.key_file:
        yield "seal: key and key_file must not both be given"
    if seal.type == "static" and not (seal.key or seal.key_file):
        yield "seal: type static needs key_file"
    if seal.type == "shamir" and (seal.key or seal.key_file):
        yield "seal: key_file is for type static"


def _backup(config: Config) -> Iterator[str]:
    backup = config.backup
    if backup.mode == "max_lag" and not (backup.max_lag_s > 0 and backup.sinks):
        yield "backup: mode max_lag needs max_lag_s above 0 and a sink"
    if backup.mode == "write_through" and not any(sink.required for sink in backup.sinks):
        yield "backup: mode write_through needs a required sink"
    if backup.restore_on_boot != "never" and not backup.sinks:
        yield "backup: restore_on_boot needs a sink"
    if len({sink.name for sink in backup.sinks}) != len(backup.sinks):
        yield "backup: sinks must have different names"
    for sink in backup.sinks:
        yield from sink_problems(sink, config.profile)


def _audit(config: Config) -> Iterator[str]:
    directory = config.audit_directory
    paths = [device.path.strip("/") for device in config.audit.devices]
    if len(set(paths)) != len(paths) or "" in paths:
        yield "audit: devices must have different paths"
    for device in config.audit.devices:
        file_path = device.options.get("file_path", "")
        if device.type == "file" and not file_path:
            yield f"audit: device {device.path} needs options.file_path"
        if ".." in file_path.split("/") or (file_path.startswith("/") and not file_path.startswith(f"{directory}/")):
            yield f"audit: device {device.path}: file_path must lie below audit.directory"
        if device.options.get("log_raw", "").lower() not in {"", "0", "f", "false"} and config.profile == "production":
            yield f"audit: device {device.path}: log_raw is refused in production"


def _limits(config: Config) -> Iterator[str]:
    limits = config.limits
    if limits.value_bytes > limits.body_bytes:
        yield "limits: value_bytes must not exceed body_bytes"
    if limits.value_bytes > TRANSACTION_BYTES_MAX:
        yield f"limits: value_bytes must not exceed {TRANSACTION_BYTES_MAX}, the size of a transaction"
    if limits.per_turn > limits.in_flight:
        yield "limits: per_turn must not exceed in_flight"


def _absent(config: Config) -> Iterator[str]:
    """What this version does not do is refused, because a setting that does nothing is believed to work."""
    absent = {
        'seal: type "transit"': config.seal.type == "transit",
        "backup: sinks": bool(config.backup.sinks),
        "api: cert_address": bool(config.api.cert_address),
        "trace: enabled": config.trace.enabled,
    }
    yield from (f"{name} is not available in this version; leave it out" for name, said in absent.items() if said)


RULES: tuple[Callable[[Config], Iterable[str]], ...] = (
    _bounds,
    _node,
    _listeners,
    _api_tls,
    _api,
    _peers,
    _timing,
    _seal,
    _backup,
    _audit,
    _limits,
    _absent,
)
