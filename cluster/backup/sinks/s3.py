"""A sink in a bucket of a server that speaks S3.

A shell. Objects are immutable: an object of a backup is created once, and is part of it only once the generation's log
(s3_log.py) says so. Claims, objects and removals are records of one log, in which whoever creates a number first has
it. That is the transaction that S3 does not have: a batch that a deposed leader still has under way wants a number that
the next leader's claim has taken, so it is in the log before that claim, and counted in the claim's answer, or never
(S1, S2). Beginnings of generations stand in a log of their own (S4). A record, and what it names, is durable when the
server has answered (S5). What was sent without ever getting into the log is sealed, counts for nothing and stays.

All this rests on `If-None-Match`. A server that ignores it cannot decide between two writers: names with the claim in
them would only move the question to whoever reads, and what a deposed leader sent late could hide what was answered to
the next one. So such a server is refused at `open`. Parts of a base are objects of their own, about 1 MB each: a base
that is interrupted goes on with the part that is missing, and no upload stays half open.

  PREFIX/strongroom                         the format; created twice by `open`, to see whether the server refuses it
  PREFIX/generations/log/N                  a generation began
  PREFIX/GENERATION/log/N, …/index/N        claims, objects, removals; copies of many of them
  PREFIX/GENERATION/batch/FIRST-LAST-HASH   an object
  PREFIX/GENERATION/base/INDEX-ID/PART      an object
See Sink for what is promised. Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..format import OBJECT_BYTES_MAX, Kind, hash_of
from .base import (
    Claim,
    ConflictError,
    Position,
    SinkError,
    SinkRefusedError,
    Stored,
    UnknownStoreError,
    check_follows,
    stored_of,
)
from .s3_bucket import Bucket, keys_in
from .s3_log import Log
from .s3_records import (
    Added,
    Begun,
    Claimed,
    Dropped,
    Dropping,
    check_claim,
    check_may_begin,
    check_may_claim,
    generations_in,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..format import Parsed
    from .base import Generation
    from .s3_bucket import Target

log = logging.getLogger("strongroom.backup")

ATTEMPTS = 16
NAMES_AT_ONCE = 500
MARK = "strongroom"
MARK_TEXT = b"Strongroom keeps backups here. Format 1.\n"


class S3Sink:
    """See the module's paragraph. No call but `objects` takes longer than `timeout_s`."""

    def __init__(self, target: Target, password: str | None, *, timeout_s: float) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._bucket = Bucket(target, keys_in(password), timeout_s=timeout_s)
        self._generations = Log(self._bucket, "generations")
        self._log: tuple[bytes, Log] | None = None  # of the generation that is written
        self._warned = False

    def __repr__(self) -> str:
        return f"<S3Sink {self.url}>"

    @property
    def url(self) -> str:
        """See Sink."""
        return f"s3://{urlsplit(self._target.endpoint).netloc}/{self._target.bucket}"

    async def open(self) -> None:
        """See Sink. Raises SinkRefusedError if the server ignores conditions. Warns once if these keys may delete."""
        async with self._call():
            await self._probe()
            if self._warned:
                return
            try:
                await self._bucket.delete([f"{MARK}-nothing"])
            except SinkRefusedError:
                return
            self._warned = True
            log.warning("%s: the keys that store may delete too; docs/backup.md has a policy without", self.url)

    async def look(self) -> None:
        """See Sink. Keys that may only read are enough."""
        async with self._call():
            if await self._marked() is None:
                await self._bucket.names("generations/log")  # says so if there is no such bucket

    async def close(self) -> None:
        """See Sink."""
        self._log = None

    async def begin(self, generation: Generation, *, fork: bool = False) -> None:
        """See Sink."""
        async with self._call():
            for _ in range(ATTEMPTS):
                await self._generations.load()
                if not check_may_begin(await self._generations.records(), generation, fork=fork):
                    return
                if await self._generations.append(Begun(*generation)):
                    return
            raise SinkError("s3: other writers were always faster")

    async def generations(self) -> list[Generation]:
        """See Sink."""
        async with self._call():
            return generations_in(await self._generations.records())

    async def claim(self, claim: Claim) -> Position | None:
        """See Sink. A record of our own that is still under way is in the position that is answered, or never."""
        async with self._call():
            known = generations_in(await self._generations.records())
            if all(one.generation != claim.generation for one in known):
                raise ConflictError("a generation is claimed that has not begun")
            written = await self._written(claim.generation)
            for _ in range(ATTEMPTS):
                check_may_claim(written.summary, claim)
                if await written.append(Claimed(claim.term, claim.node_id)):
                    return written.summary.position()
            raise SinkError("s3: other writers were always faster")

    async def claimant(self, generation: bytes) -> Claim | None:
        """See Sink."""
        async with self._call():
            found = Log(self._bucket, generation.hex())
            await found.load()
        known = found.summary.claim
        return None if known is None else Claim(generation, *known)

    async def store(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """See Sink."""
        stored = stored_of(parsed, len(data), name_of(parsed))
        async with self._call():
            written = await self._written(claim.generation)
            is_there = False
            for _ in range(ATTEMPTS):
                check_claim(written.summary, claim)
                if not check_follows(parsed, written.summary.tip, await _beside(written, stored)):
                    return
                if not is_there:
                    await self._put(claim.generation, stored, data)
                    is_there = True
                if await written.append(Added(stored)):
                    break
            else:
                raise SinkError("s3: other writers were always faster")
            await written.copy()

    async def objects(self, generation: bytes) -> AsyncIterator[Stored]:
        """See Sink."""
        found = await Log(self._bucket, generation.hex()).objects()
        for stored in sorted(found.values(), key=lambda one: one.order):
            yield stored

    async def read(self, generation: bytes, stored: Stored) -> bytes:
        """See Sink."""
        async with self._call():
            data = await self._bucket.read(f"{generation.hex()}/{stored.name}", bytes_max=OBJECT_BYTES_MAX)
        if data is None:
            raise SinkError("s3: an object is gone")
        return data

    async def remove(self, claim: Claim, stored: list[Stored]) -> None:
        """See Sink. What an interrupted removal left is deleted too."""
        async with self._call():
            written = await self._written(claim.generation)
            check_claim(written.summary, claim)
            await self._bucket.delete([f"{claim.generation.hex()}/nothing"])
        names = [one.name for one in stored]
        for at in range(0, len(names), NAMES_AT_ONCE):
            async with self._call():
                written = await self._written(claim.generation)
                await _append(written, claim, Dropping(names[at : at + NAMES_AT_ONCE]))
                await self._delete(written, claim, names[at : at + NAMES_AT_ONCE])

    # ----
    async def _probe(self) -> None:
        """This place is ours, and the server refuses to create what is there (a mark that is only read: no question).

        Raises SinkRefusedError.
        """
        found = await self._marked()
        try:
            again = [await self._bucket.create(MARK, MARK_TEXT) for _ in range(2)]
        except SinkRefusedError:
            if found is None:
                raise
            return  # keys that may only read: nothing will be written
        if again[-1]:
            raise SinkRefusedError(
                "s3: the server ignores If-None-Match: it cannot keep a backup that several nodes write"
            )

    async def _marked(self) -> bytes | None:
        """The mark of a place of ours; None: nothing is there. Raises SinkRefusedError."""
        found = await self._bucket.read(MARK, bytes_max=OBJECT_BYTES_MAX)
        if found not in {None, MARK_TEXT}:
            raise SinkRefusedError("s3: this place holds something else, or backups of another format")
        return found

    async def _written(self, generation: bytes) -> Log:
        """The log of the generation, as it was read by the last call that went well, or read now."""
        if self._log is None or self._log[0] != generation:
            self._log = None
            found = Log(self._bucket, generation.hex())
            await found.load()
            self._log = (generation, found)
        return self._log[1]

    async def _put(self, generation: bytes, stored: Stored, data: bytes) -> None:
        """The object's bytes are there; nothing says so yet. Raises ConflictError."""
        path = f"{generation.hex()}/{stored.name}"
        if await self._bucket.create(path, data) or stored.kind == Kind.BATCH:
            return  # a batch has its hash in its name
        known = await self._bucket.read(path, bytes_max=OBJECT_BYTES_MAX)
        if known is None:
            raise SinkError("s3: an object was made at the same time: try again")
        if hash_of(known) != stored.hash:
            raise ConflictError(f"another object stands where {stored.first} to {stored.last} belongs")

    async def _delete(self, written: Log, claim: Claim, just_named: list[str]) -> None:
        """What is being dropped is deleted, and the log says so. What is in use again since is not deleted."""
        names = list(written.summary.dropping)
        is_old = not set(names) <= set(just_named)
        used = {one.name for one in (await written.objects()).values()} if is_old else set()
        await self._bucket.delete(f"{claim.generation.hex()}/{name}" for name in names if name not in used)
        await _append(written, claim, Dropped(names))

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """One call within its time. However it fails, the next one reads the log again."""
        self._generations.is_unknown = False
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            is_unknown = self._generations.is_unknown or (self._log is not None and self._log[1].is_unknown)
            self._log = None
            if is_unknown:
                raise UnknownStoreError("s3: no answer in time; what became of the record is not known") from None
            raise SinkError("s3: no answer in time") from None
        except BaseException:
            self._log = None
            raise


async def _append(written: Log, claim: Claim, record: Dropping | Dropped) -> None:
    """The record stands. Raises FencedError."""
    for _ in range(ATTEMPTS):
        check_claim(written.summary, claim)
        if await written.append(record):
            return
    raise SinkError("s3: other writers were always faster")


async def _beside(written: Log, stored: Stored) -> Stored | None:
    """What the log has in the object's place. A part of a base has a name of its own, which is asked instead."""
    tip = written.summary.tip
    if stored.kind == Kind.BASE or tip is None or stored.first > tip.last:
        return None
    return (await written.objects()).get(stored.order)
