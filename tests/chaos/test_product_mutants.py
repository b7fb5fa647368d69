"""The mutants of the product: their scenarios can be run, their catchers exist, and what they replace is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos import registry, verdict
from chaos.check import every
from chaos.plan import expand, parse
from tests.chaos.product_mutants import MUTANTS
from tests.chaos.product_mutants_table import CAUGHT

ROOT = Path(__file__).parents[2]
PATCH_ALL = """
from tests.chaos.product_mutants import MUTANTS
for mutant in MUTANTS.values():
    mutant.patch()
print(len(MUTANTS))
"""


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutants_scenario_asks_its_catchers(name: str) -> None:
    """They are checkers that judge the very run; its faults can be had without root."""
    mutant = MUTANTS[name]
    plan = expand(parse(mutant.scenario), 1, "local")
    asked = {*verdict.names_of(plan.as_json()), *every.ALWAYS}

    assert set(mutant.catchers) & asked
    assert set(mutant.catchers) <= every.CHECKERS.keys()
    assert all(registry.nemesis(step.nemesis).needs <= {"process", "partition", "seal"} for step in plan.steps)


def test_what_the_mutants_replace_is_there() -> None:
    """A patch of a name that the product no longer has fails here."""
    done = subprocess.run([sys.executable, "-c", PATCH_ALL], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == (str(len(MUTANTS)), "")


def test_every_mutant_was_caught_when_the_table_was_made() -> None:
    """By one of its catchers; the table is generated."""
    lines = CAUGHT.read_text(encoding="utf-8").splitlines()
    found = {line.split()[0]: line.split()[1] for line in lines}

    assert found.keys() == MUTANTS.keys()
    assert all(found[name] in mutant.catchers for name, mutant in MUTANTS.items())
    assert len(found) >= 15
