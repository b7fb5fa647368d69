"""The charts of what clients saw: the faults themselves, latencies as points and as quantiles, rates. Pure.

An outcome is a shape and a fault a number, not a colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import svg
from .markup import clean, colour, count, esc, latency, many, seconds
from .series import QUANTILES, bucket_ns, quantiles, rates, thinned, waited_ns
from .story import OUTCOMES, WORDS, ended_ns, followed, victims

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .story import Call, Story

INKS: Final = 14  # classes i0 to i13 of the page's style
TITLED_MAX: Final = 400
ROW: Final = 20.0
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "5 2 1 2 1 2", "12 4", "1 4")
LOWEST_NS: Final = 100_000.0


def drawn(story: Story) -> list[str]:
    """All of them, in the order of the page."""
    return [_faults(story), _points(story), _quantiles(story), _rates(story)]


def inks(calls: Iterable[Call]) -> dict[str, str]:
    """{f: class of its colour}, the most frequent first."""
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.op.f] = counts.get(call.op.f, 0) + 1
    ordered = sorted(counts, key=lambda f: (-counts[f], f))
    return {f: f"i{place % INKS}" for place, f in enumerate(ordered)}


def swatch(inside: str, name: str) -> str:
    """An entry of a legend."""
    return f'<span class="key"><svg viewBox="0 0 22 12" aria-hidden="true">{inside}</svg>{name}</span>'


def mark(outcome: str, x: float, y: float) -> str:
    """The shape of an outcome, as path data: a dot, a small triangle, a cross, a diamond."""
    if outcome == "ok":
        return f"M{svg.n(x)} {svg.n(y)}h0"
    if outcome == "refused":
        return f"M{svg.n(x)} {svg.n(y - 2.4)}l2.4 4h-4.8z"
    if outcome == "fail":
        return f"M{svg.n(x - 3)} {svg.n(y - 3)}l6 6m0-6l-6 6"
    return f"M{svg.n(x)} {svg.n(y - 4.5)}l4 4.5-4 4.5-4-4.5z"


def _faults(story: Story) -> str:
    """A row for each kind; bars with their victims."""
    board = svg.board(story)
    axis = board.axis
    names = list(dict.fromkeys(band.fault.name for band in story.bands))
    body, rows = "", []
    for place, name in enumerate(names):
        y = svg.TOP + 4 + place * ROW
        rows.append((y + ROW / 2 - 2, esc(name, 14)))
        same = [band for band in story.bands if band.fault.name == name]
        ink = colour(board.colours.get(name))
        taken = 0.0
        for band, following in followed(same):
            left, right = axis.x(band.fault.began_ns), axis.x(ended_ns(band, axis.end_ns))
            room = (svg.WIDTH - svg.RIGHT if following is None else axis.x(following.fault.began_ns)) - left
            more = f'class="fault" fill="{ink}" stroke="{ink}"'
            body += svg.rect(left, y, right - left, ROW - 6, more, svg.told(band))
            label = clean(f"{band.number} {victims(band)}", 40)
            if svg.fits(label, room) and left >= taken:
                body += svg.text(left + 3, y + ROW - 9.5, esc(label))
                taken = left + 3 + svg.LETTER * len(label)
    note = "" if names else "Nothing was broken."
    height = max(len(names), 1) * ROW + 4
    return board.chart("Faults", height, body, rows=rows, note=note, numbered=False)


def _log_scale(lowest_ns: float, highest_ns: float, height: float) -> tuple[svg.Scale, list[tuple[float, str]]]:
    """Whole decades around these latencies, and their ticks."""
    low, high = LOWEST_NS, LOWEST_NS * 10
    while low * 10 <= lowest_ns:
        low *= 10
    high = low * 10
    while high < highest_ns:
        high *= 10
    scale = svg.Scale(low, high, svg.TOP + height, svg.TOP, is_log=True)
    ticks, at = [], low
    while at <= high * 1.001:
        ticks.append((scale.y(at), f"{at / 1e9:g} s" if at >= 1e9 else f"{at / 1e6:g} ms"))
        at *= 10
    return scale, ticks


def _points(story: Story) -> str:
    board, height = svg.board(story), 300.0
    axis = board.axis
    calls = thinned(story.loaded, story.end_ns)
    of_f = inks(story.calls)
    waits = [waited_ns(call, story.end_ns) for call in calls]
    scale, ticks = _log_scale(min(waits, default=1e6), max(waits, default=1e8), height)
    marks: dict[tuple[str, str], list[str]] = {}
    for call, wait in zip(calls, waits, strict=True):
        at = mark(call.outcome, axis.x(call.op.called_ns), scale.y(wait))
        marks.setdefault((call.outcome, of_f[call.op.f]), []).append(at)
    body = "".join(
        f'<path class="{outcome} {ink}" d="{"".join(marks[outcome, ink])}"/>'
        for outcome in OUTCOMES
        for ink in sorted({ink for of, ink in marks if of == outcome})
    )
    body += _titled(story, calls, axis, scale)
    key = "".join(swatch(f'<path class="{one}" d="{mark(one, 11, 6)}"/>', WORDS[one]) for one in OUTCOMES)
    box = 'x="5" y="1" width="11" height="10"'
    key += "".join(swatch(f'<rect class="f {ink}" {box}/>', esc(f)) for f, ink in of_f.items())
    total = len(story.loaded)
    note = "By the time of the call; how long the client waited. The last reads are not drawn."
    if len(calls) < total:
        note = f"{count(len(calls))} of {count(total)} operations are drawn, among them the slowest. " + note
    return board.chart("Latency", height, body, y_ticks=ticks, key=key, note=note)


def _titled(story: Story, calls: Sequence[Call], axis: svg.Axis, scale: svg.Scale) -> str:
    """Words for who points at one of the slowest, or at one that was not acknowledged."""
    slowest = sorted(calls, key=lambda call: -waited_ns(call, story.end_ns))
    failed = [call for call in slowest if call.outcome in {"fail", "info"}]
    chosen = [*slowest[: TITLED_MAX // 2], *failed[: TITLED_MAX // 2]]
    said = ""
    for call in {call.op.index: call for call in chosen}.values():
        wait = waited_ns(call, story.end_ns)
        op = call.op
        title = esc(
            f"#{op.index} {op.f} {story.brief(op.key)} by {op.process} at {op.node}: {WORDS[call.outcome]} {op.error} "
            f"after {latency(wait)}, called at {seconds(op.called_ns, 3)}"
        )
        x, y = svg.n(axis.x(op.called_ns)), svg.n(scale.y(wait))
        said += f'<circle class="hit" cx="{x}" cy="{y}" r="5"><title>{title}</title></circle>'
    return said


def _quantiles(story: Story) -> str:
    board, height = svg.board(story), 200.0
    axis = board.axis
    lines = quantiles(story.loaded, story.end_ns)
    heard = [point[1] for line in lines.values() for point in line if point is not None]
    scale, ticks = _log_scale(min(heard, default=1e6), max(heard, default=1e8), height)
    body, key = "", ""
    for place, (name, _) in enumerate(QUANTILES):
        more = f'class="q{place}"'
        body += svg.path([None if at is None else (axis.x(at[0]), scale.y(at[1])) for at in lines[name]], more)
        key += swatch(f'<path d="M1 6h20" {more} fill="none"/>', name)
    width = bucket_ns(story.end_ns) / 1e9
    note = f"Of operations that were acknowledged, by the time of the call, in steps of {width:g} s."
    return board.chart("Latency quantiles", height, body, y_ticks=ticks, key=key, note=note)


def _rates(story: Story) -> str:
    board, height = svg.board(story), 150.0
    axis = board.axis
    lines = rates(story.loaded, story.end_ns)
    highest = max((rate for line in lines.values() for _, rate in line), default=1.0)
    ticks = svg.steps(0.0, highest, 5)
    top = max(highest, ticks[-1]) or 1.0
    scale = svg.Scale(0.0, top, svg.TOP + height, svg.TOP + 8)
    body, key = "", ""
    for outcome in OUTCOMES:
        more = f'class="rate r-{outcome}"'
        key += swatch(f'<path d="M1 6h20" {more} fill="none"/>', WORDS[outcome])
        body += svg.path([(axis.x(at), scale.y(rate)) for at, rate in lines.get(outcome, ())], more)
    labels = [(scale.y(rate), f"{rate:g} /s") for rate in ticks]
    width = f"{bucket_ns(story.end_ns) / 1e9:g} s"
    note = f"By the time of the completion, in steps of {width}; {many(len(story.loaded), 'operation')}."
    return board.chart("Rates", height, body, y_ticks=labels, key=key, note=note)
