"""The simulator: seeds of the product's own code hold, and the same seed is the same run, byte for byte."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.sim.options import expand
from chaos.sim.run import run
from chaos.sim.world import World

FIRST = 1
SEEDS = 200
CHUNK = 10
SEEN = [
    "fault: crash", "fault: power", "fault: blackout", "fault: partition", "fault: pause", "fault: reset",
    "fault: transfer", "fault: sync_failure", "fault: lost_log", "fault: slow_disk",
    "acknowledged", "unknown", "reads", "reads refused", "elections", "installs",
]  # fmt: skip
REGRESSIONS = Path(__file__).with_name("regression_seeds.txt")
TRACE = """
import hashlib, sys
from chaos.sim.run import run
world = run(int(sys.argv[1]), trace=True)
assert not world.violations, world.violations
print(len(world.trace_lines), hashlib.sha256("\\n".join(world.trace_lines).encode()).hexdigest())
"""


def regressions() -> list[int]:
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, CHUNK))
def test_seeds_hold(first: int) -> None:
    """Whatever crashes, loses power, stands still or is cut off: everything that checks.py and disks.py look at."""
    found = {seed: world.violations for seed in range(first, first + CHUNK) if (world := run(seed)).violations}

    assert found == {}


@pytest.mark.parametrize("seed", regressions())
def test_a_seed_that_found_something_once_holds(seed: int) -> None:
    """Replay one with `python -m chaos.sim --seed N --trace`."""
    assert run(seed).violations == []


@pytest.mark.parametrize("seed", [2, 3])
def test_a_seed_is_the_same_run_in_every_process(seed: int) -> None:
    """Whatever PYTHONHASHSEED is: nothing iterates what has no order."""
    root = Path(__file__).parents[2]
    said = {
        subprocess.run(
            [sys.executable, "-c", TRACE, str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4242")
    }
    world = run(seed, trace=True)
    assert world.trace_lines is not None
    digest = hashlib.sha256("\n".join(world.trace_lines).encode()).hexdigest()

    assert said == {f"{len(world.trace_lines)} {digest}\n"}


def test_seeds_are_not_all_alike() -> None:
    """Among the first hundred every kind of run is there."""
    drawn = [expand(seed) for seed in range(FIRST, FIRST + 100)]

    assert {options.nodes for options in drawn} == {3, 5}
    assert {options.datagram for options in drawn} == {False, True}
    assert len({options.log_entries_max for options in drawn}) == 3
    assert {options.batch_entries_max for options in drawn} == {2, 8, 4096}


def test_a_run_goes_through_everything_it_is_there_for() -> None:
    """Elections, crashes of every kind, lost logs, snapshots that are installed: no fault may fall asleep unseen."""
    total: dict[str, int] = {}
    for seed in range(FIRST, FIRST + 12):
        for name, count in run(seed).stats.items():
            total[name] = total.get(name, 0) + count

    assert [name for name in SEEN if not total.get(name)] == []


def test_a_violation_ends_the_run_and_says_what_it_was() -> None:
    """So that a broken rule is not lost among the rest."""
    world = World(expand(1))
    world.at(1.0, world.violate, "kind", "n1", 7)
    world.at(2.0, world.violate, "another")
    world.run(5.0)

    assert world.violations == ["1.0000 kind n1 7"]
