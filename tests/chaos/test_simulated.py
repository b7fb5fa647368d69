"""A scenario in the simulator: what stands for its faults, how many seeds, what is said, and how one is replayed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from chaos import campaign, registry, runner, verdict
from chaos.folder import RunFolder
from chaos.plan import all_named, expand, parse
from chaos.sim.__main__ import _arguments, _forced
from chaos.sim.campaign import Job, replay
from chaos.sim.options import FAULTS, Forced
from chaos.sim.options import expand as options_of
from chaos.targets.simulated import ALL_AT_ONCE, COUNTERPARTS, SIM, WHY_NOT, judge, seeds_of, weights

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """
name = "small"
targets = ["sim"]
[[faults]]
nemesis = "kill"
times = 3
[[faults]]
nemesis = "isolate"
[[faults]]
nemesis = "ring"
"""


def test_faults_weigh_as_often_as_they_come() -> None:
    """What has no counterpart is skipped, with the reason."""
    found, skipped = weights(expand(parse(SMALL), 1, SIM))

    assert found == {"crash": 3.0, "partition": 1.0}
    assert skipped == {"ring": "the simulator cuts sides and single directions, no rings"}


def test_a_loss_of_power_everywhere_is_a_blackout() -> None:
    """One node's is not."""
    text = 'name = "p"\n[[faults]]\nnemesis = "power"\nselect = "%s"\n'

    assert weights(expand(parse(text % "all"), 1))[0] == {"blackout": 1.0, "power_inside": 1.0}
    assert "blackout" not in weights(expand(parse(text % "one"), 1))[0]


def test_the_mapping_names_what_there_is() -> None:
    """On both sides, so that a renamed fault is renamed here, too."""
    named = {*COUNTERPARTS, *ALL_AT_ONCE, *WHY_NOT}
    meant = {name for names in (*COUNTERPARTS.values(), *ALL_AT_ONCE.values()) for name in names}

    assert named - set(registry.NEMESES) == set()
    assert meant - set(FAULTS) == set()
    assert not set(COUNTERPARTS) & set(WHY_NOT)


@pytest.mark.parametrize("scenario", [one for one in all_named() if SIM in one.targets], ids=lambda one: one.name)
def test_scenarios_that_name_the_simulator_mean_something_there(scenario: Any) -> None:
    """At least one of their faults has a counterpart."""
    assert weights(expand(scenario, 1, SIM))[0]


