"""Several runs: what each comes to, which folders stay, and that nothing that goes wrong here looks like a verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chaos import campaign, registry, verdict
from chaos.campaign import FAILED, Request, repeat, run_all
from chaos.folder import RunFolder
from chaos.plan import Plan, PlanError, expand, parse
from chaos.report import write
from chaos.runner import RunInterruptedError
from chaos.targets.base import TargetError
from chaos.targets.given import Access
from tests.chaos.runs import written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCENARIO = parse('name = "x"\n')


@pytest.fixture
def comes_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Plan]]:
    """`comes_to("held", error, ("violated", error))`: runs that end so, the last one for ever; what was run."""

    def set_up(*ends: Any) -> list[Plan]:
        ran: list[Plan] = []

        def execute(plan: Plan, folder: Path, _given: object = None, say: object = None) -> RunFolder:
            del say
            end = ends[min(len(ran), len(ends) - 1)]
            ran.append(plan)
            valid, error = end if isinstance(end, tuple) else (end, None)
            if isinstance(valid, BaseException):
                raise valid
            written(folder, valid, plan)
            if error is not None:
                raise error
            return RunFolder(folder)

        monkeypatch.setattr(campaign, "execute", execute)
        return ran

    return set_up


def request(folder: Path, **more: Any) -> Request:
    said = {"target": None, "seed": 5, "runs": 1, "times": None, "keep": "all", "json": False, **more}
    return Request(scenarios=[SCENARIO], folder=folder, **said)


# ---- codes
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("held", 0),
        ("violated", 1),
        ("unknown", 2),
        (TargetError("gone"), 3),
        (PlanError("gone"), 3),
        (OSError("full"), 3),
        (KeyError("ours"), 3),
        (AssertionError("ours"), 3),
        (SystemError("ours"), 3),
        # CA1: what had been found is judged all the same
        (("held", TargetError("did not stop")), 3),
        (("unknown", TargetError("did not stop")), 3),
        (("violated", TargetError("did not stop")), 1),
        (("violated", KeyError("ours")), 1),
    ],
    ids=str,
)
def test_a_run_is_what_it_came_to(end: Any, code: int, comes_to: Callable[..., object], tmp_path: Path) -> None:
    """An error of the harness is never held, and never a violation."""
    comes_to(end)

    assert run_all(request(tmp_path)) == code


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (["held", "held", "held"], 0),
        (["held", "unknown", "held"], 2),
        (["unknown", KeyError("x"), "held"], 3),
        ([KeyError("x"), "violated", "unknown"], 1),
        (["violated", "held", TargetError("x")], 1),
    ],
    ids=str,
)
def test_the_worst_run_counts_and_none_ends_the_others(
    ends: list[Any], code: int, comes_to: Callable[..., list[Plan]], tmp_path: Path
) -> None:
    """Each with the next seed."""
    ran = comes_to(*ends)

    assert run_all(request(tmp_path, runs=3)) == code
    assert [plan.seed for plan in ran] == [5, 6, 7]


@pytest.mark.parametrize("error", [RunInterruptedError("x"), KeyboardInterrupt()], ids=str)
@pytest.mark.parametrize(("first", "code"), [("violated", 1), ("held", 3), ("unknown", 3)])
def test_an_interrupted_campaign_ends_with_what_it_had_found(
    error: BaseException, first: str, code: int, comes_to: Callable[..., list[Plan]], tmp_path: Path
) -> None:
    """No other run is begun."""
    ran = comes_to(first, error)

    assert run_all(request(tmp_path, runs=5)) == code
    assert len(ran) == 2


@pytest.mark.parametrize(("end", "code"), [("held", 3), ("violated", 1)])
@pytest.mark.parametrize("what", ["report", "judge"])
def test_a_report_that_fails_hides_no_verdict(
    what: str, end: str, code: int, comes_to: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is no success."""
    comes_to(end)

    def bad(*_: object) -> int:
        raise ZeroDivisionError

    if what == "report":
        monkeypatch.setattr(write, "all_files", bad)
        assert run_all(request(tmp_path)) == code
    else:
        monkeypatch.setattr(verdict, "judge_folder", bad)
        assert run_all(request(tmp_path)) == FAILED


