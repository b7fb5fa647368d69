"""The charts of what nodes said of themselves: leader and term, availability, clocks, applied indexes. Pure.

States differ in height and pattern, nodes in dashes, not in colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import svg
from .charts import DASHES, INKS, swatch
from .markup import count, esc, many, seconds
from .members import (
    LEADER,
    PERIOD_NS,
    ROLES,
    STATES,
    Segment,
    availability,
    by_node,
    coarse,
    lags,
    offsets,
    role,
    segments,
    without_leader,
)
from .story import followed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .story import Story

ROW: Final = 22.0
HEAD: Final = 12.0  # above the first row: the numbers of the bands
TERM_INKS: Final = 6  # classes t0 to t5
LINES: Final = 400  # buckets of a line
CLOCK_LEAST_MS: Final = 10.0
LAG_LEAST: Final = 10.0
HEIGHTS: Final = {"ready": 14.0, "not ready": 9.0, "sealed": 9.0, "paused": 6.0, "no answer": 3.0}
ROLE_HEIGHTS: Final = {"leader": 16.0, "candidate": 10.0, "follower": 4.0, "recovering": 4.0}


def drawn(story: Story) -> list[str]:
    """All of them, in the order of the page."""
    return [_terms(story), _availability(story), _clocks(story), _lags(story)]


def _names(story: Story) -> list[tuple[float, str]]:
    return [(svg.TOP + HEAD + (place + 0.5) * ROW, esc(node, 14)) for place, node in enumerate(story.nodes)]


def _bars(
    axis: svg.Axis, rows: Sequence[Sequence[Segment]], heights: dict[str, float], name: Callable[[Segment], str]
) -> str:
    """Segments of each row around its middle."""
    body = ""
    for place, row in enumerate(rows):
        middle = svg.TOP + HEAD + (place + 0.5) * ROW
        for one in row:
            left, high = axis.x(one.began_ns), heights[one.state]
            of = f", term {one.term}" if one.term else ""
            title = f"{one.state}{of}, {seconds(one.began_ns)} to {seconds(one.ended_ns)}"
            more = f'class="{name(one)}"'
            body += svg.rect(left, middle - high / 2, axis.x(one.ended_ns) - left, high, more, title)
    return body


def _terms(story: Story) -> str:
    """A row a node, and one for the highest term that anybody told."""
    board = svg.board(story)
    axis = board.axis
    told = by_node(story.samples, story.nodes)
    whole = [segments(told[node], role, PERIOD_NS) for node in story.nodes]
    rows = [coarse(row, story.end_ns, ROLES) for row in whole]
    body = _bars(axis, rows, ROLE_HEIGHTS, lambda one: f"{one.state} t{one.term % TERM_INKS}")
    for place, row in enumerate(rows):
        y = svg.TOP + HEAD + 4 + (place + 0.5) * ROW
        for one in row:
            left, right, label = axis.x(one.began_ns), axis.x(one.ended_ns), f"term {one.term}"
            if one.state == LEADER and svg.fits(label, right - left):
                body += svg.text(left + 3, y, label, 'class="on"')
    begun = _begun(whole)
    last = svg.TOP + HEAD + (len(rows) + 0.5) * ROW
    for (term, at), following in followed(begun):
        left, width = axis.x(at), axis.x(story.end_ns if following is None else following[1]) - axis.x(at)
        title = f"term {term}, from {seconds(at)}"
        body += svg.line(left, svg.TOP, left, last + ROW / 2, "election") if term != begun[0][0] else ""
        body += svg.rect(left, last - 7, width, 14, f'class="term t{term % TERM_INKS}"', title)
        body += svg.text(left + 3, last + 4, str(term), 'class="on"') if svg.fits(str(term), width) else ""
    led = {(node, one.term) for node, row in zip(story.nodes, whole, strict=True) for one in row if one.state == LEADER}
    began, ended = without_leader(whole, story.end_ns)
    note = f"{many(len(begun), 'term')}, {many(len(led), 'leadership')} seen."
    if led and ended > began:
        note += f" Longest time in which no node said that it leads: {seconds(ended - began)}, from {seconds(began)}."
    heights = {"leader": 10, "candidate": 7, "follower": 3, "recovering": 3}
    key = "".join(
        swatch(f'<rect class="{one} t0" x="1" y="{6 - high / 2:g}" width="20" height="{high}"/>', one)
        for one, high in heights.items()
    )
    labels = [*_names(story), (last, "term")]
    return board.chart(
        "Leader and term", (len(rows) + 1) * ROW + HEAD + 4, body, rows=labels, key=key, note=note,
    )  # fmt: skip


def _begun(rows: Sequence[Sequence[Segment]]) -> list[tuple[int, float]]:
    """(term, when it was first told) of each term that was the highest."""
    found: list[tuple[int, float]] = []
    for one in sorted((one for row in rows for one in row), key=lambda one: one.began_ns):
        if not found or one.term > found[-1][0]:
            found.append((one.term, one.began_ns))
    return found


def _availability(story: Story) -> str:
    board = svg.board(story)
    axis = board.axis
    told = by_node(story.samples, story.nodes)
    whole = [segments(told[node], availability(node, story.bands, story.end_ns)) for node in story.nodes]
    rows = [coarse(row, story.end_ns, STATES) for row in whole]
    body = _bars(axis, rows, HEIGHTS, lambda one: _class(one.state))
    key = "".join(
        swatch(f'<rect class="{_class(one)}" x="1" y="{6 - high * 0.35:g}" width="20" height="{high * 0.7:g}"/>', one)
        for one, high in HEIGHTS.items()
    )
    served = []
    for node, row in zip(story.nodes, whole, strict=True):
        ready = sum(one.ended_ns - one.began_ns for one in row if one.state == "ready")
        known = sum(one.ended_ns - one.began_ns for one in row)
        served.append(f"{esc(node)} {100 * ready / known:.1f} %" if known else f"{esc(node)} unknown")
    return board.chart(
        "Availability", len(rows) * ROW + HEAD + 4, body, rows=_names(story), key=key,
        note=f"Ready, as share of the time that is known: {', '.join(served)}.",
    )  # fmt: skip


def _class(state: str) -> str:
    return f"s-{state.replace(' ', '-')}"


def _lines(
    story: Story, axis: svg.Axis, scale: svg.Scale, lines: dict[str, list[tuple[float, float]]]
) -> tuple[str, str]:
    """(body, key) of a line for each node, broken where nothing was told for a while."""
    body, key = "", ""
    for place, node in enumerate(story.nodes):
        dash = DASHES[place % len(DASHES)]
        more = f'class="node i{place % INKS}" stroke-dasharray="{dash}"' if dash else f'class="node i{place % INKS}"'
        points: list[tuple[float, float] | None] = []
        before_ns = None
        for at, value in lines.get(node, ()):
            if before_ns is not None and at - before_ns > max(1e9, 2.5 * _width(story)):
                points.append(None)
            points.append((axis.x(at), scale.y(value)))
            before_ns = at
        body += svg.path(points, more)
        key += swatch(f'<path d="M1 6h20" {more} fill="none"/>', esc(node))
    return body, key


def _width(story: Story) -> float:
    return max(story.end_ns / LINES, 2e8)


def _clocks(story: Story) -> str:
    board, height = svg.board(story), 110.0
    axis = board.axis
    lines = offsets(story.samples, story.nodes, _width(story))
    told = [value for line in lines.values() for _, value in line]
    low, high = min([*told, -CLOCK_LEAST_MS]), max([*told, CLOCK_LEAST_MS])
    pad = (high - low) * 0.05
    scale = svg.Scale(low - pad, high + pad, svg.TOP + height, svg.TOP)
    in_s = high - low >= 5000
    ticks = [
        (scale.y(ms), f"{ms / 1000:+g} s" if in_s and ms else f"{ms:+g} ms" if ms else "0")
        for ms in svg.steps(low - pad, high + pad, 6)
    ]
    body, key = _lines(story, axis, scale, lines)
    moved = [band.number for band in story.bands if band.fault.name.startswith("clock")]
    note = "What the other members say of a node's wall clock, the median."
    if moved:
        note += f" Clocks were moved by {many(len(moved), 'fault')}: {esc(', '.join(map(str, moved)))}."
    return board.chart("Clock offsets", height, body, y_ticks=ticks, key=key, note=note)


def _lags(story: Story) -> str:
    board, height = svg.board(story), 110.0
    axis = board.axis
    lines = lags(story.samples, story.nodes, _width(story))
    highest = max([LAG_LEAST, *(value for line in lines.values() for _, value in line)])
    scale = svg.Scale(0.0, highest * 1.05, svg.TOP + height, svg.TOP)
    ticks = [(scale.y(entries), count(entries)) for entries in svg.steps(0.0, highest * 1.05, 5)]
    body, key = _lines(story, axis, scale, lines)
    return board.chart(
        "Applied index lag", height, body, y_ticks=ticks, key=key,
        note="Entries between the highest commit that any node told of and what this node had applied.",
    )  # fmt: skip
