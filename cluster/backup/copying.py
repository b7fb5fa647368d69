"""From one sink into another: objects as they are, in order, checked against the chain; and what retention lets go.

A shell over two sinks. Needs no keys. Invariants
  Y1  what is stored is byte for byte what was read, has the hash the source shows, and follows what stands before it
  Y2  a copy that was interrupted goes on where it ended; what is there already is not sent again
  Y3  the copy of a generation claims it below every leader: a cluster that writes the target fences the copy, never the
      other way round
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError
from .chain import runs
from .format import Kind, parse
from .line import claim_of
from .restore import Progress, stored_of
from .retention import removable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..seams import Clock, Random
    from .sinks.base import Claim, Generation, Sink, Stored

REMOVED_AT_ONCE = 200


class Copied(NamedTuple):
    """Of one generation: objects sent and their bytes, objects that were there, objects that lead nowhere."""

    generation: bytes
    sent: int
    size_bytes: int
    there: int
    left_out: int


async def copy(
    source: Sink, target: Sink, clock: Clock, random: Random, on_progress: Callable[[Progress], None]
) -> list[Copied]:
    """Every generation of the source is in the target. Raises DamagedError, ConflictError, FencedError, SinkError."""
    found = []
    for generation in await source.generations():
        await target.begin(generation, fork=True)
        claim = claim_of(generation.generation, clock.wall_ns(), random)
        await target.claim(claim)
        found.append(await _copied(source, target, generation, claim, on_progress))
    return found


async def _copied(
    source: Sink, target: Sink, generation: Generation, claim: Claim, on_progress: Callable[[Progress], None]
) -> Copied:
    name = generation.generation
    every = await stored_of(source, name)
    wanted = in_order(every)
    known = {one.hash for one in await stored_of(target, name)}
    total = sum(one.size for one in wanted)
    sent = size = done = 0
    for one in wanted:
        if one.hash not in known:
            data = await source.read(name, one)
            parsed = parse(data)
            header = parsed.header
            if parsed.hash != one.hash or header.generation != name:
                raise DamagedError(f"what is stored from {one.first} to {one.last} is not what the sink says")
            await target.store(claim, data, parsed)
            sent += 1
            size += len(data)
        done += one.size
        on_progress(Progress(f"copy {name.hex()[:8]}", done, total))
    return Copied(name, sent, size, len(wanted) - sent, len(every) - len(wanted))


def in_order(every: list[Stored]) -> list[Stored]:
    """The objects that a restore can use, so that each follows what the target then has: bases where they stand. Pure.

    A fresh base whose index lies within what came before it begins a chain of its own: batches of the former one that
    reach beyond it are left out, because nothing could be stored behind both.
    """
    found = runs(every)
    wanted: list[Stored] = []
    seen: set[str] = set()
    for at, run in enumerate(found):
        later_fresh = [one.first for one in found[at + 1 :] if one.base[0].fresh]
        until = min(later_fresh, default=None)
        batches = [one for one in run.batches if until is None or one.last <= until]
        for one in (*run.base, *batches):
            if one.name not in seen:
                seen.add(one.name)
                wanted.append(one)
    return sorted(wanted, key=lambda one: (one.last, one.kind == Kind.BASE, one.first, one.base, one.part))


async def prune(
    sink: Sink, claim: Claim, now_ns: int, *, keep_bases: int, keep_days: int, dry: bool
) -> list[Stored]:
    """What retention does not keep of a generation is gone, or (`dry`) would go. Raises FencedError, SinkError."""
    going = removable(await stored_of(sink, claim.generation), now_ns, keep_bases=keep_bases, keep_days=keep_days)
    if going and not dry:
        await sink.claim(claim)
        for at in range(0, len(going), REMOVED_AT_ONCE):
            await sink.remove(claim, going[at : at + REMOVED_AT_ONCE])
    return going
