"""The thread that does what may block for one device.

A shell. One job at a time is normal; jobs run in order. A job is delivered in the loop, exactly once.
A thread that finishes beside a busy loop is heard only when the interpreter switches, 5 ms later and more. So whoever
submits may linger: it waits without the interpreter lock, for a bounded moment in which a write to the page cache is
long done, and is otherwise told through the loop.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    Wake = Callable[[Callable[[], None]], Any]


class Job:
    """Some work and who is told of its result: a value, or the exception it raised."""

    __slots__ = ("_done", "_finished", "_guard", "_is_delivered", "_is_finished", "_result", "_tell", "_work")

    def __init__(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._work = work
        self._done = done
        self._guard = threading.Lock()
        self._finished = threading.Lock()
        self._finished.acquire()
        self._is_finished = False
        self._is_delivered = False
        self._tell = False
        self._result: Any = None

    def run(self, wake: Wake) -> None:
        """In the thread: the work is done, and the loop is woken if it asked to be."""
        try:
            self._result = self._work()
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave the device blocked for ever
            self._result = error
        with self._guard:
            self._is_finished = True
            tell = self._tell
        self._finished.release()
        if tell:
            wake(self.deliver)

    def settle(self, linger_s: float) -> bool:
        """In the loop: waits up to `linger_s`. True: the caller delivers now; False: the loop will be woken."""
        if linger_s > 0:
            self._finished.acquire(timeout=linger_s)
        with self._guard:
            self._tell = not self._is_finished
            return self._is_finished

    def deliver(self) -> None:
        """In the loop: the result is with whoever waits for it."""
        if not self._is_delivered:
            self._is_delivered = True
            self._done(self._result)


class Writer:
    """One thread. It ends with `close` or with the process, whatever a job is blocked in."""

    def __init__(self, name: str, wake: Wake) -> None:
        self._wake = wake
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> Job:
        """The job is under way; the caller settles it."""
        job = Job(work, done)
        self._jobs.put(job)
        return job

    def close(self) -> None:
        """Jobs that were submitted run, then the thread ends. Does not wait for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run(self._tell_loop)

    def _tell_loop(self, deliver: Callable[[], None]) -> None:
        try:
            self._wake(deliver)
        except RuntimeError:
            return  # the loop is closed: nobody waits for this any more


def tell(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    """What tells a future of a job's result, if anybody still waits for it."""

    def done(result: Any) -> None:
        if not future.done():
            future.set_result(result)

    return done
