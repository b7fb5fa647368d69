"""The process of a simulated node, as far as it only has a life: its events, its pauses, and faults that wait inside.

Everything that the node does is an event of its process: a pause delays it, in its order, and the end of the life drops
it. A fault may wait for a look at the clock inside a handler, or for a change of the disk, and strike there.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from cluster.errors import FatalError

from .disk import SimDisk
from .journal import Ended
from .world import SimClock, World

if TYPE_CHECKING:
    from collections.abc import Callable

RESUMED_S = 1e-6


class SimProcess:
    """Of member `number` of the world. `crash` ends it; the disk outlives it."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.node_id = f"n{number + 1}"
        self.rng = random.Random(f"member {world.options.seed} {number}")
        self.disk = SimDisk()
        self.clock = SimClock(world, self.rng)
        self.life = 0
        self.alive = False
        self.paused_until_s = 0.0
        self.inside = False  # a handler of the replica runs
        self._postponed: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    @property
    def running(self) -> bool:
        """Alive and not paused."""
        return self.alive and self.paused_until_s <= self.world.now_s

    def crash(self, how: str, *, power: bool = False, down_s: float | None = None) -> None:  # noqa: ARG002 - see below
        """The process ends; with `power`, what was not synced may be lost too. See SimMember."""
        self.alive = False

    def _ended(self, ended: Ended) -> None:
        self.crash("power inside" if ended.power else "kill inside", power=ended.power)

    # ---- events
    def later(self, delay_s: float, call: Callable[..., None], *arguments: object) -> None:
        """Something that this life does after `delay_s`: later if it is paused then, never if it is over."""
        self.world.at(delay_s, self._in_process, self.life, call, arguments)

    def _in_process(self, life: int, call: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if not self.alive or self.life != life:
            return
        if self.paused_until_s > self.world.now_s:
            self.postpone(self._in_process, life, call, arguments)
        else:
            self.guard(call, *arguments)

    def postpone(self, action: Callable[..., None], *arguments: object) -> None:
        """An event that reaches a node that stands still happens when it goes on, in its order."""
        if not self._postponed:
            self.world.at(self.paused_until_s - self.world.now_s + RESUMED_S, self._catch_up, self.life)
        self._postponed.append((action, arguments))

    def _catch_up(self, life: int) -> None:
        if self.life != life or not self._postponed:
            return
        if self.paused_until_s > self.world.now_s:
            self.world.at(self.paused_until_s - self.world.now_s + RESUMED_S, self._catch_up, life)
            return
        self._release()

    def _release(self) -> None:
        postponed, self._postponed = self._postponed, []
        for action, arguments in postponed:
            self.world.at(0.0, action, *arguments)

    def go_on(self) -> None:
        """It stands still no longer."""
        if self.paused_until_s > self.world.now_s:
            # Not before the instant that its clock has reached already: it stood still inside a handler.
            self.paused_until_s = max(self.world.now_s, self.clock.reached_s)
            self.world.at(self.paused_until_s - self.world.now_s + RESUMED_S, self._catch_up, self.life)

    # ---- faults that wait inside
    def in_handler(self, steps: int, strike: Callable[[], None]) -> None:
        """Strike behind that many looks at the clock inside handlers of this life."""
        left = steps

        def count() -> None:
            nonlocal left
            if self.inside:
                left -= 1
                if left <= 0:
                    self.clock.on_reading = None
                    strike()

        self.clock.on_reading = count

    def at_operation(self, steps: int, strike: Callable[[], None]) -> None:
        """Strike before that many changes of the disk have happened."""
        left = steps

        def count(_operation: str) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                self.disk.on_operation = nothing
                strike()

        self.disk.on_operation = count

    def disarm(self) -> None:
        """No fault waits any more."""
        self.clock.on_reading = None
        self.disk.on_operation = nothing

    def guard(self, call: Callable[..., object], *arguments: object) -> None:
        """Run a handler; a broken invariant ends the run, a failed disk or an armed fault this life."""
        self.inside = True
        try:
            call(*arguments)
        except FatalError as error:
            self.world.violate("fatal", self.node_id, error)
        except Ended as ended:
            self._ended(ended)
        finally:
            self.inside = False
            self.clock.ahead_s = 0.0


def nothing(_operation: str) -> None:
    """No fault waits for an operation."""
