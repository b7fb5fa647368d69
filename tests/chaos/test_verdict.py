"""From a folder to verdicts, an exit code and the lines that people read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from chaos import verdict
from chaos.check.base import Verdict
from chaos.folder import RunFolder
from chaos.plan import PlanError, expand, named
from chaos.registry import UnknownNameError
from chaos.verdict import USUAL, excused, judge_folder, lines_of, names_of, stored_plan, worst_code
from tests.chaos.runs import written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("valid", "code"), [("held", 0), ("violated", 1), ("unknown", 2)])
def test_a_folder_is_judged_and_says_so(valid: str, code: int, tmp_path: Path) -> None:
    """In results.json, in lines, and in the code."""
    written(tmp_path, valid)
    lines: list[str] = []

    assert judge_folder(tmp_path, lines.append) == code
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["valid"] == valid
    assert {one["checker"] for one in results["verdicts"]} == {*USUAL, "witness", "wgl", "acked", "session"}
    assert len([line for line in lines if line.startswith("  BAD")]) == (3 if valid == "violated" else 0)


def test_a_history_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    """And not held, though no checker found anything."""
    written(tmp_path, "held")
    (tmp_path / "history.jsonl").write_text('{"index": 0}\n')

    assert judge_folder(tmp_path, lambda _line: None) == 2


@pytest.mark.parametrize("name", ["facts.json", "history.jsonl", "samples.jsonl"])
def test_a_run_without_one_of_its_files_is_unknown(name: str, tmp_path: Path) -> None:
    """It was cut short."""
    written(tmp_path, "held")
    (tmp_path / name).unlink()

    assert judge_folder(tmp_path, lambda _line: None) == 2


def test_a_run_that_failed_is_unknown_whatever_was_found(tmp_path: Path) -> None:
    """Judged again later, by somebody who did not see it fail."""
    run = written(tmp_path, "held")
    run.write("facts.json", {**run.facts, "failed": "KeyError"})

    assert judge_folder(tmp_path, lambda _line: None) == 2


@pytest.mark.parametrize(
    ("codes", "worst"),
    [([], 2), ([0], 0), ([0, 2], 2), ([2, 3], 3), ([3, 1, 2], 1), ([0, 0], 0)],
)
def test_the_worst_code_of_several(codes: list[int], worst: int) -> None:
    """Of nothing it is unknown: nothing was run."""
    assert worst_code(codes) == worst


@pytest.mark.parametrize(
    ("checker", "valid", "abilities", "expected"),
    [
        ("logs", "unknown", [], "skipped"),
        ("audit", "unknown", ["process"], "skipped"),
        ("plaintext", "unknown", ["files"], "unknown"),
        ("plaintext", "unknown", None, "unknown"),
        ("logs", "violated", [], "violated"),
        ("rates", "unknown", [], "unknown"),
    ],
)
def test_files_that_are_out_of_reach_excuse_who_needs_them(
    checker: str, valid: str, abilities: list[str] | None, expected: str
) -> None:
    """Nobody else, and nothing that was found."""
    assert excused(Verdict(checker, valid, "why"), abilities).valid == expected  # type: ignore[arg-type]


def test_the_checkers_are_the_usual_ones_the_workloads_and_the_scenarios() -> None:
    """Each once."""
    names = names_of({"scenario": {"workloads": {"register": 1, "append": 1}, "checks": ["backup", "rates"]}})

    assert names[: len(USUAL)] == list(USUAL)
    assert {"witness", "wgl", "appends", "acked", "session", "backup"} == set(names) - set(USUAL)
    assert len(names) == len(set(names))
    with pytest.raises(UnknownNameError):
        names_of({"scenario": {"workloads": {"dance": 1}}})


def test_a_stored_plan_is_the_plan(tmp_path: Path) -> None:
    """Every step and setting; of a folder without one nothing is made up."""
    plan = expand(named("matrix"), 4)
    with pytest.raises(PlanError):
        stored_plan(tmp_path)
    RunFolder(tmp_path).write("plan.json", {**plan.as_json(), "nodes": ["n1"], "versions": {}})

    assert stored_plan(tmp_path) == plan


def test_lines_say_what_was_skipped_and_every_detail(tmp_path: Path) -> None:
    """For people."""
    run = RunFolder(tmp_path)
    run.write("facts.json", {"skipped": {"power": "no root"}})
    verdicts = [Verdict("live", "violated", "2 gaps", ("one", "two")), Verdict("logs", "skipped", "none")]

    assert lines_of(run, verdicts) == [
        "  BAD live: 2 gaps", "        one", "        two", "  -   logs: none", "  skipped power: no root",
    ]  # fmt: skip


def test_every_checker_says_what_it_does_not_verify() -> None:
    """For `list` and reports."""
    assert all(name and verified and rest for name, verified, rest in verdict.described())
