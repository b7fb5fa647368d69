"""What the edge needs of the world beyond sockets: a clock and random bytes.

Structural twins of the cluster's seams, so that this room imports nothing of the cluster.
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two readings of time."""

    def boot(self) -> float:
        """Seconds that never go back."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch; may jump."""
        ...


class Random(Protocol):
    """Unpredictable bytes."""

    def bytes(self, count: int) -> bytes:
        """`count` bytes from the operating system."""
        ...


class RequestIds:
    """Fresh request ids, 8-4-4-4-12 hex. Drawn in blocks: a system call for each would cost more than the rest."""

    BLOCK = 256

    def __init__(self, random: Random) -> None:
        self._random = random
        self._hex = ""
        self._at = 0

    def next(self) -> str:
        """An id that was never given out."""
        if self._at >= len(self._hex):
            self._hex, self._at = self._random.bytes(16 * self.BLOCK).hex(), 0
        at = self._at
        self._at = at + 32
        digits = self._hex[at : self._at]
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