def test_seeds_are_as_many_as_asked_for_or_as_the_scenario_is_long() -> None:
    """Each is seven seconds of faults."""
    plan = expand(parse(SMALL), 1, SIM)

    assert seeds_of(expand(parse(SMALL), 1, SIM, seeds=50)) == 50
    assert seeds_of(plan) == -(-plan.length_s // 7)


def test_forced_options_are_the_scenarios_and_the_rest_is_the_seeds() -> None:
    """Only its faults, its nodes, its end; no attack is played; no journal that promises less."""
    forced = Forced((("crash", 2.0),), nodes=5, core=True)
    for seed in range(60):
        free, bound = options_of(seed), options_of(seed, forced=forced)
        assert bound.faults == {"crash": 2.0}
        assert (bound.nodes, bound.script, bound.script_share, bound.journal_mode) == (5, None, 0.0, "fsync")
        assert bound.core in {"dead", "cut", "flapping"}
        if free.config == bound.config:
            assert (bound.writes_per_s, bound.delay_s, bound.sync_s) == (free.writes_per_s, free.delay_s, free.sync_s)
    assert all(options_of(seed, forced=Forced((("crash", 1.0),))).core is None for seed in range(20))


def test_options_of_a_seed_alone_have_not_changed() -> None:
    """Regression seeds mean what they meant: nothing is drawn for what a scenario may force."""
    assert options_of(17) == options_of(17, forced=None)
    assert (options_of(17).faults != {}, options_of(17).nodes in {3, 5}) == (True, True)


def test_the_replay_command_means_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words, read by the simulator, are the options that failed."""
    forced = Forced((("crash", 2.0), ("one_way", 1.0)), nodes=5, core=True)
    words = shlex.split(replay(7, Job(1, 10, forced=forced)))
    monkeypatch.setattr("sys.argv", ["sim", *words[3:]])
    said = _arguments()

    assert words[:3] == ["python", "-m", "chaos.sim"]
    assert (said.seed, said.trace) == (7, True)
    assert _forced(said) == forced


def test_a_fault_that_the_simulator_does_not_have_is_refused() -> None:
    """With what there is."""
    with pytest.raises(ValueError, match="no fault is called fire; there are crash"):
        Forced.of("crash=1,fire=2")


def told(folder: Path, **sim: Any) -> Any:
    run = RunFolder(folder)
    run.write("plan.json", {"target": SIM, "scenario": {"name": "s", "workloads": {}}})
    run.write("facts.json", {"sim": {"first": 1, "seeds": 2, "faults": {"crash": 1.0}, **sim}, "skipped": {}})
    return judge(RunFolder(folder))[0]


COUNTS = {"fault: crash": 3, "acknowledged": 5, "reads": 7}


def test_what_held_is_told_with_its_numbers(tmp_path: Path) -> None:
    """Seeds, faults, operations."""
    found = told(tmp_path, done=2, counts=COUNTS, failures=[])

    assert found.valid == "held"
    assert found.summary == "2 seeds, 3 faults, 5 acknowledged writes, 7 reads; nothing is violated"


def test_what_is_violated_is_told_with_its_replay(tmp_path: Path) -> None:
    """Each seed."""
    failures = [{"seed": 9, "violations": ["two leaders"], "replay": "python -m chaos.sim --seed 9"}]
    found = told(tmp_path, done=2, counts=COUNTS, failures=failures)

    assert (found.valid, found.summary) == ("violated", "1 of 2 seeds violate something")
    assert found.details == ("seed 9: two leaders; python -m chaos.sim --seed 9",)


@pytest.mark.parametrize(
    ("sim", "why"),
    [
        ({"faults": {}}, "no fault of this scenario"),
        ({"done": 1, "counts": COUNTS}, "1 of 2 seeds"),
        ({"done": 2, "counts": {"acknowledged": 5}}, "nothing was broken"),
        ({"done": 2, "counts": {"fault: crash": 3}}, "nothing was broken, or nothing acknowledged"),
    ],
)
def test_what_was_not_looked_at_is_unknown(tmp_path: Path, sim: dict[str, Any], why: str) -> None:
    """Never held."""
    found = told(tmp_path, **sim)

    assert found.valid == "unknown"
    assert why in found.summary


def test_a_run_in_the_simulator_is_judged_stored_and_replayed(tmp_path: Path) -> None:
    """From a plan to an exit code, and again from its folder alone, with the same counts."""
    plan = expand(parse(SMALL), 3, SIM, seeds=1)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    runner.execute(plan, tmp_path / "one", say=lambda _line: None)
    again = verdict.stored_plan(tmp_path / "one")
    runner.execute(again, tmp_path / "two", say=lambda _line: None)

    assert again == plan
    assert verdict.judge_folder(tmp_path / "one", lambda _line: None) == 0
    assert RunFolder(tmp_path / "one").facts == RunFolder(tmp_path / "two").facts


def test_many_runs_in_the_simulator_are_one_plan_with_many_seeds(tmp_path: Path) -> None:
    """Real processes have one plan each."""
    def request(target: str | None) -> campaign.Request:
        return campaign.Request([parse(SMALL)], target, 5, 4, None, tmp_path, "all", json=False)

    assert [(plan.seed, plan.seeds) for plan in campaign._plans(request(None), None)] == [(5, 4)]
    local = [(plan.seed, plan.seeds) for plan in campaign._plans(request("local"), "local")]
    assert local == [(5, 0), (6, 0), (7, 0), (8, 0)]
