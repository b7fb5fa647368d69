"""The simulator has teeth: each rule switched off alone is found within a few seeds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.sim.run import run
from cluster.raft.replica import Replica

if TYPE_CHECKING:
    from types import ModuleType

SEEDS_MAX = 40


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sim_mutants", Path(__file__).with_name("mutants.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MUTANTS = [
    mutant
    for mutant in vars(load()).values()
    if isinstance(mutant, type) and issubclass(mutant, Replica) and mutant is not Replica
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.__name__ for mutant in MUTANTS])
def test_a_mutant_is_caught(mutant: type[Replica]) -> None:
    """The right replica holds on the same seeds: test_sim."""
    for seed in range(1, SEEDS_MAX + 1):
        if run(seed, mutant).violations:
            return
    pytest.fail(f"{SEEDS_MAX} seeds hold without: {mutant.__doc__}")


def test_there_are_enough_of_them() -> None:
    """A mutant that is dropped is a rule that nobody watches."""
    assert len(MUTANTS) >= 15
