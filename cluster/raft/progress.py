"""The leader's view of one follower: what it has, what is on its way, how to send next.

Pure data with small rules. States and their arrows, as in etcd's tracker:
  PROBE      one message outstanding; after election, a rejection, a lost link, silence
  REPLICATE  pipelined, within a window of bytes
  SNAPSHOT   the follower needs what the log no longer has; entries wait, heartbeats go on
Invariants
  P1  0 <= match < next
  P2  match and durable never go back within one life (incarnation) of the follower and one term of the leader
Source: Raft thesis 3.5, 10.2.1.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field


class Mode(enum.Enum):
    """See the module's paragraph."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """One follower, in one term of this leader."""

    next: int
    mode: Mode = Mode.PROBE
    match: int = 0
    durable: int = 0
    incarnation: int = 0
    round: int = 0  # newest round it acknowledged
    recovering: bool = False
    applied_index: int = 0
    wants_snapshot: bool = False
    space_ok: bool = True
    probed_s: float = -1.0  # when the outstanding probe left; < 0: none is out
    moved_s: float = 0.0  # when match last moved, or the first byte of the window left
    in_flight: deque[tuple[int, int]] = field(default_factory=deque)  # (last index, bytes) of each message on its way
    in_flight_bytes: int = 0

    def probe(self) -> None:
        """What was on its way counts as lost."""
        self.mode = Mode.PROBE
        if self.match:
            self.next = self.match + 1
        self.probed_s = -1.0
        self.in_flight.clear()
        self.in_flight_bytes = 0

    def sent(self, last_index: int, size: int, now_s: float) -> None:
        """Entries up to `last_index` left in one message."""
        if not self.in_flight:
            self.moved_s = now_s
        self.in_flight.append((last_index, size))
        self.in_flight_bytes += size
        self.next = last_index + 1

    def acknowledged(self, match: int, now_s: float) -> None:
        """The follower has received everything up to `match` of this leader's log."""
        if match > self.match:
            self.match = match
            self.moved_s = now_s
        self.next = max(self.next, self.match + 1)
        while self.in_flight and self.in_flight[0][0] <= match:
            self.in_flight_bytes -= self.in_flight.popleft()[1]

    def new_life(self, incarnation: int, last_index: int) -> None:
        """The follower lost its memory: nothing it said before counts. The first life heard of changes nothing."""
        first = self.incarnation == 0
        self.incarnation = incarnation
        if first:
            return
        self.match = self.durable = self.round = 0
        self.next = last_index + 1
        self.probe()
