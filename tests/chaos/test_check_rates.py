"""A run without load, without effect or without an end is no run; and logs tell how processes ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.logs import Logs
from chaos.check.rates import Rates
from tests.chaos.histories import NODES, Story


def loaded() -> Story:
    """Fifty operations in half a second, and then a fault."""
    story = Story()
    for number in range(50):
        story.op("write", "k", f"v{number}", version=number + 1, node=NODES[number % 3])
    story.op("read", "k", None, "v49", version=50, final=True)
    story.plan["steps"] = [{"number": 0, "nemesis": "kill"}]
    return story.fault("kill", ("n1",), 500, 900)


def test_a_run_with_load_and_effect_holds(tmp_path: Path) -> None:
    """Rates by kind are in the numbers; last reads do not count as load."""
    verdict = Rates().check(loaded().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["by_f"] == {"write": {"all": 50, "ok": 50, "fail": 0, "info": 0}}
    assert 90 < verdict.numbers["rate_per_s"] < 110


def without(story: Story, **changes: object) -> Story:
    story.plan["scenario"].update(changes)
    return story


def no_rate() -> Story:
    return Story().op("write", "k", "a", version=1, at=(0, 10)).fault("kill", ("n1",), 5000, 6000)


def load_after() -> Story:
    story = Story().op("write", "k", "a", version=1, at=(0, 10)).fault("kill", ("n1",), 1000, 1100)
    for number in range(100):
        story.op("write", "k", f"v{number}", version=number + 2, at=(1200 + number, 1210 + number))
    return story


def planned_twice() -> Story:
    story = loaded()
    story.plan["steps"].append({"number": 1, "nemesis": "pause"})
    return story


def all_skipped() -> Story:
    story = Story(skipped={"power": "power: no root"})
    for number in range(50):
        story.op("write", "k", f"v{number}", version=number + 1)
    story.plan["steps"] = [{"number": 0, "nemesis": "power"}]
    return story


def one_silent() -> Story:
    """n3 answers only when it is too late to see what was stale there before."""
    story = Story()
    for number in range(50):
        story.op("write", "k", f"v{number}", version=number + 1, node=NODES[number % 2])
    return story.fault("kill", ("n1",), 500, 900).op("write", "k", "late", version=51, node="n3", at=(950, 960))


def failed() -> Story:
    story = loaded()
    story.facts["failed"] = "KeyError"
    return story


NO_RUN = {
    "a kind that never succeeded": (loaded().op("cas", "k", [0, "x"], outcome="fail", at=(10, 20)), "cas was never"),
    "a kind of unknown outcomes alone": (
        loaded().op("cas", "k", [0, "x"], outcome="info", at=(10, 20)),
        "cas was never",
    ),
    "too little load": (no_rate(), "fewer than 10"),
    "too little load before the fault, and much after it": (load_after(), "1.0 operations a second"),
    "too little for what the scenario asks": (without(loaded(), min_rate_per_s=500), "fewer than 500"),
    "a fault before any load": (
        Story().fault("kill", ("n1",), 0, 5).op("write", "k", "a", version=1),
        "no operation was",
    ),
    "no operation at all": (Story(), "no operation was"),
    "a fault without effect": (
        loaded().fault("pause", ("n1",), 950, 960, took_effect=False),
        "fault 1 (pause) took no effect",
    ),
    "a fault that failed": (
        loaded().fault("pause", ("n1",), 950, 960, took_effect=False, error="OSError: gone"),
        "OSError: gone",
    ),
    "a fault that nobody says took effect": (
        loaded().fault("pause", ("n1",), 950, None),
        "fault 1 (pause) took no effect",
    ),
    "fewer faults than planned": (planned_twice(), "only 1 of 2"),
    "all faults skipped": (all_skipped(), "power was skipped"),
    "a fault that was not healed": (
        loaded().fault("pause", ("n1",), 950, 960, not_healed="OSError: gone"),
        "fault 1 (pause) could not be healed: OSError: gone",
    ),
    "a node that answered nobody": (one_silent(), "nothing was acknowledged at n3 before the first fault"),
    "answers that nobody understood": (
        loaded().op("write", "k", "x", outcome="info", not_understood=True),
        "1 answers could not be understood",
    ),
    "a run that failed": (failed(), "the run failed: KeyError"),
    "a core where nobody stayed broken": (without(loaded(), end="core"), "there was no core"),
    "cut short": (loaded().cut_short(), "cut short"),
}


@pytest.mark.parametrize("name", NO_RUN)
def test_what_is_no_run_is_unknown_and_says_why(name: str, tmp_path: Path) -> None:
    """Never held, and never the product's fault."""
    story, why = NO_RUN[name]
    verdict = Rates().check(story.run(tmp_path))

    assert verdict.valid == "unknown"
    assert why in verdict.summary


