"""The end of a run: nodes agree, every key is read on every node, files are searched; what was found is facts.

Invariant: a fact that could not be found is missing, and the checker that needs it says unknown. A digest counts only
with the index that it was taken at.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from .check.persisted import MAKERS
from .folder import RunFolder
from .journals import searched
from .restoring import worth
from .targets.base import FILES, SEAL
from .threads import whole
from .workload import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from .api import Admin
    from .load import Load
    from .plan import Plan
    from .targets.base import Target

AGREE_S: Final = 40.0
READ_S: Final = 10.0
LOOK_S: Final = 0.2


class Ending:
    """See the module's paragraph."""

    def __init__(self, plan: Plan, target: Target, admin: Admin, load: Load, facts: dict[str, Any]) -> None:
        self._plan = plan
        self._target = target
        self._admin = admin
        self._load = load
        self._facts = facts

    async def run(self, broken: list[str]) -> None:
        """Everything that needs running nodes is found; `broken` never heal."""
        nodes = [node for node in self._target.nodes if node not in broken]
        self._facts["whole"] = nodes
        self._facts["digests"] = await whole(self._agreed, nodes)
        self._facts["not_read"] = await self._load.final_reads(nodes, READ_S)
        self._facts["read"] = True
        if self._target.sink is not None:
            keys_file = self._target.folder / "keys"
            self._facts["backup"] = await whole(worth, self._target, self._admin, keys_file)

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
        index, digest = reply.data.get("digest_index"), reply.data.get("digest")
        return None if index is None or digest is None else [index, digest]

    @staticmethod
    def search(target: Target, folder: Path, facts: dict[str, Any]) -> None:
        """No node runs: what lies on disks is searched for the marker of all values, and journals for versions."""
        if FILES not in target.abilities:
            return  # they are nobody's whom this process could ask
        from .check.grep import search

        if facts.get("read") and SEAL in target.abilities:
            makers = {one.key for one in RunFolder(folder).operations if one.f in MAKERS}
            facts["journal"] = searched(target, makers, facts["digests"])
        places = [folder / "nodes", *(target.data_dir(node) for node in target.nodes)]
        if target.sink is not None:
            places.append(target.sink.folder)
        facts["plaintext"] = search(places, MARK)
