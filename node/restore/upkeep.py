"""Objects moved and removed without keys: copy and prune. Each returns JSON. A shell. Source: docs/backup.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import RestoreError, SystemClock, SystemRandom, claim_of, copy, lines, newest, prune, survey

from ..status import uuid_of
from .jobs import silent
from .places import opened

if TYPE_CHECKING:
    from .jobs import OnProgress
    from .places import Place


async def copied(source: Place, target: Place, on_progress: OnProgress = silent) -> list[dict[str, Any]]:
    """Every generation of the source is in the target, which may be new. Raises DamagedError, SinkError and its kin."""
    if source.url == target.url:
        raise RestoreError("a sink cannot be copied onto itself")
    async with opened(source, reads_only=True) as read, opened(target, new=True) as written:
        found = await copy(read, written, SystemClock(), SystemRandom(), on_progress)
    return [
        {
            "generation": uuid_of(one.generation),
            "sent": one.sent,
            "bytes": one.size_bytes,
            "there_already": one.there,
            "left_out": one.left_out,
        }
        for one in found
    ]


async def prepared(place: Place) -> str:
    """The sink is there, with its tables of this program, and may be used; its URL. Raises SinkError."""
    async with opened(place, new=True) as sink:
        return sink.url


async def pruned(
    place: Place, generation: bytes | None, *, keep_bases: int, keep_days: int, dry: bool
) -> dict[str, Any]:
    """What retention does not keep of a generation is gone. Raises RestoreError, FencedError, SinkError."""
    clock = SystemClock()
    async with opened(place, reads_only=dry) as sink:
        if generation is None:
            generation = newest(lines((one.generation, one.runs) for one in await survey(sink))).id
        claim = await sink.claimant(generation) or claim_of(generation, clock.wall_ns(), SystemRandom())
        going = await prune(sink, claim, clock.wall_ns(), keep_bases=keep_bases, keep_days=keep_days, dry=dry)
    return {
        "generation": uuid_of(generation),
        "objects": len(going),
        "bytes": sum(one.size for one in going),
        "removed": not dry,
    }
