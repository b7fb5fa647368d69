"""What readers of docs/chaos.md paste: its hooks do what they say, its scenario and its policy are ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos import registry
from chaos.plan import Scenario, expand, parse
from chaos.targets.base import TargetError, TargetSettings
from chaos.targets.hook import Hook
from chaos.targets.keys import wait_until
from chaos.targets.node import is_stopped
from node.policy.document import parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = (Path(__file__).parents[2] / "docs" / "chaos.md").read_text(encoding="utf-8")
URLS = {"n1": "http://x", "n2": "http://x"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def script(folder: Path, number: int) -> Hook:
    file = folder / "hook.sh"
    file.write_text(blocks("sh")[number])
    file.chmod(0o700)
    return Hook(str(file), pause_s=0.0)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a session of its own, where `dev` writes down a node's pid."""
    monkeypatch.chdir(tmp_path)
    words = [sys.executable, "-c", "import threading; threading.Event().wait(60)"]
    process = subprocess.Popen(words, start_new_session=True)
    (tmp_path / "data" / "n1").mkdir(parents=True)
    (tmp_path / "data" / "n1" / "node.pid").write_text(f"{process.pid}\n")
    yield process
    process.kill()
    process.wait()


def test_the_hook_for_dev_stops_a_node_and_lets_it_go_on(tmp_path: Path, node: subprocess.Popen[bytes]) -> None:
    """The whole group; healing twice is healing."""
    hook = script(tmp_path, 0)
    hook.inject("pause", ["n1"], URLS)
    wait_until(lambda: is_stopped(node.pid), "it stands still", 10)
    hook.heal("pause", ["n1"], URLS)
    hook.heal("pause", ["n1"], URLS)
    wait_until(lambda: not is_stopped(node.pid), "it goes on", 10)

    assert node.poll() is None


def test_the_hook_for_dev_kills_a_node(tmp_path: Path, node: subprocess.Popen[bytes]) -> None:
    """And has nothing to do to bring it back."""
    hook = script(tmp_path, 0)

    assert hook.abilities(URLS) == {"kill", "pause"}
    assert hook.inject("kill", ["n1"], URLS) == {"took_effect": True}
    assert node.wait(10) == -9
    assert hook.heal("kill", ["n1"], URLS) == {}


@pytest.mark.parametrize("number", [0, 1])
def test_a_hook_of_the_tutorial_refuses_what_it_does_not_know(
    tmp_path: Path, node: subprocess.Popen[bytes], number: int
) -> None:
    """It does not say that it did it."""
    with pytest.raises(TargetError, match="ended with 2"):
        script(tmp_path, number).inject("fire", ["n1"], URLS)

    assert node.poll() is None


SSH = '#!/bin/sh\nfor word in "$@"; do echo "$word"; done >> %s/said\nexit %d\n'


@pytest.mark.parametrize("fault", ["kill", "pause", "isolate"])
def test_the_hook_for_systemd_asks_each_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """One command a node, as root, without a password's prompt; each fault that it names has its opposite."""
    (tmp_path / "ssh").write_text(SSH % (tmp_path, 0))
    (tmp_path / "ssh").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    hook = script(tmp_path, 1)
    assert fault in (hook.abilities(URLS) or ())
    hook.inject(fault, ["n1", "n2"], URLS)
    hook.heal(fault, ["n1"], URLS)
    said = (tmp_path / "said").read_text().splitlines()

    assert [line for line in said if re.fullmatch(r"n\d", line)] == ["n1", "n2", "n1"]
    assert said.count("BatchMode=yes") == 3
    commands = [line for line in said if line.startswith("sudo ")]
    assert len(commands) == 3
    assert commands[0] == commands[1] != commands[2]


def test_the_hook_for_systemd_fails_where_a_machine_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: nothing is said to have been done."""
    (tmp_path / "ssh").write_text(SSH % (tmp_path, 255))
    (tmp_path / "ssh").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(TargetError, match="ended with 1"):
        script(tmp_path, 1).inject("kill", ["n1"], URLS)


def test_the_scenario_of_the_tutorial_is_one() -> None:
    """Its faults and workloads exist."""
    (text,) = blocks("toml")
    plan = expand(parse(text), 1)

    assert [step.nemesis for step in plan.steps].count("kill") == 3
    assert all(registry.nemesis(step.nemesis) for step in plan.steps)
    assert all(registry.workload(name) for name in plan.scenario.workloads)


def test_the_policy_of_the_tutorial_is_one_and_names_no_users_data() -> None:
    """Everything below a name of the run's own; no path that could be somebody's secret."""
    (text,) = blocks("hcl")
    policy = parse_policy(text)
    paths = re.findall(r'path "([^"]+)"', text)

    assert policy is not None
    assert not [path for path in paths if path.startswith("secret") or path in {"*", "sys/*", "+/*"}]


def test_the_reference_has_every_key_of_a_scenario() -> None:
    """And every setting of the cluster but those that only the project itself needs."""
    section = TEXT.split("## Scenarios")[1].split("## Faults")[0]
    missing = [name for name in Scenario.__dataclass_fields__ if f"`{name}`" not in section and name != "faults"]
    inner = {"seed", "certificate_ttl_s"}
    absent = [name for name in TargetSettings.__dataclass_fields__ if f"`{name}`" not in section and name not in inner]

    assert (missing, absent) == (["cluster"], [])  # as a table of TOML
    assert "`[cluster]`" in section
