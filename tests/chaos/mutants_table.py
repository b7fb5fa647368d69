"""`python -m tests.chaos.mutants_table`: every mutant, the rule it breaks, who catches it, how many seeds that takes.

`--seeds N` runs N seeds of each; `--first` stops at the first that catches; `--write` keeps the first one for the test;
names of mutants restrict it. Exit 1 if one is not caught, or if the right product does not hold where it was caught.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.chaos.mutants_base import catches, twin_says

if TYPE_CHECKING:
    from tests.chaos.mutants_base import AnyMutant

HERE = Path(__file__).parent
CAUGHT_BY = HERE / "mutants_caught.txt"
MODULES = [path.stem for path in sorted(HERE.glob("mutants*.py")) if path.stem not in {"mutants_base", "mutants_table"}]
SEEDS_MAX = 60


def all_mutants() -> list[AnyMutant]:
    """Every class of the mutants' modules that is one."""
    found = []
    for name in MODULES:
        module = importlib.import_module(f"tests.chaos.{name}")
        for thing in vars(module).values():
            mine = isinstance(thing, type) and thing.__module__ == module.__name__
            if mine and not thing.__name__.startswith("_") and "caught_by" in vars(thing):
                found.append(thing)
    return found


class Caught(NamedTuple):
    """Where a mutant was last seen to be caught."""

    seed: int
    kind: str


def known() -> dict[str, Caught]:
    """What the file says: name, seed, kind."""
    lines = CAUGHT_BY.read_text(encoding="utf-8").splitlines() if CAUGHT_BY.exists() else []
    rows = [line.split(maxsplit=2) for line in lines if line and not line.startswith("#")]
    return {name: Caught(int(seed), kind) for name, seed, kind in rows}


def write(found: dict[str, Caught]) -> None:
    """The file, whole."""
    head = "# Mutant, a seed that catches it, and by what. Written by `python -m tests.chaos.mutants_table --write`."
    rows = [f"{name:36} {caught.seed:3} {caught.kind}" for name, caught in sorted(found.items())]
    CAUGHT_BY.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def rule(mutant: AnyMutant) -> str:
    """The first sentence of its docstring."""
    return " ".join((mutant.__doc__ or "").split())


def twin_holds(mutant: AnyMutant, seed: int) -> str:
    """What the right product says there that it should not; "" if nothing."""
    found = twin_says(mutant, seed)
    allowed = getattr(mutant, "right_says", ())
    if allowed:
        return "" if found.startswith(tuple(allowed)) else f"nothing of {allowed}, but {found!r}"
    return found


def search(mutant: AnyMutant, first: int, *, seeds: int, all_of_them: bool) -> tuple[Caught | None, int, int]:
    """The first seed from `first` on that catches, then from 1; how many caught, and how many were run."""
    caught: Caught | None = None
    count = ran = 0
    for at in range(seeds):
        seed = (first - 1 + at) % seeds + 1
        ran += 1
        if kind := catches(mutant, seed):
            count += 1
            caught = Caught(seed, kind) if caught is None or seed < caught.seed else caught
            if not all_of_them:
                break
    return caught, count, ran


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutants_table", description=__doc__)
    parser.add_argument("names", nargs="*", help="these mutants alone")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="of each, from 1 on")
    parser.add_argument("--first", action="store_true", help="stop at the first seed that catches")
    parser.add_argument("--write", action="store_true", help="keep the first seed of each for the test")
    arguments = parser.parse_args()
    kept, bad = known(), 0
    print("| mutant | the rule it breaks | caught by | first seed | seeds that catch it |\n|---|---|---|---|---|")
    for mutant in all_mutants():
        name = mutant.__name__
        if arguments.names and name not in arguments.names:
            continue
        start = kept[name].seed if arguments.first and name in kept else 1
        caught, count, ran = search(mutant, start, seeds=arguments.seeds, all_of_them=not arguments.first)
        share = f"{count} of {ran}"
        if caught is None:
            bad += 1
            print(f"| {name} | {rule(mutant)} | **nobody** | - | {share} |", flush=True)
            continue
        kept[name] = caught
        wrong = twin_holds(mutant, caught.seed)
        bad += bool(wrong)
        note = f"; **the right product says {wrong}**" if wrong else ""
        print(f"| {name} | {rule(mutant)} | {caught.kind}{note} | {caught.seed} | {share} |", flush=True)
    if arguments.write:
        write(kept)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
