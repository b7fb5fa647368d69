"""Patterns in which `*` stands for any text: what roles bind names and claims to.

Pure. Invariant: a pattern matches the whole text or nothing, in time that grows with the length of the text, however
many stars there are.
Source: Vault API, "TLS certificates", "JWT" (bound_claims_type), "Kubernetes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def fits_one(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the patterns is the whole text."""
    return any(fits(pattern, text) for pattern in patterns)


def fits(pattern: str, text: str) -> bool:
    """Whether the pattern is the whole text."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
