"""How long a node needs from the end of a fault until it serves again, as its samples tell.

A node that is hit again before it serves says nothing about the first time; one that never serves again within the
samples is a violation if they go on long enough, else unknown.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .bands import Band, bands, is_healed, whole_nodes
from .base import Verdict, held, skipped, unknown, violated
from .words import distribution

if TYPE_CHECKING:
    from chaos.folder import RunFolder, Sample

RECOVER_S_MAX: Final = 30.0


class Recover:
    """See the module's paragraph."""

    name: ClassVar[str] = "recover"
    verified: ClassVar[str] = "every node that was hit serves again within the time allowed after its fault ended"
    not_verified: ClassVar[str] = "times shorter than the distance of two samples; nodes that are left broken"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        most_s = float(run.facts.get("recover_s_max", RECOVER_S_MAX))
        found = list(bands(run))
        hit = [(band, node) for band in found if is_healed(band.fault) for node in band.fault.nodes]
        hit = [(band, node) for band, node in hit if node in whole_nodes(run)]
        if not found:
            return skipped(self, "nothing was broken")
        times: dict[str, list[float]] = {}
        wrong: list[str] = []
        undecided, hit_again = 0, 0
        for band, node in hit:
            until_s, how = _until(run, found, band, node)
            if until_s > most_s:
                what = f"{node} did not serve for {until_s:.1f} s after it ended"
                wrong.append(f"fault {band.number} ({band.fault.name}): {what}")
            elif how == "ready":
                times.setdefault(band.fault.name, []).append(until_s)
            elif how == "hit again":
                hit_again += 1
            else:
                undecided += 1
        numbers: dict[str, Any] = {
            "recover": {name: distribution(of) for name, of in sorted(times.items())},
            "undecided": undecided,
            "hit_again": hit_again,
        }
        if wrong:
            return violated(self, f"{len(wrong)} recoveries took longer than {most_s:g} s", wrong, **numbers)
        if not times:
            return unknown(self, "no recovery is in the samples", **numbers)
        if undecided:
            return unknown(self, f"{undecided} recoveries are not in the samples", **numbers)
        longest = max(max(of) for of in times.values())
        return held(self, f"{sum(map(len, times.values()))} recoveries, the longest {longest:.2f} s", **numbers)


def _until(run: RunFolder, found: list[Band], band: Band, node: str) -> tuple[float, str]:
    """Seconds from the fault's end to the first sample that serves, and "ready"; or to the last one before the node was
    "hit again", or before the samples reached their "end".
    """
    samples = _samples_of(run, node)
    ended_ns = band.fault.ended_ns
    again_ns = min(
        (o.fault.began_ns for o in found if o is not band and node in o.fault.nodes and o.fault.ended_ns > ended_ns),
        default=math.inf,
    )
    last_ns = ended_ns
    for sample in samples[bisect_left(samples, ended_ns, key=lambda sample: sample.time_ns) :]:
        if sample.time_ns >= again_ns:
            break
        last_ns = sample.time_ns
        if sample.ready:
            return (last_ns - ended_ns) / 1e9, "ready"
    return (last_ns - ended_ns) / 1e9, "end" if math.isinf(again_ns) else "hit again"


def _samples_of(run: RunFolder, node: str) -> list[Sample]:
    return [sample for sample in run.samples if sample.node == node]
