"""`python -m chaos.gate --night`: scenarios on every target of processes that can run them, and what they measured.

One JSON file with every number, rewritten after each run, so that an interrupted night is not lost, and beside it a
Markdown table for docs/verification.md. Runs that held are removed, the others stay.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from typing import TYPE_CHECKING, Final

from . import env, verdict
from .distributions import Collection
from .folder import RunFolder
from .gate import WORDS, Step, mutants, perform, power, runs, simulator
from .plan import all_named
from .targets.postgres import why_no_postgres
from .targets.seaweed import why_no_seaweed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .plan import Scenario

NOT_AT_NIGHT: Final = ("calm", "smoke", "soak")  # nothing is broken; part of others; as long as a night
SIM_S: Final = 60.0
REAL: Final = ("local", "netns", "compose")


def why_not(scenario: Scenario, target: str) -> str:
    """Why that scenario cannot be run there, here."""
    cluster = scenario.cluster
    reasons = {
        "netns": env.packets() if cluster.packets else env.namespaces(),
        "compose": env.containers(),
    }
    needed = {"postgres": why_no_postgres, "s3": why_no_seaweed}.get(cluster.backup, lambda: "")
    return reasons.get(target, "") or (env.disks() if cluster.disks else "") or needed()


def round_of(seed: int, folder: Path) -> Iterator[Step]:
    """Everything once; scenarios in an order of the seed, so that a short night is not always the same part."""
    yield simulator(seed, SIM_S)
    yield power(seed, cycles=100, faults=200, turns=10, rounds=5)
    named = [scenario for scenario in all_named() if scenario.name not in NOT_AT_NIGHT]
    pairs = [(scenario, target) for scenario in named for target in scenario.targets if target in REAL]
    random.Random(seed).shuffle(pairs)
    for scenario, target in pairs:
        name = f"{scenario.name}, {target}"
        yield runs(name, [scenario.name], target, seed, folder, why_not(scenario, target))
    yield mutants()


def night(seed: int, work: Path, for_s: float, out: Path, say: Callable[[str], None]) -> int:
    """The worst exit code of what was run until the time was over; the numbers are in `out` and beside it."""
    end_s = time.monotonic() + for_s
    collection = Collection()
    codes: list[int] = []
    number = 0
    while True:
        for step in round_of(seed + number * 10_000, work / "runs"):
            if time.monotonic() >= end_s:
                _write(collection, out, codes)
                say(f"{len(collection.runs)} runs; {out} and {out.with_suffix('.md')}")
                return verdict.worst_code(codes)
            outcome = perform(step, work / "night.log")
            codes.append(outcome.code)
            say(f"{outcome.name}: {outcome.word} ({outcome.seconds:.0f} s) {outcome.told}")
            collection.simulated.update(outcome.counts)
            if outcome.is_skipped:
                collection.skipped[outcome.name] = outcome.told
            elif outcome.code and not outcome.folders:
                collection.failures.append(f"{outcome.name}: {outcome.told}")
            for folder in outcome.folders:
                collection.add(RunFolder(folder), outcome.seconds / len(outcome.folders))
                if outcome.code == 0:
                    shutil.rmtree(folder, ignore_errors=True)
            _write(collection, out, codes)
        number += 1


def _write(collection: Collection, out: Path, codes: list[int]) -> None:
    said = {**collection.as_json(), "codes": {WORDS[code]: codes.count(code) for code in sorted(set(codes))}}
    new = out.with_suffix(".new")
    new.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    new.replace(out)
    out.with_suffix(".md").write_text("\n".join(collection.table()) + "\n", encoding="utf-8")
