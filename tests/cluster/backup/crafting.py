"""Objects as a sink gets them: a true header, a box that nobody opens."""

from __future__ import annotations

from cluster.backup.format import NO_HASH, Header, Kind, Parsed, head_of, parse
from cluster.backup.sinks.base import Claim, Generation

GENERATION = b"generation-tests"
LINE = Generation(GENERATION, b"", 0, 1)
CLAIM = Claim(GENERATION, 3, "n1")

Object = tuple[bytes, Parsed]


def batch(
    first: int, last: int, follows: Object | None = None, *, box: bytes = b"box" * 9, generation: bytes = GENERATION
) -> Object:
    """A batch behind another object; its stamps are its indexes."""
    return _object(
        generation=generation, kind=Kind.BATCH, first=first, last=last, previous=_hash(follows), base=b"", part=0,
        final=True, fresh=False, box=box,
    )  # fmt: skip


def part(
    index: int, number: int = 0, *, final: bool = True, fresh: bool = True, follows: Object | None = None,
    name: bytes = b"base-one", box: bytes = b"box" * 9, envelope: bytes = b"", generation: bytes = GENERATION,
) -> Object:  # fmt: skip
    """One part of a base at `index`."""
    return _object(
        generation=generation, kind=Kind.BASE, first=index, last=index, previous=_hash(follows), base=name,
        part=number, final=final, fresh=fresh, box=box, envelope=envelope,
    )  # fmt: skip


def chain(count: int, *, entries: int = 10, size: int = 27) -> list[Object]:
    """A fresh base at index 1 and as many batches behind it."""
    made = [part(1)]
    for number in range(count):
        first = 2 + number * entries
        made.append(batch(first, first + entries - 1, made[-1], box=bytes([number % 251]) * size))
    return made


def _hash(follows: Object | None) -> bytes:
    return NO_HASH if follows is None else follows[1].hash


def _object(
    *, generation: bytes, kind: Kind, first: int, last: int, previous: bytes, base: bytes, part: int, final: bool,
    fresh: bool, box: bytes, envelope: bytes = b"",
) -> Object:  # fmt: skip
    header = Header(
        generation=generation, kind=kind, first=first, last=last, term=3, from_ns=first, time_ns=last,
        previous=previous, base=base, part=part, final=final, fresh=fresh, place=b"p" * 24, node_id="n1",
        envelope=envelope,
    )  # fmt: skip
    data = head_of(header) + box
    return data, parse(data)
