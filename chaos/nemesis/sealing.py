"""Nodes that are sealed while requests are under way, and unsealed again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import Admin
from chaos.targets import keys
from chaos.targets.base import SEAL, TargetError
from chaos.targets.keys import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Scene

NO_CONTENT: Final = 204
SEALED_S: Final = 10.0


def _sealed(admin: Admin) -> bool:
    return bool(admin.ask("GET", "sys/seal-status", timeout_s=3.0).body["sealed"])


class Seal:
    """`sys/seal` at each victim; its shares are given when the fault ends."""

    name: ClassVar[str] = "seal"
    about: ClassVar[str] = "seals nodes during load, and gives them their shares again"
    needs: ClassVar[frozenset[str]] = frozenset({SEAL})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#7f7f7f"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["nodes"] = list(nodes)
        target = scene.target
        sealed = 0
        for node in nodes:
            admin = Admin({node: target.url(node)}, target.token, target.ca_file)
            reply = admin.ask("PUT", "sys/seal", timeout_s=10.0)
            if reply.status == NO_CONTENT:
                wait_until(partial(_sealed, admin), f"{node} is sealed", SEALED_S)
                sealed += 1
        return {"took_effect": sealed > 0, "sealed": sealed}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        failed = []
        for node in scene.notes.get("nodes", ()):
            try:
                keys.unseal(scene.target.url(node), node, scene.target.shares, scene.target.ca_file)
            except TargetError as error:  # the others get theirs
                failed.append(f"{node}: {error}")
        return {"not_unsealed": failed} if failed else {}
