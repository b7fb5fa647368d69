"""What one direction of a link does to bytes: delay, jitter, bandwidth, a cut. Pure but for the account it keeps.

All connections of a pair of hosts share the shape of each direction, as they share the line.

Invariants
  S1  what left earlier is never due later: order is kept within a connection. With jitter one that is late holds up
      those behind it, of every connection, as on a wire (packets.py, F1)
  S2  more than `flight_bytes_max` never waits in one connection: the sender feels the line
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FLIGHT_BYTES_MAX = 4 * 1024 * 1024  # of a line without a limit
FLIGHT_BYTES_MIN = 64 * 1024
QUEUE_S = 0.05  # what a router keeps of a line that is full


@dataclass(slots=True)
class Shape:
    """`bytes_per_s` 0 is no limit. A cut direction keeps what comes and delivers it late, as TCP would.

    Each piece is `delay_s` late, more or less by up to `jitter_s`, drawn by `rng`.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    cut: bool = False
    free_s: float = 0.0  # when the line has sent all that it was given
    held_bytes: int = 0  # that came while it was cut
    late_bytes: int = 0  # that came while it was long or narrow
    last_s: float = 0.0  # when the last piece whose delay was drawn arrives
    rng: random.Random = field(default_factory=lambda: random.Random(0), repr=False)

    def due_s(self, now_s: float, size: int) -> float:
        """When the last of so many bytes arrives that are given to the line now; they are counted."""
        self.held_bytes += size if self.cut else 0
        self.late_bytes += size if self.delay_s or self.jitter_s or self.bytes_per_s else 0
        sending_s = size / self.bytes_per_s if self.bytes_per_s else 0.0
        self.free_s = max(self.free_s, now_s) + sending_s
        if not self.jitter_s:
            return self.free_s + self.delay_s
        drawn_s = self.rng.uniform(self.delay_s - self.jitter_s, self.delay_s + self.jitter_s)
        self.last_s = max(self.last_s, self.free_s + max(0.0, drawn_s))  # S1
        return self.last_s

    @property
    def flight_bytes_max(self) -> int:
        """So much may be under way in one connection."""
        if not self.bytes_per_s:
            return FLIGHT_BYTES_MAX
        return max(FLIGHT_BYTES_MIN, int(self.bytes_per_s * (self.delay_s + self.jitter_s + QUEUE_S)))
