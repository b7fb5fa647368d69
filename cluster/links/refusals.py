"""What the log says of links that are refused or end: each reason once for each peer, then a count.

Whoever can reach the peer port can make it refuse something as often as it likes; the log must say that it happened,
and must not be what it fills. Pure but for the log.

Invariants
  F1  a reason for a peer is said once in AGAIN_S; what came meanwhile is counted and said with the next one
  F2  at most KNOWN_MAX pairs are remembered; further peers are `many others`
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..seams import Clock

log = logging.getLogger("strongroom.links")

AGAIN_S: Final = 60.0
KNOWN_MAX: Final = 256
OTHERS: Final = "many others"


class Refusals:
    """See the module's paragraph. `count`: all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # when it was said, how often it came since
        self.count = 0

    def say(self, who: str, why: str) -> None:
        """The log says it, or counts it. `why` holds nothing that was received."""
        self.count += 1
        now_s = self._clock.boot()
        key = (who, why)
        if key not in self._said and len(self._said) >= KNOWN_MAX:
            self._forget(now_s)
            if len(self._said) >= KNOWN_MAX:
                key = (OTHERS, "")
        said_s, more = self._said.get(key, (None, 0))
        if said_s is not None and now_s - said_s < AGAIN_S:
            self._said[key] = (said_s, more + 1)
            return
        self._said[key] = (now_s, 0)
        since = f" (and {more} times more before)" if more else ""
        log.warning("link to %s closed: %s%s", key[0], why, since)

    def _forget(self, now_s: float) -> None:
        for key in [key for key, (said_s, _) in self._said.items() if now_s - said_s >= AGAIN_S]:
            del self._said[key]
