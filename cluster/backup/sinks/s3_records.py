"""What stands in the log of a generation in a bucket, and what all of it together means. Pure.

A record is one immutable object; its number is its name, and whoever creates a number first has it. So the records of
a log have one order, and each was written by somebody who knew all before it. What they say is nobody's secret, and is
not believed: the chain of hashes and the boxes are the truth.
Invariant: the meaning of a log depends on its records alone, in the order of their numbers.
Source: docs/backup.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ...errors import DamagedError
from ..format import Kind
from .base import ConflictError, FencedError, Generation, Position, Stored, newest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..format import Parsed
    from .base import Claim

_NAME = re.compile(r"(batch|base)/[0-9a-f-]+(/[0-9]+)?")
Place = tuple[int, int, bytes, int]


class Begun(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """A generation has begun; these records stand in a log of their own."""

    generation: bytes
    parent: bytes
    parent_index: int
    began_ns: int


class Claimed(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """From here on only this claimant writes, until the next one."""

    term: int
    node_id: str


class Added(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """An object is part of the backup: it was stored before this was said."""

    stored: Stored


class Dropping(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """These objects are no part of the backup any more, and are about to be deleted."""

    names: list[str]


class Dropped(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """These objects are deleted."""

    names: list[str]


Record = Begun | Claimed | Added | Dropping | Dropped
"""One step of a log. New kinds and fields go to the end."""


class Summary(msgspec.Struct, array_like=True, frozen=True):
    """What the next record has to fit: number of the last one, the claim, and how far the objects reach.

    `tip` is what the next batch follows, `base` the final part of the newest complete base. `is_torn`: one of them was
    dropped, and only all records together say what stands in its place. `dropping`: names that may not be deleted yet.
    """

    last: int = 0
    claim: tuple[int, str] | None = None
    tip: Stored | None = None
    base: Stored | None = None
    dropping: tuple[str, ...] = ()
    is_torn: bool = False

    def position(self) -> Position | None:
        """How far the generation reaches."""
        if self.tip is None:
            return None
        at_index, at_ns = (0, 0) if self.base is None else (self.base.last, self.base.time_ns)
        return Position(self.tip.last, self.tip.hash, self.tip.time_ns, at_index, at_ns, self.tip.fresh)


class Segment(msgspec.Struct, array_like=True, frozen=True):
    """A copy of many records, from number `first`, and the summary behind the last: so that few objects are read."""

    first: int
    records: list[Record]
    summary: Summary


_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_segment = msgspec.msgpack.Decoder(Segment).decode
_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(what: Record | Segment) -> bytes:
    """The body of its object."""
    return _encode(what)


def decode(data: bytes) -> Record:
    """Raises DamagedError."""
    try:
        found: Record = _decode_record(data)
    except _ERRORS:
        raise DamagedError("a record of the log does not decode") from None
    _check_names([found])
    return found


def decode_segment(data: bytes) -> Segment:
    """Raises DamagedError."""
    try:
        found = _decode_segment(data)
    except _ERRORS:
        raise DamagedError("a segment of the log does not decode") from None
    if found.first < 1 or found.first + len(found.records) - 1 != found.summary.last or found.summary.is_torn:
        raise DamagedError("a segment of the log contradicts itself")
    _check_names(found.records)
    return found


def _check_names(found: Iterable[Record]) -> None:
    """No name leads out of its generation's objects. Raises DamagedError."""
    for record in found:
        names = [record.stored.name] if isinstance(record, Added) else getattr(record, "names", ())
        if not all(_NAME.fullmatch(name) for name in names):
            raise DamagedError("the log names what is no object of a backup")


def after(summary: Summary, record: Record) -> Summary:
    """The summary behind one more record."""
    change = msgspec.structs.replace
    summary = change(summary, last=summary.last + 1)
    if isinstance(record, Claimed):
        return change(summary, claim=(record.term, record.node_id))
    if isinstance(record, Added):
        one = record.stored
        base = summary.base
        if one.kind == Kind.BASE and one.final and (base is None or one.last > base.last):
            base = one
        return change(summary, tip=newest([*([summary.tip] if summary.tip else []), one]), base=base)
    if isinstance(record, Dropping):
        is_torn = any(one is not None and one.name in record.names for one in (summary.tip, summary.base))
        names = tuple(dict.fromkeys([*summary.dropping, *record.names]))
        return change(summary, dropping=names, is_torn=summary.is_torn or is_torn)
    if isinstance(record, Dropped):
        return change(summary, dropping=tuple(name for name in summary.dropping if name not in set(record.names)))
    return summary


def mended(summary: Summary, found: Iterable[Stored]) -> Summary:
    """The summary as all objects that are left say it."""
    every = list(found)
    bases = [one for one in every if one.kind == Kind.BASE and one.final]
    base = max(bases, key=lambda one: one.last, default=None)
    return msgspec.structs.replace(summary, tip=newest(every), base=base, is_torn=False)


def objects_in(found: Iterable[Record]) -> dict[Place, Stored]:
    """What is part of the backup behind all these records, by place. The first one in a place has it."""
    every: dict[Place, Stored] = {}
    places: dict[str, Place] = {}  # of what has a place, by name
    for record in found:
        if isinstance(record, Added):
            stored = record.stored
            if every.setdefault(stored.order, stored) is stored:
                places[stored.name] = stored.order
        elif isinstance(record, Dropping):
            for name in record.names:
                place = places.pop(name, None)
                if place is not None:
                    del every[place]
    return every


def check_claim(summary: Summary, claim: Claim) -> None:
    """Raises FencedError if the claim does not stand."""
    if summary.claim != (claim.term, claim.node_id):
        raise FencedError("another node has claimed this sink")


def check_may_claim(summary: Summary, claim: Claim) -> None:
    """Raises FencedError if the claim would replace one of its own or a higher term."""
    known = summary.claim
    if known is not None and known != (claim.term, claim.node_id) and known[0] >= claim.term:
        raise FencedError(f"term {known[0]} has claimed this sink")


def check_may_begin(found: Iterable[Record], generation: Generation, *, fork: bool) -> bool:
    """Whether the generation is still to begin. Raises ConflictError, FencedError (S4)."""
    known = generations_in(found)
    for one in known:
        if one.generation == generation.generation:
            if one[:3] != generation[:3]:
                raise ConflictError("the generation has begun from somewhere else")
            return False
    if generation.parent and not fork and any(one.parent == generation.parent for one in known):
        raise FencedError("another generation has begun from the same parent")
    return True


def generations_in(found: Iterable[Record]) -> list[Generation]:
    """Oldest first."""
    known = [
        Generation(one.generation, one.parent, one.parent_index, one.began_ns)
        for one in found
        if isinstance(one, Begun)
    ]
    return sorted(known, key=lambda one: one.began_ns)


def name_of(parsed: Parsed) -> str:
    """Where an object is stored, below its generation: a batch by what it holds, a part of a base by its place."""
    header = parsed.header
    if header.kind == Kind.BASE:
        return f"base/{header.first:020}-{header.base.hex()}/{header.part:08}"
    return f"batch/{header.first:020}-{header.last:020}-{parsed.hash.hex()}"
