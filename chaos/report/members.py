"""What nodes said of themselves, as segments and lines: who led which term, who served, clocks, how far behind. Pure.

A sample tells of the time since the one before it: a node that did not answer in time was silent before its sample.
Invariant: what a node says is believed only as far as its types go; a role, term or index that is none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .markup import number
from .story import dict_of, ended_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chaos.check.bands import Band
    from chaos.folder import Sample

PERIOD_NS: Final = 150_000_000
SILENCE_NS: Final = 1_500_000_000  # between samples; longer ones are time of which nothing is known
SEGMENTS_MAX: Final = 400
FRESH_NS: Final = 2_000_000_000
STATES: Final = ("no answer", "paused", "sealed", "not ready", "ready")  # in this order they win where space is short
PAUSES: Final = ("pause", "strobe", "stop")
LEADER: Final = "leader"
ROLES: Final = (LEADER, "candidate", "follower", "recovering")


@dataclass(frozen=True, slots=True)
class Segment:
    """Something was so from then to then."""

    began_ns: float
    ended_ns: float
    state: str
    term: int = 0


def segments(
    samples: Sequence[Sample], what: Callable[[Sample], tuple[str, int] | None], reach_ns: float = SILENCE_NS
) -> list[Segment]:
    """Of one node's samples, in their order; neighbours that say the same are one.

    What is new is so since the sample before, but not for longer than `reach_ns`: an answer speaks of its own moment.
    """
    found: list[Segment] = []
    before_ns: float | None = None
    for sample in samples:
        known = before_ns is not None and sample.time_ns - before_ns <= SILENCE_NS
        began_ns = before_ns if known and before_ns is not None else max(0.0, sample.time_ns - PERIOD_NS)
        before_ns = sample.time_ns
        said = what(sample)
        if said is None:
            continue
        last = found[-1] if found else None
        if last is not None and (last.state, last.term) == said and last.ended_ns == began_ns:
            found[-1] = Segment(last.began_ns, sample.time_ns, *said)
        else:
            found.append(Segment(max(began_ns, sample.time_ns - reach_ns), sample.time_ns, *said))
    return found


def coarse(found: Sequence[Segment], end_ns: float, order: Sequence[str]) -> list[Segment]:
    """At most SEGMENTS_MAX; in each part of the run the state that stands first in `order`, with its highest term."""
    if len(found) <= SEGMENTS_MAX:
        return list(found)
    width = end_ns / SEGMENTS_MAX
    best: dict[int, Segment] = {}
    for one in found:
        for place in range(int(one.began_ns // width), min(int(one.ended_ns // width), SEGMENTS_MAX - 1) + 1):
            there = best.get(place)
            if there is None or (order.index(one.state), -one.term) < (order.index(there.state), -there.term):
                best[place] = one
    return [Segment(place * width, (place + 1) * width, one.state, one.term) for place, one in sorted(best.items())]


def by_node(samples: Iterable[Sample], nodes: Sequence[str]) -> dict[str, list[Sample]]:
    """Samples of each."""
    found: dict[str, list[Sample]] = {node: [] for node in nodes}
    for sample in samples:
        if sample.node in found:
            found[sample.node].append(sample)
    return found


def role(sample: Sample) -> tuple[str, int] | None:
    """What it is, in which term."""
    status = dict_of(sample.status)
    said, term = status.get("role"), number(status.get("term"))
    return (said, int(term)) if isinstance(said, str) and said in ROLES and term is not None else None


def availability(node: str, bands: Sequence[Band], end_ns: float) -> Callable[[Sample], tuple[str, int]]:
    """What a client of that node could expect."""
    pauses = [
        (band.fault.began_ns, ended_ns(band, end_ns) + PERIOD_NS)
        for band in bands
        if node in band.fault.nodes and band.fault.name.startswith(PAUSES)
    ]

    def of(sample: Sample) -> tuple[str, int]:
        if sample.ready:
            return "ready", 0
        if sample.sealed or dict_of(sample.status).get("sealed") is True:
            return "sealed", 0
        if sample.status is not None or sample.answered:
            return "not ready", 0
        paused = any(began <= sample.time_ns <= ended for began, ended in pauses)
        return ("paused" if paused else "no answer"), 0

    return of


def without_leader(rows: Iterable[Sequence[Segment]], end_ns: float) -> tuple[float, float]:
    """(from, to) of the longest time in which no node said that it leads, after the first that did."""
    led = sorted((one.began_ns, one.ended_ns) for row in rows for one in row if one.state == LEADER)
    if not led:
        return 0.0, end_ns
    worst, until = (0.0, 0.0), led[0][1]
    for began, ended in led:
        worst = max(worst, (until, began), key=lambda span: span[1] - span[0])
        until = max(until, ended)
    return worst


def offsets(samples: Iterable[Sample], nodes: Sequence[str], width_ns: float) -> dict[str, list[tuple[float, float]]]:
    """{node: [(time, offset in ms)]}: the median of what the others say of its clock, the smaller of two middles."""
    said: dict[str, dict[int, dict[str, float]]] = {node: {} for node in nodes}
    for sample in samples:
        place = int(sample.time_ns // width_ns)
        for node, told in dict_of(dict_of(sample.status).get("clock_skew_ms")).items():
            skew = number(told)
            if node in said and node != sample.node and skew is not None:
                said[node].setdefault(place, {})[sample.node] = skew
        wall = number(sample.wall_skew_s)
        if wall is not None and sample.node in said:
            said[sample.node].setdefault(place, {})[""] = wall * 1000
    return {
        node: [((place + 0.5) * width_ns, _median(list(told.values()))) for place, told in sorted(places.items())]
        for node, places in said.items()
        if places
    }


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middles = {ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]}
    return min(middles, key=abs)


def lags(samples: Iterable[Sample], nodes: Sequence[str], width_ns: float) -> dict[str, list[tuple[float, float]]]:
    """{node: [(time, most entries in that bucket)]} between what it applied and the highest commit that was told."""
    latest: dict[str, tuple[int, float]] = {}
    most: dict[str, dict[int, float]] = {node: {} for node in nodes}
    for sample in samples:
        status: dict[str, Any] = dict_of(sample.status)
        applied, committed = number(status.get("applied_index")), number(status.get("commit_index"))
        if applied is None or committed is None or sample.node not in most:
            continue
        latest[sample.node] = (sample.time_ns, committed)
        fresh = max(index for time_ns, index in latest.values() if sample.time_ns - time_ns <= FRESH_NS)
        place = int(sample.time_ns // width_ns)
        of = most[sample.node]
        of[place] = max(of.get(place, 0.0), fresh - applied)
    return {
        node: [((place + 0.5) * width_ns, lag) for place, lag in sorted(of.items())] for node, of in most.items() if of
    }
