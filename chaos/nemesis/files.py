"""Data folders that rot, are put back from an old copy, or are lost: what a disk or a restore does to one node.

Whatever is asked for, one node at a time is hit, and none while another that was hit has not been brought up again:
else a majority could lose what it acknowledged, and no product could help that. Which bytes change is damage.py's.
"""

from __future__ import annotations

import shutil
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self
from weakref import WeakKeyDictionary

from chaos.api import Admin
from chaos.targets.base import FILES, PROCESS, SEAL, TargetError
from chaos.targets.disks import sync
from chaos.targets.keys import wait_until

from .damage import choose, copied, damage, emptied

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.targets.base import Target

    from .base import Scene

AHEAD_ENTRIES: Final = 30  # what a node has done since its copy was taken, before the copy is put back
AHEAD_S: Final = 10.0
WHOLE_S: Final = 60.0
OTHER_S: Final = 30.0
SETTLE_S: Final = 1.5  # a node learns from the others that its folder is an old one: not before they have met
RECOVERING: Final = "lost a part of its log"  # what /readyz says then
SERVES: Final = 200
LOOK_S: Final = 0.02
_lock: Final = threading.Lock()
_damaged: Final[WeakKeyDictionary[Target, set[str]]] = WeakKeyDictionary()


# ---- one node at a time
def claimed(target: Target, node: str) -> bool:
    """The node may be damaged now, for no other is; until `released`."""
    with _lock:
        hit = _damaged.setdefault(target, set())
        if hit - {node}:
            return False
        hit.add(node)
        return True


def released(target: Target, node: str) -> None:
    """It has everything again."""
    with _lock:
        _damaged.setdefault(target, set()).discard(node)


class _Status(Protocol):
    """What a node says of itself, None if nothing."""

    def __call__(self) -> dict[str, Any] | None: ...


def status_of(target: Target, node: str) -> _Status:
    """Asks it."""
    admin = Admin({node: target.url(node)}, target.token, target.ca_file)

    def ask() -> dict[str, Any] | None:
        try:
            reply = admin.ask("GET", "strongroom/status", timeout_s=2.0)
        except OSError:
            return None
        return dict(reply.data) if reply.status == 200 else None

    return ask


