"""The files that make containers: how they lock them up, what they pin, and that no secret is in any of them.

That they work is another question, which needs a Docker daemon: `make compose-test`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.config import load as load_config
from tests.plainyaml import YamlError, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
FILE = load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
NODES = ("n1", "n2", "n3")
SCRIPTS = sorted((ROOT / "deploy" / "compose").glob("*.sh"))
FILES = [ROOT / "Dockerfile", ROOT / "docker-compose.yml", *sorted((ROOT / "deploy" / "compose").iterdir())]


def test_the_services_are_three_nodes_a_database_and_two_steps() -> None:
    """Nothing else runs."""
    assert set(SERVICES) == {"certs", "postgres", *NODES, "init"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_locked_up(name: str) -> None:
    """No root, no capability, no new privilege, nothing to write to but volumes and a /tmp without programs."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert all("noexec,nosuid,nodev" in mount for mount in service["tmpfs"])
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "volumes_from", "env_file", "secrets"} & set(service)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_pinned(name: str) -> None:
    """To one version, not to a line of versions."""
    assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-\w+)?", SERVICES[name]["image"])


def test_the_base_of_the_image_is_pinned_and_nothing_is_fetched_to_build() -> None:
    """Every file comes by its hash; a `# syntax=` line would fetch a builder."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert re.search(r"^ARG BASE=python:\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert "# syntax=" not in text
    assert "ADD " not in text
    assert text.count("--require-hashes") == 3
    assert not re.search(r"\b(curl|wget|git|apt-get)\b", text)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


@pytest.mark.parametrize("name", NODES)
def test_a_node_says_whether_it_is_healthy(name: str) -> None:
    """By `strongroom health`, verified, without a token."""
    check = SERVICES[name]["healthcheck"]

    assert check["test"][:3] == ["CMD", "strongroom", "health"]
    assert any(word.startswith("-ca-cert=") for word in check["test"])
    assert SERVICES[name]["depends_on"] == {
        "certs": {"condition": "service_completed_successfully"}, "postgres": {"condition": "service_healthy"},
    }  # fmt: skip


def test_init_runs_once_beside_the_first_node() -> None:
    """In its network namespace, so that a node takes it from its own loopback."""
    init = SERVICES["init"]

    assert init["network_mode"] == "service:n1"
    assert "restart" not in init
    assert set(init["depends_on"]) == set(NODES)


def test_ports_are_published_on_loopback_only_and_the_database_not_at_all() -> None:
    """Whoever wants more changes the file."""
    for name, service in SERVICES.items():
        ports = service.get("ports", [])
        assert bool(ports) == (name in NODES)
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert SERVICES["postgres"]["networks"] == ["backend"]
    assert FILE["networks"]["backend"] == {"internal": True}
    assert SERVICES["certs"]["network_mode"] == "none"


def test_no_two_services_share_a_volume_but_with_the_step_that_fills_it() -> None:
    """`certs` fills volumes and ends; each has one user, who may not write to its keys."""
    users: dict[str, list[str]] = {}
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            if source.startswith("."):
                assert mode == ["ro"]
                continue
            if source.startswith("own-") and name != "certs":
                assert (mode, target) == (["ro"], "/etc/strongroom")
            users.setdefault(source, []).append(name)

    assert set(users) == set(FILE["volumes"])
    for source, names in users.items():
        assert len([name for name in names if name != "certs"]) == (0 if source == "authority" else 1), source


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    """Nor anything that looks like one: a key block, a token, a long run of hex or base64, a password in a URL."""
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)", text)
    assert not re.search(r"\bhvs\.\w{8}", text)
    assert [found for found in re.findall(r"[A-Za-z0-9+=]{32,}", text) if not found.isalpha()] == []
    assert not re.search(r"://[^/\s\"]*:[^/\s\"@]*@", text)
    assert not re.search(r"(?i)(password|token|secret|_key)\s*[:=]\s*[\"']?[\w-]{6,}", text)


@pytest.mark.parametrize("name", NODES)
def test_a_node_would_serve_this_configuration(name: str) -> None:
    """As the file and the environment say it, in profile production."""
    loaded = load_config([ROOT / "deploy" / "compose" / "node.toml"], SERVICES[name]["environment"], {})

    assert loaded.problems == []
    assert loaded.config.profile == "production"
    assert (loaded.config.node.id, loaded.config.backup.sinks[0].password_file) == (
        name, "/etc/strongroom/postgres-password",
    )  # fmt: skip


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_one_and_stops_at_the_first_mistake(path: Path) -> None:
    """And what it writes nobody else reads."""
    text = path.read_text(encoding="utf-8")

    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\numask 077\n" in text
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0


def test_what_the_image_is_built_from_is_named() -> None:
    """The context holds what the Dockerfile copies, and no folder of data or keys."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)

    assert lines[0] == "*"
    named = {line[1:] for line in lines if line.startswith("!")}
    assert {source.split("/")[0] for sources in copied for source in sources.split()} == named


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a: 1\nb: [x, "y,z"] # c\n', {"a": 1, "b": ["x", "y,z"]}),
        ("a: &n\n  b: true\nc:\n  <<: *n\n  d: {e: f}\n", {"a": {"b": True}, "c": {"b": True, "d": {"e": "f"}}}),
        ("a:\n  - x:y\n  - 'z # w'\n", {"a": ["x:y", "z # w"]}),
    ],
)
def test_the_reader_reads_what_the_file_is_written_in(text: str, expected: dict[str, Any]) -> None:
    """Each form once."""
    assert load(text) == expected


@pytest.mark.parametrize(
    "text", ["a: |\n  b\n", "a: [b\n", "a: 1\n   b: 2\n", "a: 1\na: 2\n", "- a\n", "a b\n", "a: !x y\n"]
)
def test_the_reader_refuses_what_it_does_not_know(text: str) -> None:
    """It guesses nothing."""
    with pytest.raises(YamlError):
        load(text)
