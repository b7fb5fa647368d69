"""Work that is too long for the loop: run in a few threads, a bounded number of it waiting.

A shell. For what releases the interpreter's lock for nearly all of its time: hashes of passwords, keys of RSA. Whoever
comes when too much waits is told to come again: a storm of logins must not become memory.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cluster import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))
WAITING_MAX = 128


class Labourers:
    """The threads of one node. They begin with the first piece of work."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """What the work returns; raises what it raises. Raises OverloadedError if too much waits."""
        if self._waiting >= WAITING_MAX:
            raise OverloadedError("too many logins or keys are being worked on")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="labour")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """No more begins. What runs is not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
