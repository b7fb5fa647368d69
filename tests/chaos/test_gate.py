"""The gate: its order, what counts as held, and the times that a night collects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaos import gate, night
from chaos.check.base import Verdict
from chaos.distributions import Collection, measured
from chaos.folder import RunFolder
from chaos.gate import FAILED, Outcome, Step, day, main, perform, runs, table
from chaos.plan import all_named, named, parse
from chaos.verdict import excused
from tests.chaos.histories import NODES, Story

if TYPE_CHECKING:
    from collections.abc import Callable


def step(code: str, **more: Any) -> Step:
    return Step("one", ("-c", code), more.pop("limit_s", 30), **more)


# ---- the day
def test_the_day_has_the_order_of_the_proof(tmp_path: Path) -> None:
    """What judges is judged first, and that it would find something last."""
    names = [one.name for one in day(7, tmp_path)]

    assert names[:3] == ["checkers", "simulator, fresh seeds", "power cuts"]
    assert names[-1] == "mutants of the product"
    assert [name.split(":")[0] for name in names[3:6]] == ["local", "netns", "netns"]
    assert "PostgreSQL" in names


def test_every_step_has_the_seed_and_a_limit(tmp_path: Path) -> None:
    """Mutants rotate by themselves."""
    for one in day(7, tmp_path)[:-1]:
        assert "7" in one.words
        assert one.limit_s > 0


def test_what_is_not_here_is_skipped_with_its_reason(tmp_path: Path) -> None:
    """A module that does not exist is no error, and no success: its row says so."""
    assert gate._is_there("chaos.gate")
    assert not gate._is_there("tests.chaos.nothing_of_that_name")
    assert not gate._is_there("no_package.at_all")
    outcome = perform(step("raise SystemExit(1)", why_not="needs root"), tmp_path / "log")

    assert (outcome.code, outcome.word, outcome.told) == (0, "skipped", "needs root")
    assert any("skipped" in line and "needs root" in line for line in table([outcome]))


@pytest.mark.parametrize(
    ("code", "expected"), [("0", 0), ("1", 1), ("2", 2), ("3", 3), ("4", FAILED), ("-9", FAILED), ("'words'", 1)]
)
def test_a_step_is_what_its_command_ended_with(tmp_path: Path, code: str, expected: int) -> None:
    """Codes that nobody knows are failures of the step, not of the product; its last line is told."""
    outcome = perform(step(f"print('first'); print('last'); raise SystemExit({code})"), tmp_path / "log")

    assert (outcome.code, outcome.told) == (expected, "last")


def test_a_step_that_says_nothing_has_done_nothing(tmp_path: Path) -> None:
    """Such as a module without a program in it."""
    assert perform(step("pass"), tmp_path / "log").code == FAILED


def test_a_step_that_takes_too_long_is_asked_to_end_and_has_failed(tmp_path: Path) -> None:
    """It may still remove what it made."""
    code = (
        "import signal, sys, threading\n"
        f"def end(*_): open(r'{tmp_path}/cleaned', 'w').close(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "threading.Event().wait(60)"
    )
    outcome = perform(step(code, limit_s=1.5), tmp_path / "log")

    assert outcome.code == FAILED
    assert "took longer than 1.5 s" in outcome.told
    assert (tmp_path / "cleaned").exists()


def test_runs_are_told_by_what_did_not_hold(tmp_path: Path) -> None:
    """And their folders are known, so that those that held can go."""
    folder = tmp_path / "run"
    folder.mkdir()
    verdicts = [{"checker": "live", "valid": "violated", "summary": "a gap"}, {"checker": "wgl", "valid": "held",
                 "summary": "fine"}]  # fmt: skip
    (folder / "results.json").write_text(json.dumps({"verdicts": verdicts}))
    line = json.dumps({"scenario": "s", "seed": 4, "target": "local", "code": 1, "why": "", "folder": str(folder)})
    outcome = perform(step(f"print({line!r}); raise SystemExit(1)"), tmp_path / "log")

    assert (outcome.code, outcome.folders) == (1, [folder, folder])  # it was run twice
    assert outcome.told == "; ".join(["s, seed 4: live violated: a gap"] * 2)


SPOILT = """
import json, pathlib, sys
seed, folder = int(sys.argv[sys.argv.index("--seed") + 1]), pathlib.Path(ROOT)
folder.mkdir(exist_ok=True)
bad = seed == 4
verdicts = [{"checker": CHECKER, "valid": VALID if bad else "held", "summary": "so"}]
verdicts += [{"checker": "acked", "valid": "unknown", "summary": "too"}] if bad and ALSO else []
(folder / "results.json").write_text(json.dumps({"verdicts": verdicts}))
said = {"scenario": "s", "seed": seed, "target": "local", "code": bad * CODE, "why": "", "folder": str(folder)}
print(json.dumps(said))
sys.exit(bad * CODE)
"""


@pytest.mark.parametrize(
    ("checker", "valid", "also", "first", "code"),
    [("live", "violated", False, 1, 0), ("recover", "violated", False, 1, 0), ("rates", "unknown", False, 2, 0),
     ("wgl", "unknown", True, 2, 0), ("witness", "violated", False, 1, 1), ("recover", "violated", True, 1, 1),
     ("wgl", "unknown", False, FAILED, FAILED)],
)  # fmt: skip
def test_what_did_not_hold_for_its_time_alone_or_could_not_be_told_is_run_once_more(
    tmp_path: Path, checker: str, valid: str, also: bool, first: int, code: int
) -> None:
    """With another seed: a busy machine is no violation twice. A violation of safety, or a broken off run, stays."""
    program = SPOILT.replace("ROOT", repr(str(tmp_path / "run"))).replace("CHECKER", repr(checker))
    program = program.replace("VALID", repr(valid)).replace("CODE", str(first)).replace("ALSO", str(also))
    outcome = perform(Step("one", ("-c", program, "--seed", "4"), 30), tmp_path / "log")

    assert outcome.code == code
    assert outcome.told.startswith("s, seed 4: ")
    assert ("; s, seed 5: " in outcome.told, len(outcome.folders)) == ((True, 2) if code == 0 else (False, 1))


SIMULATED = """
import json, sys
at = int(sys.argv[sys.argv.index("--first") + 1])
report = {"seeds": 60, "configs": {"tcp": {"counts": {"fault: crash": 2, "acknowledged": 5}}}}
open(sys.argv[sys.argv.index("--json") + 1], "w").write(json.dumps(report))
if at > LAST:
    print("seed 7: two leaders"); print("  replay: python -m chaos.sim --seed 7"); sys.exit(1)