class _Damaging(ABC):
    """A node is killed, something happens to its folder, and it is started again when the fault ends."""

    name: ClassVar[str] = ""
    about: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset({FILES, PROCESS, SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#637939"

    @abstractmethod
    def happen(self, scene: Scene, node: str, data: Path) -> dict[str, Any]:
        """To the folder of a node that does not run; {"took_effect": …, facts}."""

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis. Another node that was hit and is not whole yet is waited for; after OTHER_S nothing is done."""
        if not nodes:
            return {"took_effect": False}
        node = scene.rng.choice(list(nodes))
        try:
            wait_until(lambda: claimed(scene.target, node), "no other node is damaged", OTHER_S)
        except TargetError:
            return {"took_effect": False, "why": "another node has not been brought up again"}
        scene.notes["node"] = node
        scene.target.kill(node)
        return {"node": node, **self.happen(scene, node, scene.target.data_dir(node))}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis. The node serves and has everything again; a folder that it refuses is emptied, as by hand."""
        node, target = scene.notes.get("node"), scene.target
        if node is None:
            return {}
        facts: dict[str, Any] = {}
        with Onlooker(target, node) as onlooker:
            try:
                target.revive(node)
            except TargetError as error:
                facts.update(refused=str(error), replaced=True)
                target.kill(node)
                emptied(target.data_dir(node))
                target.revive(node)
            wait_until(lambda: onlooker.served_s() >= SETTLE_S, f"{node} is whole again", WHOLE_S)
        released(target, node)
        return {**facts, "seen_recovering": onlooker.saw_recovering}


class Onlooker:
    """Asks a node without a token whether it serves, again and again: one that is being brought up answers no other."""

    def __init__(self, target: Target, node: str) -> None:
        self._node = node
        self._admin = Admin({node: target.url(node)}, "", target.ca_file)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name=f"onlooker of {node}", daemon=True)
        self._since_s: float | None = None
        self.saw_recovering = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def served_s(self) -> float:
        """For how long it has served without a break."""
        return 0.0 if self._since_s is None else time.monotonic() - self._since_s

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                reply = self._admin.ask("GET", "/readyz", timeout_s=2.0)
            except OSError:
                self._since_s = None
                continue
            self.saw_recovering |= RECOVERING in str(reply.body)
            if reply.status != SERVES:
                self._since_s = None
            elif self._since_s is None:
                self._since_s = time.monotonic()


class Rot(_Damaging):
    """Bits of one file turn, or its end is gone."""

    name: ClassVar[str] = "rot"
    about: ClassVar[str] = "turns bits of one node's journal or snapshots, or cuts off their end, while it is down"

    def happen(self, scene: Scene, node: str, data: Path) -> dict[str, Any]:  # noqa: ARG002
        """See _Damaging."""
        file = choose(data, scene.rng)
        if file is None:
            return {"took_effect": False, "why": "it has neither journal nor snapshot"}
        before = file.read_bytes()
        how = damage(before, scene.rng)
        with file.open("r+b") as opened:
            opened.write(how.applied(before))
            opened.truncate()
        sync(file)
        return {
            "took_effect": file.read_bytes() != before, "file": str(file.relative_to(data)), "damage": how.kind,
            "flips": [list(flip) for flip in how.flips], "size": len(before), "size_after": file.stat().st_size,
        }  # fmt: skip


class Wipe(_Damaging):
    """The disk was lost: a node with an empty folder, and the same name."""

    name: ClassVar[str] = "wipe"
    about: ClassVar[str] = "empties the data folder of one node while it is down; the others must bring it up"
    colour: ClassVar[str] = "#8ca252"

    def happen(self, scene: Scene, node: str, data: Path) -> dict[str, Any]:  # noqa: ARG002
        """See _Damaging."""
        count = emptied(data)
        return {"took_effect": count > 0 and not any(data.iterdir()), "entries": count}


class Rollback(_Damaging):
    """An old copy of the folder is put back: the node has promised more than it knows of."""

    name: ClassVar[str] = "rollback"
    about: ClassVar[str] = "puts an older copy of its data folder under one node; it must not vote with what it forgot"
    write_gap_s: ClassVar[float] = 3.0  # the node goes down twice
    colour: ClassVar[str] = "#b5cf6b"

    def happen(self, scene: Scene, node: str, data: Path) -> dict[str, Any]:
        """See _Damaging: the copy is taken now, and put back when the node has gone on for a while."""
        target = scene.target
        old = target.folder / "old" / node
        shutil.rmtree(old, ignore_errors=True)
        copied(data, old)
        try:
            target.revive(node)
            ask = status_of(target, node)
            wait_until(lambda: (ask() or {}).get("commit_index"), f"{node} says where it is")
            began = position(ask())
            behind = self._gone_on(ask, began)
            target.kill(node)
            emptied(data)
            copied(old, data)
        finally:
            shutil.rmtree(target.folder / "old", ignore_errors=True)
        return {"took_effect": behind > 0, "behind": behind}

    @staticmethod
    def _gone_on(ask: _Status, began: int) -> int:
        """How many entries the node has made durable since, at least AHEAD_ENTRIES unless time is up."""
        end_s = time.monotonic() + AHEAD_S
        while True:
            behind = position(ask()) - began
            if behind >= AHEAD_ENTRIES or time.monotonic() > end_s:
                return behind
            time.sleep(LOOK_S)


def position(said: dict[str, Any] | None) -> int:
    """The newest entry that the node has on stable storage, 0 if it does not say."""
    return int((said or {}).get("durable_index") or 0)
