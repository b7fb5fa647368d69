"""Showing: the reference has every key and can be loaded; the shown configuration has no secret."""

from __future__ import annotations

import dataclasses
import tomllib

from node.config import FIELDS, Config, load, reference_markdown, reference_toml, settings, tree
from node.http.limits import HttpLimits


def test_every_key_has_a_reason_and_a_line_in_the_reference():
    """Both forms are made from the same table."""
    markdown, toml = reference_markdown(), reference_toml()

    assert [field.key for field in FIELDS.values() if not field.reason.strip()] == []
    assert [field.key for field in FIELDS.values() if f"| `{field.name}` |" not in markdown] == []
    assert [field.key for field in FIELDS.values() if f"# {field.reason}" not in toml] == []


def test_the_reference_is_a_file_of_the_defaults(tmp_path):
    """What is printed can be loaded, and says nothing new."""
    path = tmp_path / "reference.toml"
    path.write_text(reference_toml())
    loaded = load([path], {})

    assert loaded.config == Config()
    assert [text for text in loaded.problems if "file" in text.split(":", maxsplit=1)[0]] == []


def test_the_keys_of_the_interface_are_there():
    """Renaming one is a breaking change."""
    expected = {
        "node": "id cluster_name role data_dir",
        "api": "address advertise tls_cert_file tls_key_file tls trusted_proxies host_names unauthenticated_rekey "
        "cert_address cert_client_ca_file",
        "peer": "address tls_cert_file tls_key_file tls_ca_file members",
        "raft": "heartbeat_ms election_min_ms election_max_ms clock_skew_max_s",
        "consistency": "lease rho leader_lease_ms follower_lease_ms rtt_max_ms read_timeout_ms local max_stale_s "
        "lease_holders slow_ms penalty_min_s penalty_max_s",
        "journal": "mode segment_bytes unsynced_bytes_max log_keep_bytes",
        "seal": "type key_file peers peers_max_absence_s transit_address transit_token_file transit_mount_path "
        "transit_key_name transit_tls_ca_file",
        "backup": "mode batch_entries batch_bytes_max batch_interval_ms timeout_s max_lag_s restore_on_boot "
        "keep_bases keep_days sinks",
        "audit": "directory deadline_s devices vault_numbers",
        "dedupe": "window_s entries_max",
        "limits": "body_bytes json_strings json_depth path_bytes value_bytes versions_max in_flight per_turn "
        "handshakes_per_turn connections_per_address",
        "log": "format level",
        "metrics": "unauthenticated",
    }
    absent = {f"{section}.{key}" for section, keys in expected.items() for key in keys.split()} - set(FIELDS)

    assert absent == set()


def test_the_defaults_of_the_interface_hold():
    """Numbers that users and the safety argument rely on."""
    toml = tomllib.loads(reference_toml())

    assert toml["raft"] == {"heartbeat_ms": 50, "election_min_ms": 500, "election_max_ms": 800, "clock_skew_max_s": 2}
    assert (toml["journal"]["mode"], toml["api"]["address"], toml["profile"]) == (
        "fsync",
        "127.0.0.1:8200",
        "production",
    )
    assert "peers" not in toml["seal"]


def test_every_bound_of_the_edge_can_be_set_and_has_one_default():
    """The listener's own record and the configuration must not drift apart."""
    edge = {info.name: info.default for info in dataclasses.fields(HttpLimits)}

    assert {name: getattr(Config().limits, name, None) for name in edge} == edge


def test_neither_settings_nor_tree_hold_a_secret():
    """Passwords are `***`, URLs scheme, host and name."""
    sinks = '[{"name":"a","url":"s3://b/p?x=planted","password":"planted","password_file":"/f"}]'
    environ = {
        "STRONGROOM_SEAL__KEY": "planted",
        "STRONGROOM_BACKUP__SINKS": sinks,
        "STRONGROOM_API__ADVERTISE": "https://u:planted@h:1",
        "STRONGROOM_SEAL__TRANSIT_ADDRESS": "https://u:planted@v:1",
    }
    loaded = load([], environ)
    shown = {key: value for key, value, _ in settings(loaded)}

    assert "planted" not in f"{settings(loaded)} {tree(loaded.config)} {loaded}"
    assert (shown["seal.key"], shown["api.advertise"]) == ("***", "https://h:1")
    assert (shown["seal.transit_address"], shown["backup.sinks"][0]["password_file"]) == ("https://v:1", "/f")
