"""Disks that are full, stand still again and again, or fail.

Each is the victim's own (targets/disks.py), so nothing but the node's data is hit. A disk that failed is no disk any
more: the product must neither go on nor try to sync again, and comes back when the disk was replaced.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import Admin
from chaos.targets.base import DISK, PROCESS, SEAL, TargetError
from chaos.targets.keys import wait_until

from .power import powered_on
from .process import revived

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chaos.targets.base import Target

    from .base import Scene

REFILL_S: Final = 0.02
STALLS_S: Final = (0.05, 0.1, 0.3, 0.6)
BREATH_S: Final = 0.02  # between two stalls, so that something gets done
END_S: Final = 8.0
ASK_S: Final = 2.0
FULL: Final = "the disk is full"  # what /readyz says then


class _Repeated:
    """Something done to the victims' disks again and again, in a thread, while the fault holds."""

    @staticmethod
    def begin(scene: Scene, turn: Callable[[], float]) -> None:
        """`turn` is called until `end`; it says after how many seconds to call it again."""
        stop = threading.Event()

        def turns() -> None:
            while not stop.is_set():
                try:
                    wait_s = turn()
                except OSError:  # no power, or not mounted: another fault's; it may be there again in a moment
                    wait_s = BREATH_S
                stop.wait(wait_s)

        thread = threading.Thread(target=turns, name="disk", daemon=True)
        scene.notes.update(stop=stop, thread=thread)
        thread.start()

    @staticmethod
    def end(scene: Scene) -> None:
        """No further turn; twice or without `begin` nothing."""
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()


class Full:
    """A file takes every free block, and every block that becomes free while the fault holds."""

    name: ClassVar[str] = "disk-full"
    about: ClassVar[str] = "fills the disks of nodes, and keeps them full"
    needs: ClassVar[frozenset[str]] = frozenset({DISK})
    write_gap_s: ClassVar[float] = 3.0
    colour: ClassVar[str] = "#e7ba52"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        disks = [scene.target.disk(node) for node in nodes]
        scene.notes.update(nodes=list(nodes), refilled=0)
        filled = sum(disk.fill() for disk in disks)
        full = [disk for disk in disks if disk.is_full]

        def refill() -> float:
            scene.notes["refilled"] += sum(disk.fill() for disk in disks)
            return REFILL_S

        _Repeated.begin(scene, refill)
        return {"took_effect": bool(disks) and len(full) == len(disks), "filled_bytes": filled, "full": len(full)}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis. `noticed` is how many nodes said so themselves: they ask for space only when a segment ends."""
        _Repeated.end(scene)
        nodes = scene.notes.get("nodes", ())
        if "noticed" not in scene.notes:
            scene.notes["noticed"] = sum(says_full(scene.target, node) for node in nodes)
        for node in nodes:
            scene.target.disk(node).make_room()
        return {"refilled_bytes": scene.notes.get("refilled", 0), "noticed": scene.notes["noticed"]}


def _has_ended(target: Target, node: str) -> bool:
    return not target.pids(node)


def says_full(target: Target, node: str) -> bool:
    """The node says that its disk is full."""
    try:
        reply = Admin({node: target.url(node)}, "", target.ca_file).ask("GET", "/readyz", timeout_s=ASK_S)
    except OSError:
        return False
    return FULL in str(reply.body)


class Slow:
    """Disks stand still for 50 to 600 ms, many times: every sync waits."""

    name: ClassVar[str] = "disk-slow"
    about: ClassVar[str] = "lets the disks of nodes stand still for 50 to 600 ms, again and again"
    needs: ClassVar[frozenset[str]] = frozenset({DISK})
    write_gap_s: ClassVar[float] = 3.0
    colour: ClassVar[str] = "#e7cb94"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis. What took effect is what a write of ours felt."""
        disks = [scene.target.disk(node) for node in nodes]
        pause_s = scene.rng.choice(STALLS_S)
        scene.notes.update(nodes=list(nodes), stalls=0)
        felt_s = [disk.stall_s(pause_s) for disk in disks]

        def stall() -> float:
            try:
                for disk in disks:
                    disk.freeze()
                scene.notes["stop"].wait(pause_s)
            finally:
                for disk in disks:
                    disk.thaw()
            scene.notes["stalls"] += 1
            return BREATH_S

        _Repeated.begin(scene, stall)
        slowest = [round(felt, 3) for felt in felt_s]
        return {"took_effect": bool(disks) and min(felt_s) >= 0.9 * pause_s, "pause_s": pause_s, "felt_s": slowest}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        _Repeated.end(scene)
        for node in scene.notes.get("nodes", ()):
            scene.target.disk(node).thaw()
        return {"stalls": scene.notes.get("stalls", 0)}


class Error:
    """Every write and sync fails with EIO, as of a disk that has died; the process is left to find out."""

    name: ClassVar[str] = "disk-error"
    about: ClassVar[str] = "lets every write of a disk fail with EIO; its node must stop, and comes back on another"
    needs: ClassVar[frozenset[str]] = frozenset({DISK, PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 3.0
    colour: ClassVar[str] = "#8c6d31"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        for node in nodes:
            scene.target.disk(node).cut()
        failing = [node for node in nodes if scene.target.disk(node).fails]
        return {"took_effect": bool(nodes) and len(failing) == len(nodes), "failing": len(failing)}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis. A node that runs on without its disk is named: it should have ended by itself."""
        target, went_on = scene.target, []
        for node in scene.notes.get("nodes", ()):
            if not target.disk(node).fails:
                continue
            try:
                wait_until(partial(_has_ended, target, node), f"{node} ends without its disk", END_S)
            except TargetError:
                went_on.append(node)
        powered_on(scene)
        return {**({"went_on": went_on} if went_on else {}), **revived(scene)}
