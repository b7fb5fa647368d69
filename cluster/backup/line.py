"""A new line of history begins in sinks: once for one point, unless somebody asks for a second one by name.

A shell over sinks. Invariants
  G1  of two restores of one backup, at the same time or after each other, one begins a line; the other is refused
      unless it is a fork
  G2  a line that a restore began and whose first base is not complete has no member: the next restore fences whoever
      may still be writing it, and leaves it behind
  G3  a restore claims below every leader, and a later restore above an earlier one
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sinks.base import Claim, FencedError, Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..seams import Random
    from .sinks.base import Sink

NS_PER_MS = 1_000_000
BELOW_LEADERS = 1 << 60
SEEDER = "restore"


def claim_of(generation: bytes, wall_ns: int, random: Random) -> Claim:
    """The claim of a restore that begins now (G3): terms of leaders are positive."""
    return Claim(generation, wall_ns // NS_PER_MS - BELOW_LEADERS, f"{SEEDER}-{random.bytes(8).hex()}")


async def begin(sinks: Sequence[Sink], line: Generation, claim: Claim, *, fork: bool) -> None:
    """The line has begun in every sink (G1), and in the first one it is ours to write. Raises FencedError."""
    for sink in sinks:
        left_behind = await _left_behind(sink, line, claim, fork=fork)
        await sink.begin(line, fork=fork or bool(left_behind))
        if not fork and await _siblings(sink, line) - left_behind:
            raise FencedError("another restore of this backup began at the same time: run this one again")
    if await sinks[0].claim(claim) is not None:
        raise FencedError("the new line of history is somebody else's already")


async def _siblings(sink: Sink, line: Generation) -> set[bytes]:
    return {
        one.generation
        for one in await sink.generations()
        if one.parent == line.parent and one.generation != line.generation
    }


async def _left_behind(sink: Sink, line: Generation, claim: Claim, *, fork: bool) -> set[bytes]:
    """Other lines from the same parent that nobody can go on with (G2). Raises FencedError for one that has members."""
    found = set()
    for generation in sorted(await _siblings(sink, line)):
        try:
            unused = await sink.claim(claim._replace(generation=generation)) is None
        except FencedError:
            unused = False
        if unused:
            found.add(generation)
        elif not fork:
            raise FencedError(
                f"this backup was restored before, as generation {generation.hex()}: a second cluster from it is a fork"
            )
    return found
