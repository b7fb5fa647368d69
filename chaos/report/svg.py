"""The drawing board: a time axis that all charts of a page share, scales, a chart's frame with its fault bands. Pure.

Invariants
  V1  every chart over the run is drawn on the run's one `Board`, so the same x is the same time
  V2  what is drawn is escaped before it comes here (markup.py); numbers are formatted here and nowhere else
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .markup import colour, esc, seconds
from .story import dict_of, ended_ns, victims

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.check.bands import Band

    from .story import Story

WIDTH: Final = 1100
LEFT: Final = 96
RIGHT: Final = 14
TOP: Final = 6
BOTTOM: Final = 20
LETTER: Final = 6.4  # of the page's small type, on the wide side
TITLED_BANDS_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class Axis:
    """Time of the run, from its start."""

    end_ns: float

    def x(self, ns: float) -> float:
        """Where that time is."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(ns / self.end_ns, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """(x, label)."""
        return [(self.x(at * 1e9), f"{at:g} s") for at in steps(0.0, self.end_ns / 1e9, 12)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Values upwards, between two y."""

    low: float
    high: float
    bottom: float
    top: float
    is_log: bool = False

    def y(self, value: float) -> float:
        """Where that value is; beyond the ends, at the end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.bottom - (self.bottom - self.top) * (at - low) / (high - low)


def steps(low: float, high: float, most: int) -> list[float]:
    """Round numbers between the two, at most so many."""
    step = nice((high - low) / most)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 9) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def nice(least: float) -> float:
    """1, 2 or 5 times a power of ten, not less than that."""
    power = 10.0 ** math.floor(math.log10(max(least, 1e-9)))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9)))


def n(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")


def fits(text: str, width: float) -> bool:
    """Whether small type has room."""
    return len(text) * LETTER + 4 <= width


def rect(x: float, y: float, width: float, height: float, more: str, title: str = "") -> str:
    """A box; `more` are its attributes, `title` is escaped text for who points at it."""
    inside = f"><title>{title}</title></rect>" if title else "/>"
    return f'<rect x="{n(x)}" y="{n(y)}" width="{n(max(width, 0.8))}" height="{n(height)}" {more}{inside}'


def text(x: float, y: float, said: str, more: str = "") -> str:
    """Escaped text."""
    return f'<text x="{n(x)}" y="{n(y)}"{" " + more if more else ""}>{said}</text>'


def line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    """A straight line of that class."""
    return f'<line x1="{n(x1)}" y1="{n(y1)}" x2="{n(x2)}" y2="{n(y2)}" class="{name}"/>'


def path(points: Iterable[tuple[float, float] | None], more: str) -> str:
    """A line through the points, broken at None; a point alone is a dot."""
    said = ""
    pen = "M"
    for point in points:
        if point is None:
            said += "h0" if pen == "L" else ""
            pen = "M"
        else:
            said += f"{pen}{n(point[0])} {n(point[1])}"
            pen = "L"
    return f'<path d="{said}h0" fill="none" {more}/>' if said else ""


@dataclass(frozen=True, slots=True)
class Board:
    """What all charts of a run have in common (V1)."""

    axis: Axis
    bands: Sequence[Band]
    colours: dict[str, Any]  # of the bands, by the fault's name

    def chart(
        self, title: str, height: float, body: str, *, y_ticks: Sequence[tuple[float, str]] = (),
        rows: Sequence[tuple[float, str]] = (), key: str = "", note: str = "", numbered: bool = True,
    ) -> str:  # fmt: skip
        """A figure. `height` is the plot's; `title`, `key`, `note` and labels are escaped or ours (V2)."""
        bottom = TOP + height
        grid = "".join(
            line(LEFT, y, WIDTH - RIGHT, y, "grid") + text(LEFT - 6, y + 4, label, 'class="y"') for y, label in y_ticks
        )
        grid += "".join(text(LEFT - 6, y + 4, label, 'class="y"') for y, label in rows)
        for x, label in self.axis.ticks():
            anchor = ' end"' if x > WIDTH - 40 else '"'
            grid += line(x, TOP, x, bottom, "grid") + text(x, bottom + 14, label, f'class="x{anchor}')
        frame = line(LEFT, bottom, WIDTH - RIGHT, bottom, "base")
        caption = f"<b>{title}</b>{key}" + (f"<small>{note}</small>" if note else "")
        return (
            f'<figure><figcaption>{caption}</figcaption><svg viewBox="0 0 {WIDTH} {n(bottom + BOTTOM)}" role="img" '
            f'aria-label="{title}">{self.shades(TOP, height, numbered=numbered)}{grid}{body}{frame}</svg></figure>'
        )

    def shades(self, y: float, height: float, *, numbered: bool) -> str:
        """Fault bands behind a plot, with their numbers where these do not touch."""
        drawn, taken = "", 0.0
        for band in self.bands:
            left, right = self.axis.x(band.fault.began_ns), self.axis.x(ended_ns(band, self.axis.end_ns))
            title = told(band) if len(self.bands) <= TITLED_BANDS_MAX else ""
            ink = colour(self.colours.get(band.fault.name))
            drawn += rect(left, y, right - left, height, f'class="band" fill="{ink}" stroke="{ink}"', title)
            label = esc(band.number, 8)
            if numbered and left >= taken:
                drawn += text(left + 2, y + 10, label, 'class="no"')
                taken = left + 6 + LETTER * len(label)
        return drawn


def board(story: Story) -> Board:
    """Of that run."""
    return Board(Axis(story.end_ns), story.bands, dict_of(story.plan.get("colours")))


def told(band: Band) -> str:
    """One fault in one escaped line."""
    until = "never healed" if math.isinf(band.fault.ended_ns) else f"to {seconds(band.fault.ended_ns)}"
    what = f"fault {esc(band.number)}: {esc(band.fault.name)} {esc(victims(band))}"
    return f"{what}, {seconds(band.fault.began_ns)} {until}"
