"""The simulated world: one heap of events, one random source, one true time; clocks that drift from it.

Everything that happens is an event; nothing waits. A node that is paused gets its events later; a node that is down
gets none. Deterministic: no set of unordered things is ever iterated, no wall clock read.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .options import Options

TICK_S = 0.04  # behind the last turn


class SimClock:
    """A node's clock in one life: random origin, a rate near 1 that changes about once a second, never back."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._at = world.now_s
        self._reading = 1000.0 + rng.random() * 1e6
        self._rate = self._draw()
        self._until = world.now_s + 1.0
        self.wall_offset_ns = 0
        self.ahead_s = 0.0  # inside a handler that stood still: how late it is there
        self.on_reading: Callable[[], None] | None = None

    def _draw(self) -> float:
        return 1.0 + self._world.options.drift * (2 * self._rng.random() - 1)

    def boot(self) -> float:
        """See cluster.seams.Clock."""
        if self.on_reading is not None:
            self.on_reading()
        now = self._world.now_s + self.ahead_s
        if now > self._at:
            self._reading += (now - self._at) * self._rate
            self._at = now
            if now > self._until:
                self._rate = self._draw()
                self._until = now + 0.5 + self._rng.random()
        self._reading += 1e-7  # a reading takes time: loops that wait for the clock end
        return self._reading

    @property
    def reached_s(self) -> float:
        """The world's time of the latest reading."""
        return self._at

    def wall_ns(self) -> int:
        """See cluster.seams.Clock."""
        return 1_700_000_000_000_000_000 + int((self._world.now_s + self.ahead_s) * 1e9) + self.wall_offset_ns


class SimRandom:
    """See cluster.seams.Random; from the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def bytes(self, count: int) -> bytes:
        """`count` bytes."""
        return self._rng.randbytes(count)

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return self._rng.random()


class World:
    """Time, events, randomness, trace and statistics."""

    def __init__(self, options: Options, *, trace: bool = False) -> None:
        self.options = options
        self.rng = random.Random(f"world {options.seed}")
        self.now_s = 0.0
        self.healed = False
        self.longest_way_s = 0.0  # that a message took so far
        self.violations: list[str] = []
        self.stats: Counter[str] = Counter()
        self.at_end: list[Callable[[], None]] = []
        self.trace_lines: list[str] | None = [] if trace else None
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, delay_s: float, action: Callable[..., None], *arguments: Any) -> None:
        """Let `action` happen after `delay_s`."""
        self._sequence += 1
        heapq.heappush(self._events, (self.now_s + delay_s, self._sequence, action, arguments))

    def run(self, until_s: float) -> None:
        """Let everything happen that is due before `until_s`, or until something is violated."""
        events, violations, pop, count = self._events, self.violations, heapq.heappop, 0
        while events and events[0][0] <= until_s and not violations:
            self.now_s, _, action, arguments = pop(events)
            count += 1
            action(*arguments)
        self.now_s = max(self.now_s, until_s)
        self.stats["events"] += count

    def close(self) -> None:
        """The verdict stands; what was left unfinished is let go."""
        verdict = list(self.violations)
        for action in self.at_end:
            action()
        self.at_end, self.violations = [], verdict

    def trace(self, *words: Any) -> None:
        """A line of the trace, if one is kept."""
        if self.trace_lines is not None:
            self.trace_lines.append(f"{self.now_s:9.4f} " + " ".join(str(word) for word in words))

    def violate(self, kind: str, *words: Any) -> None:
        """An invariant does not hold: the run ends."""
        line = f"{self.now_s:.4f} {kind} " + " ".join(str(word) for word in words)
        self.trace("VIOLATION", line)
        self.violations.append(line)
