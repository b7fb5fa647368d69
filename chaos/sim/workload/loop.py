"""An event loop in simulated time: the product's coroutines run in the world's events, one life of a member each.

It has what coroutines of `node` and `cluster` ask of a running loop, and no more. What became ready runs in the order
in which it became so; a member that is paused runs nothing until it goes on, one that is down nothing ever again.

What a life leaves unfinished is kept and closed when the run is over, outermost coroutine first. Left to the garbage
collector, CPython 3.11 closes the inner one first, and reads freed memory where that ends the outer one (seed 8200056).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from ..journal import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from ..member import SimMember
    from ..world import World

Loop = asyncio.AbstractEventLoop
get_running: Callable[[], Loop | None] = asyncio._get_running_loop
set_running: Callable[[Any], None] = asyncio._set_running_loop


class SimLoop:
    """The loop of one life. No AbstractEventLoop: most of one would be left out."""

    def __init__(self, world: World, member: SimMember) -> None:
        self._self: Any = self
        self._world = world
        self._member = member
        self._life = member.life
        self._ready: deque[asyncio.Handle] = deque()
        self._due = False
        self._running = False
        self.on_mistake: Callable[[str], None] = lambda _what: None
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        world.at_end.append(self.close)

    @property
    def alive(self) -> bool:
        """The life goes on."""
        return self._member.alive and self._member.life == self._life

    # ---- what asyncio asks
    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As far as anybody asks."""
        return True

    def is_closed(self) -> bool:
        """As far as anybody asks."""
        return False

    def time(self) -> float:
        """The world's."""
        return self._world.now_s

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Ready now."""
        handle = asyncio.Handle(callback, args, self._self, context)
        self._ready.append(handle)
        if not self._due and not self._running:
            self._due = True
            self._world.at(0.0, self._turn)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ready after `delay` seconds."""
        handle = asyncio.TimerHandle(self._world.now_s + delay, callback, args, self._self, context)
        self._world.at(delay, self._timer, handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ready at `when`."""
        return self.call_later(max(0.0, when - self._world.now_s), callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self._self)

    def create_task(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this loop; it is silent if its life ends before it."""
        task: Any = asyncio.Task(coro, loop=self._self)
        task._log_destroy_pending = False  # lives end
        self._tasks[id(task)] = task
        task.add_done_callback(self._done)
        return cast("asyncio.Task[Any]", task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(id(task), None)

    def close(self) -> None:
        """Nothing waits any more. What a coroutine says to that is nobody's."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            with contextlib.suppress(Exception, asyncio.CancelledError, Ended):
                cast("Coroutine[Any, Any, Any]", task.get_coro()).close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A mistake of ours in a callback. What a dead life's futures held is nobody's."""
        if "handle" in context:
            self.on_mistake(type(context.get("exception")).__name__)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the world's heap and does nothing."""

    # ---- events of the world
    def _timer(self, handle: asyncio.TimerHandle) -> None:
        if self.alive and not handle.cancelled():
            self._ready.append(handle)
            self.turn()

    def _turn(self) -> None:
        self._due = False
        self.turn()

    def turn(self) -> None:
        """What is ready runs, with what becomes ready by it, unless the member stands still."""
        if not self.alive:
            self._ready.clear()
            return
        wait_s = self._member.paused_until_s - self._world.now_s
        if wait_s > 0 and not self._due:
            self._due = True
            self._world.at(wait_s + 1e-6, self._turn)
        if wait_s > 0 or self._running or self._member.inside:
            return
        self._member.guard(self._drain)

    def _drain(self) -> None:
        self._running = True
        before = get_running()
        set_running(self)
        try:
            while self._ready and self.alive:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            set_running(before)
            self._running = False
