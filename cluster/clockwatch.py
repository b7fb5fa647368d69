"""How far this node's wall clock stands from the members' median. Pure."""

from __future__ import annotations


def skew_of_this_node(heard_ns: list[int]) -> int:
    """Own clock minus the median of all members' clocks, in ns. `heard_ns`: each peer's clock minus ours.

    Fewer than two peers heard: 0, because two clocks that differ do not say which of them is wrong.
    """
    if len(heard_ns) < 2:
        return 0
    offsets = sorted([0, *heard_ns])
    middle = len(offsets) // 2
    median = offsets[middle] if len(offsets) % 2 else (offsets[middle - 1] + offsets[middle]) // 2
    return -median
