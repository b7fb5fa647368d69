"""The command line: 0 held, 1 violated, 2 unknown, 3 for everything that is no verdict, whatever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaos import campaign, cli, env, shrink
from chaos.campaign import Request
from chaos.check.every import CHECKERS
from chaos.plan import Plan, PlanError, all_named, expand, named
from chaos.registry import NEMESES, WORKLOADS
from chaos.targets.base import TargetError
from tests.chaos.runs import written

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


# ---- run
@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What `run` asks for; it comes to 0."""
    requests: list[Request] = []

    def run_all(request: Request) -> int:
        requests.append(request)
        return 0

    monkeypatch.setattr(campaign, "run_all", run_all)
    return requests


def test_a_run_is_asked_for_as_the_line_says(asked: list[Request], tmp_path: Path) -> None:
    """Every option, and what is there without."""
    words = ["--target", "netns", "--seed", "7", "--runs", "3", "--times", "2", "--keep", "failed", "--json"]
    assert cli.main(["run", "smoke", "calm", *words, "--folder", str(tmp_path)]) == 0
    assert cli.main(["run", "smoke"]) == 0
    full, bare = asked

    assert [scenario.name for scenario in full.scenarios] == ["smoke", "calm"]
    assert (full.target, full.seed, full.runs, full.times) == ("netns", 7, 3, 2)
    assert (full.folder, full.keep, full.json) == (tmp_path, "failed", True)
    assert (bare.target, bare.seed, bare.runs, bare.times) == (None, None, None, None)
    assert (bare.folder, bare.keep, bare.json) == (Path("chaos-runs"), "all", False)


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_exit_code_is_what_the_runs_came_to(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged."""
    monkeypatch.setattr(campaign, "run_all", lambda _request: code)

    assert cli.main(["run", "smoke"]) == code


@pytest.mark.parametrize(
    "error",
    [PlanError("x"), TargetError("x"), KeyboardInterrupt(), OSError("x"), KeyError("x"), AssertionError("x"),
     RecursionError("x"), BrokenPipeError("x"), ExceptionGroup("x", [ValueError("y")])],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_error_is_no_violation(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own exit code for an exception would be that of one."""

    def bad(_request: Request) -> int:
        raise error

    monkeypatch.setattr(campaign, "run_all", bad)
    assert cli.main(["run", "smoke"]) == 3


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["run"],
        ["run", "smoke", "--taget", "netns"],
        ["run", "smoke", "--runs", "0"],
        ["run", "smoke", "--runs", "-1"],
        ["run", "smoke", "--times", "0"],
        ["run", "smoke", "--times", "many"],
        ["run", "smoke", "--keep", "none"],
        ["run", "smoke", "--seed", "x"],
        ["shrink", "run", "--tries", "0"],
        ["check"],
        ["env", "burn"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_no_verdict(
    words: list[str], asked: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    """Argparse's own code would say "unknown"; and no number of runs may be none, which would be green."""
    with pytest.raises(SystemExit) as ended:
        cli.main(words)

    assert (ended.value.code, asked) == (3, [])
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["moon", "moon.toml"])
def test_a_scenario_that_is_not_there_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence."""
    assert cli.main(["run", name]) == 3
    assert capsys.readouterr().err.startswith("chaos: ")


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """And says what codes mean."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])

    assert ended.value.code == 0
    assert "Exit codes: 0 everything held, 1 a violation" in " ".join(capsys.readouterr().out.split())


# ---- check
def folders(tmp_path: Path, *kinds: str) -> list[str]:
    made = []
    for number, kind in enumerate(kinds):
        folder = tmp_path / str(number)
        folder.mkdir()
        if kind != "nothing":
            written(folder, kind)
        made.append(str(folder))
    return made


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (["held"], 0),
        (["violated"], 1),
        (["unknown"], 2),
        (["nothing"], 3),
        (["held", "unknown"], 2),
        (["nothing", "violated"], 1),
        (["violated", "nothing"], 1),
        (["unknown", "nothing", "held"], 3),
    ],
    ids=str,
)
def test_stored_runs_are_judged_again(kinds: list[str], code: int, tmp_path: Path) -> None:
    """Each of them, although one is none; the worst counts."""
    assert cli.main(["check", *folders(tmp_path, *kinds)]) == code
    judged = [folder for folder in tmp_path.iterdir() if (folder / "results.json").exists()]
    assert len(judged) == len(kinds) - kinds.count("nothing")


