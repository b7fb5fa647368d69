"""Checks: each rule has a configuration that it lets pass and one that it objects to."""

from __future__ import annotations

import msgspec
import pytest

from node.config import AuditDevice, Config, Member, SecretText, Sink, problems, split_address
from node.config.check_sinks import shown_url

THREE = tuple(Member(id=f"n{n}", peer=f"10.0.0.{n}:8201", api=f"https://10.0.0.{n}:8200") for n in (1, 2, 3))
TLS = {"tls_cert_file": "/c", "tls_key_file": "/k"}
PRODUCTION = {
    "node": {"id": "n1", "data_dir": "/d"},
    "api": {"address": "10.0.0.1:8200", **TLS},
    "peer": {"address": "10.0.0.1:8201", "tls_ca_file": "/ca", "members": THREE, **TLS},
    "seal": {"peers": False},
}
DEV = {"profile": "dev", "node": {"id": "n1", "data_dir": "/d"}}


def made(base, changes):
    """`base` with "section.key" changes."""
    tree = {section: dict(keys) if isinstance(keys, dict) else keys for section, keys in base.items()}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if name:
            tree.setdefault(section, {})[name] = value
        else:
            tree[section] = value
    sections = {
        name: msgspec.structs.replace(getattr(Config(), name), **keys) if isinstance(keys, dict) else keys
        for name, keys in tree.items()
    }
    return Config(**sections)


def member(**changes):
    return (msgspec.structs.replace(THREE[0], **changes), *THREE[1:])


def sink(url, **more):
    return {"backup.sinks": (Sink(name="s", url=url, **more),)}


def device(**options):
    return {"audit.devices": (AuditDevice(path="f", options=options),)}


STATIC = {"seal.type": "static", "seal.key_file": "/k"}

TRANSIT = {
    "seal.type": "transit",
    "seal.transit_address": "https://vault.example:8200",
    "seal.transit_token_file": "/t",
    "seal.transit_key_name": "k",
}

