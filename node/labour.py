"""Work that is too long for the loop: run in a few threads, a bounded number of it waiting.

A shell. For what releases the interpreter's lock for nearly all of its time: hashes of passwords, keys of RSA. Whoever
comes when too much waits is told to come again: a storm of logins must not become memory. Logins have threads and a
bound of their own, and so has what waits for other servers (`Errand`), a share for each of them: whoever has keys made,
or has a server that does not answer, keeps nobody else from logging in.
"""

from __future__ import annotations

import asyncio
import enum
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import OverloadedError

from .engines.base import Errand

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))  # of all kinds of work; each kind has one at least
ERRANDS = 16  # threads that wait for other servers
ERRANDS_EACH = 4  # of them, for one of those servers
WAITING_MAX = 128  # of one kind, or for one server
ERRANDS_WAITING_MAX = 4 * WAITING_MAX  # for all of them


class Kind(enum.StrEnum):
    """Whose work it is. Each kind has threads of its own."""

    LOGIN = "logins"  # of auth methods
    ENGINE = "keys"  # of secrets engines


def kind_of(path: str) -> Kind:
    """The kind of work that a request to this path asks for."""
    return Kind.LOGIN if path.startswith("auth/") else Kind.ENGINE


class Labourers:
    """The threads of one node. They begin with the first piece of work."""

    def __init__(self) -> None:
        share = max(1, THREADS // len(Kind))
        self._work = {kind: _Pool(share, f"labour-{kind}", f"too many {kind} are being worked on") for kind in Kind}
        self._errands = _Errands()

    async def run(self, work: Callable[[], Any], kind: Kind = Kind.ENGINE) -> Any:
        """What the work returns; raises what it raises. Raises OverloadedError if too much of its kind waits."""
        return await (self._errands.run(work) if isinstance(work, Errand) else self._work[kind].run(work))

    def close(self) -> None:
        """No more begins. What runs is not waited for."""
        for pool in self._work.values():
            pool.close()
        self._errands.close()


class _Pool:
    def __init__(self, threads: int, name: str, overload: str) -> None:
        self._threads = threads
        self._name = name
        self._overload = overload
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        if self._waiting >= WAITING_MAX:
            raise OverloadedError(self._overload)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


@dataclass(slots=True)
class _Lane:
    """Of one place that is asked: how many wait, and whose turn it is."""

    turn: asyncio.Semaphore
    waiting: int = 0


class _Errands:
    """Nobody's server has more than a share of the threads, however many wait for it."""

    def __init__(self) -> None:
        self._pool = _Pool(ERRANDS, "errand", "too many logins wait for other servers")
        self._lanes: dict[bytes, _Lane] = {}
        self._is_closed = False

    async def run(self, errand: Errand) -> Any:
        """What came of it. Raises OverloadedError if too many wait for the same server, or for all of them."""
        lane = self._lanes.get(errand.whom) or _Lane(asyncio.Semaphore(ERRANDS_EACH))
        waiting = sum(each.waiting for each in self._lanes.values())
        if lane.waiting >= WAITING_MAX or waiting >= ERRANDS_WAITING_MAX:
            raise OverloadedError("too many logins wait for another server")
        self._lanes[errand.whom] = lane
        lane.waiting += 1
        try:
            async with lane.turn:
                if self._is_closed:
                    raise OverloadedError("the node is stopping")
                return await self._pool.run(errand)
        finally:
            lane.waiting -= 1
            if not lane.waiting:
                self._lanes.pop(errand.whom, None)

    def close(self) -> None:
        self._is_closed = True
        self._pool.close()
