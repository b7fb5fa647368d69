"""Lines that go with one write, and who waits for them.

Owned by the loop. Invariant: whoever waits is told once by each device it asked, taken or refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from .chain import Head


class Waiter:
    """Somebody who goes on when one device has taken the record, or not at all when all have refused it."""

    __slots__ = ("_asked", "future")

    def __init__(self, future: asyncio.Future[bool], asked: int) -> None:
        self.future = future
        self._asked = asked

    def taken(self) -> None:
        """One device has it."""
        if not self.future.done():
            self.future.set_result(True)

    def refused(self) -> None:
        """One device has not."""
        self._asked -= 1
        if self._asked == 0 and not self.future.done():
            self.future.set_result(False)


@dataclass(slots=True)
class Batch:
    """Lines of one write. `waiters[i]` is told of `lines[i]`; None: another line speaks for it."""

    lines: list[bytes] = field(default_factory=list)
    waiters: list[Waiter | None] = field(default_factory=list)
    size_bytes: int = 0
    since_s: float = 0.0  # when the first line was offered
    is_refused: bool = False  # its waiters were told already


@dataclass(slots=True)
class Owed:
    """A chained line of which `rest` is still to be written. `before` is the head before it."""

    line: bytes
    rest: bytes
    before: Head
