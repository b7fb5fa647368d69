"""A node of the product, with a load generator and a stop-watch in its process: `python -m bench.node TOML SOCKET`.

A shell. The process is the one of `strongroom server`; the control socket is all that is added.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from node import build
from node import config as configuration
from node.service import Node

from . import control
from .load import Load
from .turns import Turns

SNAPSHOT_S = 120.0
POLL_S = 0.005


class BenchNode:
    """The node and what the bench may ask of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._turns = Turns()
        self._loads: list[Load] = []

    async def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One request. Raises what the work raises; the bench is told its type."""
        do = asked.pop("do")
        if do == "status":
            return self._status()
        if do == "load":
            load = Load(self.node, **asked)
            self._loads.append(load)
            try:
                return await load.run()
            finally:
                self._loads.remove(load)
        if do == "load.stop":
            for load in self._loads:
                load.stop()
            return {}
        if do == "turns.begin":
            self._turns.begin()
            return {}
        if do == "turns.end":
            return self._turns.end()
        if do == "snapshot":
            return await self._snapshot()
        raise ValueError("unknown request")

    def _status(self) -> dict[str, Any]:
        member = self.node.member
        replica = member.replica
        return {
            "leads": member.is_leader,
            "term": 0 if replica is None else replica.term,
            "applied_index": 0 if replica is None else replica.applied_index,
        }

    async def _snapshot(self) -> dict[str, Any]:
        """A snapshot is taken now and durable at the end; the seconds it took."""
        replica = self.node.member.running
        end_s = time.perf_counter() + SNAPSHOT_S
        while not replica.take_snapshot():  # one that is under way ends first
            if time.perf_counter() > end_s:
                raise TimeoutError("no snapshot could be begun")
            await asyncio.sleep(POLL_S)
        began_s, index = time.perf_counter(), replica.applied_index
        while replica.snapshot_index < index:
            if time.perf_counter() > end_s:
                raise TimeoutError("the snapshot did not end")
            await asyncio.sleep(POLL_S)
        return {"seconds": time.perf_counter() - began_s}


def main(toml: Path, socket: Path) -> int:
    """Serve until SIGTERM; the exit code."""
    loaded = configuration.load([toml], {}, {})
    if loaded.problems:
        raise SystemExit("\n".join(loaded.problems))
    socket.unlink(missing_ok=True)

    class Measured(Node):
        """The product's node and a control socket beside it."""

        async def start(self) -> None:
            """As the product's; then the socket stands."""
            await super().start()
            self.control = await control.listen(socket, BenchNode(self).handle)

    build.Node = Measured  # type: ignore[misc]  # so that everything around it is the product's, too
    return build.serve(loaded.config)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
