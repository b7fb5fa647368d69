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
    said = json.dumps([
        {"State": {"Running": one["up"], "Paused": one["paused"], "Pid": 7 if one["up"] else 0,
                   "Restarting": one["loops"], "ExitCode": one["code"], "Status": one["status"]},
         "NetworkSettings": {"Networks": {n: {"IPAddress": "10.0.0.1" if one["up"] else ""} for n in one["nets"]}}}
        for one in map(state.__getitem__, words[words.index("container") + 1 :])
    ])
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
    up, down = {"up": True, "status": "running"}, {"up": False, "status": "exited"}
    one.update({"kill": {**down, "code": 137}, "start": up if one["starts"] else {**down, "code": 1}, "restart": up,
                "stop": {**down, "code": 0, "loops": False} if one["up"] and not one["loops"] else down, "logs": {},
                "pause": {"paused": True}, "unpause": {"paused": False}}[words[0]])
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
    one = {"up": True, "paused": False, "loops": False, "starts": True, "code": 0, "status": "running",
           "nets": ["shop_api", "shop_backend"], "done": []}
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


def test_who_did_not_run_before_was_not_killed(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It had ended by itself: the fault took no effect there."""
    hook("inject", "kill", "n2")
    capsys.readouterr()
    assert hook("inject", "kill", "n2") == 0
    assert json.loads(capsys.readouterr().out) == {"killed": 0, "took_effect": False}
    assert hook("inject", "kill", "n2", "n3") == 0
    assert json.loads(capsys.readouterr().out) == {"killed": 1, "took_effect": True}
    assert state(daemon)["vault2"]["done"] == ["kill"]


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


# ---- the target
@pytest.fixture
def target(daemon: Path, tmp_path: Path) -> ComposeTarget:
    """Of the daemon's three containers, all running."""
    made = ComposeTarget(tmp_path / "run", TargetSettings())
    made._containers = {f"n{number}": f"vault{number}" for number in (1, 2, 3)}
    assert set(made._containers.values()) == set(state(daemon))
    return made


def changed(daemon: Path, name: str, **how: Any) -> None:
    """What happens to a container by itself."""
    found = state(daemon)
    found[name] |= how
    (daemon / "state.json").write_text(json.dumps(found))


def test_a_container_that_ended_by_itself_has_its_code(daemon: Path, target: ComposeTarget) -> None:
    """Its node crashed, and nobody may take it for one that the run has ended."""
    changed(daemon, "vault1", up=False, status="exited", code=1)
    changed(daemon, "vault2", up=False, status="exited", code=139)

    assert target.stop() == {"n1": 1, "n2": -11, "n3": 0}
    assert all((target.folder / "nodes" / node / "node.log").is_file() for node in target.nodes)


def test_a_container_that_the_run_has_ended_has_none(daemon: Path, target: ComposeTarget) -> None:
    """The twin; so has one that never ran."""
    target.kill("n1")
    target.terminate("n2")
    changed(daemon, "vault3", up=False, status="created", code=127)

    assert target.stop() == {"n1": None, "n2": None, "n3": None}


def test_what_was_ended_and_started_again_may_end_by_itself(
    daemon: Path, target: ComposeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on its end is its own; and one that had crashed is not excused by a kill that came too late."""
    monkeypatch.setattr(target, "_opened", lambda _: None)  # nobody listens
    target.kill("n1")
    target.revive("n1")
    for name in ("vault1", "vault2"):
        changed(daemon, name, up=False, status="exited", code=3)
    target.kill("n2")

    assert target.stop() == {"n1": 3, "n2": 3, "n3": 0}


def test_a_container_that_ends_again_and_again_is_stopped_with_its_code(daemon: Path, target: ComposeTarget) -> None:
    """The daemon, which starts it each time, calls it running; it has no process to be broken."""
    changed(daemon, "vault1", loops=True, status="restarting", code=1)
    found = json.loads(json.dumps(state(daemon)))
    assert target.pids("n2") == [7]
    assert target.pids("n1") == []
    assert found["vault1"]["up"]

    assert target.stop() == {"n1": 1, "n2": 0, "n3": 0}


def test_a_container_that_ends_at_once_is_not_revived(
    daemon: Path, target: ComposeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has started it, and that is all."""
    target.kill("n1")
    changed(daemon, "vault1", starts=False)
    monkeypatch.setattr(ComposeTarget, "ca_file", None)

    with pytest.raises(TargetError, match="n1 has ended"):
        target.revive("n1")
    assert target.stop()["n1"] == 1


@pytest.mark.parametrize(("grudge", "cut"), [({"n2": ["n1"]}, [["n1", "n2", "n3"]]), ({}, [])])
def test_who_starts_within_a_partition_is_not_heard(
    target: ComposeTarget, monkeypatch: pytest.MonkeyPatch, grudge: dict[str, list[str]], cut: list[list[str]]
) -> None:
    """Its address may be new, so all that do not hear it are told; without a partition nobody is."""
    told: list[list[str]] = []
    monkeypatch.setattr(target, "_opened", lambda _: None)  # nobody listens
    monkeypatch.setattr(target, "_cut", lambda nodes: told.append(list(nodes)))
    target.kill("n1")
    target.grudge(grudge)
    del told[:]
    target.revive("n1")

    assert told == cut


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
