"""One run: everything is in its folder, what was made is unmade, and what fails or is interrupted says so at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from chaos import registry, verdict
from chaos.folder import RunFolder
from chaos.plan import Plan, PlanError, expand, parse
from chaos.runner import RunInterruptedError, execute, new_folder, unless_one_ends
from chaos.targets.base import TargetError
from tests.chaos.playing import PlayingTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.nemesis.base import Scene

CALM = 'name = "x"\nwarm_up_s = 0.6\ncool_down_s = 0.3\nrate_per_s = 150\n'
BROKEN = CALM + '[[faults]]\nnemesis = "%s"\nselect = "n3"\nquiet_s = 0\nhold_s = 0.2\n'
HANGS = CALM.replace("0.6", "600")


def plan(text: str = CALM) -> Plan:
    return expand(parse(text), 1)


def quiet(_line: str) -> None:
    """Nobody reads it."""


class Play:
    """A fault of the tests' own: `do` is what happens when."""

    name: ClassVar[str] = "play"
    about: ClassVar[str] = "plays"
    needs: ClassVar[frozenset[str]] = frozenset()
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#000000"

    def __init__(self, **do: Callable[[], None]) -> None:
        self._do = do

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        scene.target.kill(nodes[0])
        self._do.get("inject", lambda: None)()
        return {"took_effect": True}

    def heal(self, scene: Scene) -> dict[str, Any]:
        self._do.get("heal", lambda: None)()
        scene.target.revive("n3")
        return {}


@pytest.fixture
def nemesis(monkeypatch: pytest.MonkeyPatch) -> Callable[[Play], None]:
    """Makes it the one that `play` names."""
    return lambda play: monkeypatch.setattr(registry, "nemesis", lambda _name: play)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# ---- a whole run
def test_a_run_has_everything_that_checkers_want(tmp_path: Path, nemesis: Callable[[Play], None]) -> None:
    """Also what the runner knows of itself; and the target is told to stop before it is discarded."""
    nemesis(Play())
    target = PlayingTarget(tmp_path)
    run = execute(plan(BROKEN % "play"), tmp_path, target, quiet)

    facts = run.facts
    assert facts["read"] is True
    assert "failed" not in facts
    assert facts["digests"] == {node: [7, "d1"] for node in target.nodes}
    assert facts["healed_ns"] <= facts["load_ended_ns"]
    assert facts["load"]["begun"] > 50
    assert facts["pulse"]["beats"] > 20
    assert facts["exit_codes"] == {"n1": 0, "n2": 0, "n3": 0}
    assert facts["not_read"] == {}
    assert [(fault.name, fault.nodes) for fault in run.faults] == [("play", ("n3",))]
    assert {sample.node for sample in run.samples} == set(target.nodes)
    assert [call[0] for call in target.calls][-3:] == ["revive", "stop", "discard"]
    assert verdict.judge_folder(tmp_path, quiet) == 0


def test_a_run_in_which_a_write_is_lost_is_violated(tmp_path: Path, nemesis: Callable[[Play], None]) -> None:
    """The twin: the same run of a cluster that acknowledges what it does not do."""
    nemesis(Play())
    execute(plan(BROKEN % "play"), tmp_path, PlayingTarget(tmp_path, forgets=10), quiet)

    assert verdict.judge_folder(tmp_path, quiet) == 1


def test_nodes_that_say_no_digest_have_not_converged(tmp_path: Path) -> None:
    """Nothing is not equal to nothing."""
    target = PlayingTarget(tmp_path)
    target.digest = None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("chaos.ending.AGREE_S", 0.1)
        run = execute(plan(), tmp_path, target, quiet)

    assert run.facts["digests"] == {}
    assert verdict.judge_folder(tmp_path, quiet) == 2


# ---- what fails
def fails(monkeypatch: pytest.MonkeyPatch, what: str, error: BaseException | None) -> None:
    async def bad(*_: object) -> None:
        await asyncio.sleep(0.1)
        if error is not None:
            raise error

    monkeypatch.setattr(what, bad)


