"""The end of a run: nodes agree, every key is read on every node, files are searched; what was found is facts.

Invariant: a fact that could not be found is missing, and the checker that needs it says unknown.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from .restoring import worth
from .targets.base import FILES
from .workload import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from .api import Admin
    from .load import Load
    from .plan import Plan
    from .targets.base import Target
    from .watch import Watch

AGREE_S: Final = 40.0
READ_S: Final = 10.0
LOOK_S: Final = 0.2


class Ending:
    """See the module's paragraph."""

    def __init__(
        self, plan: Plan, target: Target, admin: Admin, watch: Watch, load: Load, facts: dict[str, Any]
    ) -> None:
        self._plan = plan
        self._target = target
        self._admin = admin
        self._watch = watch
        self._load = load
        self._facts = facts

    async def run(self, broken: list[str]) -> None:
        """Everything that needs running nodes is found; `broken` never heal."""
        whole = [node for node in self._target.nodes if node not in broken]
        self._facts["whole"] = whole
        self._facts["digests"] = await asyncio.to_thread(self._agreed, whole)
        await self._load.final_reads(whole, READ_S)
        self._facts["read"] = True
        if self._target.sink is not None:
            keys_file = self._target.folder / "keys"
            self._facts["backup"] = await asyncio.to_thread(worth, self._target, self._admin, keys_file)

    def _agreed(self, nodes: list[str]) -> dict[str, list[Any]]:
        """[index, digest] of each, when they report the same index, or at the end of AGREE_S."""
        end_s = time.monotonic() + AGREE_S
        while True:
            found = {node: self._digest(node) for node in nodes}
            known = [one for one in found.values() if one is not None]
            if len(known) == len(nodes) and len({one[0] for one in known}) == 1:
                return {node: one for node, one in found.items() if one is not None}
            if time.monotonic() > end_s:
                return {node: one for node, one in found.items() if one is not None}
            time.sleep(LOOK_S)

    def _digest(self, node: str) -> list[Any] | None:
        try:
            reply = self._admin.ask("GET", "strongroom/status", node=node, timeout_s=3.0)
        except OSError:
            return None
        if reply.status != 200:
            return None
        return [reply.data.get("digest_index"), reply.data.get("digest")]

    @staticmethod
    def search(target: Target, folder: Path, facts: dict[str, Any]) -> None:
        """No node runs: everything that lies on disks is searched for the marker that every value contains."""
        if FILES not in target.abilities:
            return  # they are nobody's whom this process could ask
        from .check.grep import search

        places = [folder / "nodes", *(target.data_dir(node) for node in target.nodes)]
        if target.sink is not None:
            places.append(target.sink.folder)
        facts["plaintext"] = search(places, MARK)
