"""Containers that break: the rules for their networks, and the hook against a daemon that only remembers."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from chaos.hooks.compose import main
from chaos.ledger import Ledger, clean
from chaos.targets import docker
from chaos.targets.base import PARTITION, PREFIX, PROCESS, TargetError, TargetSettings
from chaos.targets.compose import ComposeTarget, dropped_packets, rules

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = """#!%s
import json, sys
from pathlib import Path
store = Path(__file__).with_name("state.json")
state, words = json.loads(store.read_text()), sys.argv[1:]
said = ""
if words[0] == "ps":
    labels = dict(w.split("=", 1)[1].split("=", 1) for w in words if w.startswith("label="))
    if labels["com.docker.compose.project"] == "shop":
        said = " ".join(n for n in state if n == labels["com.docker.compose.service"])
elif words[0] == "inspect":
    one = state[words[-1]]
    networks = {"NetworkSettings": {"Networks": {n: {"IPAddress": "10.0.0.1"} for n in one["nets"]}}}
    said = json.dumps([{"State": {"Running": one["up"], "Paused": one["paused"]}, **networks}])
elif words[0] == "network" and words[1] == "ls":
    said = "shop_api shop_backend"
elif words[0] == "network":
    one = state[words[-1]]
    if words[1] == "disconnect":
        one["nets"].remove(words[-2])
    else:
        one["nets"].append(words[-2])
        one["alias"] = words[words.index("--alias") + 1]
else:
    one = state[words[-1]]
    one.update({"kill": {"up": False}, "start": {"up": True}, "restart": {"up": True}, "pause": {"paused": True},
                "unpause": {"paused": False}}[words[0]])
    one["done"].append(words[0])
store.write_text(json.dumps(state))
print(said)
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that knows three containers of the project shop."""
    program = tmp_path / "docker"
    program.write_text(DOCKER % sys.executable)
    program.chmod(0o700)
    one = {"up": True, "paused": False, "nets": ["shop_api", "shop_backend"], "done": []}
    (tmp_path / "state.json").write_text(json.dumps({f"vault{number}": one for number in (1, 2, 3)}))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CHAOS_NODES", json.dumps({f"n{number}": "http://x" for number in (1, 2, 3)}))
    return tmp_path


def state(daemon: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((daemon / "state.json").read_text())
    return found


def hook(*words: str, project: str = "shop") -> int:
    services = [word for number in (1, 2, 3) for word in ("--service", f"n{number}=vault{number}")]
    return main(["-p", project, *services, *words])


def test_the_hook_says_what_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    """Names that scenarios use."""
    assert hook("abilities") == 0
    assert capsys.readouterr().out.split() == ["kill", "pause", "isolate", "rolling"]


@pytest.mark.parametrize(
    ("fault", "broken", "counted"),
    [
        ("kill", {"up": False}, {"killed": 1}),
        ("pause", {"paused": True}, {"paused": 1}),
        ("isolate", {"nets": []}, {"cut": 1}),
    ],
)
def test_a_fault_of_one_container_is_made_and_mended(
    daemon: Path, capsys: pytest.CaptureFixture[str], fault: str, broken: dict[str, Any], counted: dict[str, int]
) -> None:
    """The others are untouched; healing twice is healing."""
    before = state(daemon)
    assert hook("inject", fault, "n2") == 0
    said = json.loads(capsys.readouterr().out)
    during = state(daemon)
    assert hook("heal", fault, "n2") == 0
    assert hook("heal", fault, "n2") == 0
    after = state(daemon)

    assert said == {**counted, "took_effect": True}
    assert {name: during["vault2"][name] for name in broken} == broken
    assert (during["vault1"], during["vault3"]) == (before["vault1"], before["vault3"])
    assert all(sorted(after["vault2"][name]) == sorted(before["vault2"][name]) for name in ("nets",))
    assert (after["vault2"]["up"], after["vault2"]["paused"]) == (True, False)


def test_who_was_isolated_is_found_under_its_name_again(daemon: Path) -> None:
    """Also when nobody is left whose networks could be asked for."""
    hook("inject", "isolate", "n1", "n2", "n3")
    hook("heal", "isolate", "n1", "n2", "n3")

    assert [one["alias"] for one in state(daemon).values()] == ["vault1", "vault2", "vault3"]
    assert all(sorted(one["nets"]) == ["shop_api", "shop_backend"] for one in state(daemon).values())


def test_a_rolling_restart_takes_the_victims_last(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each once."""
    assert hook("inject", "rolling", "n1") == 0

    assert json.loads(capsys.readouterr().out) == {"restarted": 3, "took_effect": True}
    assert [one["done"] for one in state(daemon).values()] == [["restart"]] * 3


