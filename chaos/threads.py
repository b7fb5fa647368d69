"""Work that is never left behind, in a thread or side by side: who is cancelled waits for its end first.

Without that, a fault could take effect, or a node start, after everything was healed and stopped.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

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


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """All of them are done, or one has raised; none of them goes on when this returns or raises.

    asyncio.gather would return at the first that was cancelled, while another still waits for its thread.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        going = [task for task in tasks if not task.done()]
        for task in going:
            task.cancel()  # once: see `whole`
        if going:
            await asyncio.wait(going)
    for task in sorted(tasks, key=asyncio.Future.cancelled):  # who raised before those who were ended because of it
        task.result()
