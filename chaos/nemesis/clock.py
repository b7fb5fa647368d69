"""Wall clocks that jump, run at another rate, or go to and fro. Monotonic clocks are left alone: nobody sets those.

The product must not care: its time comes from the leader's stamps, and a node whose clock is far off neither stands nor
leads. What may break: expiry, certificates, write ids, the audit's times.

That a clock is off is seen from outside, by what the node says the time is: whole seconds, so that one which is less
than a second off is seen only at some moments of a second.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import Admin
from chaos.targets.base import CLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.targets.base import Target

    from .base import Scene

JUMPS_S: Final = (-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0)
RATES: Final = (0.5, 0.9, 1.1, 2.0)
STEP_S: Final = 0.05
SEEN_S: Final = 3.0  # in which a jump shows itself
ASK_S: Final = 1.0
HEALTH: Final = "/v1/sys/health?standbyok=true&perfstandbyok=true"


def is_off(target: Target, node: str) -> bool:
    """Whether that node says a time that this machine's clock did not show while it was asked."""
    before_s = time.time()
    try:
        body = Admin({node: target.url(node)}, "", target.ca_file).ask("GET", HEALTH, timeout_s=ASK_S).body
    except OSError:
        return False
    said = body.get("server_time_utc") if isinstance(body, dict) else None
    return isinstance(said, int) and not int(before_s) <= said <= int(time.time())


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
        end_s = time.monotonic() + SEEN_S
        unseen = list(offsets)
        while unseen and time.monotonic() < end_s:
            unseen = [node for node in unseen if not is_off(scene.target, node)]
            time.sleep(STEP_S if unseen else 0.0)
        return {"took_effect": not unseen and bool(offsets), "offsets_s": offsets, "not_seen": unseen}

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
        scene.notes.update(nodes=list(nodes), stop=threading.Event(), moves=0, seen=0)
        thread = threading.Thread(target=self._move, args=(scene,), name=self.name, daemon=True)
        scene.notes.update(thread=thread, began_s=time.monotonic())
        thread.start()
        return {"took_effect": True}

    def _move(self, scene: Scene) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.wait(STEP_S):
            scene.notes["moves"] += 1
            offset_s = self.offset_s(scene, time.monotonic() - scene.notes["began_s"])
            for node in scene.notes["nodes"]:
                scene.target.set_clock(node, offset_s)
                scene.notes["seen"] += is_off(scene.target, node)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
        for node in scene.notes.get("nodes", ()):
            scene.target.set_clock(node, 0.0)
        moves, seen = scene.notes.get("moves", 0), scene.notes.get("seen", 0)
        return {"moves": moves, "seen_off": seen, "took_effect": seen > 0}


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