"""


def simulated(last: int, for_s: float) -> Step:
    words = ("-c", SIMULATED.replace("LAST", str(last)), "--first", "100")
    return Step("sim", words, 30, for_s=for_s)


def test_seeds_are_run_until_the_time_is_over(tmp_path: Path) -> None:
    """Each batch begins behind the last, and at least one is run."""
    outcome = perform(simulated(10_000, 0.001), tmp_path / "log")

    assert (outcome.code, outcome.counts["seeds"], outcome.counts["acknowledged"]) == (0, 60, 5)
    assert outcome.told == "60 seeds from 100 on, 2 faults, 5 acknowledged writes"


def test_the_first_seed_that_does_not_hold_ends_it(tmp_path: Path) -> None:
    """With the command that replays it."""
    outcome = perform(simulated(130, 60.0), tmp_path / "log")

    assert (outcome.code, outcome.counts["seeds"]) == (1, 120)
    assert outcome.told.endswith("; seed 7: two leaders replay: python -m chaos.sim --seed 7")


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0], 0), ([0, 2], 2), ([2, 3], 3), ([3, 1, 2], 1), ([0, "skip"], 0)]
)
def test_the_day_ends_with_the_worst_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[Any], expected: int
) -> None:
    """A violation before a failure before the unknown; logs stay unless all held."""
    steps = [
        step("", why_not="no") if code == "skip" else step(f"print(1); raise SystemExit({code})") for code in codes
    ]
    monkeypatch.setattr(gate, "day", lambda _seed, _folder: steps)
    work = tmp_path / "work"
    work.mkdir()
    said: list[str] = []

    assert gate.once(1, work, said.append) == expected
    assert work.exists() == bool(expected)


# ---- the night
def test_a_night_has_every_scenario_where_it_can_run(tmp_path: Path) -> None:
    """But for those that break nothing or last a night."""
    words = [one.words for one in night.round_of(1, tmp_path)]
    ran = {(one[3], one[5]) for one in words if one[2:3] == ("run",)}
    wanted = {
        (scenario.name, target)
        for scenario in all_named()
        for target in scenario.targets
        if target != "sim" and scenario.name not in night.NOT_AT_NIGHT
    }

    assert ran == wanted
    assert set(night.NOT_AT_NIGHT) <= {scenario.name for scenario in all_named()}


def test_a_night_says_why_a_scenario_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its target, its disks, its backup."""
    monkeypatch.setattr("chaos.env.namespaces", lambda: "needs root")
    monkeypatch.setattr("chaos.env.disks", lambda: "needs loop devices")
    monkeypatch.setattr("chaos.night.why_no_postgres", lambda: "needs postgres")
    plain = parse('name = "s"')
    disks = parse('name = "s"\n[cluster]\ndisks = true')
    backup = parse('name = "s"\n[cluster]\nbackup = "postgres"')

    assert night.why_not(plain, "local") == ""
    assert night.why_not(plain, "netns") == "needs root"
    assert night.why_not(disks, "local") == "needs loop devices"
    assert night.why_not(backup, "local") == "needs postgres"


