"""Nodes that die at one exact place of the product's code, and are started again without that.

The product says on standard error where it died (STRONGROOM_DEV_FAILPOINTS, profile dev alone), so the log of the node
proves that it was there. What may break is everything around syncs and renames: what was acknowledged and is not on
the disk, what is on the disk and was never acknowledged, a term that was used and forgotten.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.targets.base import FAILPOINTS, PROCESS, SEAL, TargetError
from chaos.targets.keys import wait_until

from .process import revived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.targets.base import Target

    from .base import Scene

VARIABLE: Final = "STRONGROOM_DEV_FAILPOINTS"
ANYWHERE: Final = (
    "journal.before-write", "journal.after-write", "journal.before-sync", "journal.after-sync",
    "ballot.before-sync", "ballot.after-sync", "audit.before-write", "audit.after-write",
    "answer.before-send", "answer.after-send",
)  # fmt: skip
"""Reached by every node under load. Others are for the options: they need a leader, a snapshot, a backup."""
SHARES: Final = (1.0, 0.2, 0.02)
DIE_S: Final = 12.0


class Failpoints:
    """Each victim is stopped in order and started with a place to die at: `point` and `share` of the options, or drawn.
    It has died there when the fault begins to hold, and is started without one when the fault ends.
    """

    name: ClassVar[str] = "failpoints"
    about: ClassVar[str] = "lets nodes die at named places of the code: around writes, syncs, answers, audit records"
    needs: ClassVar[frozenset[str]] = frozenset({FAILPOINTS, PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#843c39"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        target = scene.target
        point = str(scene.notes.get("point", scene.rng.choice(ANYWHERE)))
        drawn = 1.0 if point.startswith("ballot.") else scene.rng.choice(SHARES)  # ballots are few
        share = float(scene.notes.get("share", drawn))
        scene.notes["nodes"] = list(nodes)
        said = {node: _said(target, node, point) for node in nodes}
        for node in nodes:
            target.terminate(node)
            target.environ(node)[VARIABLE] = f"{point}=kill:{share:g}"
            with contextlib.suppress(TargetError):  # it may die before it has its keys
                target.revive(node)
        with contextlib.suppress(TargetError):
            wait_s = float(scene.notes.get("wait_s", DIE_S))
            wait_until(lambda: not any(map(target.pids, nodes)), "the victims die", wait_s)
        died = [node for node in nodes if not target.pids(node) and _said(target, node, point) > said[node]]
        for node in nodes:
            target.environ(node).pop(VARIABLE, None)
            target.kill(node)  # the place may not have been reached
        return {"took_effect": bool(died), "point": point, "share": share, "died": len(died)}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        for node in scene.notes.get("nodes", ()):
            scene.target.environ(node).pop(VARIABLE, None)
        return revived(scene)


def _said(target: Target, node: str, point: str) -> int:
    """How often the node's log says that it died there."""
    log = target.folder / "nodes" / node / "node.log"
    return log.read_bytes().count(f"failpoint {point}: killed\n".encode())