def test_a_skipped_nemesis_is_not_waited_for(tmp_path: Path) -> None:
    """As long as another fault came."""
    story = planned_twice()
    story.facts["skipped"] = {"pause": "no root"}

    assert Rates().check(story.run(tmp_path)).valid == "held"


def test_a_fault_that_is_never_healed_has_its_effect_in_the_facts(tmp_path: Path) -> None:
    """Its second line never comes."""
    story = loaded().fault("pause", ("n2",), 950, None)
    story.facts["unhealed"] = {"1": {"took_effect": True}}

    assert Rates().check(story.run(tmp_path)).valid == "held"


def test_a_core_needs_a_node_that_stays_broken(tmp_path: Path) -> None:
    """The twin of the one without."""
    story = without(loaded(), end="core")
    story.facts["whole"] = ["n1", "n2"]

    assert Rates().check(story.run(tmp_path)).valid == "held"


# ---- logs
def logged(text: str = '{"event":"serving","level":"info"}\n', **codes: int | None) -> Story:
    story = Story(exit_codes={"n1": 0, "n2": -9, "n3": None, **codes})
    for node in NODES:
        story.file(f"nodes/{node}/node.log", b'{"event":"started"}\n')
    return story.file("nodes/n2/node.log", text.encode())


def test_clean_logs_and_ends_hold(tmp_path: Path) -> None:
    """Ended by itself, killed by the run, not running."""
    verdict = Logs().check(logged().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["logs"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\n",
        "panic: something\n",
        '{"event":"BUG: never here"}\n',
        "AssertionError\n",
        "Assertion `x' failed.\n",
        "Fatal Python error: Segmentation fault\n",
        "Task exception was never retrieved\n",
        "RuntimeWarning: coroutine 'x' was never awaited\n",
    ],
)
def test_what_no_node_should_say_is_violated_and_placed(text: str, tmp_path: Path) -> None:
    """By node and line."""
    verdict = Logs().check(logged("fine\n" + text).run(tmp_path))

    assert verdict.valid == "violated"
    assert verdict.details[0].startswith("n2 line 2: ")


@pytest.mark.parametrize("code", [1, 3, -6, -11, 137])
def test_a_process_that_ended_otherwise_is_violated(code: int, tmp_path: Path) -> None:
    """An error, an abort, a segmentation fault."""
    verdict = Logs().check(logged(n3=code).run(tmp_path))

    assert verdict.valid == "violated"
    assert f"n3: its process ended with code {code}" in verdict.details


def test_a_log_full_of_it_is_quoted_a_few_times(tmp_path: Path) -> None:
    """Five lines of each file."""
    verdict = Logs().check(logged("panic: x\n" * 50).run(tmp_path))

    assert len(verdict.details) == 5


def test_words_in_other_words_are_fine(tmp_path: Path) -> None:
    """Debugging is not a BUG."""
    assert Logs().check(logged("DEBUGGING a bug, no panicking\n").run(tmp_path)).valid == "held"


def test_logs_that_are_missing_are_unknown(tmp_path: Path) -> None:
    """One of them, all of them, or the exit codes."""
    for name in "abc":
        (tmp_path / name).mkdir()
    one = logged()
    del one.files["nodes/n3/node.log"]

    assert Logs().check(one.run(tmp_path / "a")).valid == "unknown"
    assert Logs().check(Story(exit_codes={"n1": 0}).run(tmp_path / "b")).valid == "unknown"
    assert Logs().check(logged().cut_short().run(tmp_path / "c")).valid == "unknown"


def test_somebody_elses_cluster_has_no_logs_here(tmp_path: Path) -> None:
    """That is skipped, with the reason."""
    verdict = Logs().check(Story(exit_codes={}).run(tmp_path))

    assert verdict.valid == "skipped"
    assert "somebody else" in verdict.summary