# the base, changes that pass, changes that do not, the sentence
RULES = [
    (PRODUCTION, {}, {"node.id": ""}, "node: id must be"),
    (PRODUCTION, {"node.id": "n1"}, {"node.id": "N_1"}, "node: id must be"),
    (PRODUCTION, {"node.cluster_name": "a-b"}, {"node.cluster_name": "a b"}, "node: cluster_name must be"),
    (PRODUCTION, {}, {"node.data_dir": ""}, "node: data_dir must name"),
    (PRODUCTION, {"api.address": "[::1]:1"}, {"api.address": "::1:1"}, "api: address must be HOST:PORT"),
    (PRODUCTION, {}, {"api.address": ""}, "api: address must be HOST:PORT"),
    (PRODUCTION, {}, {"api.address": "h:99999"}, "api: address must be HOST:PORT"),
    (DEV, {"api.address": "127.0.0.1:0"}, {"api.address": "h"}, "api: address must be HOST:PORT"),
    (PRODUCTION, {}, {"api.address": "10.0.0.1:0"}, "api: address must have a fixed port"),
    (PRODUCTION, {}, {"peer.address": "10.0.0.1:8200"}, "peer: address must not be the same as api: address"),
    (DEV, {"api.address": "localhost:1"}, {"api.address": "10.0.0.1:1"}, "api: address must be on loopback"),
    (DEV, {"peer.address": "[::1]:1"}, {"peer.address": "0.0.0.0:1"}, "peer: address must be on loopback"),
    (DEV, {"api.locked_address": "127.0.0.1:1"}, {"api.locked_address": "h:1"}, "locked_address must be on loopback"),
    (PRODUCTION, {}, {"api.locked_address": "127.0.0.1:1"}, "api: locked_address is for profile dev"),
    (DEV, {}, {"api.tls_cert_file": "/c"}, "tls_cert_file and tls_key_file must be given together"),
    (
        PRODUCTION,
        {},
        {"api.tls_cert_file": "", "api.tls_key_file": ""},
        "api: tls_cert_file and tls_key_file are needed while tls is on",
    ),
    (PRODUCTION, {"api.tls": "off", "api.address": "127.0.0.1:1"}, {"api.tls": "off"}, "api: tls may be off only on"),
    (PRODUCTION, {"api.tls": "off-i-know"}, {"api.tls": "off", "api.address": "0.0.0.0:1"}, "tls may be off only on"),
    (
        PRODUCTION,
        {"api.address": "0.0.0.0:1", "api.advertise": "https://h:1"},
        {"api.address": "[::]:1"},
        "api: advertise must be given while address is a wildcard",
    ),
    (PRODUCTION, {"api.advertise": "https://h:1"}, {"api.advertise": "h:1"}, "api: advertise must be a URL"),
    (PRODUCTION, {"api.advertise": "https://h"}, {"api.advertise": "https://h/x"}, "api: advertise must be a URL"),
    (PRODUCTION, {}, {"api.advertise": "https://h:x"}, "api: advertise must be a URL"),
    (PRODUCTION, {}, {"api.advertise": "https://u:planted@h"}, "api: advertise must not hold a user or password"),
    (DEV, {"api.unauthenticated_rekey": True}, {"api.trusted_proxies": ("x",)}, "trusted_proxies must be networks"),
    (PRODUCTION, {}, {"api.unauthenticated_rekey": True}, "api: unauthenticated_rekey is refused in production"),
    (PRODUCTION, {"api.trusted_proxies": ("10.0.0.0/8", "::1")}, {"api.trusted_proxies": ("10.0.0.1/8",)}, "networks"),
    (PRODUCTION, {"api.host_names": ("a.b",)}, {"api.host_names": ("*.b",)}, "api: host_names must be plain"),
    (PRODUCTION, {}, {"api.cert_address": "10.0.0.1:8300"}, "api: cert_address and cert_client_ca_file"),
    (
        PRODUCTION,
        {},
        {"api.cert_address": "10.0.0.1:8300", "api.cert_client_ca_file": "/ca"},
        "must not be the authority of the nodes",
    ),
    (PRODUCTION, {}, {"api.cert_address": "10.0.0.1:1", "api.tls": "off-i-know"}, "cert_address needs tls = on"),
    (PRODUCTION, {}, {"peer.members": (*THREE, THREE[0])}, "peer: members must have different ids"),
    (PRODUCTION, {}, {"peer.members": member(peer=THREE[1].peer)}, "peer: members must have different peer addresses"),
    (PRODUCTION, {}, {"peer.members": THREE[1:]}, "peer: members must name this node too"),
    (PRODUCTION, {}, {"peer.members": member(peer="0.0.0.0:1")}, "the peer of n1 must be a HOST:PORT"),
    (PRODUCTION, {}, {"peer.members": member(api="10.0.0.1:8200")}, "the api of n1 must be a URL"),
    (PRODUCTION, {"peer.members": (), "peer.address": ""}, {"peer.address": ""}, "peer: address is needed"),
    (PRODUCTION, {}, {"peer.tls_ca_file": ""}, "peer: tls_cert_file, tls_key_file and tls_ca_file are needed"),
    (DEV, {"raft.election_max_ms": 501}, {"raft.election_max_ms": 500}, "raft: election_max_ms must exceed"),
    (DEV, {}, {"raft.heartbeat_ms": 167}, "raft: election_min_ms must be at least 3 x heartbeat_ms"),
    (
        DEV,
        {"consistency.leader_lease_ms": 245},
        {"consistency.leader_lease_ms": 246},
        "consistency: leader_lease_ms + follower_lease_ms must not exceed election_min_ms / (1 + rho)",
    ),
    (
        DEV,
        {"consistency.lease": False, "consistency.leader_lease_ms": 900},
        {"consistency.leader_lease_ms": 161},
        "consistency: leader_lease_ms x (1 - rho) must be at least 2 x heartbeat_ms + rtt_max_ms",
    ),
    (
        DEV,
        {"consistency.follower_lease_ms": 162},
        {"consistency.follower_lease_ms": 161},
        "follower_lease_ms x (1 - rho)",
    ),
    (DEV, {}, {"consistency.rtt_max_ms": 125}, "consistency: rtt_max_ms must be below follower_lease_ms / 2"),
    (DEV, {"consistency.slow_ms": 60}, {"consistency.slow_ms": 59}, "consistency: slow_ms must be at least rtt_max_ms"),
    (DEV, {"consistency.penalty_max_s": 2}, {"consistency.penalty_max_s": 1}, "penalty_max_s must be at least"),
    (
        DEV,
        {"consistency.rho": 0.0},
        {"consistency.rho": 0.2},
        "consistency: rho must be a number, at least 0, at most 0.1",
    ),
    (DEV, {}, {"limits.in_flight": 0}, "limits: in_flight must be a whole number, at least 1"),
    (DEV, {}, {"audit.deadline_s": 0}, "audit: deadline_s must be a number, above 0"),
    (PRODUCTION, {"seal.peers": True}, {"seal.peers": None}, "seal: peers must be said true or false in production"),
    (DEV, {"seal.peers": None}, {"seal.type": "static"}, "seal: type static needs key_file"),
    (
        PRODUCTION,
        {"seal.type": "static", "seal.key_file": "/k"},
        {"seal.key_file": "/k"},
        "key_file is for type static",
    ),
    (
        DEV,
        {"seal.type": "static", "seal.key": SecretText("planted")},
        {"seal.type": "static", "seal.key": SecretText("planted"), "seal.key_file": "/k"},
        "seal: key and key_file must not both be given",
    ),
    (
        PRODUCTION,
        {},
        {"seal.type": "static", "seal.key": SecretText("planted")},
        "seal: key is refused in production; give key_file",
    ),
    (PRODUCTION, TRANSIT, {"seal.type": "transit"}, "seal: type transit needs transit_address, transit_token_file and"),
    (PRODUCTION, {}, TRANSIT | {"seal.type": "shamir"}, "seal: transit_address and its kin are for type transit"),
    (PRODUCTION, TRANSIT, TRANSIT | {"seal.key_file": "/k"}, "seal: key_file is for type static"),
    (
        PRODUCTION,
        TRANSIT | {"seal.transit_address": "http://[::1]:8200"},
        TRANSIT | {"seal.transit_address": "http://10.0.0.1:8200"},
        "seal: transit_address must be https beyond this machine",
    ),
    (DEV, TRANSIT, TRANSIT | {"seal.transit_address": "https://u@v:8200"}, "transit_address must not hold a user"),
    (DEV, TRANSIT, TRANSIT | {"seal.transit_address": "https://v:8200/v1"}, "transit_address must be a URL such as"),
    (DEV, TRANSIT, TRANSIT | {"seal.transit_address": "https://[v"}, "seal: transit_address cannot be read"),
    (
        DEV,
        TRANSIT | {"seal.transit_mount_path": "team/a/transit/"},
        TRANSIT | {"seal.transit_mount_path": "../sys"},
        "seal: transit_mount_path must be a path",
    ),
    (DEV, TRANSIT, TRANSIT | {"seal.transit_key_name": "a/b"}, "seal: transit_key_name must be letters"),
    (DEV, {}, {"trace.enabled": True}, "trace: enabled is not available in this version"),
    (DEV, {}, {"backup.mode": "max_lag"}, "backup: mode max_lag needs max_lag_s above 0 and a sink"),
    (DEV, {}, {"backup.mode": "write_through"}, "backup: mode write_through needs a required sink"),
    (DEV, {}, {"backup.restore_on_boot": "if_empty"}, "backup: restore_on_boot needs a sink"),
    (
        DEV,
        {"backup.restore_on_boot": "if_empty", "backup.sinks": (Sink(name="s", url="memory:"),), **STATIC},
        {"backup.restore_on_boot": "if_empty", "backup.sinks": (Sink(name="s", url="memory:"),)},
        "backup: restore_on_boot needs seal type static",
    ),
    (DEV, {}, {"backup.sinks": (Sink(name="s", url="memory:"),) * 2}, "backup: sinks must have different names"),
    (DEV, device(file_path="a/b.log"), device(), "audit: device f needs options.file_path"),
    (DEV, device(file_path="/d/audit/x"), device(file_path="/d/auditx"), "file_path must lie below audit.directory"),
    (DEV, {}, device(file_path="a/../../x"), "file_path must lie below audit.directory"),
    (
        DEV,
        {"audit.devices": (AuditDevice(path="s", type="socket", options={"address": "127.0.0.1:9"}),)},
        {"audit.devices": (AuditDevice(path="s", type="socket", options={"address": "planted"}),)},
        "audit: device s: audit option address must be HOST:PORT",
    ),
    (
        DEV,
        {"audit.devices": (AuditDevice(path="s", type="syslog"),)},
        {"audit.devices": (AuditDevice(path="s", type="syslog", options={"log_raw": "true", "tag": "a b"}),)},
        "audit: device s: audit option tag must be",
    ),
    (DEV, device(file_path="x", log_raw="true"), {"audit.devices": (AuditDevice(path="f"),) * 2}, "different paths"),
    (PRODUCTION, device(file_path="x", log_raw="false"), device(file_path="x", log_raw="true"), "log_raw is refused"),
    (DEV, {"limits.body_bytes": 9999999}, {"limits.body_bytes": 1048575}, "limits: value_bytes must not exceed body"),
    (DEV, {}, {"limits.value_bytes": 1572865}, "limits: value_bytes must not exceed 1572864"),
    (DEV, {}, {"limits.lag_pause_s": 0.03}, "limits: lag_resume_s must be less than lag_pause_s"),
    (
        DEV,
        {"limits.line_bytes": 16384},
        {"limits.line_bytes": 16385},
        "limits: line_bytes must not exceed header_bytes",
    ),
    (DEV, {"limits.per_turn": 1024}, {"limits.per_turn": 1025}, "limits: per_turn must not exceed in_flight"),
]


