"""What one direction of a wire does to a frame: lost, late, twice, out of turn, damaged. Pure but for its own account.

Invariants
  F1  without `reordered` frames arrive in the order in which they were sent, whatever the jitter; so one that is late
      holds up those behind it, and jitter has a bound, or a busy wire would be as slow as its slowest frame
  F2  a damaged frame has one bit turned behind its addresses: checksums see it, as they see a bad cable
  F3  counts say what happened to frames, each by its cause
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

ADDRESSES_BYTES: Final = 14  # destination, source, type
REORDER_S: Final = 0.005  # so much later comes a frame that others overtake
QUEUE_S: Final = 0.1  # what waits before a narrow wire; what is more is lost
COUNTED: Final = ("frames", "dropped", "lost", "late", "doubled", "reordered", "damaged", "overflowed")


@dataclass(slots=True)
class Wire:
    """One direction between two hosts; shares are 0 to 1, `bytes_per_s` 0 is no limit."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0
    reordered: float = 0.0
    corrupted: float = 0.0
    is_cut: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    _free_s: float = 0.0  # when everything given to it so far will have been sent
    _last_s: float = 0.0  # when the last frame in its turn arrives

    def shape(self, **how: float) -> None:
        """It is so from the next frame on; what is not named is as it was made."""
        for name in ("delay_s", "jitter_s", "bytes_per_s", "loss", "duplicates", "reordered", "corrupted"):
            setattr(self, name, how.get(name, 0.0))

    def carry(self, frame: bytes, now_s: float, rng: random.Random) -> list[tuple[float, bytes]]:
        """What arrives of it, and when; `now_s` itself is at once."""
        counts = self.counts
        counts["frames"] += 1
        if self.is_cut:
            counts["dropped"] += 1
            return []
        if self.loss and rng.random() < self.loss:
            counts["lost"] += 1
            return []
        sent_s = self._sent_s(len(frame), now_s)
        if sent_s is None:
            counts["overflowed"] += 1
            return []
        if self.corrupted and rng.random() < self.corrupted:
            counts["damaged"] += 1
            frame = damaged(frame, rng)
        arrivals = [(self._due_s(sent_s, rng), frame)]
        counts["late"] += arrivals[0][0] > now_s
        if self.duplicates and rng.random() < self.duplicates:
            counts["doubled"] += 1
            arrivals.append((self._due_s(sent_s, rng), frame))
        return arrivals

    def _sent_s(self, size: int, now_s: float) -> float | None:
        """When its last byte has left; None if too much waits already."""
        if not self.bytes_per_s:
            return now_s
        if self._free_s - now_s > QUEUE_S:
            return None
        self._free_s = max(self._free_s, now_s) + size / self.bytes_per_s
        return self._free_s

    def _due_s(self, sent_s: float, rng: random.Random) -> float:
        delay_s = self.delay_s
        if self.jitter_s:
            delay_s = max(0.0, rng.uniform(delay_s - self.jitter_s, delay_s + self.jitter_s))
        if self.reordered and rng.random() < self.reordered:
            self.counts["reordered"] += 1
            return sent_s + delay_s + REORDER_S
        self._last_s = max(self._last_s, sent_s + delay_s)  # F1
        return self._last_s


def damaged(frame: bytes, rng: random.Random) -> bytes:
    """F2."""
    changed = bytearray(frame)
    changed[rng.randrange(ADDRESSES_BYTES, len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)
