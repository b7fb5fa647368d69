"""How long to wait before the next attempt: exponential, with full jitter, capped, for ever.

Pure. Source: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from __future__ import annotations

FIRST_S = 0.1
CAP_S = 30.0
REFUSED_S = 60.0
"""After a refusal that only an operator can lift: looked at again, not hammered."""


def delay_s(attempt: int, uniform: float, *, refused: bool = False) -> float:
    """Seconds before attempt number `attempt` (from 1) is repeated; `uniform` is drawn from [0, 1)."""
    if refused:
        return REFUSED_S * (0.5 + uniform / 2)
    cap_s = min(CAP_S, FIRST_S * 2.0 ** min(attempt - 1, 30))
    return float(cap_s * uniform)
