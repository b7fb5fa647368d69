"""A saved snapshot read through, part by part, with a keyring: verified once, then read as often as needed.

No state is built: a part of it is in memory at a time, so a large snapshot costs a running node nothing. A shell that
gives the loop back between short steps. Invariants
  T1  `verify` returns only for one whole base of one state: sealed sums, every part in its place in the chain, as many
      records as were counted, and the digest that the cluster had
  T2  what `parts` gives was opened as exactly that part: it cannot be another than was verified
  T3  of a secret, the metadata come before its versions and nothing comes between
Source: archive.py; replay.py, which builds a state of the same objects.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError
from ..state.digest import DIGEST_BYTES, Fingerprints
from ..state.snapshot import VERIFY_BYTES, End, records_of
from .archive import verify
from .format import NO_HASH, parse
from .sealed import BackupSealer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ..keyring.keyring import Keyring
    from ..seams import Random
    from .arriving import Arrived
    from .format import Parsed

Found = tuple[int, bytes, bytes]
"""(table, key, record)"""
RECORD_COST_BYTES = 200  # what hashing a small record costs beside its bytes


class Contents(NamedTuple):
    """Of which state the snapshot is, and its records of the tables that were asked for: table → key → record."""

    generation: bytes
    at_index: int
    time_ns: int
    counts: dict[int, int]
    kept: dict[int, dict[bytes, bytes]]


class ReadThrough:
    """`keyring` is that of the cluster; where it is wiped meanwhile, every method raises SealedError."""

    def __init__(self, arrived: Arrived, keyring: Keyring, random: Random) -> None:
        self._archive = arrived.archive
        self._state = arrived.state
        self._keyring = keyring
        self._random = random
        self._sealer = BackupSealer(keyring, random)

    def __repr__(self) -> str:
        return "<ReadThrough>"

    def wipe(self) -> None:
        """Nothing derived is kept."""
        self._sealer.wipe()

    async def verify(self, kept: Iterable[int] = ()) -> Contents:
        """See T1. Raises DamagedError, OSError."""
        verify(self._archive, self._keyring, self._random)
        wanted: dict[int, dict[bytes, bytes]] = {int(table): {} for table in kept}
        fingerprint = Fingerprints(self._keyring.digest_key).of
        counts: Counter[int] = Counter()
        digest, hashed_bytes = 0, 0
        end: End | None = None
        async for part in self._opened():
            if end is not None:
                raise DamagedError("the snapshot goes on behind its end")
            if isinstance(part, End):
                end = part
                continue
            for table, key, record in part:
                digest ^= fingerprint(table, key, record)
                counts[table] += 1
                if table in wanted:
                    wanted[table][key] = record
                hashed_bytes += len(record) + RECORD_COST_BYTES
                if hashed_bytes >= VERIFY_BYTES:
                    hashed_bytes = 0
                    await asyncio.sleep(0)
        header = self._archive.places[-1].parsed.header
        if end is None or end.counts != counts or (end.index, end.term) != (header.last, header.term):
            raise DamagedError("the snapshot is not complete")
        if end.digest != digest.to_bytes(DIGEST_BYTES, "little"):
            raise DamagedError("the snapshot does not have the digest that the cluster had")
        return Contents(header.generation, end.index, end.time_ns, end.counts, wanted)

    async def parts(self) -> AsyncIterator[list[Found]]:
        """Every record, some thousand at a time (T2, T3). Raises DamagedError, OSError."""
        async for part in self._opened():
            if not isinstance(part, End):
                yield part

    async def _opened(self) -> AsyncIterator[End | list[Found]]:
        before: Parsed | None = None
        for place in self._archive.places:
            data = await asyncio.to_thread(self._read, place.offset, place.size)
            parsed = parse(data)
            if parsed.hash != place.parsed.hash or not _follows(parsed, before):
                raise DamagedError("a part of the snapshot is not in its place")
            yield records_of(self._sealer.open(parsed))
            before = parsed
        if before is None or not before.header.final:
            raise DamagedError("the snapshot has no end")

    def _read(self, offset: int, size: int) -> bytes:
        self._state.seek(offset)
        return self._state.read(size)


def _follows(parsed: Parsed, before: Parsed | None) -> bool:
    """Whether the part is the first of a fresh base, or the next of the same one. What it says is authenticated."""
    header = parsed.header
    if before is None:
        return header.part == 0 and header.fresh and header.previous == NO_HASH
    last = before.header
    same = (header.generation, header.base, header.last, header.term, header.fresh)
    return (
        not last.final
        and same == (last.generation, last.base, last.last, last.term, last.fresh)
        and (header.part, header.previous) == (last.part + 1, before.hash)
    )


__all__ = ["Contents", "ReadThrough"]
