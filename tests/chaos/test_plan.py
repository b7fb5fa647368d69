"""Scenarios and plans: a seed says everything, and what cannot be is refused with the key that is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from chaos import campaign, registry, verdict
from chaos.folder import RunFolder
from chaos.plan import PlanError, Scenario, all_named, expand, named, parse

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """
name = "small"
[[faults]]
nemesis = "kill"
times = 3
hold_s = [1, 2]
[[faults]]
nemesis = "pause"
select = "follower"
hold_s = 2
"""


def test_a_seed_is_the_same_plan_for_ever() -> None:
    """And another seed is another one."""
    scenario = parse(SMALL)

    assert expand(scenario, 7) == expand(scenario, 7)
    assert expand(scenario, 7).steps != expand(scenario, 8).steps


def test_each_fault_comes_as_often_as_it_is_said() -> None:
    """Within its bounds; `times` of the command line replaces all."""
    plan = expand(parse(SMALL), 1)

    assert sorted(step.nemesis for step in plan.steps) == ["kill", "kill", "kill", "pause"]
    assert all(1 <= step.hold_s <= 2 for step in plan.steps)
    assert len(expand(parse(SMALL), 1, times=1).steps) == 2


def test_a_given_order_is_kept() -> None:
    """Only "random" shuffles."""
    plan = expand(parse(SMALL.replace('name = "small"', 'name = "small"\norder = "given"')), 5)

    assert [step.nemesis for step in plan.steps] == ["kill", "kill", "kill", "pause"]


def test_lanes_run_side_by_side() -> None:
    """The plan is as long as its longest lane."""
    one = expand(parse(SMALL), 3)
    two = expand(parse(SMALL.replace('name = "small"', 'name = "small"\nat_once = 2')), 3)

    assert {step.lane for step in two.steps} == {0, 1}
    assert two.length_s < one.length_s


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a scenario needs a name"),
        ("name = 1", "a scenario needs a name"),
        ("name =", "not TOML"),
        ('name = "x"\nspeed = 1', "speed"),
        ('name = "x"\norder = "any"', "order is one of"),
        ('name = "x"\nend = "never"', "end is one of"),
        ('name = "x"\nrate_per_s = 0', "rate_per_s"),
        ('name = "x"\n[cluster]\nsize = 3', "size"),
        ('name = "x"\n[[faults]]\nselect = "leader"', "nemesis"),
        ('name = "x"\n[[faults]]\nnemesis = "kill"\nhold_s = [2, 1]', "hold_s"),
        ('name = "x"\n[[faults]]\nnemesis = "kill"\nselect = "everybody"', "select is one of"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(text: str, said: str) -> None:
    """With the key that is wrong."""
    with pytest.raises(PlanError, match=said):
        parse(text)


def test_what_is_called_by_no_name_is_refused() -> None:
    """Scenarios, faults, workloads, targets."""
    with pytest.raises(PlanError, match="no scenario is called nothing"):
        named("nothing")
    with pytest.raises(registry.UnknownNameError, match="no nemesis is called nothing; there are"):
        registry.nemesis("nothing")


@pytest.mark.parametrize("scenario", all_named(), ids=lambda scenario: scenario.name)
def test_what_comes_along_names_what_there_is(scenario: Scenario) -> None:
    """Every scenario's faults, workloads and targets exist, and its plan says how long it takes."""
    found = named(scenario.name)
    plan = expand(found, 1)

    assert all(registry.nemesis(step.nemesis).name == step.nemesis for step in plan.steps)
    assert all(registry.workload(name).name == name for name in found.workloads)
    assert set(found.targets) <= {*registry.TARGETS, "sim"}
    assert 0 < plan.length_s < 3600


def test_a_stored_plan_is_the_plan(tmp_path: Path) -> None:
    """`replay` and `shrink` begin with what a run's folder says."""
    plan = expand(parse(SMALL), 11, "local")
    RunFolder(tmp_path).write("plan.json", json.loads(json.dumps(plan.as_json())))

    assert verdict.stored_plan(tmp_path) == plan


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    """Nothing is judged, and nothing is held."""
    with pytest.raises(PlanError, match=r"holds no plan\.json"):
        verdict.judge_folder(tmp_path, print)


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("", "moon", "no target is called moon; there are compose, local, netns"),
        ('targets = ["moon"]\n', None, "no target is called moon"),
        ("workloads = { dance = 1 }\n", "local", "no workload is called dance"),
        ('checks = ["luck"]\n', "local", "no checker is called luck"),
        ('[[faults]]\nnemesis = "fire"\n', "local", "no nemesis is called fire"),
    ],
)
def test_a_name_that_nobody_has_is_refused_before_anything_starts(
    tmp_path: Path, text: str, target: str | None, said: str
) -> None:
    """No folder is made, no cluster started, and nothing made in somebody's."""
    scenario = parse(f'name = "x"\n{text}')
    request = campaign.Request([scenario], target, 1, 1, None, tmp_path / "runs", "all", json=False)

    with pytest.raises(registry.UnknownNameError, match=said):
        campaign.run_all(request)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["two words", "a/b", "../x", "", ".x", "ä"])
def test_a_scenarios_name_is_good_for_folders_and_mounts(name: str) -> None:
    """It becomes part of both."""
    with pytest.raises(PlanError, match="name"):
        parse(f'name = "{name}"')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("workloads = { register = 0 }\n", "share"),
        ("workloads = { register = -1, set = 2 }\n", "share"),
        ('end = "core"\nat_once = 2\n', "one fault at a time"),
        ('[[faults]]\nnemesis = "kill"\ntimes = 0\n', "at least once"),
        ('[[faults]]\nnemesis = "kill"\ntimes = -1\n', "at least once"),
    ],
)
def test_a_scenario_in_which_nothing_would_happen_is_refused(text: str, why: str) -> None:
    """It would be green."""
    with pytest.raises(PlanError, match=why):
        parse(f'name = "x"\n{text}')


@pytest.mark.parametrize("times", [0, -1])
def test_a_fault_comes_at_least_once(times: int) -> None:
    """Whoever asks for it no time asks for another scenario."""
    with pytest.raises(PlanError, match="at least once"):
        expand(named("smoke"), 1, times=times)
    assert len(expand(named("smoke"), 1, times=1).steps) == 2
