"""The table, its JSON and what missed its target. Pure: text in, text out."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from .figures import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .figures import Figure, Judgement, Results, Target

NAME_WIDTH = 52


def machine_line(machine: dict[str, Any]) -> str:
    """One line about the machine."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"Python {machine['python']}, sync p50 {machine['sync_p50_ms']} ms, load average {machine['load_average']}, "
        f"{machine['time']}"
    )


def number_text(value: float) -> str:
    """Three digits that mean something, with thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def numbers_text(numbers: dict[str, float]) -> str:
    """All numbers with their names."""
    return "  ".join(f"{number_text(value)} {name}" for name, value in numbers.items())


def figure_lines(figure: Figure, targets: Sequence[Target]) -> list[str]:
    """The figure, its yardstick and its targets, one under another."""
    lines = [f"{figure.name:<{NAME_WIDTH}}  {numbers_text(figure.numbers)}  (load {figure.load_average:g})"]
    if figure.yardstick is not None:
        ratios = "  ".join(f"x{value:.3g} {name}" for name, value in figure.ratios.items())
        lines.append(f"    yardstick {figure.yardstick.name}: {numbers_text(figure.yardstick.numbers)}; {ratios}")
    elif figure.missing:
        lines.append(f"    yardstick: {figure.missing}")
    lines += [f"    {judgement_text(judgement)}" for judgement in judge(figure, targets)]
    if figure.note:
        lines.append(f"    {figure.note}")
    return lines


def judgement_text(judgement: Judgement) -> str:
    """A target in words."""
    target = judgement.target
    sign = "<=" if target.at_most else ">="
    bounds = [f"{word} {sign} {bound:g}" for word, bound in (("must", target.must), ("aim", target.aim)) if bound]
    return f"target {target.number}: {', '.join(bounds)}: {judgement.verdict} with {number_text(judgement.value)}"


def missed(results: Results, targets: Sequence[Target]) -> list[str]:
    """Every `must` that was not met, and every group that could not be measured."""
    lines = [
        f"{figure.name}: {judgement_text(judgement)}"
        for figure in results.figures
        for judgement in judge(figure, targets)
        if judgement.verdict is Verdict.MISSED
    ]
    return lines + [f"{group} could not be measured: {why}" for group, why in results.failures.items()]


def as_json(results: Results, targets: Sequence[Target]) -> str:
    """Everything, for programs."""
    figures = []
    for figure in results.figures:
        fields = dataclasses.asdict(figure)
        fields["ratios"] = figure.ratios
        fields["targets"] = [dataclasses.asdict(judgement) for judgement in judge(figure, targets)]
        figures.append(fields)
    return json.dumps({"machine": results.machine, "figures": figures, "failures": results.failures}, indent=1) + "\n"
