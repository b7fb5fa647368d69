"""Random histories of one register, right ones and wrong ones: what the checkers are tried on (selftest.py). Pure.

Each operation takes effect at one instant between its invocation and its return, or never; a bug is built in by giving
a read an older state, by forgetting a write that is acknowledged, or by refusing a cas that should have been done.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from chaos.history import Operation

if TYPE_CHECKING:
    import random

    from chaos.history import Outcome

BUGS: Final = ("", "stale", "lost", "refused", "twice", "early")
NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What a history is like. `bug_share`: of the operations it can hit."""

    operations: int = 40
    processes: int = 4
    unknown_share: float = 0.0
    bug: str = ""
    bug_share: float = 0.05
    values: int = 0  # so many different ones; 0: each write has its own


@dataclass(slots=True)
class _Register:
    version: int = 0
    value: Any = None
    older: list[tuple[int, Any]] = field(default_factory=list)

    def put(self, value: Any) -> int:
        self.older.append((self.version, self.value))
        self.version += 1
        self.value = value
        return self.version


def shape_of(rng: random.Random) -> Shape:
    """Any shape, small enough for a search to be sure."""
    return Shape(
        rng.choice((6, 12, 40)), rng.choice((2, 4, 6)), rng.choice((0.0, 0.03, 0.15)), rng.choice(BUGS),
        rng.choice((0.03, 0.2)), rng.choice((0, 0, 0, 3)),
    )  # fmt: skip


def history(shape: Shape, rng: random.Random) -> list[Operation]:
    """The operations of one key in the order of invocation."""
    return told(shape, rng)[0]


def told(shape: Shape, rng: random.Random) -> tuple[list[Operation], list[Any]]:
    """The same, and what nobody was told: the value of each version that there ever was, from version 0 on."""
    register = _Register()
    made: list[Operation] = []
    idle = [(rng.random(), process) for process in range(shape.processes)]
    heapq.heapify(idle)
    under_way: list[tuple[float, int, Operation, bool]] = []  # by the instant of its effect
    fresh = shape.processes
    begun = 0
    while begun < shape.operations or under_way:
        if idle and begun < shape.operations and (not under_way or idle[0][0] <= under_way[0][0]):
            at, process = heapq.heappop(idle)
            crashes = rng.random() < shape.unknown_share
            operation = _invoked(begun, at, process, register, rng, shape)
            heapq.heappush(under_way, (at + rng.expovariate(1), begun, operation, crashes))
            begun += 1
            if crashes:
                heapq.heappush(idle, (at + 2, fresh))  # under a number of its own
                fresh += 1
            continue
        instant, _, operation, crashes = heapq.heappop(under_way)
        done = _completed(operation, instant, register, rng, shape, crashes=crashes)
        made.append(done)
        if not crashes:
            heapq.heappush(idle, (instant + rng.expovariate(1) + rng.expovariate(2), int(operation.process)))
    values = [*(value for _, value in register.older), register.value]
    return sorted(made, key=lambda one: one.index), values


def _invoked(
    number: int, at: float, process: int, register: _Register, rng: random.Random, shape: Shape
) -> Operation:
    f = rng.choices(("read", "write", "cas"), (4, 4, 2))[0]
    value = f"v{number % shape.values if shape.values else number}"
    argument: Any = None
    if f == "write":
        argument = value
    elif f == "cas":
        argument = [max(0, register.version - rng.randrange(2)), value]
    return Operation(
        process, f, "k", argument, None, "info", int(at * NANOSECONDS), math.inf, "n1", None, None, "", {}, number
    )


def _completed(
    operation: Operation, instant: float, register: _Register, rng: random.Random, shape: Shape, *, crashes: bool
) -> Operation:
    """The operation with its answer; its effect is in the register."""
    hit = rng.random() < shape.bug_share
    result, version = None, None
    outcome: Outcome = "ok"
    more: dict[str, Any] = {}
    if crashes and rng.random() < 0.5:
        return operation
    if operation.f == "read":
        version, result = register.version, register.value
        if hit and shape.bug == "stale" and register.older:
            version, result = rng.choice(register.older)
    elif operation.f == "cas" and (operation.argument[0] != register.version or (hit and shape.bug == "refused")):
        outcome, more = "fail", {"mismatch": True}
    else:
        value = operation.argument if operation.f == "write" else operation.argument[1]
        version = register.version + 1 if hit and shape.bug == "lost" else register.put(value)
        if hit and shape.bug == "twice":
            register.put(value)
    if crashes:
        return operation
    end = instant + rng.expovariate(1) * (0.01 if shape.bug == "early" and hit else 1)
    called = instant if shape.bug == "early" and hit and rng.random() < 0.5 else operation.called_ns / NANOSECONDS
    if shape.bug == "early" and hit and operation.f == "read" and register.older:
        version, result = register.older[-1]
    returned = int(end * NANOSECONDS)
    return Operation(
        operation.process, operation.f, "k", operation.argument, result, outcome,
        int(called * NANOSECONDS), returned, "n1", version, None, "", more, operation.index,
    )  # fmt: skip
