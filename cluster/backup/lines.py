"""Which line of history is meant where none is named, and what came of a line: decided from what sinks show.

Pure. Invariants
  H1  what is chosen without being named is the only line that no other took the place of: of two that went on side by
      side, somebody must name one
  H2  a line that a restore began and nobody has led yet is not restored again by accident: that would be a second
      cluster from the same backup
  H3  the end of a line is where it, or a line that began from it and was led, was written last
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .chain import RestoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .chain import Run
    from .sinks.base import Generation


class Line(NamedTuple):
    """One generation, as all sinks together show it. `led`: somebody has written behind the base of its restore."""

    generation: Generation
    last: int
    time_ns: int
    led: bool

    @property
    def id(self) -> bytes:
        """Its name."""
        return self.generation.generation


def lines(shown: Iterable[tuple[Generation, list[Run]]]) -> list[Line]:
    """Every generation of which anything can be restored, oldest first; what several sinks show is put together."""
    found: dict[bytes, Line] = {}
    for generation, runs in shown:
        if not runs:
            continue
        best = max(runs, key=lambda run: (run.last, run.time_ns))
        led = not generation.parent or len(runs) > 1 or any(run.batches for run in runs)
        line = Line(generation, best.last, best.time_ns, led)
        known = found.get(line.id)
        if known is not None:
            further = max(known, line, key=lambda one: one.last)
            line = further._replace(led=known.led or line.led)
        found[line.id] = line
    return sorted(found.values(), key=lambda line: line.generation.began_ns)


def newest(found: list[Line], *, unled: bool = False) -> Line:
    """The line to restore where none is named (H1, H2). `unled`: also one that nobody has led. Raises RestoreError."""
    if not found:
        raise RestoreError("nothing that is stored there can be restored")
    open_ends = [one for one in found if not _is_continued(one, found)]
    if len(open_ends) > 1:
        listed = "; ".join(f"{one.id.hex()} reaches {one.last}" for one in open_ends)
        raise RestoreError(f"several lines of history are stored there, name one with -generation: {listed}")
    [line] = open_ends
    if not line.led and not unled:
        raise RestoreError(
            f"this backup was restored before, as generation {line.id.hex()}, and that cluster has not served yet: "
            "lay out its further members with -join, or name a generation and make a second cluster with -fork"
        )
    return line


def _is_continued(line: Line, found: list[Line]) -> bool:
    """Whether another line began from it and nothing was written to it since: that one took its place."""
    return any(one.generation.parent == line.id and one.generation.began_ns >= line.time_ns for one in found)


def end_of(line: Line, found: list[Line]) -> Line:
    """H3: the line itself, or the descendant that was written last."""
    family = {line.id}
    for one in found:  # oldest first: parents come before their children
        if one.generation.parent in family:
            family.add(one.id)
    written = [one for one in found if one.id in family and (one.led or one.id == line.id)]
    return max(written, key=lambda one: (one.time_ns, one.generation.began_ns))
