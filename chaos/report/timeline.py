"""The operations around a violation: a row for each process, a bar from call to return, the named ones lettered. Pure.

One timeline a key, all of one violation on the same windows of the run's time. Invariant: every operation that the
checker named is drawn and listed, as far as NAMED_MAX goes; what is left out is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import svg
from .charts import inks
from .markup import clean, colour, esc, latency, many, seconds
from .story import WORDS, ended_ns, followed
from .windows import windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .story import Call, Ruling, Story
    from .windows import Windows

NAMED_MAX: Final = 26
AROUND: Final = 8  # operations of the same key, before and after each that is named
KEYS_MAX: Final = 6
ROW: Final = 30.0
BAR: Final = 14.0
HEAD: Final = 6.0
FOOT: Final = 22.0
PAD_NS: Final = 2_000_000
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
VALUE_MAX: Final = 80
MARK: Final = "chaosmark-"  # what all values begin with; left out where space is short


@dataclass(frozen=True)
class Scene:
    """What is shown of one violation."""

    letters: dict[int, str]  # by the index of the invocation
    calls: tuple[Call, ...]  # in the order of the calls
    left_out: int  # named operations that are not shown


def scene(story: Story, ruling: Ruling) -> Scene:
    """The named operations and their neighbours on the same keys."""
    by_index = {call.op.index: call for call in story.calls}
    wanted = sorted({index for index in ruling.operations if index in by_index})
    named = [by_index[index] for index in wanted[:NAMED_MAX]]
    chosen = {call.op.index: call for call in named}
    for key in {call.op.key for call in named}:
        same = [call for call in story.calls if call.op.key == key]
        places = {call.op.index: place for place, call in enumerate(same)}
        for call in named:
            if call.op.key == key:
                place = places[call.op.index]
                chosen.update({one.op.index: one for one in same[max(0, place - AROUND) : place + AROUND + 1]})
    letters = {call.op.index: letter for call, letter in zip(named, LETTERS, strict=False)}
    ordered = sorted(chosen.values(), key=lambda call: (call.op.called_ns, call.op.index))
    return Scene(letters, tuple(ordered), len(set(ruling.operations)) - len(named))


def drawn(story: Story, shown: Scene) -> str:
    """A figure for each key; nothing if no operation is shown."""
    if not shown.calls:
        return ""
    keys = list(dict.fromkeys(call.op.key for call in shown.calls))
    keys.sort(key=lambda key: not any(call.op.key == key and call.op.index in shown.letters for call in shown.calls))
    spans = [(call.op.called_ns - PAD_NS, _end_ns(call) + PAD_NS) for call in shown.calls]
    axis = windows(spans, svg.LEFT, svg.WIDTH - svg.RIGHT)
    return "".join(_key(story, shown, key, axis) for key in keys[:KEYS_MAX])


def _end_ns(call: Call) -> float:
    return call.op.called_ns + 1_000_000 if call.done_ns is None else call.done_ns


def _key(story: Story, shown: Scene, key: str, axis: Windows) -> str:
    calls = [call for call in shown.calls if call.op.key == key]
    processes = list(dict.fromkeys(call.op.process for call in calls))
    height = len(processes) * ROW
    bottom = HEAD + height
    of_f = inks(story.calls)
    body = _behind(story, axis, height)
    for place, process in enumerate(processes):
        own = [call for call in calls if call.op.process == process]
        body += _row(shown, own, HEAD + place * ROW, axis, of_f)
    title = f"Around it: {esc(story.brief(key)) or 'no key'}"
    cuts = ", stretches without them are cut out (⋯)" if len(axis.all) > 1 else ""
    note = f"A row for each process, bars from call to return, in seconds since the run began{cuts}."
    return (
        f'<figure><figcaption><b>{title}</b><small>{note}</small></figcaption><svg viewBox="0 0 {svg.WIDTH} '
        f'{svg.n(bottom + FOOT)}" role="img" aria-label="{title}">{body}</svg></figure>'
    )


def _behind(story: Story, axis: Windows, height: float) -> str:
    """Fault bands, ticks and cuts of every window."""
    body = ""
    colours = svg.board(story).colours
    for window in axis.all:
        for band in story.bands:
            began, ended = band.fault.began_ns, ended_ns(band, story.end_ns)
            if began < window.ended_ns and ended > window.began_ns:
                left, right = window.x(began), window.x(ended)
                ink = colour(colours.get(band.fault.name))
                more = f'class="band" fill="{ink}" stroke="{ink}"'
                body += svg.rect(left, HEAD, right - left, height, more, svg.told(band))
        body += _ticks(window.began_ns, window.ended_ns, window.right - window.left, axis, HEAD + height)
        body += svg.line(window.left, HEAD + height, window.right, HEAD + height, "base")
    for before in axis.all[:-1]:
        body += svg.text(before.right + 15, HEAD + height + 3, "⋯", 'class="x"')
    return body


def _ticks(began_ns: float, ended_ns: float, width: float, axis: Windows, bottom: float) -> str:
    low, high = began_ns / 1e9, ended_ns / 1e9
    most = max(1, int(width / 90))
    step = svg.nice((high - low) / most)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    body = ""
    for at in svg.steps(low, high, most):
        x = axis.x(at * 1e9)
        body += svg.line(x, HEAD, x, bottom, "grid")
        body += svg.text(min(x, svg.WIDTH - 30), bottom + 15, f"{at:.{digits}f} s", 'class="x"')
    return body


def _row(shown: Scene, calls: Sequence[Call], y: float, axis: Windows, of_f: dict[str, str]) -> str:
    nodes = {call.op.node for call in calls}
    where = f" {next(iter(nodes))}" if len(nodes) == 1 else ""
    label = esc(f"{calls[0].op.process}{where}", 14)
    body = svg.text(svg.LEFT - 6, y + 22, label, 'class="y"') + svg.line(svg.LEFT, y, svg.WIDTH - svg.RIGHT, y, "grid")
    taken = 0.0
    for call, following in followed(calls):
        op = call.op
        left = axis.x(op.called_ns)
        right = svg.WIDTH - svg.RIGHT if op.outcome == "info" else max(axis.x(_end_ns(call)), left + 3)
        letter = shown.letters.get(op.index, "")
        name = f"call c-{call.outcome} {of_f[op.f]}{' named' if letter else ''}"
        body += svg.rect(left, y + 11, right - left, BAR, f'class="{name}" rx="2"', _told(call, letter))
        brief = clean(f"{op.f} {_brief(call)}".replace(MARK, ""), 40)
        edge = axis.of(_end_ns(call)).right
        room = (edge if following is None else min(edge, axis.x(following.op.called_ns))) - right
        if svg.fits(brief, right - left):
            body += svg.text(left + 3, y + 22, esc(brief), 'class="in"')
        elif svg.fits(brief, room):
            body += svg.text(right + 3, y + 22, esc(brief))
        if letter:
            x = max((left + right) / 2 if right - left < 60 else left + 6, taken)
            body += svg.text(x, y + 9, letter, 'class="letter"')
            taken = x + 12
    return body


def _brief(call: Call) -> str:
    """What was written or read, and the version."""
    op = call.op
    value = op.result if op.argument is None and op.outcome == "ok" else op.argument
    version = f" v{clean(op.version, 8)}" if op.version is not None else ""
    outcome = "" if op.outcome == "ok" else f" {WORDS[call.outcome]}"
    return f"{clean(value, 40)}{version}{outcome}"


def _told(call: Call, letter: str) -> str:
    op = call.op
    until = "never answered" if call.done_ns is None else f"to {seconds(call.done_ns, 4)}"
    what = f"{letter} #{op.index} {op.f} {_brief(call)} by {op.process} at {op.node}".strip()
    return esc(f"{what}, {seconds(op.called_ns, 4)} {until}", 300)


def listed(story: Story, shown: Scene) -> str:
    """The same operations as a table."""
    names = "# process node f key argument result outcome version index called took"
    head = ("", *names.split())
    rows = ""
    for call in shown.calls:
        op = call.op
        letter = shown.letters.get(op.index, "")
        cells = (
            f"▶ {letter}" if letter else "", esc(op.index), esc(op.process), esc(op.node), esc(op.f),
            esc(story.brief(op.key)), esc(op.argument, VALUE_MAX), esc(op.result, VALUE_MAX),
            esc(f"{WORDS[call.outcome]} {op.error}".strip()), esc(op.version), esc(op.raft_index),
            seconds(op.called_ns, 4), latency(call.latency_ns) or "never answered",
        )  # fmt: skip
        name = ' class="named"' if letter else ""
        rows += f"<tr{name}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    ths = "".join(f"<th>{name}</th>" for name in head)
    left = f"<p>{many(shown.left_out, 'more operation is', 'more operations are')} named.</p>" if shown.left_out else ""
    return (
        f'<div class="wide"><table class="calls"><thead><tr>{ths}</tr></thead><tbody>{rows}</tbody></table></div>{left}'
    )
