"""Links between nodes that are long, narrow or break: shapes of a direction, and packets where the target has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.targets.base import PACKETS, SHAPE, Shape

from .base import counted, grown

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from .base import Scene

CHANGED: Final = ("late_bytes", "late", "lost", "doubled", "reordered", "damaged", "overflowed")  # counts of targets


class Slow:
    """Every link of the victims is 20 to 200 ms long, both ways."""

    name: ClassVar[str] = "slow-links"
    about: ClassVar[str] = "links of the victims are 20 to 200 ms long"
    needs: ClassVar[frozenset[str]] = frozenset({SHAPE})
    write_gap_s: ClassVar[float] = 3.0
    colour: ClassVar[str] = "#ff7f0e"

    def shape(self, rng: random.Random) -> Shape:
        """What each direction becomes."""
        delay_s = rng.choice((0.02, 0.05, 0.1, 0.2))
        return Shape(delay_s=delay_s, jitter_s=delay_s / 10)

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        made = self.shape(scene.rng)
        scene.notes.update(nodes=list(nodes), before=counted(scene))
        for source, sink in _links(scene, nodes):
            scene.target.shape(source, sink, made)
        return {"took_effect": bool(nodes), "shape": {name: v for name, v in _said(made).items() if v}}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        found = grown(scene, CHANGED)
        for source, sink in _links(scene, scene.notes.get("nodes", ())):
            scene.target.shape(source, sink, Shape())
        return found


class Narrow(Slow):
    """Little bandwidth."""

    name: ClassVar[str] = "narrow-links"
    about: ClassVar[str] = "links of the victims carry 50 to 500 kB/s"
    colour: ClassVar[str] = "#ffbb78"

    def shape(self, rng: random.Random) -> Shape:
        """See Slow."""
        return Shape(bytes_per_s=rng.choice((50_000.0, 200_000.0, 500_000.0)))


class Loss(Slow):
    """Packets are lost, doubled, reordered and damaged."""

    name: ClassVar[str] = "loss"
    about: ClassVar[str] = "packets of the victims are lost, doubled, reordered and damaged"
    needs: ClassVar[frozenset[str]] = frozenset({PACKETS})
    write_gap_s: ClassVar[float] = 5.0
    colour: ClassVar[str] = "#bc8f00"

    def shape(self, rng: random.Random) -> Shape:
        """See Slow."""
        return Shape(
            delay_s=rng.choice((0.0, 0.005, 0.05)), jitter_s=rng.choice((0.0, 0.005)),
            loss=rng.choice((0.01, 0.05, 0.2)), duplicates=rng.choice((0.0, 0.05)),
            reordered=rng.choice((0.0, 0.1)), corrupted=rng.choice((0.0, 0.01)),
        )  # fmt: skip


def _links(scene: Scene, nodes: Sequence[str]) -> list[tuple[str, str]]:
    """Every direction from or to one of the nodes."""
    everybody = scene.target.nodes
    return [(a, b) for a in everybody for b in everybody if a != b and (a in nodes or b in nodes)]


def _said(shape: Shape) -> dict[str, float]:
    return {name: getattr(shape, name) for name in Shape.__dataclass_fields__}
