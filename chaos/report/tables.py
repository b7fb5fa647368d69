"""The tables: verdicts with what they verify and what not, faults with their gaps, operations, nodes. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from chaos.check.base import PRIORITY
from chaos.check.live import gaps
from chaos.check.words import is_final, is_write, quantile

from .markup import clean, colour, count, esc, latency, number, seconds
from .story import OUTCOMES, WORDS, dict_of, followed, list_of, victims

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chaos.check.live import Gap

    from .story import Call, Ruling, Story

SIGNS: Final = {"held": "✓", "violated": "✗", "unknown": "?", "skipped": "-", "not judged": "?"}
OF_THE_SCHEDULE: Final = ("leader", "write_gap_s", "took_effect", "error")  # of an effect: what is said elsewhere
NUMBERS_MAX: Final = 2000


def sign(valid: str) -> str:
    """A verdict as sign, word and class, never colour alone."""
    return f'<span class="verdict {valid.replace(" ", "-")}"><b>{SIGNS[valid]}</b> {valid}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], name: str = "") -> str:
    """Cells are escaped or ours; wide ones scroll."""
    ths = "".join(f"<th>{one}</th>" for one in head)
    trs = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    kind = f' class="{name}"' if name else ""
    return f'<div class="wide"><table{kind}><thead><tr>{ths}</tr></thead><tbody>{trs}</tbody></table></div>'


def verdicts(story: Story, claims: Mapping[str, tuple[str, str]]) -> str:
    """A row a checker, the worst first; `claims` are (verified, not verified) by the checker's name."""
    rows = [
        (sign(one.valid), f"<b>{esc(one.checker)}</b>", _found(story, one, claims.get(one.checker)))
        for one in sorted(story.rulings, key=lambda one: PRIORITY.index(one.valid))
    ]
    return table(("verdict", "checker", "what was found"), rows, "verdicts")


def _found(story: Story, ruling: Ruling, claim: tuple[str, str] | None) -> str:
    said = esc(story.brief(ruling.summary), 1000)
    if ruling.details:
        said += "<ul>" + "".join(f"<li>{esc(story.brief(one), 1000)}</li>" for one in ruling.details) + "</ul>"
    more = ""
    if claim is not None:
        more += f"<p><b>Verified:</b> {esc(claim[0], 1000)}.</p><p><b>Not verified:</b> {esc(claim[1], 1000)}.</p>"
    if ruling.numbers:
        more += f"<p><b>Numbers:</b> <code>{esc(ruling.numbers, NUMBERS_MAX)}</code></p>"
    summary = "verified, not verified, numbers" if claim else "numbers"
    return said + (f"<details><summary>{summary}</summary>{more}</details>" if more else "")


def faults(story: Story) -> str:
    """What was broken, what it did, and how long nobody's write was acknowledged."""
    writes = gaps(story.run.events, is_write, story.load_ended_ns)
    colours = dict_of(story.plan.get("colours"))
    unhealed = dict_of(story.facts.get("unhealed"))
    rows = []
    for band, following in followed(story.bands):
        fault = band.fault
        until = story.load_ended_ns if following is None else following.fault.began_ns
        effect = {**dict_of(unhealed.get(str(band.number))), **fault.effect}
        budget = number(band.budget_s)
        rows.append((
            esc(band.number),
            f'<span class="swatch" style="background:{colour(colours.get(fault.name))}"></span> {esc(fault.name)}',
            esc(victims(band)), esc(band.hit), seconds(fault.began_ns),
            "never healed" if math.isinf(fault.ended_ns) else seconds(fault.ended_ns - fault.began_ns),
            _effect(effect), _longest(writes, fault.began_ns, fault.ended_ns),
            _longest(writes, fault.ended_ns, max(until, fault.ended_ns)), "" if budget is None else f"{budget:g} s",
        ))  # fmt: skip
    head = ("#", "fault", "victims", "hit", "began", "held for", "effect", "write gap in it", "and after", "budget")
    skipped = [
        (esc(name), esc(why, 1000)) for name, why in sorted(dict_of(story.facts.get("skipped")).items(), key=str)
    ]
    left_out = "<h3>Skipped</h3>" + table(("fault", "why"), skipped) if skipped else ""
    note = (
        "<p class='note'>Write gap: the longest time in which clients waited and no write was acknowledged; one that "
        "lasts beyond the healing counts in both columns. After: until the next fault, or the end of the load.</p>"
    )
    return (table(head, rows, "faults") + note if rows else "<p>Nothing was broken.</p>") + left_out


