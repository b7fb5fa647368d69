"""One run as one page: no script, no network, nothing outside the file. Pure.

Invariant: besides R1 (markup.py) the page forbids itself, by its own content security policy, to run or load anything:
two mistakes are needed before what a cluster answered acts in a reader's browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from . import charts, strips, tables, timeline
from .markup import count, esc, many, seconds
from .story import dict_of
from .style import sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .story import Ruling, Story

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
ICON: Final = {"held": "✓", "violated": "✗"}
SAYS: Final = {
    "held": "everything that was looked at held",
    "violated": "something that must never happen, happened",
    "unknown": "not everything could be judged, so nothing is certain",
    "skipped": "nothing was looked at",
    "not judged": "no checker has looked at this run",
}
VIOLATIONS_MAX: Final = 6


def page(story: Story, claims: Mapping[str, tuple[str, str]]) -> str:
    """The whole of it; `claims` are (verified, not verified) of checkers by name."""
    title = f"{ICON.get(story.valid, '?')} {esc(story.name)}, seed {esc(story.plan.get('seed')) or '?'}: {story.valid}"
    violated = [ruling for ruling in story.rulings if ruling.valid == "violated"]
    sections = [
        ("verdicts", "Verdicts", tables.verdicts(story, claims) if story.rulings else "<p>None yet.</p>"),
        ("violations", "Violations", "".join(_violation(story, one) for one in violated[:VIOLATIONS_MAX])),
        ("time", "The run over time", _over_time(story)),
        ("faults", "Faults", tables.faults(story)),
        ("operations", "Operations", tables.operations(story) + tables.errors(story)),
        ("nodes", "Nodes at the end", tables.members(story)),
    ]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, body in sections if body)
    body = "".join(f'<section id="{name}"><h2>{head}</h2>{body}</section>' for name, head, body in sections if body)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<style>{sheet()}</style></head><body>{_header(story)}<nav>{links}</nav>{body}</body></html>\n"
    )


def _header(story: Story) -> str:
    versions = dict_of(story.plan.get("versions"))
    seed, target = esc(story.plan.get("seed")), esc(story.plan.get("target"))
    again = f"python -m chaos run {esc(story.name)} --seed {seed} --target {target}" if seed and target else ""
    facts: list[tuple[str, Any]] = [
        ("scenario", f"<b>{esc(story.name)}</b> {esc(story.scenario.get('about'), 500)}"),
        ("seed", seed),
        ("target", f"{target}, {many(len(story.nodes), 'node')}" if target else ""),
        ("began", esc(story.plan.get("began"))),
        ("lasted", seconds(story.end_ns, 1)),
        ("had", f"{many(len(story.calls), 'operation')}, {many(len(story.bands), 'fault')}"),
        ("commit", f"<code>{esc(versions.get('commit'))}</code>" if versions.get("commit") else ""),
        ("versions", esc(", ".join(f"{name} {said}" for name, said in versions.items() if said and name != "commit"))),
        ("run again", f"<code>{again}</code>" if again else ""),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{said}</dd>" for name, said in facts if said)
    cut = ""
    if story.missing:
        what = "".join(f"<li>{esc(one)}</li>" for one in story.missing)
        cut = f'<div class="cut"><b>This folder is not whole.</b><ul>{what}</ul></div>'
    said = f"{_counted(story)}{SAYS[story.valid]}"
    return f"<header><h1>{esc(story.name)} {tables.sign(story.valid)}</h1><p>{said}.</p>{cut}<dl>{listed}</dl></header>"


def _counted(story: Story) -> str:
    """`17 checkers: 15 held, 2 skipped; `, the worst first."""
    if not story.rulings:
        return ""
    counts = {valid: sum(one.valid == valid for one in story.rulings) for valid in tables.SIGNS}
    order = ("violated", "unknown", "held", "skipped")
    said = ", ".join(f"{count(counts[valid])} {valid}" for valid in order if counts[valid])
    return f"{many(len(story.rulings), 'checker')}: {said}; "


def _violation(story: Story, ruling: Ruling) -> str:
    """What could not be, with the operations around it."""
    shown = timeline.scene(story, ruling)
    said = f"<h3>{tables.sign('violated')} {esc(ruling.checker)}</h3><p>{esc(story.brief(ruling.summary), 1000)}</p>"
    if ruling.details:
        said += "<ul>" + "".join(f"<li>{esc(story.brief(one), 1000)}</li>" for one in ruling.details) + "</ul>"
    if not shown.calls:
        return said + "<p class='note'>It names no operations of the history.</p>"
    figures = timeline.drawn(story, shown)
    return f'{said}<div class="scroll"><div class="charts">{figures}</div></div>{timeline.listed(story, shown)}'


def _over_time(story: Story) -> str:
    """All charts in one frame: on a narrow screen they move together."""
    drawn = charts.drawn(story) + strips.drawn(story)
    return f'<div class="scroll"><div class="charts">{"".join(drawn)}</div></div>'
