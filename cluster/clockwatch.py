"""How far this node's wall clock stands from the members' median. Pure."""

from __future__ import annotations


def skew_of_this_node(heard_ns: list[int], *, suspected_ns: int = 0) -> int:
    """Own clock minus the median of all members' clocks, in ns. `heard_ns`: each peer's clock minus ours.

    `suspected_ns` is the last verdict, 0 if the clock was good. Two clocks that differ do not say which of them is
    wrong: with fewer than two peers heard a good clock stays good, and one that a majority had found wrong stays so
    until the peer that is left agrees with it.
    """
    if len(heard_ns) < 2:
        if not suspected_ns:
            return 0
        return -heard_ns[0] if heard_ns else suspected_ns
    offsets = sorted([0, *heard_ns])
    middle = len(offsets) // 2
    median = offsets[middle] if len(offsets) % 2 else (offsets[middle - 1] + offsets[middle]) // 2
    return -median
