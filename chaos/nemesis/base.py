"""What a nemesis is: it breaks one thing, and mends it.

Invariants
  N1  `inject` says what took effect, counted from outside (pids gone, packets dropped), never "done"
  N2  `heal` may be called twice, without `inject`, and after a half-done `inject`; it runs in `finally`, at exit and on
      signals, and is the only thing that may take long
  N3  a nemesis decides nothing about when and whom: that is the plan's
Source: Jepsen, nemesis.clj; CockroachDB, roachtest/tests/failover.go (Failer).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from chaos.targets.base import Target


@dataclass
class Scene:
    """What a nemesis works with."""

    target: Target
    rng: random.Random
    leader: str | None  # who led when the fault was due
    notes: dict[str, Any] = field(default_factory=dict)  # from inject to heal


class Nemesis(Protocol):
    """One kind of fault."""

    name: ClassVar[str]
    about: ClassVar[str]  # one sentence, for `chaos list`
    needs: ClassVar[frozenset[str]]  # abilities of the target
    write_gap_s: ClassVar[float]  # longest time without an acknowledged write that a fault of the leader may cause
    colour: ClassVar[str]  # of its band in reports

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """These nodes are broken; {"took_effect": bool, counts…} (N1)."""
        ...

    def heal(self, scene: Scene) -> dict[str, Any]:
        """Nothing that inject did is left (N2); what was counted while it held."""
        ...


def missing(nemesis: Nemesis, target: Target) -> str:
    """Why this nemesis cannot be used on that target; "" if it can."""
    lacking = sorted(nemesis.needs - target.abilities)
    return "; ".join(f"{ability}: {target.why_not(ability)}" for ability in lacking)