def _effect(effect: dict[str, Any]) -> str:
    """Counts of the nemesis, and whether anything happened at all."""
    took = "✓" if effect.get("took_effect") is True else '<b class="bad">✗ no effect known</b>'
    counts = ", ".join(
        f"{clean(name)} {clean(value, 80)}" for name, value in effect.items() if name not in OF_THE_SCHEDULE
    )
    error = f' <b class="bad">{esc(effect["error"], 500)}</b>' if effect.get("error") else ""
    return f"{took} {esc(counts, 300)}{error}"


def _longest(found: Sequence[Gap], began_ns: float, ended_ns: float) -> str:
    inside = [gap.ended_ns - gap.began_ns for gap in found if gap.began_ns < ended_ns and gap.ended_ns > began_ns]
    return latency(max(inside)) if inside else "-"


def operations(story: Story) -> str:
    """Every kind by its outcomes, with the latencies of those that were acknowledged."""
    kinds: dict[str, list[Call]] = {}
    for call in story.calls:
        kinds.setdefault(f"{clean(call.op.f)}{', last' if is_final(call.op) else ''}", []).append(call)
    rows = [_kind(esc(name), kinds[name]) for name in sorted(kinds, key=lambda name: -len(kinds[name]))]
    if len(rows) > 1:
        rows.append(_kind("<b>all</b>", story.calls))
    head = ("operation", "all", "ok", "refused", "fail", "unknown", "p50", "p95", "p99", "slowest")
    note = (
        "<p class='note'>Latencies are of ok ones. Refused: the cluster answered that it is not so (another version, "
        "no longer good). Fail: surely not done, for another reason. Unknown: it may be done, or may still be.</p>"
    )
    return table(head, rows, "numbers") + note if rows else "<p>No client did anything.</p>"


def _kind(name: str, calls: Sequence[Call]) -> tuple[str, ...]:
    of = [count(sum(call.outcome == outcome for call in calls)) for outcome in OUTCOMES]
    waits = [call.latency_ns for call in calls if call.op.outcome == "ok" and call.latency_ns is not None]
    quantiles = [latency(quantile(waits, share)) if waits else "-" for share in (0.5, 0.95, 0.99, 1.0)]
    return (name, count(len(calls)), *of, *quantiles)


def errors(story: Story) -> str:
    """Why operations were not acknowledged, the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for call in story.calls:
        if call.op.outcome != "ok" and call.op.error:
            why = (WORDS[call.outcome], clean(call.op.error, 80))
            counts[why] = counts.get(why, 0) + 1
    ordered = sorted(counts.items(), key=lambda one: -one[1])[:20]
    rows = [(of, esc(why), count(times)) for (of, why), times in ordered]
    return table(("outcome", "error", "times"), rows) if rows else ""


def members(story: Story) -> str:
    """Each node at the end of the run."""
    digests, codes = dict_of(story.facts.get("digests")), dict_of(story.facts.get("exit_codes"))
    whole = list_of(story.facts.get("whole")) or story.nodes
    rows = []
    for node in story.nodes:
        digest = [*list_of(digests.get(node)), None, None]
        code = esc(codes[node]) or "did not run" if node in codes else "not known"
        index = esc(digest[0]) or "not known"
        state = "whole" if node in whole else "left broken"
        rows.append((esc(node), state, index, f"<code>{esc(digest[1])}</code>", code))
    return table(("node", "at the end", "index", "digest of its state", "exit code"), rows) if rows else ""
