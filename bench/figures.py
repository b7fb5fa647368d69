"""What a measurement says: named numbers beside a yardstick and the targets of the project.

Pure. Each number's name ends in its unit (`per_s`, `p50_ms`, `rss_mib`); the first of a figure is its main one.
"""

from __future__ import annotations

import enum
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Something else that did the like on this machine in the same minute."""

    name: str
    numbers: dict[str, float]


@dataclass(slots=True)
class Figure:
    """One line of the table. `missing` says why there is no yardstick; `note` what else a reader should know."""

    group: str
    name: str
    numbers: dict[str, float]
    yardstick: Yardstick | None = None
    missing: str = ""
    note: str = ""
    load_average: float = 0.0

    @property
    def ratios(self) -> dict[str, float]:
        """Each number both have, as a multiple of the yardstick's."""
        if self.yardstick is None:
            return {}
        theirs = self.yardstick.numbers
        return {name: ours / theirs[name] for name, ours in self.numbers.items() if theirs.get(name)}


class Verdict(enum.StrEnum):
    """How a number stands to its target."""

    AIM = "aim met"
    MUST = "must met"
    MISSED = "MUST MISSED"
    SHORT = "short of the aim"


@dataclass(frozen=True, slots=True)
class Target:
    """What the project holds itself to. `number` is one of the figure's, or `ratio:` and one that both have."""

    figure: str
    number: str
    must: float | None = None
    aim: float | None = None
    at_most: bool = True

    def verdict(self, value: float) -> Verdict:
        """Where `value` stands."""
        if self.aim is not None and self._holds(value, self.aim):
            return Verdict.AIM
        if self.must is None:
            return Verdict.SHORT
        return Verdict.MUST if self._holds(value, self.must) else Verdict.MISSED

    def _holds(self, value: float, bound: float) -> bool:
        return value <= bound if self.at_most else value >= bound


@dataclass(frozen=True, slots=True)
class Judgement:
    """A target and the number that was measured for it."""

    target: Target
    value: float
    verdict: Verdict


def judge(figure: Figure, targets: Sequence[Target]) -> list[Judgement]:
    """Every target of the figure for which it has a number."""
    found = []
    for target in targets:
        if target.figure != figure.name:
            continue
        ratio = target.number.removeprefix("ratio:")
        value = figure.ratios.get(ratio) if ratio != target.number else figure.numbers.get(target.number)
        if value is not None:
            found.append(Judgement(target, value, target.verdict(value)))
    return found


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value below which `part` of the ordered values lie (nearest rank); 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each number over rounds that have the same numbers."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def latency_numbers(latencies_s: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the longest, in milliseconds."""
    ordered = sorted(latencies_s)
    return {
        "p50_ms": quantile(ordered, 0.5) * 1e3,
        "p99_ms": quantile(ordered, 0.99) * 1e3,
        "max_ms": (ordered[-1] if ordered else 0.0) * 1e3,
    }


@dataclass(slots=True)
class Results:
    """Everything one run measured."""

    machine: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # group → why it could not be measured