@pytest.mark.parametrize(("base", "good", "bad", "sentence"), RULES)
def test_a_rule_lets_one_configuration_pass_and_objects_to_another(base, good, bad, sentence):
    """Only whole sentences, and no value in them."""
    objections = "\n".join(problems(made(base, bad)))

    assert problems(made(base, good)) == []
    assert sentence in objections
    assert "planted" not in objections


# the profile's base, the sink, the sentence; None = no objection
SINKS = [
    (DEV, sink("sqlite:///var/b.db"), None),
    (DEV, sink("sqlite:///var/b.db", scope="local", required=False), None),
    (DEV, sink("sqlite://host/b.db"), "url must be sqlite:///PATH"),
    (DEV, sink("memory:"), None),
    (PRODUCTION, sink("memory:"), "memory: is for profile dev"),
    (PRODUCTION, sink("postgresql://u@h/db?sslmode=verify-full", password=SecretText("planted")), None),
    (PRODUCTION, sink("postgresql://u@h/db"), "sslmode must be verify-full beyond loopback"),
    (PRODUCTION, sink("postgresql://u@h/db?sslmode=require"), "sslmode must be verify-full beyond loopback"),
    (PRODUCTION, sink("postgresql://u@h/db?sslmode=verify-full&sslmode=disable"), "sslmode must be verify-full"),
    (PRODUCTION, sink("postgresql://u@127.0.0.1/db?host=h"), "sslmode must be verify-full beyond loopback"),
    (PRODUCTION, sink("postgresql://u@127.0.0.1/db"), None),
    (PRODUCTION, sink("postgresql://u@/db?host=/run/postgresql"), None),
    (PRODUCTION, sink("postgresql:///db"), "url must name a host"),
    (PRODUCTION, sink("postgresql://u:planted@h/db?sslmode=verify-full"), "url must not hold a password"),
    (PRODUCTION, sink("postgresql://h/db?sslmode=verify-full&password=planted"), "url must not hold a password"),
    (PRODUCTION, sink("s3://bucket/prefix?endpoint=https://h&region=r"), None),
    (PRODUCTION, sink("s3://bucket?secret_access_key=planted"), "url must not hold a password"),
    (PRODUCTION, sink("s3:///prefix"), "url must name a bucket"),
    (PRODUCTION, sink("s3://bucket?endpoint=http://h"), "endpoint must be https"),
    (DEV, sink("s3://bucket?endpoint=http://h"), "endpoint must be https"),
    (DEV, sink("s3://bucket?endpoint=http://127.0.0.1:8333"), None),
    (PRODUCTION, sink("s3://bucket?endpoint=http://127.0.0.1:8333"), "endpoint must be https"),
    (PRODUCTION, sink("s3://bucket?endpoint=https://[planted"), "url cannot be read"),
    (PRODUCTION, sink("s3://bucket", scope="local"), "scope local is for a file of this node"),
    (PRODUCTION, sink("planted://x"), "url must begin with sqlite:, postgresql:, s3: or memory:"),
    (PRODUCTION, sink("postgresql://[planted"), "url cannot be read"),
    (PRODUCTION, sink("s3://b", password=SecretText("planted"), password_file="/p"), "must not both be given"),
    (PRODUCTION, {"backup.sinks": (Sink(name="", url="s3://b"),)}, "backup: sinks must have names"),
]


