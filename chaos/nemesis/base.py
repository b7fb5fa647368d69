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

from chaos.targets.base import TargetError

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


def counted(scene: Scene) -> dict[str, int]:
    """What the target's network has done so far; {} if it cannot say: that must keep nobody from healing."""
    try:
        return scene.target.counts()
    except TargetError:
        return {}


def grown(scene: Scene, names: Sequence[str]) -> dict[str, Any]:
    """N1, asked while the fault holds: what was counted since `before` in the notes, and whether any of these grew.

    Of what nobody counts nothing is said.
    """
    before: dict[str, int] = scene.notes.get("before", {})
    after = counted(scene)
    found: dict[str, Any] = {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}
    if "before" in scene.notes and set(names) & set(after):
        found["took_effect"] = any(found.get(name, 0) > 0 for name in names)
    return found


def missing(nemesis: Nemesis, target: Target) -> str:
    """Why this nemesis cannot be used on that target; "" if it can."""
    lacking = sorted(nemesis.needs - target.abilities)
    return "; ".join(f"{ability}: {target.why_not(ability)}" for ability in lacking)
