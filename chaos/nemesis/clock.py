"""Wall clocks that jump, run at another rate, or go to and fro. Monotonic clocks are left alone: nobody sets those.

The product must not care: its time comes from the leader's stamps, and a node whose clock is far off neither stands nor
leads. What may break: expiry, certificates, write ids, the audit's times.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.targets.base import CLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Scene

JUMPS_S: Final = (-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0)
RATES: Final = (0.5, 0.9, 1.1, 2.0)
STEP_S: Final = 0.05


class Jump:
    """The wall clock of each victim is set to another time, and set right at the end."""

    name: ClassVar[str] = "clock-jump"
    about: ClassVar[str] = "sets the wall clock of nodes up to an hour off"
    needs: ClassVar[frozenset[str]] = frozenset({CLOCK})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#e377c2"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        offsets = {node: scene.rng.choice(JUMPS_S) for node in nodes}
        for node, offset_s in offsets.items():
            scene.target.set_clock(node, offset_s)
        return {"took_effect": bool(offsets), "offsets_s": offsets}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        for node in scene.notes.get("nodes", ()):
            scene.target.set_clock(node, 0.0)
        return {}


class _Moving(ABC):
    """A clock that is moved again and again while the fault holds."""

    name: ClassVar[str] = ""
    about: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset({CLOCK})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#f7b6d2"

    @abstractmethod
    def offset_s(self, scene: Scene, elapsed_s: float) -> float:
        """How far the clock is off after that time."""

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes.update(nodes=list(nodes), stop=threading.Event(), moves=0)
        thread = threading.Thread(target=self._move, args=(scene,), name=self.name, daemon=True)
        scene.notes["thread"] = thread
        thread.start()
        return {"took_effect": True}

    def _move(self, scene: Scene) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.wait(STEP_S):
            scene.notes["moves"] += 1
            offset_s = self.offset_s(scene, scene.notes["moves"] * STEP_S)
            for node in scene.notes["nodes"]:
                scene.target.set_clock(node, offset_s)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
        for node in scene.notes.get("nodes", ()):
            scene.target.set_clock(node, 0.0)
        moves = scene.notes.get("moves", 0)
        return {"moves": moves, "took_effect": moves > 0}


class Skew(_Moving):
    """Another rate."""

    name: ClassVar[str] = "clock-skew"
    about: ClassVar[str] = "lets the wall clock of nodes run at half to double speed"

    def offset_s(self, scene: Scene, elapsed_s: float) -> float:
        """See _Moving."""
        rate: float = scene.notes.setdefault("rate", scene.rng.choice(RATES))
        return elapsed_s * (rate - 1.0)


class ClockStrobe(_Moving):
    """To and fro."""

    name: ClassVar[str] = "clock-strobe"
    about: ClassVar[str] = "sets the wall clock of nodes to and fro by 200 ms"

    def offset_s(self, scene: Scene, elapsed_s: float) -> float:  # noqa: ARG002 - the same at any time
        """See _Moving."""
        return scene.rng.choice((-0.2, 0.0, 0.2))