@pytest.mark.parametrize(("base", "changes", "sentence"), SINKS)
def test_a_sink_is_safe_or_refused(base, changes, sentence):
    """No objection repeats the URL."""
    objections = problems(made(base, changes))

    assert "planted" not in "\n".join(objections)
    assert [text for text in objections if (sentence or "") in text] == objections
    assert len(objections) == (0 if sentence is None else 1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:planted@h:5432/db?sslmode=planted#planted", "postgresql://h:5432/db"),
        ("s3://bucket/prefix?key=planted", "s3://bucket/prefix"),
        ("sqlite:///var/b.db", "sqlite:///var/b.db"),
        ("https://planted@[::1]:8200", "https://[::1]:8200"),
        ("memory:", "memory:"),
        ("planted", "***"),
        ("postgresql://h:planted/db", "***"),
        ("postgresql://[planted", "***"),
    ],
)
def test_a_url_is_shown_as_scheme_host_and_name(url, expected):
    """Whatever else is in it."""
    assert shown_url(url) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("h:1", ("h", 1)),
        (":1", ("", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("h", None),
        ("h:", None),
        ("h:-1", None),
        ("h:65536", None),
        ("::1:1", None),
        ("h:٣", None),
    ],
)
def test_an_address_is_host_and_port(address, expected):
    """Or nothing."""
    assert split_address(address) == expected
