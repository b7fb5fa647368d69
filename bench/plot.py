"""A picture of the figures: rates with their yardsticks, latencies, and how each target is met.

A shell around matplotlib; draws into files, needs no display.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from .figures import Verdict, judge
from .report import machine_line, number_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from .figures import Figure, Results, Target

OURS, THEIRS = "#1f5f8b", "#b8b8b8"
COLOURS = {Verdict.AIM: "#2e7d32", Verdict.MUST: "#1f5f8b", Verdict.SHORT: "#c98a00", Verdict.MISSED: "#b3261e"}


def draw(results: Results, targets: Sequence[Target], path: Path) -> None:
    """The picture stands at `path`; its ending says the format (png, svg)."""
    rates = [figure for figure in results.figures if "per_s" in figure.numbers]
    latencies = [figure for figure in results.figures if "p50_ms" in figure.numbers]
    height = 2.5 + 0.28 * max(1, len(rates), len(latencies))
    picture, axes = plt.subplots(1, 3, figsize=(21, height), layout="constrained")
    _bars(axes[0], rates, "per_s", "per second, with the yardstick of the same minute")
    _bars(axes[1], latencies, "p50_ms", "p50 in ms, with the yardstick of the same minute")
    _targets(axes[2], results, targets)
    picture.suptitle(machine_line(results.machine), fontsize=8)
    picture.savefig(path, dpi=110)
    plt.close(picture)


def _bars(axes: Axes, figures: list[Figure], number: str, title: str) -> None:
    axes.set_title(title, fontsize=9)
    if not figures:
        axes.set_axis_off()
        return
    for place, figure in enumerate(reversed(figures)):
        ours = figure.numbers[number]
        theirs = 0.0 if figure.yardstick is None else figure.yardstick.numbers.get(number, 0.0)
        axes.barh(place + 0.2, ours, 0.4, color=OURS)
        axes.barh(place - 0.2, theirs, 0.4, color=THEIRS)
        axes.text(ours, place + 0.2, f" {number_text(ours)}", va="center", fontsize=6)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_yticks(range(len(figures)), [figure.name for figure in reversed(figures)], fontsize=7)


def _targets(axes: Axes, results: Results, targets: Sequence[Target]) -> None:
    axes.set_title("measured as a multiple of the target (bar past the line is good)", fontsize=9)
    found = [
        (f"{figure.name}: {one.target.number}", one)
        for figure in results.figures
        for one in judge(figure, targets)
        if one.value
    ]
    if not found:
        axes.set_axis_off()
        return
    for place, (_, one) in enumerate(reversed(found)):
        bound = one.target.must or one.target.aim or 1.0
        reached = bound / one.value if one.target.at_most else one.value / bound
        axes.barh(place, reached, 0.6, color=COLOURS[one.verdict])
        axes.text(reached, place, f" {number_text(one.value)} {one.verdict}", va="center", fontsize=6)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.35)
    axes.set_yticks(range(len(found)), [name for name, _ in reversed(found)], fontsize=7)
