"""Processes that end, stand still, stutter, and restart one after another."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import Admin
from chaos.targets.base import PROCESS, SEAL, TargetError
from chaos.targets.keys import ready, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.targets.base import Target

    from .base import Scene

ARRIVES_S: Final = 1.0  # a signal, at the latest
LOOK_S: Final = 0.01
STROBE_S: Final = (0.02, 0.05, 0.1, 0.25)


class Kill:
    """SIGKILL; the process is started and unsealed again when the fault ends."""

    name: ClassVar[str] = "kill"
    about: ClassVar[str] = "kills nodes with SIGKILL; each is started and unsealed again"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#d62728"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        had = {node: bool(scene.target.pids(node)) for node in nodes}
        for node in nodes:
            scene.target.kill(node)
        dead = [node for node in nodes if had[node] and not scene.target.pids(node)]
        return {"took_effect": bool(dead), "killed": len(dead)}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        return revived(scene)


class Pause:
    """SIGSTOP to every process of a node, SIGCONT when the fault ends."""

    name: ClassVar[str] = "pause"
    about: ClassVar[str] = "stops nodes with SIGSTOP, and lets them go on"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#9467bd"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        for node in nodes:
            scene.target.pause(node)
        stopped = _standing_still(scene.target, nodes)
        return {"took_effect": stopped > 0, "stopped": stopped}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        for node in scene.notes.get("nodes", ()):
            scene.target.resume(node)
        return {}


def _standing_still(target: Target, nodes: Sequence[str]) -> int:
    """How many processes stand still: all, as soon as the signal has arrived, which takes a while on a busy machine."""
    end_s = time.monotonic() + ARRIVES_S
    while True:
        stopped = sum(map(target.stopped, nodes))
        if stopped >= sum(len(target.pids(node)) for node in nodes) or time.monotonic() > end_s:
            return stopped
        time.sleep(LOOK_S)


class Strobe:
    """SIGSTOP and SIGCONT in quick turns: long enough for leases, too short for elections, and the other way round."""

    name: ClassVar[str] = "strobe"
    about: ClassVar[str] = "stops nodes and lets them go on, many times a second"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS})
    write_gap_s: ClassVar[float] = 3.0
    colour: ClassVar[str] = "#c5b0d5"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes.update(nodes=list(nodes), stop=threading.Event(), turns=0, seen=0)
        thread = threading.Thread(target=self._turns, args=(scene,), name="strobe", daemon=True)
        scene.notes["thread"] = thread
        thread.start()
        return {"took_effect": True}

    @staticmethod
    def _turns(scene: Scene) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.is_set():
            for node in scene.notes["nodes"]:
                scene.target.pause(node)
            stop.wait(scene.rng.choice(STROBE_S))
            scene.notes["seen"] += any(map(scene.target.stopped, scene.notes["nodes"]))
            for node in scene.notes["nodes"]:
                scene.target.resume(node)
            scene.notes["turns"] += 1
            stop.wait(scene.rng.choice(STROBE_S))

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
        for node in scene.notes.get("nodes", ()):
            scene.target.resume(node)
        turns, seen = scene.notes.get("turns", 0), scene.notes.get("seen", 0)
        return {"turns": turns, "seen_still": seen, "took_effect": seen > 0}


class Rolling:
    """Every node ends by SIGTERM and starts again, one after another, as an upgrade does; the victims set the order."""

    name: ClassVar[str] = "rolling"
    about: ClassVar[str] = "stops and starts every node in turn, each after the last one serves again"
    needs: ClassVar[frozenset[str]] = frozenset({PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#8c564b"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis: all of it happens here."""
        order = [node for node in scene.target.nodes if node not in nodes] + list(nodes)
        scene.notes["nodes"] = order
        codes = {}
        for node in order:
            codes[node] = scene.target.terminate(node)
            scene.target.revive(node)
            wait_until(partial(_serves, scene.target, node), f"{node} serves again")
        return {"took_effect": len(codes) == len(order), "codes": codes}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        return revived(scene)


def _serves(target: Target, node: str) -> bool:
    return ready(Admin({node: target.url(node)}, target.token, target.ca_file), node)


def revived(scene: Scene) -> dict[str, Any]:
    """Every node of the fault runs and has its keys again; one that could not is named."""
    failed = []
    for node in scene.notes.get("nodes", ()):
        try:
            scene.target.revive(node)
        except TargetError as error:
            failed.append(f"{node}: {error}")
    return {"not_revived": failed} if failed else {}
