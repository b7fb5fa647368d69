"""Durations as Vault's clients write and read them: "90", "1h30m", "1d" in; "1h30m0s" out.

Pure. Invariant: `parse_duration(format_duration(n))` is n for every whole number of seconds.
Source: Go's time.ParseDuration and Duration.String; Vault API, "duration format string".
"""

from __future__ import annotations

import re

NS = 1_000_000_000
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu: Go takes both
    "ms": 1_000_000,
    "s": NS,
    "m": 60 * NS,
    "h": 3600 * NS,
}
_DURATION_NS_MAX = 2**63 - 1
_SHOWN_MAX = 16  # characters: shorter than every token and share

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_DAYS = re.compile(r"([+-]?[0-9]{1,19})d")
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")


class DurationError(ValueError):
    """The text is no duration. The message is Go's; it repeats the text only where that is too short to be a secret."""


def parse_duration(text: str) -> int:
    """The duration in ns; a bare number is seconds, "" is 0. Raises DurationError."""
    if not text:
        return 0
    if _WHOLE.fullmatch(text):
        return _bounded(int(text) * NS, text)
    days = _DAYS.fullmatch(text)
    if days:
        return _bounded(int(days[1]) * 86_400 * NS, text)
    negative = text[0] == "-"
    rest = text[1:] if text[0] in "+-" else text
    if not rest:
        raise _invalid(text)
    total_ns = _parts_ns(rest, text)
    return _bounded(-total_ns if negative else total_ns, text)


def parse_duration_s(text: str) -> int:
    """As `parse_duration`, in whole seconds, the rest cut off toward zero (Go's int conversion)."""
    duration_ns = parse_duration(text)
    return duration_ns // NS if duration_ns >= 0 else -(-duration_ns // NS)


def format_duration(duration_s: int) -> str:
    """Go's text of whole seconds: "0s", "1m30s", "768h0m0s", "-1s"."""
    sign = "-" if duration_s < 0 else ""
    minutes, seconds = divmod(abs(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}s"
    if minutes:
        return f"{sign}{minutes}m{seconds}s"
    return f"{sign}{seconds}s"


def _parts_ns(rest: str, text: str) -> int:
    total_ns = 0
    at = 0
    while at < len(rest):
        part = _PART.match(rest, at)
        assert part is not None  # every group may be empty
        whole, fraction, unit = part[1], part[2] or "", part[3]
        if not whole and not fraction:
            raise _invalid(text)
        if not unit:
            raise DurationError(f"time: missing unit in duration{_quoted(text)}")
        unit_ns = _UNITS_NS.get(unit)
        if unit_ns is None:
            named = _quoted(unit) if _quoted(text) else ""
            raise DurationError(f"time: unknown unit{named} in duration{_quoted(text)}")
        if len(whole) > 19 or len(fraction) > 19:
            raise _invalid(text)
        total_ns += int(whole or "0") * unit_ns
        if fraction:
            total_ns += int(fraction) * unit_ns // 10 ** len(fraction)
        at = part.end()
    return total_ns


def _bounded(duration_ns: int, text: str) -> int:
    if abs(duration_ns) > _DURATION_NS_MAX:
        raise _invalid(text)
    return duration_ns


def _invalid(text: str) -> DurationError:
    return DurationError(f"time: invalid duration{_quoted(text)}")


def _quoted(text: str) -> str:
    """The text behind a space, or nothing of it: it may be a secret in the wrong field, and audit shows errors."""
    if len(text) > _SHOWN_MAX:
        return ""
    return ' "' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
