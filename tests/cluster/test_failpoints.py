"""Failpoints: nothing without the variable, nothing in production, and every name is a place that is reached."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.sim.run import run
from cluster import failpoints
from cluster.failpoints import NAMES, VARIABLE, FailpointError, arm_failpoints, failpoint, is_failpoint, parse, told

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
NAME = "journal.after-sync"
IN_THE_SIMULATOR = {name for name in NAMES if name.partition(".")[0] in {"journal", "ballot", "snapshot", "compaction"}}
SEEDS = range(12)
DIES = f"from cluster.failpoints import *; arm_failpoints('dev'); failpoint('{NAME}'); print('went on')"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Whatever a test armed is gone after it."""
    yield
    arm_failpoints("dev", {})


def waits(monkeypatch: pytest.MonkeyPatch, draws: list[float] | None = None) -> list[float]:
    """Every wait from now on, in seconds; none takes any time. `draws` are what is drawn."""
    waited: list[float] = []
    monkeypatch.setattr(failpoints.time, "sleep", waited.append)
    if draws is not None:
        given = iter(draws)
        monkeypatch.setattr(failpoints._random, "uniform", lambda: next(given), raising=False)
    return waited


# ---- what is said
def test_nothing_happens_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where another place is armed."""
    waited = waits(monkeypatch)
    arm_failpoints("dev", {})
    failpoint(NAME)
    arm_failpoints("dev", {VARIABLE: "ballot.after-sync=sleep:5"})
    failpoint(NAME)

    assert waited == []
    assert not is_failpoint(NAME)


@pytest.mark.parametrize(
    ("said", "times"), [("sleep:5", 4), ("sleep:5:1", 4), ("sleep:5:once", 1), ("sleep:5:0.5", 2)]
)
def test_a_place_waits_as_often_as_it_was_told(monkeypatch: pytest.MonkeyPatch, said: str, times: int) -> None:
    """Each time, once, or the share of the times that was drawn."""
    waited = waits(monkeypatch, [0.1, 0.5, 0.9, 0.4] * 2)
    arm_failpoints("dev", {VARIABLE: f"{NAME}={said}"})
    for _ in range(4):
        failpoint(NAME)

    assert waited == [0.005] * times


def test_a_place_ends_the_process_and_says_where() -> None:
    """By SIGKILL: no handler of the program runs, nothing is flushed."""
    died = subprocess.run(
        [sys.executable, "-c", DIES], env={VARIABLE: f"{NAME}=kill:1"}, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    lived = subprocess.run([sys.executable, "-c", DIES], env={}, cwd=ROOT, capture_output=True, text=True, check=True)

    assert (died.returncode, died.stdout, died.stderr) == (-signal.SIGKILL, "", f"failpoint {NAME}: killed\n")
    assert (lived.stdout, lived.stderr) == ("went on\n", "")


@pytest.mark.parametrize("text", ["", "journal.after-sync=kill:1"])
def test_production_refuses_the_variable_whatever_it_says(text: str) -> None:
    """And is content without it, as dev is with it."""
    with pytest.raises(FailpointError, match=VARIABLE):
        arm_failpoints("production", {VARIABLE: text})
    assert told({VARIABLE: text}) == ""
    arm_failpoints("production", {})
    arm_failpoints("dev", {VARIABLE: text})
    assert told({VARIABLE: text}) == text


@pytest.mark.parametrize(
    "text",
    [
        "nowhere=kill:1", "journal.after-sync", f"{NAME}=", f"{NAME}=panic", f"{NAME}=kill:2", f"{NAME}=kill:0",
        f"{NAME}=kill:-1", f"{NAME}=kill:nan", f"{NAME}=kill:1:1", f"{NAME}=sleep", f"{NAME}=sleep:-1",
        f"{NAME}=sleep:1e9", f"{NAME}=sleep:nan", f"{NAME}=sleep:1:twice", f"{NAME}=sleep:1:1:1", f"{NAME}=kill:once,x",
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(text: str) -> None:
    """A slip of the pen would otherwise be a run without its fault. What was armed before stays."""
    arm_failpoints("dev", {VARIABLE: f"{NAME}=sleep:1"})
    with pytest.raises(FailpointError):
        arm_failpoints("dev", {VARIABLE: text})

    assert is_failpoint(NAME)


def test_pairs_stand_between_commas() -> None:
    """Each with its own share; kill alone is always."""
    points = parse(f"{NAME}=kill,ballot.before-sync=kill:once,audit.before-write=sleep:50:0.1,")

    assert {name: (point.kills, point.sleep_s, point.share) for name, point in points.items()} == {
        NAME: (True, 0.0, 1.0), "ballot.before-sync": (True, 0.0, None), "audit.before-write": (False, 0.05, 0.1),
    }  # fmt: skip


# ---- the places
def places() -> set[str]:
    """Names that the product's code says."""
    found = set()
    for path in [*(ROOT / "cluster").rglob("*.py"), *(ROOT / "node").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"failpoint", "is_failpoint"}:
                found |= {ast.literal_eval(word) for word in node.args if isinstance(word, ast.Constant)}
    return found


def test_every_name_is_a_place_of_the_code_and_documented() -> None:
    """And no place has a name that nobody can arm, or looks up."""
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*`) \|", text[text.index("| failpoint |") :], re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([a-z-]+\.[a-z-]+)`", row)}

    assert places() == NAMES
    assert documented == NAMES


def test_the_simulator_reaches_every_place_of_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the other rooms are reached by real processes: tests/process/test_process_failpoints.py."""
    reached: set[str] = set()
    monkeypatch.setattr(failpoints, "_reached", reached.add)
    arm_failpoints("dev", {VARIABLE: f"{NAME}=sleep:0"})
    for seed in SEEDS:
        if reached >= IN_THE_SIMULATOR:
            break
        run(seed)

    assert reached >= IN_THE_SIMULATOR
