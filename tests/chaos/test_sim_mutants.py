"""The simulator has teeth: each rule broken alone is found, and the right product holds on the same seed.

`python -m tests.chaos.mutants_table` prints mutant, checker and seeds. Where the simulation changed so that another
seed is the first, the test finds it by itself, as long as one of SEEDS_MAX does; `--first --write` keeps it, and the
test is quick again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.mutants_table import SEEDS_MAX, all_mutants, known, search, twin_holds

if TYPE_CHECKING:
    from tests.chaos.mutants_base import AnyMutant

MUTANTS = all_mutants()
CAUGHT = known()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.__name__ for mutant in MUTANTS])
def test_a_mutant_is_caught_where_the_right_product_holds(mutant: AnyMutant) -> None:
    """By one of the violations that it names, within SEEDS_MAX seeds from the known one on."""
    start = CAUGHT[mutant.__name__].seed if mutant.__name__ in CAUGHT else 1

    caught, _, ran = search(mutant, start, seeds=SEEDS_MAX, all_of_them=False)

    assert caught is not None, f"{ran} seeds do not find: {mutant.__doc__}"
    assert twin_holds(mutant, caught.seed) == "", f"the right product falls, too, at {caught}"


def test_there_are_enough_of_them_and_each_says_what_it_breaks() -> None:
    """A mutant that is dropped is a rule that nobody watches."""
    assert len(MUTANTS) >= 50
    assert len({mutant.__name__ for mutant in MUTANTS}) == len(MUTANTS)
    assert [mutant.__name__ for mutant in MUTANTS if not (mutant.__doc__ and mutant.caught_by)] == []


def test_the_known_seeds_are_of_mutants_that_exist() -> None:
    """Otherwise a mutant was dropped or renamed unseen."""
    assert set(CAUGHT) <= {mutant.__name__ for mutant in MUTANTS}
