"""Text on its way into a page: made visible, shortened, escaped. Pure.

Invariants
  R1  whatever a run's folder holds comes from a cluster, or from somebody's editor: it is text, never markup. Every
      string that enters a page or an XML file has been through `esc` or `clean`; colours through `colour`
  R2  no character acts on its surroundings: control characters, directions, lone surrogates are shown by their number
  R3  a number is believed only if it is one, and finite
"""

from __future__ import annotations

import html
import json
import math
import re
from typing import Any, Final

TEXT_MAX: Final = 200
COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
NO_COLOUR: Final = "#7f7f7f"
WHOLE_MAX: Final = 1 << 63


def clean(value: Any, most: int = TEXT_MAX) -> str:
    """The value as text of at most so many characters (R2); not escaped."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    return text if text.isprintable() else "".join(one if one.isprintable() else _shown(one) for one in text)


def _shown(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def esc(value: Any, most: int = TEXT_MAX) -> str:
    """R1: for between tags and for attributes in quotes."""
    return html.escape(clean(value, most), quote=True)


def colour(value: Any) -> str:
    """R1: #rrggbb, grey if it is something else."""
    return value if isinstance(value, str) and COLOUR.fullmatch(value) else NO_COLOUR


def number(value: Any) -> float | None:
    """R3."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) < WHOLE_MAX else None
    return value if math.isfinite(value) else None


def seconds(ns: float, digits: int = 2) -> str:
    """A time or length in seconds, for people."""
    return "never" if math.isinf(ns) else f"{ns / 1e9:.{digits}f} s"


def latency(ns: float | None) -> str:
    """A latency, three digits of it."""
    if ns is None:
        return ""
    if ns >= 1e9:
        return f"{ns / 1e9:.2f} s"
    ms = ns / 1e6
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms" if ms >= 1 else f"{ms:.2f} ms"


def count(value: float) -> str:
    """A whole number with its thousands."""
    return f"{value:,.0f}"


def many(value: int, one: str, more: str = "") -> str:
    """`1 fault`, `2 faults`."""
    return f"{count(value)} {one if value == 1 else more or one + 's'}"
