"""The cluster's time: what the leader stamps into transactions, and how everybody else reads it.

Pure. Leases and tokens end by this time, so it must not follow a wall clock that jumps.

Invariants
  T1  a stamp is greater than the one before it
  T2  it moves with the leader's own clock since the last stamp, and toward its wall clock by at most SLEW of that:
      a wall clock that jumps a year moves it by at most 5 % of the time that really passed
  T3  readers add their own clock's time since the leader stamped, never their wall clock
"""

from __future__ import annotations

SLEW_DIVISOR = 20  # 5 %
NS_PER_S = 1_000_000_000


def _elapsed_ns(since_s: float, boot_s: float) -> int:
    return max(0, int((boot_s - since_s) * NS_PER_S))


def next_stamp(last_stamp_ns: int, last_boot_s: float, boot_s: float, wall_ns: int) -> int:
    """The next stamp, in nanoseconds since the epoch.

    `last_boot_s` is this node's clock when it made or adopted `last_stamp_ns`, `boot_s` what it says now. Without a
    last stamp (0: a cluster that never stamped anything) it is the wall clock.
    """
    if last_stamp_ns == 0:
        return max(1, wall_ns)
    elapsed_ns = _elapsed_ns(last_boot_s, boot_s)
    straight_ns = last_stamp_ns + elapsed_ns
    slew_ns = elapsed_ns // SLEW_DIVISOR
    return max(last_stamp_ns + 1, straight_ns + max(-slew_ns, min(slew_ns, wall_ns - straight_ns)))


def reader_time(stamp_ns: int, heard_s: float, boot_s: float) -> int:
    """The time at a reader whose own clock said `heard_s` when it learned of the stamp and says `boot_s` now.

    Behind the leader by as long as the stamp travelled.
    """
    return stamp_ns + _elapsed_ns(heard_s, boot_s)
