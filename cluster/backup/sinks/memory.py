"""A sink in this process's memory: for tests, and to show what a sink is. Lost with the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import (
    Claim,
    ConflictError,
    FencedError,
    Generation,
    Position,
    SinkError,
    Stored,
    check_follows,
    newest,
    reach,
    stored_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..format import Parsed


Place = tuple[int, int, bytes, int]


class MemorySink:
    """See Sink."""

    url = "memory:"

    def __init__(self) -> None:
        self._generations: dict[bytes, Generation] = {}
        self._claims: dict[bytes, Claim] = {}
        self._objects: dict[bytes, dict[Place, tuple[Stored, bytes]]] = {}

    async def open(self) -> None:
        """See Sink."""

    async def look(self) -> None:
        """See Sink."""

    async def close(self) -> None:
        """See Sink."""

    async def begin(self, generation: Generation, *, fork: bool = False) -> None:
        """See Sink."""
        known = self._generations.get(generation.generation)
        if known is not None:
            if known[:3] != generation[:3]:
                raise ConflictError("the generation has begun from somewhere else")
            return
        siblings = [one for one in self._generations.values() if one.parent == generation.parent and one.parent]
        if siblings and not fork:
            raise FencedError("another generation has begun from the same parent")
        self._generations[generation.generation] = generation

    async def generations(self) -> list[Generation]:
        """See Sink."""
        return sorted(self._generations.values(), key=lambda one: one.began_ns)

    async def claim(self, claim: Claim) -> Position | None:
        """See Sink."""
        if claim.generation not in self._generations:
            raise ConflictError("a generation is claimed that has not begun")
        known = self._claims.get(claim.generation)
        if known is not None and known != claim and known.term >= claim.term:
            raise FencedError(f"term {known.term} has claimed this sink")
        self._claims[claim.generation] = claim
        return reach(self._every(claim.generation))

    async def claimant(self, generation: bytes) -> Claim | None:
        """See Sink."""
        return self._claims.get(generation)

    async def store(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """See Sink."""
        self._check(claim)
        header = parsed.header
        objects = self._objects.setdefault(claim.generation, {})
        place = (header.first, int(header.kind), header.base, header.part)
        beside = objects.get(place)
        if check_follows(parsed, newest(self._every(claim.generation)), None if beside is None else beside[0]):
            objects[place] = (stored_of(parsed, len(data), parsed.hash.hex()), data)

    async def objects(self, generation: bytes) -> AsyncIterator[Stored]:
        """See Sink."""
        for stored, _ in sorted(self._objects.get(generation, {}).values(), key=lambda one: one[0].order):
            yield stored

    async def read(self, generation: bytes, stored: Stored) -> bytes:
        """See Sink."""
        for known, data in self._objects.get(generation, {}).values():
            if known.name == stored.name:
                return data
        raise SinkError("memory: an object is gone")

    async def remove(self, claim: Claim, stored: list[Stored]) -> None:
        """See Sink."""
        self._check(claim)
        names = {one.name for one in stored}
        objects = self._objects.get(claim.generation, {})
        for place in [place for place, (known, _) in objects.items() if known.name in names]:
            del objects[place]

    def _check(self, claim: Claim) -> None:
        if self._claims.get(claim.generation) != claim:
            raise FencedError("another node has claimed this sink")

    def _every(self, generation: bytes) -> list[Stored]:
        return [stored for stored, _ in self._objects.get(generation, {}).values()]