def test_a_folder_with_a_broken_plan_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named."""
    (folder,) = folders(tmp_path, "held")
    Path(folder, "plan.json").write_text("{")

    assert cli.main(["check", folder]) == 3
    assert folder in capsys.readouterr().err


def test_a_process_ends_with_that_code(tmp_path: Path) -> None:
    """Not only the function."""
    held, bad = folders(tmp_path, "held", "violated")
    codes = [
        subprocess.run([sys.executable, "-m", "chaos", *words], cwd=ROOT, capture_output=True, check=False).returncode
        for words in (["check", held], ["check", bad], ["check", str(tmp_path)], ["chekc"])
    ]

    assert codes == [0, 1, 3, 3]


# ---- report
def test_reports_are_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the history in Jepsen's form, of one run."""
    one, two = folders(tmp_path, "held", "violated")
    assert cli.main(["report", one, two, "--edn", str(tmp_path / "x.edn")]) == 3
    assert cli.main(["report", one, "--edn", str(tmp_path / "x.edn")]) == 0

    assert all(Path(folder, "report.html").exists() and Path(folder, "junit.xml").exists() for folder in (one, two))
    assert (tmp_path / "x.edn").read_text().startswith("{:index 0")
    assert f"{one}/report.html" in capsys.readouterr().out


def test_of_no_folder_there_is_no_report(tmp_path: Path) -> None:
    """It is not made either."""
    assert cli.main(["report", str(tmp_path / "gone")]) == 3
    assert not (tmp_path / "gone").exists()


# ---- others
def test_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenarios, faults, workloads, checkers, targets."""
    assert cli.main(["list"]) == 0
    words = set(capsys.readouterr().out.replace(",", " ").split())

    assert {*NEMESES, *WORKLOADS, *CHECKERS, *(scenario.name for scenario in all_named()), "sim"} <= words


@pytest.mark.parametrize(("words", "code"), [(["env"], 0), (["env", "check"], 0), (["env", "clean"], 3)])
def test_the_machine_is_asked_or_cleaned(words: list[str], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be removed is no success."""
    monkeypatch.setattr(env, "check", lambda _say: 0)
    monkeypatch.setattr(env, "clean", lambda _say: 3)

    assert cli.main(words) == code


@pytest.mark.parametrize("command", ["replay", "shrink"])
def test_what_is_no_run_is_not_run_again(command: str, tmp_path: Path) -> None:
    """Nothing is started."""
    assert cli.main([command, str(tmp_path)]) == 3


def test_a_stored_plan_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the folder that is named."""
    ran: list[tuple[Plan, Path]] = []
    monkeypatch.setattr(campaign, "repeat", lambda plan, folder, _access: ran.append((plan, folder)) or 1)
    (folder,) = folders(tmp_path, "nothing")
    plan = expand(named("smoke"), 3)
    Path(folder, "plan.json").write_text(json.dumps({**plan.as_json(), "nodes": []}))

    assert cli.main(["replay", folder, "--folder", str(tmp_path / "out")]) == 1
    assert ran == [(plan, tmp_path / "out")]


def test_a_run_without_a_violation_cannot_be_shrunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run, and that is not green."""
    monkeypatch.setattr(shrink, "execute", lambda *_a, **_k: pytest.fail("it was run"))
    written(tmp_path, "held", expand(named("smoke"), 3))

    assert cli.main(["shrink", str(tmp_path)]) == 2


@pytest.mark.parametrize("tries", [1, 3])
def test_a_run_is_shrunk_to_the_faults_it_needs(tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each smaller plan is tried so often before it counts as held."""
    plan = expand(named("leader-faults"), 3)
    needed = plan.steps[5]
    tried: list[int] = []

    def execute(smaller: Plan, folder: Path, *_: Any, say: Callable[[str], None]) -> None:
        del say
        tried.append(len(smaller.steps))
        written(folder, "violated" if needed in smaller.steps else "held", smaller)

    monkeypatch.setattr(shrink, "execute", execute)
    (tmp_path / "run").mkdir()
    written(tmp_path / "run", "violated", plan)

    assert cli.main(["shrink", str(tmp_path / "run"), "--folder", str(tmp_path), "--tries", str(tries)]) == 1
    assert tried[-1] == 1
    assert len(tried) < 20 * tries
