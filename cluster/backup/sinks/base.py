"""What a sink is: a place that keeps objects it cannot read, in order, written by one claimant at a time.

A sink knows the clear header of each object and the object's hash, nothing else. What it says is checked by whoever
reads: the chain, the boxes and the digests are the truth (docs/backup.md).

Invariants that every sink keeps, held by one contract test
  S1  of one generation, a batch is stored only behind the batch it names: position and hash are compared in the same
      transaction, so there is no gap, no fork and no partial batch
  S2  a claim replaces only claims of lower terms; whoever is not the claimant stores and removes nothing
  S3  storing the same object twice is storing it once; another object in its place is refused
  S4  a generation is begun once; a second child of one parent only if it is asked for by name (`fork`)
  S5  what was answered is durable
  S6  whoever only looks writes nothing
Errors: FencedError, ConflictError, SinkRefusedError (an operator must act) and SinkError (try again later).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...errors import StrongroomError
from ..format import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..format import Parsed


class SinkError(StrongroomError):
    """The sink cannot be reached or cannot take more just now. The text says which sink and what kind of failure."""


class SinkRefusedError(SinkError):
    """The sink refuses us, or cannot do what is needed: trying again changes nothing until an operator acts."""


class UnknownStoreError(SinkError):
    """The object was sent and may or may not be stored: ask for the position before sending anything."""


class FencedError(StrongroomError):
    """Another claimant of a higher term writes here, or a generation that is not ours has begun."""


class ConflictError(StrongroomError):
    """The sink has another history than this node: it is not followed; a new base begins."""


class Claim(NamedTuple):
    """Who writes: a generation, the Raft term it leads, its id. The sink keeps the highest."""

    generation: bytes
    term: int
    node_id: str


class Position(NamedTuple):
    """How far a generation reaches: index, hash and stamp of its newest batch, or of the final part of a fresh base
    that no batch follows yet (`newest`, then `fresh`); and index and stamp of the newest complete base.
    """

    last: int
    hash: bytes
    time_ns: int
    base_index: int = 0
    base_time_ns: int = 0
    fresh: bool = False


class Generation(NamedTuple):
    """A line of history: which one it continues and from where (empty and 0: none), and when it began."""

    generation: bytes
    parent: bytes
    parent_index: int
    began_ns: int


class Stored(NamedTuple):
    """What a sink shows of one object beside it."""

    kind: int
    first: int
    last: int
    term: int
    time_ns: int
    base: bytes
    part: int
    final: bool
    fresh: bool
    size: int
    previous: bytes
    hash: bytes
    keyed: bool  # its header carries a keyring's envelope
    name: str  # the sink's own, for reading and removing

    @property
    def order(self) -> tuple[int, int, bytes, int]:
        """Objects of a generation in the order in which a restore wants them."""
        return (self.first, self.kind, self.base, self.part)


class Sink(Protocol):
    """See the module's paragraph. Every call may raise SinkError; none is made while another one of it runs."""

    @property
    def url(self) -> str:
        """Scheme, host and name; never a password."""
        ...

    async def open(self) -> None:
        """The sink can be used: connected, its schema there, what it promises probed. May be repeated."""
        ...

    async def look(self) -> None:
        """The sink can be read, until `open` by nothing else: nothing is made and nothing is changed there.

        A place that no sink was opened on yet shows no generation. May be repeated. Raises SinkRefusedError.
        """
        ...

    async def close(self) -> None:
        """Nothing is open. Never raises."""
        ...

    async def begin(self, generation: Generation, *, fork: bool = False) -> None:
        """The generation is there (S4). Raises FencedError if its parent has another child, unless `fork`."""
        ...

    async def generations(self) -> list[Generation]:
        """All, oldest first."""
        ...

    async def claim(self, claim: Claim) -> Position | None:
        """The claim stands, and then: how far the generation reaches. Raises FencedError (S2)."""
        ...

    async def claimant(self, generation: bytes) -> Claim | None:
        """Whose claim of the generation stands now; None if nobody has claimed it. For `prune`, beside who writes."""
        ...

    async def store(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """The object is stored. Raises FencedError, ConflictError (S1, S3), UnknownStoreError."""
        ...

    def objects(self, generation: bytes) -> AsyncIterator[Stored]:
        """What is stored of a generation, in the order of `Stored.order`."""
        ...

    async def read(self, generation: bytes, stored: Stored) -> bytes:
        """The object's bytes. Raises SinkError if it is gone."""
        ...

    async def remove(self, claim: Claim, stored: list[Stored]) -> None:
        """The objects are gone. Raises FencedError, SinkRefusedError where this role may not delete."""
        ...


def stored_of(parsed: Parsed, size: int, name: str = "") -> Stored:
    """What stands beside an object."""
    header = parsed.header
    return Stored(
        header.kind, header.first, header.last, header.term, header.time_ns, header.base, header.part,
        header.final, header.fresh, size, header.previous, parsed.hash, bool(header.envelope), name,
    )  # fmt: skip


def reach(stored: list[Stored]) -> Position | None:
    """The position of a generation of which these are the newest batches and the final parts of its bases."""
    tip = newest(stored)
    if tip is None:
        return None
    base = max((one for one in stored if one.kind == Kind.BASE and one.final), key=lambda one: one.last, default=None)
    at_index, at_ns = (0, 0) if base is None else (base.last, base.time_ns)
    return Position(tip.last, tip.hash, tip.time_ns, at_index, at_ns, tip.fresh)


def newest(stored: list[Stored]) -> Stored | None:
    """What the next batch must follow: the highest batch or complete fresh base, of two as high the base."""
    tips = [one for one in stored if one.final and (one.kind == Kind.BATCH or one.fresh)]
    return max(tips, key=lambda one: (one.last, one.fresh), default=None)


def check_follows(parsed: Parsed, tip: Stored | None, beside: Stored | None) -> bool:
    """Whether the object may be stored: False if it is there already. Raises ConflictError (S1, S3).

    `tip` is what `newest` finds in the generation, `beside` what is stored in the object's own place: for a batch the
    batch with the same `first`, for a part of a base the same part of it.
    """
    header = parsed.header
    if beside is not None:
        if beside.hash == parsed.hash:
            return False
        raise ConflictError(f"another object stands where {header.first} to {header.last} belongs")
    if header.kind == Kind.BASE:
        return True
    if tip is None:
        raise ConflictError(f"the batch from {header.first} follows nothing that is stored")
    if (tip.last + 1, tip.hash) != (header.first, header.previous):
        raise ConflictError(f"the batch from {header.first} does not follow what is stored to {tip.last}")
    return True
