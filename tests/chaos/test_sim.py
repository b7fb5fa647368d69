"""The simulator: seeds of the product's own code hold, and the same seed is the same run, byte for byte."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from chaos.sim.campaign import Job, replay
from chaos.sim.options import CONFIGS, FAULTS, expand
from chaos.sim.run import run
from chaos.sim.scripts import SCRIPTS
from chaos.sim.world import World

ROOT = Path(__file__).parents[2]
CHUNKS = 4
CHUNK_S = 22.5  # of wall time; four of them are 90 s of a core. `make chaos`, which CI runs next, has its own
CHUNK_SEEDS_MIN = 50  # however long they take
CHUNK_DISTANCE = 100_000
FALLBACK = "5e9a1c0d"  # of a source tree without its history
SEEN_SEEDS = 3  # of each configuration
SEEN = [
    "acknowledged", "unknown", "reads", "elections", "depositions", "installs", "starts", "starts that recover",
    "crashes (kill)", "crashes (power)", "crashes (blackout)", "crashes (failed sync)", "failed starts", "full disks",
    "pauses inside",
]  # fmt: skip
REGRESSIONS = Path(__file__).with_name("regression_seeds.txt")
TRACE = """
import hashlib, sys
from chaos.sim.run import run
world = run(int(sys.argv[1]), trace=True)
assert not world.violations, world.violations
print(len(world.trace_lines), hashlib.sha256("\\n".join(world.trace_lines).encode()).hexdigest())
"""


def regressions() -> list[tuple[int, str | None, str | None]]:
    """(seed, configuration, script); `-` stands for what the seed draws."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    rows = [line.split()[:3] for line in lines if line and not line.startswith("#")]
    return [(int(row[0]), *(None if word == "-" else word for word in row[1:])) for row in rows]  # type: ignore[misc]


def commit() -> str:
    """The hash of the checked-out commit, without asking git; the fallback where there is no history."""
    folder = ROOT / ".git"
    if folder.is_file():  # of a worktree
        folder = ROOT / folder.read_text(encoding="ascii").removeprefix("gitdir:").strip()
    try:
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        common = folder / "commondir"
        places = [folder, folder / common.read_text(encoding="ascii").strip()] if common.is_file() else [folder]
        for place in places:
            if (place / name).is_file():
                return (place / name).read_text(encoding="ascii").strip()
            if (place / "packed-refs").is_file():
                for line in (place / "packed-refs").read_text(encoding="utf-8").splitlines():
                    if line.endswith(f" {name}"):
                        return line.split()[0]
    except OSError:
        pass
    return FALLBACK


def first_fresh() -> int:
    """Where this commit's own seeds begin: the same wherever it is tested."""
    return int(commit()[:8], 16)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_fresh_seeds_hold(chunk: int) -> None:
    """As many as the time allows, and never fewer than 200 in all; others with each commit."""
    first = first_fresh() + chunk * CHUNK_DISTANCE
    end_s = time.monotonic() + CHUNK_S
    found = {}
    seed = first
    while not found and (time.monotonic() < end_s or seed < first + CHUNK_SEEDS_MIN):
        if violations := run(seed).violations:
            found[replay(seed, Job(seed, 1))] = violations
        seed += 1
    print(f"{seed - first} seeds from {first}")

    assert found == {}


@pytest.mark.parametrize(("seed", "config", "script"), regressions())
def test_a_seed_that_found_something_once_holds(seed: int, config: str | None, script: str | None) -> None:
    """Replay one with `python -m chaos.sim --seed N --trace`, and the configuration and script if it names them."""
    assert run(seed, options=expand(seed, config, script)).violations == []


@pytest.mark.parametrize("seed", [2, 3])
def test_a_seed_is_the_same_run_in_every_process(seed: int) -> None:
    """Whatever PYTHONHASHSEED is: nothing iterates what has no order."""
    said = {
        subprocess.run(
            [sys.executable, "-c", TRACE, str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
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
    """Among the first 400 there is every configuration, every script and every way to heal."""
    drawn = [expand(seed) for seed in range(1, 401)]

    assert {options.nodes for options in drawn} == {3, 5}
    assert {options.datagram for options in drawn} == {False, True}
    assert {options.config for options in drawn} == set(CONFIGS)
    assert {options.script for options in drawn} == {None, *SCRIPTS}
    assert {options.core for options in drawn} == {None, "dead", "cut", "flapping"}
    assert {options.batch_entries_max for options in drawn} == {2, 8, 4096}


def test_a_configuration_and_a_script_can_be_forced() -> None:
    """What they fix is fixed; everything else is still the seed's."""
    free, forced = expand(5, config="tcp"), expand(5, config="damage", script="aba")

    assert (forced.config, forced.script) == ("damage", "aba")
    assert forced.faults["rot"] > free.faults["rot"]
    assert (forced.delay_s, forced.turn_s, forced.drift) == (free.delay_s, free.turn_s, free.drift)


def test_the_seeds_go_through_everything_they_are_there_for() -> None:
    """Every fault, crashes of every kind, snapshots that are installed: nothing may fall asleep unseen."""
    total: Counter[str] = Counter()
    for config in CONFIGS:
        for seed in range(1, SEEN_SEEDS + 1):
            total.update(run(seed, options=expand(seed, config)).stats)

    assert [name for name in (*SEEN, *(f"fault: {fault}" for fault in FAULTS)) if not total[name]] == []


def test_a_violation_ends_the_run_and_says_what_it_was() -> None:
    """So that a broken rule is not lost among the rest."""
    world = World(expand(1))
    world.at(1.0, world.violate, "kind", "n1", 7)
    world.at(2.0, world.violate, "another")
    world.run(5.0)

    assert world.violations == ["1.0000 kind n1 7"]
