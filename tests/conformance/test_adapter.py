"""hvac's configuration files become ours, and its fake programs do what the suite asks of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from node.config import load
from tests.conformance import adapter
from tests.conformance.adapter import consul_of, prepare, siblings
from tests.conformance.shim.vault import decode_root_token

ROOT = Path("/suite")


@pytest.fixture(autouse=True)
def _own_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the real path."""
    monkeypatch.setattr(adapter, "AUDIT_LOG", tmp_path / "vault.audit.log")


def write_config(folder: Path, name: str, port: int, consul: str | None = None) -> Path:
    """A configuration file as the suite writes it."""
    tcp = {"address": f"127.0.0.1:{port}", "tls_cert_file": "tests/cert.pem", "tls_key_file": "tests/key.pem"}
    config: dict[str, Any] = {"listener": {"tcp": tcp}, "disable_mlock": True}
    if consul is None:
        config["backend"] = {"inmem": {}}
    else:
        config["storage"] = {"consul": {"address": consul, "path": "vault/"}}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    return path


def test_a_node_in_memory_gets_a_folder_of_its_own(tmp_path: Path):
    """Each start is a new node: uninitialised, alone, with the suite's certificate, and a configuration that loads."""
    config = write_config(tmp_path, "tls", 18201)
    first, second = prepare(config, ROOT, tmp_path), prepare(config, ROOT, tmp_path)
    assert first.parent != second.parent
    loaded = load([first], {}, {})
    assert loaded.problems == []
    assert loaded.config.api.address == "127.0.0.1:18201"
    assert loaded.config.api.tls_cert_file == "/suite/tests/cert.pem"
    assert loaded.config.api.unauthenticated_rekey is True
    assert loaded.config.peer.members == ()


def test_the_audit_log_of_an_earlier_node_is_removed(tmp_path: Path):
    """The suite writes every log to one path, and a node appends to none but its own."""
    left = tmp_path / "vault.audit.log"
    left.write_text("{}\n")
    loaded = load([prepare(write_config(tmp_path, "tls", 18201), ROOT, tmp_path)], {}, {})
    assert not left.exists()
    assert loaded.config.audit.directory == str(tmp_path)


def test_nodes_of_one_consul_are_one_cluster(tmp_path: Path):
    """Both get the same two members, known before the second one starts, and each its own certificate and folder."""
    (tmp_path / "consul-8500").mkdir()
    files = [write_config(tmp_path, f"ha-node{n}", 18200 + n, "127.0.0.1:8500") for n in (1, 2)]
    loaded = [load([prepare(file, ROOT, tmp_path)], {}, {}) for file in files]
    assert [one.problems for one in loaded] == [[], []]
    one, two = (each.config for each in loaded)
    assert one.peer.members == two.peer.members
    assert [(member.id, member.api) for member in one.peer.members] == [
        ("n1", "https://127.0.0.1:18201"),
        ("n2", "https://127.0.0.1:18202"),
    ]
    assert (one.node.id, two.node.id) == ("n1", "n2")
    assert one.node.data_dir != two.node.data_dir
    assert Path(one.peer.tls_cert_file).exists()
    assert [one.peer.address, two.peer.address] == [member.peer for member in one.peer.members]


def test_a_restarted_node_finds_its_folder_again(tmp_path: Path):
    """As long as its consul runs, a member keeps id, ports and data."""
    (tmp_path / "consul-8500").mkdir()
    files = [write_config(tmp_path, f"ha-node{n}", 18200 + n, "127.0.0.1:8500") for n in (1, 2)]
    first = load([prepare(files[0], ROOT, tmp_path)], {}, {}).config
    again = load([prepare(files[0], ROOT, tmp_path)], {}, {}).config
    assert (again.node.data_dir, again.peer) == (first.node.data_dir, first.peer)


def test_a_node_of_another_consul_is_no_member(tmp_path: Path):
    """Files that name another consul, or none, are left out."""
    own = write_config(tmp_path, "ha-node1", 18201, "127.0.0.1:8500")
    write_config(tmp_path, "other", 18202, "127.0.0.1:9999")
    write_config(tmp_path, "tls", 18203)
    assert siblings(own, "127.0.0.1:8500") == [own]
    assert consul_of(json.loads((tmp_path / "tls.json").read_text())) is None


def test_a_configuration_without_a_listener_is_refused(tmp_path: Path):
    """What the suite does not write is an error, not a guess."""
    path = tmp_path / "broken.json"
    path.write_text("{}")
    with pytest.raises(KeyError):
        prepare(path, ROOT, tmp_path)


def test_a_generated_root_token_is_decoded_as_vault_does():
    """base64 of token XOR one-time password, with or without padding."""
    token, otp = "hvs.abcdefghijklmnopqrstuvwx", "BMjzW3wAsEzINXCM05Wbas3u9zSl"
    encoded = base64.b64encode(bytes(a ^ b for a, b in zip(token.encode(), otp.encode(), strict=True))).decode()
    assert decode_root_token(encoded, otp) == token
    assert decode_root_token(encoded.rstrip("="), otp) == token


def test_a_password_of_another_length_decodes_nothing():
    """A token cut short would be a wrong answer; it is an error."""
    with pytest.raises(ValueError, match="shorter"):
        decode_root_token(base64.b64encode(b"x" * 28).decode(), "short")
