"""What a sink holds, read as a restore would read it: the chain, every object of it, and the state it leads to."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster import Point, Restore, SystemRandom, open_sink
from cluster.backup.chain import runs
from cluster.backup.format import Kind
from cluster.backup.restore import choose
from cluster.backup.verify import Verifying
from node.restore.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.backup.sinks.base import Sink, Stored

DIGEST_BYTES = 16


@dataclass
class Held:
    """Everything wrong is a sentence; `digests` are those of the states at the indexes that were asked for."""

    batches: int = 0
    bases: int = 0
    size_bytes: int = 0
    first: int = 0
    last: int = 0
    wrong: list[str] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)


def look(url: str, password: str | None, shares: list[str], indexes: Iterable[int]) -> Held:
    """The newest generation of the sink; see Held."""
    return asyncio.run(_look(open_sink(url, password=password, timeout_s=30.0), Keys(shares), list(indexes)))


async def _look(sink: Sink, keys: Keys, indexes: list[int]) -> Held:
    held = Held()
    try:
        await sink.open()
        generation = await choose(sink, None)
        restore = Restore(sink, generation, keys.open, SystemRandom())
        try:
            await restore.open()
            held.wrong += chain_problems(restore.every)
            held.batches = sum(one.kind == Kind.BATCH for one in restore.every)
            held.bases = sum(one.kind == Kind.BASE and one.final for one in restore.every)
            held.size_bytes = sum(one.size for one in restore.every)
            verified = await Verifying(sink, generation.generation, restore, SystemRandom()).run()
            held.wrong += verified.wrong
            held.first = min((run.first for run in runs(restore.every)), default=0)
            held.last = verified.last
            for index in indexes:
                state = await restore.replay(Point(index), verify=False)
                held.digests[index] = state.digest.to_bytes(DIGEST_BYTES, "little").hex()
        finally:
            restore.wipe()
    finally:
        await sink.close()
    return held


def chain_problems(every: list[Stored]) -> list[str]:
    """No batch is lost, doubled or partial: each begins where the one before ended, and names it. Pure.

    A generation in which a fresh base began anew has no batch across that place.
    """
    found = []
    batches = sorted((one for one in every if one.kind == Kind.BATCH), key=lambda one: one.first)
    fresh = {one.last: one.hash for one in every if one.kind == Kind.BASE and one.final and one.fresh}
    seen: dict[int, bytes] = dict(fresh)
    for one in batches:
        if one.last < one.first:
            found.append(f"the batch {one.first} to {one.last} is none")
        before = seen.get(one.first - 1)
        if before is None:
            found.append(f"the batch {one.first} to {one.last} follows nothing")
        elif before != one.previous:
            found.append(f"the batch {one.first} to {one.last} follows another object than the one before it")
        seen[one.last] = one.hash
    for before, after in itertools.pairwise(batches):
        if after.first <= before.last:
            found.append(f"the batches {before.first} to {before.last} and {after.first} to {after.last} overlap")
    return found