def test_what_nobody_foresaw_is_told_with_its_place(
    comes_to: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others in a sentence."""
    comes_to(KeyError("ours"), TargetError("no room"))
    run_all(request(tmp_path, runs=2))
    said = capsys.readouterr().err

    assert "Traceback" in said
    assert "KeyError: 'ours'" in said
    assert "chaos: no room" in said


# ---- nothing is begun in vain
def test_every_plan_is_made_before_anything_runs(
    comes_to: Callable[..., list[Plan]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be is said at once."""
    ran = comes_to("held")

    def some(scenario: object, seed: int, *_: object) -> Plan:
        del scenario
        if seed == 6:
            raise PlanError("cannot be")
        return expand(SCENARIO, seed)

    monkeypatch.setattr(campaign, "expand", some)
    with pytest.raises(PlanError, match="cannot be"):
        run_all(request(tmp_path, runs=3))
    assert ran == []


def test_a_name_that_nobody_has_ends_the_campaign_first(comes_to: Callable[..., list[Plan]], tmp_path: Path) -> None:
    """Of a target, here; others are in test_plan.py."""
    ran = comes_to("held")
    with pytest.raises(registry.UnknownNameError):
        run_all(request(tmp_path, target="moon"))
    assert ran == []


def test_a_seed_that_is_not_given_is_drawn(comes_to: Callable[..., list[Plan]], tmp_path: Path) -> None:
    """Another each time."""
    ran = comes_to("held")
    for _ in range(3):
        run_all(request(tmp_path, seed=None))

    assert len({plan.seed for plan in ran}) == 3


# ---- folders and lines
@pytest.mark.parametrize(
    ("end", "keep", "stays"),
    [("held", "all", True), ("held", "failed", False), ("unknown", "failed", True), ("violated", "failed", True),
     (TargetError("x"), "failed", True), (("held", KeyError("x")), "failed", True)],
    ids=str,
)  # fmt: skip
def test_folders_of_runs_that_held_may_go(
    end: Any, keep: str, stays: bool, comes_to: Callable[..., object], tmp_path: Path
) -> None:
    """And no others."""
    comes_to(end)
    run_all(request(tmp_path, keep=keep))

    assert len(list(tmp_path.iterdir())) == int(stays)


def test_a_folder_that_stays_has_verdicts_and_reports(comes_to: Callable[..., object], tmp_path: Path) -> None:
    """Also of a run that failed."""
    comes_to("held", ("unknown", TargetError("x")))
    run_all(request(tmp_path, runs=2))

    for folder in tmp_path.iterdir():
        assert {"results.json", "report.html", "junit.xml"} <= {file.name for file in folder.iterdir()}


def test_a_line_of_json_for_each_run_and_nothing_else(
    comes_to: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason, where there is one that is no verdict."""
    comes_to("held", TargetError("no room"), "violated")
    run_all(request(tmp_path, runs=3, json=True))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(line["scenario"], line["seed"], line["code"], line["why"]) for line in lines] == [
        ("x", 5, 0, ""), ("x", 6, 3, "no room"), ("x", 7, 1, ""),
    ]  # fmt: skip
    assert [RunFolder(tmp_path / line["folder"]).plan.get("seed") for line in lines] == [5, None, 7]


def test_without_json_people_are_told(
    comes_to: Callable[..., object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seed, the folder and every verdict."""
    comes_to("held")
    run_all(request(tmp_path))
    said = capsys.readouterr().out

    assert said.startswith(f"x, seed 5: {tmp_path}")
    assert "ok  rates:" in said


# ---- once more
@pytest.mark.parametrize(
    ("end", "code"), [("held", 0), ("violated", 1), (TargetError("x"), 3), (KeyError("x"), 3)], ids=str
)
def test_a_plan_that_is_run_again_is_what_it_comes_to_now(
    end: Any, code: int, comes_to: Callable[..., list[Plan]], tmp_path: Path
) -> None:
    """In a folder of its own."""
    ran = comes_to(end)
    plan = expand(SCENARIO, 9)

    assert repeat(plan, tmp_path, Access()) == code
    assert ran == [plan]
    assert len(list(tmp_path.iterdir())) == 1
