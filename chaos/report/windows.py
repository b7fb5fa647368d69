"""A time axis with the empty stretches cut out: moments far apart, each wide enough to be read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


CUT: Final = 30.0  # width of what was cut out
WINDOWS_MAX: Final = 5
APART: Final = 0.5  # a stretch longer than this share of what is shown is cut out
LEAST: Final = 0.15  # the share of the width that the shortest window gets, before sharing


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time and where it is drawn."""

    began_ns: float
    ended_ns: float
    left: float
    right: float

    def x(self, ns: float) -> float:
        """Where that time is; before and after, at the ends."""
        share = (ns - self.began_ns) / (self.ended_ns - self.began_ns)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Windows:
    """In their order, at least one."""

    all: tuple[Window, ...]

    def of(self, ns: float) -> Window:
        """The one in which that time is, or after which."""
        began = [window for window in self.all if window.began_ns <= ns]
        return began[-1] if began else self.all[0]

    def x(self, ns: float) -> float:
        """Where that time is; in a stretch that was cut out, at its left end."""
        return self.of(ns).x(ns)


def windows(spans: Iterable[tuple[float, float]], left: float, right: float) -> Windows:
    """Windows that show all spans, of which there is at least one, between these two x."""
    merged = _merged(sorted(spans))
    lengths = [ended - began for began, ended in merged]
    least = LEAST * sum(lengths)
    weights = [max(length, least) for length in lengths]
    width = right - left - CUT * (len(merged) - 1)
    found, at = [], left
    for (began, ended), weight in zip(merged, weights, strict=True):
        until = at + width * weight / sum(weights)
        found.append(Window(began, ended, at, until))
        at = until + CUT
    return Windows(tuple(found))


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for began, ended in spans:
        if joined and began <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ended))
        else:
            joined.append((began, max(ended, began + 1)))
    shown = sum(ended - began for began, ended in joined)
    while len(joined) > 1:
        between = [after[0] - before[1] for before, after in pairwise(joined)]
        place = min(range(len(between)), key=between.__getitem__)
        if between[place] > APART * shown and len(joined) <= WINDOWS_MAX:
            break
        joined[place : place + 2] = [(joined[place][0], joined[place + 1][1])]
    return joined
