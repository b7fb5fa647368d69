"""When a node's process looks for garbage: hardly ever while it serves, and once it has been sealed.

It may touch the interpreter's collector, which is the process's: only whoever builds a process calls it.

Invariants
  G1  a full collection would stop the loop: none begins by itself, and what was loaded is looked at by none
  G2  a sealed node holds no state (cluster/member.py, M1): it stands in a cycle with what served it, and requests that
      were under way still hold it, so it is collected when the last of them has ended
Source: Python, "gc".
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .service import Node

THRESHOLDS = (10_000, 20, 1_000_000)
POLL_S = 0.1
WAIT_S = 60.0  # for requests that never end


def keep(node: Node) -> None:
    """The process collects as G1 and G2 say."""
    gc.set_threshold(*THRESHOLDS)
    node.on_opened = gc.freeze
    closed = node.on_closed

    async def collected() -> None:
        await closed()
        await _collect(node)

    node.on_closed = collected


async def _collect(node: Node) -> None:
    """G2; whoever opened the node meanwhile is not stopped."""
    member, end_s = node.member, node.member.clock.boot() + WAIT_S
    while member.sealed and node.metrics.in_flight and member.clock.boot() < end_s:  # noqa: ASYNC110 - a count is no event
        await asyncio.sleep(POLL_S)
    if member.sealed:
        gc.unfreeze()
        gc.collect()