def test_what_is_not_there_is_an_error(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another project, and a fault of another name: nothing is touched."""
    before = state(daemon)

    assert hook("inject", "kill", "n1", project="bank") == 1
    assert hook("inject", "fire", "n1") == 2
    said = capsys.readouterr().err
    assert "project bank has 0 containers of service vault1" in said
    assert "no fault is called fire" in said
    assert state(daemon) == before


def test_rules_drop_what_is_not_heard_and_no_more() -> None:
    """The old ones go in the same transaction; none means healed."""
    text = rules(["10.0.0.3", "10.0.0.2"])

    assert text.splitlines()[:2] == ["table inet strongroom_chaos {}", "delete table inet strongroom_chaos"]
    assert "ip saddr { 10.0.0.2, 10.0.0.3 } counter drop" in text
    assert rules([]).splitlines() == text.splitlines()[:2]


def test_counters_are_summed() -> None:
    """Of all rules; other parts of the answer are none."""
    rule = {"rule": {"expr": [{"match": {}}, {"counter": {"packets": 7, "bytes": 400}}, {"drop": None}]}}

    assert dropped_packets({"nftables": [{"metainfo": {}}, {"table": {}}, rule, rule]}) == 14
    assert dropped_packets({}) == 0


def test_without_a_daemon_nothing_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the reason is the daemon's, for each ability and for the start."""
    monkeypatch.setattr("chaos.env.containers", lambda: "no docker daemon answers")
    target = ComposeTarget(tmp_path, TargetSettings())

    assert target.abilities == frozenset()
    assert target.why_not(PROCESS) == "no docker daemon answers"
    with pytest.raises(TargetError, match="no docker daemon answers"):
        target.start()
    target.discard()


def test_with_a_daemon_partitions_need_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What containers never have says so itself."""
    monkeypatch.setattr("chaos.env.containers", lambda: "")
    monkeypatch.setattr("chaos.env.root", lambda: "needs root")
    target = ComposeTarget(tmp_path, TargetSettings(nodes=5))

    assert PARTITION not in target.abilities
    assert target.why_not(PARTITION) == "needs root"
    assert "namespace" not in target.why_not("clock")
    with pytest.raises(TargetError, match="has 3 nodes, and the scenario wants 5"):
        target.start()


def test_a_program_that_fails_or_is_missing_is_a_target_error() -> None:
    """With its last line, not with a traceback."""
    with pytest.raises(TargetError, match="ended with 3: no such thing"):
        docker.command(["sh", "-c", "echo why >&2; echo no such thing >&2; exit 3"])
    with pytest.raises(TargetError, match="FileNotFoundError"):
        docker.command(["/no/such/program"])


@pytest.mark.parametrize(
    ("name", "fails", "left", "asked"),
    [
        (f"{PREFIX}77", False, 0, [f"{PREFIX}77"]),
        (f"{PREFIX}77", True, 1, [f"{PREFIX}77"]),
        ("shop", False, 0, []),
    ],
)
def test_the_containers_of_a_killed_run_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fails: bool, left: int, asked: list[str]
) -> None:
    """By their project, if it carries our prefix; what cannot be removed is counted, and its ledger stays."""
    removed: list[str] = []

    def remove(project: str) -> None:
        removed.append(project)
        if fails:
            raise TargetError("no docker daemon answers")

    monkeypatch.setattr("chaos.targets.docker.remove_project", remove)
    Ledger(tmp_path).note("projects", name)
    (file,) = tmp_path.glob("*.json")
    said = json.loads(file.read_text())
    said["owner"][1] += 1  # the pid was given to another process since
    file.write_text(json.dumps(said))

    assert clean(lambda _line: None, tmp_path) == left
    assert removed == asked
    assert file.exists() == bool(left)
