"""Is this configuration one that a node may serve? All objections, as sentences.

Pure: it looks at the configuration alone, at no file and no network. Sources: the relations of leases (leader and
follower lease against the election timeout, each against heartbeat and round trip), docs/threat-model.md for what
production refuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from .check_network import NETWORK_RULES
from .check_sinks import sink_problems
from .check_transit import transit_problems
from .document import FIELDS, Config
from .secret_text import SecretText
from .sentence import must_be

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .edge import AuditDevice

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
    if seal.type != "static" and (seal.key or seal.key_file):
        yield "seal: key_file is for type static"
    yield from transit_problems(seal)


def _backup(config: Config) -> Iterator[str]:
    backup = config.backup
    if backup.mode == "max_lag" and not (backup.max_lag_s > 0 and backup.sinks):
        yield "backup: mode max_lag needs max_lag_s above 0 and a sink"
    if backup.mode == "write_through" and not any(sink.required for sink in backup.sinks):
        yield "backup: mode write_through needs a required sink"
    if backup.restore_on_boot != "never" and not backup.sinks:
        yield "backup: restore_on_boot needs a sink"
    if backup.restore_on_boot != "never" and config.seal.type != "static":
        yield "backup: restore_on_boot needs seal type static: nobody gives keys to a node that starts"
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
        if device.type != "file":
            yield from _remote_device(device, directory, config.profile)
            continue
        file_path = device.options.get("file_path", "")
        if not file_path:
            yield f"audit: device {device.path} needs options.file_path"
        if ".." in file_path.split("/") or (file_path.startswith("/") and not file_path.startswith(f"{directory}/")):
            yield f"audit: device {device.path}: file_path must lie below audit.directory"
        if device.options.get("log_raw", "").lower() not in {"", "0", "f", "false"} and config.profile == "production":
            yield f"audit: device {device.path}: log_raw is refused in production"


def _remote_device(device: AuditDevice, directory: str, profile: str) -> Iterator[str]:
    from ..audit import OptionError, Rules  # late: the command line reads a configuration without it

    try:
        Rules(directory, production=profile == "production").check_options(device.type, device.options)
    except OptionError as error:
        yield f"audit: device {device.path}: {error.texts[0]}"


def _limits(config: Config) -> Iterator[str]:
    limits = config.limits
    if limits.value_bytes > limits.body_bytes:
        yield "limits: value_bytes must not exceed body_bytes"
    if limits.value_bytes > TRANSACTION_BYTES_MAX:
        yield f"limits: value_bytes must not exceed {TRANSACTION_BYTES_MAX}, the size of a transaction"
    if limits.lag_resume_s >= limits.lag_pause_s:
        yield "limits: lag_resume_s must be less than lag_pause_s"
    if limits.line_bytes > limits.header_bytes:
        yield "limits: line_bytes must not exceed header_bytes"
    if limits.per_turn > limits.in_flight:
        yield "limits: per_turn must not exceed in_flight"


def _absent(config: Config) -> Iterator[str]:
    """What this version does not do is refused, because a setting that does nothing is believed to work."""
    absent = {
        "api: cert_address": bool(config.api.cert_address),
        "trace: enabled": config.trace.enabled,
    }
    yield from (f"{name} is not available in this version; leave it out" for name, said in absent.items() if said)


RULES: tuple[Callable[[Config], Iterable[str]], ...] = (
    _bounds,
    _node,
    *NETWORK_RULES,
    _timing,
    _seal,
    _backup,
    _audit,
    _limits,
    _absent,
)
