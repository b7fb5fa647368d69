"""A base as sealed objects, part by part.

Pure but for the sealer's nonces. Invariant: the last part, and only it, is final; each names the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .format import BASE_ID_BYTES, NO_HASH, Header, Kind, Parsed, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..seams import Random
    from .sealed import BackupSealer


def head_of_base(
    generation: bytes, index: int, term: int, time_ns: int, *, follows: bytes | None, envelope: bytes, node_id: str,
    random: Random,
) -> Header:  # fmt: skip
    """The header of a base's first part. `follows`: hash of the batch that ends at its index; None: it is fresh."""
    return Header(
        generation=generation, kind=Kind.BASE, first=index, last=index, term=term, from_ns=time_ns, time_ns=time_ns,
        previous=NO_HASH if follows is None else follows, base=random.bytes(BASE_ID_BYTES), part=0, final=False,
        fresh=follows is None, place=b"", node_id=node_id, envelope=envelope,
    )  # fmt: skip


def objects_of_base(
    first: Header, payloads: Iterator[bytes], sealer: Callable[[], BackupSealer]
) -> Iterator[tuple[bytes, Parsed]]:
    """(object, taken apart) of each part. `sealer` is asked for each: what it gives may change while a base is sent."""
    header = first
    held = next(payloads)
    while True:
        following = next(payloads, None)
        keys = sealer()
        header = msgspec.structs.replace(header, place=keys.place(), final=following is None)
        data = keys.seal(header, held)
        parsed = parse(data)
        yield data, parsed
        if following is None:
            return
        header = msgspec.structs.replace(header, part=header.part + 1, previous=parsed.hash)
        held = following
