"""What a mutant is: the product with exactly one rule broken, and the schedule that finds it out.

A subclass of `Replica`, or a subclass of `Mutant` whose `product` replaces something else: a class of the journal, a
function of the start. `where` directs the options of a seed, for rules that random seeds test too seldom; `caught_by`
names the violations that may say so, because a mutant that falls for another reason is a broken mutant.
No product code has a switch that weakens a rule: all of this lives in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from chaos.sim import stage
from chaos.sim.options import Options, expand
from chaos.sim.run import run
from chaos.sim.scripts import SCRIPTS, Script
from chaos.sim.workload.half import Product
from cluster.raft.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.sim.world import World

OWN = "own"  # how a script of the tests is called in the options
CALM = {"crash": 1.0}  # faults where a script plays always: none of them strikes


@dataclass(frozen=True)
class Where:
    """`config` and `script` as in chaos/sim; `play` a script of the tests; `changes` of the options, last of all."""

    config: str | None = None
    script: str | None = None
    play: Callable[[Any], Iterator[float]] | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    def options(self, seed: int) -> Options:
        """What the seed means here."""
        options = expand(seed, self.config, self.script)
        if self.play is not None:
            options = replace(options, script=OWN, script_share=1.0)
        return replace(options, **self.changes)

    def patches(self) -> tuple[tuple[Any, str, Any], ...]:
        """What makes the script known."""
        return () if self.play is None else ((stage, "SCRIPTS", {**SCRIPTS, OWN: Script(self.play)}),)


ANYWHERE = Where()
_TWINS: dict[str, str] = {}  # what the product says, by the options of the run


class Mutant:
    """A rule below the replica, broken. `right` is the product that must hold where the mutant falls."""

    product: ClassVar[Product]
    caught_by: ClassVar[tuple[str, ...]]
    where: ClassVar[Where] = ANYWHERE
    right: ClassVar[Product] = Product()
    right_says: ClassVar[tuple[str, ...]] = ()  # what the right product says, where something else is broken too


AnyMutant = type[Any]


def patched(*patches: tuple[Any, str, Any]) -> Product:
    """The product with these (place, name, what stands there)."""
    return Product(patches=patches)


def _at(product: Product, where: Where) -> Product:
    return replace(product, patches=(*product.patches, *where.patches()))


def run_mutant(mutant: AnyMutant, seed: int) -> World:
    """One seed of it."""
    where = getattr(mutant, "where", ANYWHERE)
    product = Product(replica=mutant) if issubclass(mutant, Replica) else mutant.product
    return run(seed, product=_at(product, where), options=where.options(seed))


def run_twin(mutant: AnyMutant, seed: int) -> World:
    """The right product on the same seed and options."""
    where = getattr(mutant, "where", ANYWHERE)
    return run(seed, product=_at(getattr(mutant, "right", Product()), where), options=where.options(seed))


def said(world: World) -> str:
    """The kind and words of what was violated, "" if nothing was."""
    return world.violations[0].partition(" ")[2] if world.violations else ""


def twin_says(mutant: AnyMutant, seed: int) -> str:
    """What the right product says there. Mutants that share seed, options and product share the run: it is the same."""
    where, right = getattr(mutant, "where", ANYWHERE), getattr(mutant, "right", Product())
    if where.play is not None or right != Product():
        return said(run_twin(mutant, seed))
    key = repr(where.options(seed))
    if key not in _TWINS:
        _TWINS[key] = said(run_twin(mutant, seed))
    return _TWINS[key]


def catches(mutant: AnyMutant, seed: int) -> str:
    """The violation by which this seed finds the mutant out, one that it names; "" if none does."""
    found = said(run_mutant(mutant, seed))
    return next((kind for kind in mutant.caught_by if found.startswith(kind)), "")
