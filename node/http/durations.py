"""Durations as Vault's API takes them: seconds, Go durations, and days.

Pure. Integer nanoseconds, because Go counts them so and a float would round.
Source: Go time.ParseDuration; Vault API, "Input types" (`"30"`, `"30s"`, `"1h30m"`, also `"1d"`).
"""

from __future__ import annotations

import re

UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
DURATION_NS_MAX = (1 << 63) - 1
TEXT_MAX = 64
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}d?")
_ECHO = re.compile(r"[0-9A-Za-z.+\-]{1,12}")
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")


class DurationError(ValueError):
    """Not a duration. The message is Go's; it repeats the input only where that is too short to be a secret."""


def parse_duration_ns(text: str) -> int:
    """Nanoseconds of `text`: plain integers are seconds, `d` is 24 hours, all else is Go's grammar; may be negative.

    Raises DurationError.
    """
    if _WHOLE.fullmatch(text):
        return _bounded(int(text.removesuffix("d")) * (24 * UNIT_NS["h"] if text[-1] == "d" else UNIT_NS["s"]), text)
    return _go_duration_ns(text)


def quoted(text: str) -> str:
    """`text` in quotes as Go's error messages have it, or nothing of it if it could be a secret in the wrong place."""
    return f' "{text}"' if _ECHO.fullmatch(text) else ""


def _go_duration_ns(text: str) -> int:
    sign, rest = (-1 if text[:1] == "-" else 1), text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    if not rest or len(rest) > TEXT_MAX or not rest.isprintable():
        raise DurationError(f"time: invalid duration{quoted(text)}")
    total, position = 0, 0
    while position < len(rest):
        match = _PART.match(rest, position)
        assert match is not None  # every group may be empty
        whole, fraction, unit = match.group(1), match.group(2) or "", match.group(3)
        if not (whole or fraction):
            raise DurationError(f"time: invalid duration{quoted(text)}")
        if not unit:
            raise DurationError(f"time: missing unit in duration{quoted(text)}")
        if unit not in UNIT_NS:
            raise DurationError(f"time: unknown unit in duration{quoted(text)}")
        total += int(whole or "0") * UNIT_NS[unit]
        if fraction.isdigit():
            total += int(fraction) * UNIT_NS[unit] // 10 ** len(fraction)
        position = match.end()
    return sign * _bounded(total, text)


def _bounded(duration_ns: int, text: str) -> int:
    if abs(duration_ns) > DURATION_NS_MAX:
        raise DurationError(f"time: invalid duration{quoted(text)}")
    return duration_ns
