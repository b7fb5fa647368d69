"""Which checker catches which mutant of the product: `python -m tests.chaos.product_mutants_table`.

Each mutant's scenario is run with a few seeds until one of its catchers says "violated"; the twin, the product as it
is, must hold in the same scenario with the same seed (`--twins`). Exit 1 if one is missed, or a twin does not hold.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos import verdict
from chaos.check import every
from chaos.folder import RunFolder
from chaos.plan import expand, parse
from chaos.runner import execute, new_folder
from chaos.targets.base import TargetError
from chaos.targets.local import LocalTarget
from tests.chaos.product_mutants import MUTANTS, ProductMutant

if TYPE_CHECKING:
    from chaos.plan import Plan
    from chaos.targets.node import Node

ROOT: Final = Path(__file__).parents[2]
CAUGHT: Final = Path(__file__).with_name("product_mutants_caught.txt")


class MutantTarget(LocalTarget):
    """Nodes that run a mutant."""

    mutant = ""

    def _node(self, node: str, folder: Path) -> Node:
        made = super()._node(node, folder)
        made.command = (sys.executable, "-m", "tests.chaos.mutant_server", self.mutant)
        made.environ["PYTHONPATH"] = str(ROOT)
        return made


def played(plan: Plan, root: Path, mutant: str) -> dict[str, str]:
    """Checker → verdict of one run; {"target": why} if the mutant could not even be run."""
    folder = new_folder(plan, root)
    kind = type("Target", (MutantTarget,), {"mutant": mutant}) if mutant else LocalTarget
    try:
        execute(plan, folder, kind(folder.resolve(), plan.scenario.cluster), say=lambda _line: None)
        verdict.judge_folder(folder, lambda _line: None)
        run = RunFolder(folder)
        return {one.checker: one.valid for one in every.judge(run, verdict.names_of(run.plan))}
    except TargetError as error:
        return {"target": str(error)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def caught(mutant: ProductMutant, root: Path, first: int) -> tuple[str, int, float]:
    """(which catcher, in how many runs, after how many seconds); "" if none."""
    began_s = time.monotonic()
    for number in range(mutant.seeds):
        said = played(expand(parse(mutant.scenario), first + number, "local"), root, mutant.name)
        found = [name for name in mutant.catchers if said.get(name) == "violated"]
        if found:
            return found[0], number + 1, time.monotonic() - began_s
        print(f"  {mutant.name}, seed {first + number}: {said}", flush=True)
    return "", mutant.seeds, time.monotonic() - began_s


def main() -> int:
    """Print a line for each; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="these alone")
    parser.add_argument("--rotate", type=int, default=0, help="so many, other ones each day")
    parser.add_argument("--twins", action="store_true", help="and the product as it is, in the same scenarios")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write their lines of the table to its file")
    said = parser.parse_args()
    names = list(said.only or MUTANTS)
    if said.rotate:
        today = dt.datetime.now(tz=dt.UTC).toordinal()
        names = [names[(today * said.rotate + at) % len(names)] for at in range(said.rotate)]
    lines, bad = [], 0
    with tempfile.TemporaryDirectory(prefix="strongroom-chaos-") as folder:
        for name in names:
            mutant = MUTANTS[name]
            checker, runs, seconds = caught(mutant, Path(folder), said.seed)
            line = f"{name:32} {checker or 'MISSED':12} {runs} run{'s' * (runs > 1)}, {seconds:.0f} s: {mutant.about}"
            bad += not checker
            if said.twins:
                twin = played(expand(parse(mutant.scenario), said.seed + runs - 1, "local"), Path(folder), "")
                wrong = {checker: valid for checker, valid in twin.items() if valid not in {"held", "skipped"}}
                bad += bool(wrong)
                line += f"; twin {wrong or 'held'}"
            lines.append(line)
            print(line, flush=True)
    if said.write:
        known = {line.split()[0]: line for line in [*CAUGHT.read_text(encoding="utf-8").splitlines(), *lines]}
        CAUGHT.write_text("".join(known[name] + "\n" for name in MUTANTS if name in known), encoding="utf-8")
    missed = [line.split()[0] for line in lines if " MISSED " in line]
    print(f"{len(names) - len(missed)} of {len(names)} caught" + "; missed: " * bool(missed) + ", ".join(missed))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