@pytest.fixture
def told_run(tmp_path: Path) -> Callable[..., RunFolder]:
    def make(**plan: Any) -> RunFolder:
        story = Story(write_gap_s={"kill": 2.0})
        for at in range(0, 10_000, 100):
            down = 2000 <= at < 2800
            story.op("write", "k", f"v{at}", at=(at, at + 5), outcome="fail" if down else "ok")
            for node in NODES:
                blind = node == "n3" and 2000 <= at < 2400
                story.op("read", "k", at=(at + 10, at + 15), node=node, version=1, outcome="fail" if blind else "ok")
        story.fault("kill", ("n1",), 2000, 3000, leader="n1")
        story.fault("pause", ("n2",), 6000, 7000, leader="n3", took_effect=False)
        story.sample("n1", 2900, ready=True).sample("n1", 3200, ready=False).sample("n1", 3500, ready=True)
        story.plan["scenario"].update(plan)
        run = story.run(tmp_path)
        run.write("results.json", {"valid": "violated", "verdicts": [
            {"checker": "live", "valid": "violated", "summary": "a gap"},
            {"checker": "wgl", "valid": "held", "summary": "fine"},
        ]})  # fmt: skip
        return RunFolder(run.path)

    return make


def test_times_are_of_each_fault_by_its_class(told_run: Callable[..., RunFolder]) -> None:
    """The longest write gap, the longest read gap of a node that was not hit, and when it served again."""
    found = {(label, kind): round(seconds, 3) for label, kind, seconds in measured(told_run())}

    assert found["kill leader", "write_gap_s"] == 0.805
    assert found["kill leader", "read_gap_s"] == 0.405
    assert found["kill leader", "recover_s"] == 0.5
    assert found["pause follower", "write_gap_s"] < 0.2
    assert ("pause follower", "recover_s") not in found  # nobody sampled it


