"""Numbers over time: operations thinned without losing the extremes, quantiles and rates by buckets. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chaos.check.words import quantile

from .story import OUTCOMES
from .svg import nice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .story import Call

POINTS_MAX: Final = 6000
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
BUCKETS: Final = 90
BUCKET_LEAST_S: Final = 0.2


def waited_ns(call: Call, end_ns: float) -> float:
    """The latency; of a call that never heard, until the end of the run."""
    return end_ns - call.op.called_ns if call.latency_ns is None else call.latency_ns


def thinned(calls: Sequence[Call], end_ns: float, most: int = POINTS_MAX) -> list[Call]:
    """At most so many, in their order: the slowest and fastest of all, then what failed or is unknown, then evenly."""
    if len(calls) <= most:
        return list(calls)
    by_wait = sorted(range(len(calls)), key=lambda place: -waited_ns(calls[place], end_ns))
    kept = {*by_wait[: most // 6], by_wait[-1]}
    others = [place for place in by_wait if calls[place].outcome in {"fail", "info"} and place not in kept]
    kept.update(others[: most // 3])
    rest = [place for place in range(len(calls)) if place not in kept]
    free = most - len(kept)
    kept.update(rest[round(step * len(rest) / free)] for step in range(free))
    return [calls[place] for place in sorted(kept)]


def bucket_ns(end_ns: float) -> float:
    """A round length of which the run has at most BUCKETS."""
    return max(nice(end_ns / 1e9 / BUCKETS), BUCKET_LEAST_S) * 1e9


def quantiles(calls: Iterable[Call], end_ns: float) -> dict[str, list[tuple[float, float] | None]]:
    """{name: [(middle of the bucket, latency), None where nothing was acknowledged]} by the time of the call."""
    width = bucket_ns(end_ns)
    found: dict[int, list[float]] = {}
    for call in calls:
        if call.op.outcome == "ok" and call.latency_ns is not None:
            found.setdefault(int(call.op.called_ns // width), []).append(call.latency_ns)
    lines: dict[str, list[tuple[float, float] | None]] = {name: [] for name, _ in QUANTILES}
    for place in range(max(found, default=-1) + 1):
        for name, share in QUANTILES:
            inside = found.get(place)
            lines[name].append(((place + 0.5) * width, quantile(inside, share)) if inside else None)
    return lines


def rates(calls: Iterable[Call], end_ns: float) -> dict[str, list[tuple[float, float]]]:
    """{outcome: [(middle of the bucket, completions a second)]}; an outcome that never came is not there."""
    width = bucket_ns(end_ns)
    found: dict[str, dict[int, int]] = {}
    last = 0
    for call in calls:
        if call.done_ns is not None:
            place = int(call.done_ns // width)
            last = max(last, place)
            of = found.setdefault(call.outcome, {})
            of[place] = of.get(place, 0) + 1
    per_s = 1e9 / width
    return {
        outcome: [((place + 0.5) * width, found[outcome].get(place, 0) * per_s) for place in range(last + 1)]
        for outcome in OUTCOMES
        if outcome in found
    }
