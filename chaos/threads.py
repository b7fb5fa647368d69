"""Blocking work in a thread that is never left behind: who is cancelled while it goes on waits for its end first.

Without that, a fault could take effect, or a node start, after everything was healed and stopped.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def whole(work: Callable[..., T], *arguments: object) -> T:
    """What `work` returns. It has ended when this returns or raises, unless this is cancelled twice."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # it was asked for: nobody is left to tell it to
        raise