@pytest.mark.parametrize("what", ["chaos.load.Load._live", "chaos.watch.Watch._node", "chaos.pulse.Pulse.run"])
def test_a_part_that_breaks_ends_the_run_at_once(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2: not when its time is over, and never in silence; the cluster is stopped, and the folder says so."""
    fails(monkeypatch, what, ZeroDivisionError("ours"))
    target, began_s = PlayingTarget(tmp_path), time.monotonic()
    with pytest.raises(ZeroDivisionError, match="ours"):
        execute(plan(HANGS), tmp_path, target, quiet)

    assert time.monotonic() - began_s < 30
    assert [call[0] for call in target.calls] == ["start", "stop", "discard"]
    assert RunFolder(tmp_path).facts["failed"] == "ZeroDivisionError"
    assert verdict.judge_folder(tmp_path, quiet) == 2


@pytest.mark.parametrize(
    ("what", "name"), [("load.Load", "the load"), ("watch.Watch", "the watch"), ("pulse.Pulse", "the pulse")]
)
def test_a_part_that_ends_too_early_ends_the_run(
    what: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it says nothing."""
    fails(monkeypatch, f"chaos.{what}.run", None)
    with pytest.raises(RuntimeError, match=f"{name} ended before the run did"):
        execute(plan(HANGS), tmp_path, PlayingTarget(tmp_path), quiet)


def test_a_workload_that_cannot_be_prepared_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was begun, so there is nothing to judge; the cluster is stopped."""

    def refuses(*_: object) -> None:
        raise TargetError("no")

    monkeypatch.setattr("chaos.workload.register.Register.prepare", refuses)
    target = PlayingTarget(tmp_path)
    with pytest.raises(TargetError, match="no"):
        execute(plan(), tmp_path, target, quiet)

    assert [call[0] for call in target.calls] == ["start", "stop", "discard"]
    with pytest.raises(PlanError):
        verdict.judge_folder(tmp_path, quiet)


@pytest.mark.parametrize("what", ["start", "stop"])
def test_a_target_that_fails_is_discarded(what: str, tmp_path: Path) -> None:
    """Whatever it could not do."""
    target = PlayingTarget(tmp_path)
    target.fails = {what}
    with pytest.raises(TargetError, match=f"{what} failed"):
        execute(plan(), tmp_path, target, quiet)

    assert target.calls[-1] == ("discard",)
    assert RunFolder(tmp_path).facts["failed"] == "TargetError"


async def test_work_that_is_watched_is_done_or_ended() -> None:
    """It has ended whatever is raised."""
    ended: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("long")

    async def short() -> None:
        await asyncio.sleep(0)

    watching = asyncio.create_task(long())
    await unless_one_ends(short(), watching)
    assert ended == []
    with pytest.raises(RuntimeError, match="ended before"):
        await unless_one_ends(long(), asyncio.create_task(short()))
    assert ended == ["long"]
    watching.cancel()


# ---- what is interrupted
def test_an_interrupted_run_heals_and_stops_what_it_began(tmp_path: Path, nemesis: Callable[[Play], None]) -> None:
    """In this order, whenever the signal comes; it is no verdict."""
    nemesis(Play(inject=interrupt))
    target = PlayingTarget(tmp_path)
    with pytest.raises(RunInterruptedError):
        execute(plan(BROKEN % "play"), tmp_path, target, quiet)

    assert [call[0] for call in target.calls] == ["start", "kill", "revive", "stop", "discard"]
    assert RunFolder(tmp_path).facts["failed"] == "RunInterruptedError"
    assert verdict.judge_folder(tmp_path, quiet) == 2


def test_more_signals_interrupt_no_cleaning_up(tmp_path: Path, nemesis: Callable[[Play], None]) -> None:
    """R1: neither healing nor stopping; else a node would be started again when all were stopped."""
    nemesis(Play(inject=interrupt, heal=interrupt))
    target = PlayingTarget(tmp_path)
    target.stopping = interrupt
    with pytest.raises(RunInterruptedError):
        execute(plan(BROKEN % "play"), tmp_path, target, quiet)

    assert [call[0] for call in target.calls] == ["start", "kill", "revive", "stop", "discard"]


def test_a_signal_while_a_run_that_is_over_stops_its_cluster_changes_nothing(tmp_path: Path) -> None:
    """There is nothing left to interrupt."""
    target = PlayingTarget(tmp_path)
    target.stopping = interrupt
    run = execute(plan(), tmp_path, target, quiet)

    assert run.facts["read"] is True
    assert target.calls[-1] == ("discard",)


def test_signals_are_the_callers_again_after_a_run(tmp_path: Path) -> None:
    """Of a campaign: what comes between two runs ends it."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    execute(plan(), tmp_path, PlayingTarget(tmp_path), quiet)

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


# ---- folders
def test_every_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Also in the same second; nobody else can look into it."""
    folders = [new_folder(plan(), tmp_path / "runs") for _ in range(3)]

    assert len(set(folders)) == 3
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)
    assert all("-x-1" in folder.name for folder in folders)
