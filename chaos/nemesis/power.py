"""Loss of power: the disks of the victims keep what was synced and nothing else, and their processes are gone.

The disks of all victims are cut together (chaos/disk cuts them within milliseconds of each other), then every process
is killed at once. In between a process may see its disk fail; whatever it does about that, it can make nothing durable
any more, and what it answers rests on what the others have on stable storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from chaos.disk.loop import cut_all
from chaos.targets.base import POWER, PROCESS, SEAL

from .process import revived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Scene


class Power:
    """The machines of the victims lose power, and start again when the fault ends."""

    name: ClassVar[str] = "power"
    about: ClassVar[str] = (
        "cuts the power of nodes, all victims at once: what was not synced is lost (also with select all or majority)"
    )
    needs: ClassVar[frozenset[str]] = frozenset({POWER, PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#843c39"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        target = scene.target
        had = [node for node in nodes if target.pids(node)]
        spread_s = cut_all([target.disk(node) for node in nodes])
        for node in nodes:
            target.kill(node)
        dark = [node for node in nodes if target.disk(node).fails]
        dead = [node for node in had if not target.pids(node)]
        return {
            "took_effect": bool(dead) and len(dark) == len(nodes), "dark": len(dark), "killed": len(dead),
            "spread_ms": round(spread_s * 1e3, 3),
        }  # fmt: skip

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis. A disk that has power stays as it is."""
        powered_on(scene)
        return revived(scene)


def powered_on(scene: Scene) -> list[str]:
    """The disks of the fault that failed are mounted afresh, and nothing runs on those; which they were."""
    failed = [node for node in scene.notes.get("nodes", ()) if scene.target.disk(node).fails]
    for node in failed:
        scene.target.kill(node)
        scene.target.disk(node).again()
    return failed
