"""How long a token lives: the one rule behind creation and renewal.

Pure. Invariants: nothing outlives its start plus the smaller of the mount's maximum and the explicit maximum, except
a periodic token, which only its explicit maximum ends; a time to live is whole seconds.
Source: Vault concepts, "Tokens: time-to-live, periodic tokens, explicit max TTLs".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..request import Refusal
from .tokens import NS
from .typed_fields import short_duration

if TYPE_CHECKING:
    from cluster import Mount, Token

SYSTEM_TTL_S = 2_764_800  # 768 h: what a mount that says nothing has, as default and as maximum
TTL_S_MAX = 3_155_760_000  # a hundred years: larger requests are capped by every mount anyway


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, in seconds; 0 = not asked. `increment_s` is the client's, `ttl_s` what the token had."""

    increment_s: int = 0
    ttl_s: int = 0
    period_s: int = 0
    explicit_max_ttl_s: int = 0


def mount_ttls_s(mount: Mount | None) -> tuple[int, int]:
    """(default, maximum) of a mount in seconds, as they take effect."""
    config = mount.config if mount is not None else {}
    longest_s = int(config.get("max_lease_ttl") or SYSTEM_TTL_S)
    return min(int(config.get("default_lease_ttl") or SYSTEM_TTL_S), longest_s), longest_s


def decide_ttl_s(wish: Wish, mount: Mount | None, start_ns: int, now_ns: int) -> tuple[int, list[str]]:
    """(time to live from now in seconds, warnings). Refused with 400 once the maximum has passed."""
    default_s, longest_s = mount_ttls_s(mount)
    if wish.explicit_max_ttl_s:
        longest_s = min(longest_s, wish.explicit_max_ttl_s)
    warnings = []
    ttl_s = wish.period_s or wish.increment_s or wish.ttl_s or default_s
    bound_s = longest_s
    if wish.period_s:
        if ttl_s > longest_s:
            warnings.append(_capped("period", ttl_s, longest_s, "period"))
            ttl_s = longest_s
        bound_s = wish.explicit_max_ttl_s
    if not bound_s:
        return ttl_s, warnings
    left_s = (start_ns + bound_s * NS - now_ns) // NS
    if left_s <= 0:
        raise Refusal(400, "past the max TTL, cannot renew")
    if ttl_s > left_s:
        warnings.append(_capped("TTL", ttl_s, left_s, "TTL"))
        ttl_s = left_s
    return ttl_s, warnings


def current_ttl_s(record: Token) -> int:
    """What the token was given last, at its creation or renewal."""
    return (record.expires_ns - (record.last_renewal_ns or record.created_ns)) // NS if record.expires_ns else 0


def _capped(what: str, ttl_s: int, longest_s: int, value: str) -> str:
    return (
        f'{what} of "{short_duration(ttl_s)}" exceeded the effective max_ttl of "{short_duration(longest_s)}"; '
        f"{value} value is capped accordingly"
    )
