"""Writers of a steady rate in one process: `python -m tests.backup.pushing`, told by its input.

They are those of tests/network; each begins a write when it is due and not before, so that the rate offered is the
same whatever an answer takes. `freeze` is for the moment at which every node has been killed: nobody asks again, and
what is open stays open.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from chaos.net.control import obey
from tests.network.writers import Plan, Writers

BEHIND_MAX_S = 0.25  # who is further behind than that does not catch up: the offered rate was not reached


@dataclass
class Pushers(Writers):
    """See the module's paragraph. The plan's `pace_s` is from one write of a writer to its next."""

    _due_s: dict[asyncio.Task[Any], float] = field(default_factory=dict)

    async def _rest(self, seconds: float) -> None:
        task, now_s = asyncio.current_task(), time.monotonic()
        assert task is not None
        due_s = max(self._due_s.get(task, now_s) + seconds, now_s - BEHIND_MAX_S)
        self._due_s[task] = due_s
        if due_s > now_s:
            await super()._rest(due_s - now_s)

    async def freeze(self) -> dict[str, Any]:
        """Nobody writes, and no open write is asked for again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._file.close()
        return self.numbers() | {"unexpected": self.unexpected, "unresolved": []}


async def main() -> None:
    """Do as told until the input ends."""
    pushers: list[Pushers] = []

    async def handle(asked: dict[str, Any]) -> dict[str, Any]:
        do = asked.pop("do")
        if do == "start":
            pushers.append(Pushers(Plan(**asked)))
            pushers[-1].start()
            return {}
        if do == "numbers":
            return pushers[-1].numbers()
        if do == "stop":
            return await pushers[-1].stop()
        if do == "freeze":
            return await pushers[-1].freeze()
        raise ValueError("unknown command")

    await obey(handle)


if __name__ == "__main__":
    uvloop.run(main())