def test_a_night_adds_up(told_run: Callable[..., RunFolder]) -> None:
    """Runs, faults by kind and effect, operations by outcome, violations; quantiles are over faults."""
    collection = Collection()
    collection.add(told_run(), 12.0)
    said = json.loads(json.dumps(collection.as_json()))

    assert said["runs"][0]["valid"] == "violated"
    assert (said["faults"], said["without_effect"]) == ({"kill": 1}, {"pause": 1})
    assert said["operations"] == {"fail": 12, "ok": 388}
    assert said["violations"][0].endswith("live: a gap")
    collection.times["kill leader"]["write_gap_s"] = [0.1 * number for number in range(1, 11)]
    rows = list(collection.table())
    assert rows[2].startswith("| kill leader | 10 | 0.50 / 0.90 / 1.00 |")
    assert rows[3].endswith("| - |")


def test_a_fault_that_is_healed_only_at_the_end_counts_with_its_effect(tmp_path: Path) -> None:
    """What its heal said stands in the facts; its twin said nothing."""
    story = Story().op("write", "k", "v", at=(10, 15))
    story.fault("isolate", ("n1",), 20, None, leader="n1").fault("isolate", ("n2",), 30, None, leader="n1")
    story.facts["unhealed"] = {"0": {"took_effect": True}}
    collection = Collection()
    collection.add(story.run(tmp_path), 1.0)

    assert (collection.faults, collection.without_effect) == ({"isolate": 1}, {"isolate": 1})


def test_faults_that_overlap_give_no_times(told_run: Callable[..., RunFolder]) -> None:
    """They count as faults: DI2."""
    collection = Collection()
    collection.add(told_run(at_once=2), 12.0)

    assert collection.times == {}
    assert collection.faults["kill"] == 1


def test_a_night_ends_when_its_time_is_over_and_leaves_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every step; what was skipped and what failed stands in them."""
    steps = [step("", why_not="not here"), step("raise SystemExit(1)")]
    monkeypatch.setattr(night, "round_of", lambda _seed, _folder: iter(steps))
    out = tmp_path / "night.json"

    assert night.night(1, tmp_path, 0.3, out, lambda _line: None) == 1
    said = json.loads(out.read_text())
    assert said["skipped"] == {"one": "not here"}
    assert said["failures"]
    assert set(said["codes"]) == {"held", "VIOLATED"}
    assert out.with_suffix(".md").read_text().startswith("| fault")


# ---- files that are out of reach
@pytest.mark.parametrize(
    ("checker", "valid", "abilities", "becomes"),
    [
        ("audit", "unknown", ["process"], "skipped"),
        ("plaintext", "unknown", [], "skipped"),
        ("logs", "unknown", [], "skipped"),
        ("audit", "unknown", ["files"], "unknown"),
        ("audit", "unknown", None, "unknown"),
        ("audit", "violated", [], "violated"),
        ("logs", "held", [], "held"),
        ("witness", "unknown", [], "unknown"),
    ],
)
def test_checkers_of_files_are_excused_where_files_are_out_of_reach(
    checker: str, valid: Any, abilities: list[str] | None, becomes: str
) -> None:
    """Only they, only then, and only if they could not tell."""
    found = excused(Verdict(checker, valid, "why"), abilities)

    assert found.valid == becomes
    assert "why" in found.summary


def test_scenarios_of_the_gate_exist(tmp_path: Path) -> None:
    """With the target they are run on."""
    for one in day(1, tmp_path):
        if one.words[2:3] == ("run",):
            assert one.words[5] in named(one.words[3]).targets


def test_the_gate_takes_no_words_it_does_not_know() -> None:
    """A misspelt option is no run of an hour."""
    with pytest.raises(SystemExit) as ended:
        main(["--nigth"])
    assert ended.value.code == FAILED
    assert runs("x", ["a", "b"], "local", 3, Path("f")).words[3:5] == ("a", "b")
    assert Outcome("x", 0, 0.0, "").word == "held"
