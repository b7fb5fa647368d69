"""A log in a bucket: numbered records, each created once, so that appending is a compare-and-set.

A shell. Whoever appends has read everything before: of two who do at once, one creates the number and the other one
reads what stands there. Nothing in a log is ever replaced or deleted. Records are copied into segments now and then,
which save reading them one by one; a segment that is missing or broken only costs time.
Source: docs/backup.md; Amazon S3 is strongly consistent for reads behind writes since 2020, and a list that lags
behind costs time too, never a record.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from ...errors import DamagedError
from .base import SinkError, SinkRefusedError, UnknownStoreError
from .s3_bucket import AT_ONCE, in_turn
from .s3_records import Segment, Summary, after, decode, decode_segment, encode, mended, objects_in

if TYPE_CHECKING:
    from .base import Stored
    from .s3_bucket import Bucket
    from .s3_records import Place, Record

SEGMENT_RECORDS = 256
_RECORD_BYTES_MAX = 1 << 20
_SEGMENT_BYTES_MAX = 1 << 26


class Log:
    """The log below `folder`, as far as it was read."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket = bucket
        self._folder = folder
        self._recent: list[Record] = []  # behind the newest segment
        self.summary = Summary()
        self.is_unknown = False  # a record was sent, and nobody said what became of it

    async def load(self) -> None:
        """Everything that was appended before this call is read. Raises SinkError."""
        self._recent, self.summary = [], Summary()
        for name in reversed(await self._bucket.names(f"{self._folder}/index")):
            found = await self._segment(name)
            if found is not None:
                self.summary = found.summary
                break
        await self._read_on()

    async def append(self, record: Record) -> bool:
        """The record stands behind everything read before; False: others do, and were read. Raises SinkError.

        UnknownStoreError: it may stand there.
        """
        self.is_unknown = True
        try:
            created = await self._bucket.create(self._path(self.summary.last + 1), encode(record))
        except SinkRefusedError:
            self.is_unknown = False
            raise
        except SinkError as error:
            raise UnknownStoreError(f"{error}; what became of the record is not known") from None
        self.is_unknown = False
        if created:
            self._take(record)
        else:
            await self._read_on()
        await self._mend()
        return created

    async def copy(self) -> None:
        """What has gathered since the last segment is one, if it is worth it. Failing is no harm."""
        if len(self._recent) < SEGMENT_RECORDS:
            return
        segment = Segment(self.summary.last - len(self._recent) + 1, self._recent, self.summary)
        try:
            await self._bucket.create(f"{self._folder}/index/{self.summary.last:020}", encode(segment))
        except SinkError:
            return
        self._recent = []

    async def records(self) -> list[Record]:
        """All records, from the first one. Raises SinkError."""
        names = await self._bucket.names(f"{self._folder}/index")
        every: list[Record] = []
        for found in await in_turn(self._segment(name) for name in names):
            if found is None or found.first > len(every) + 1:
                continue  # its records are read one by one, or with the next segment
            every += found.records[len(every) + 1 - found.first :]
        return every + await self._from(len(every) + 1)

    async def objects(self) -> dict[Place, Stored]:
        """What is part of the backup. Raises SinkError."""
        return objects_in(await self.records())

    # ----
    async def _read_on(self) -> None:
        for record in await self._from(self.summary.last + 1):
            self._take(record)
        await self._mend()

    async def _mend(self) -> None:
        if self.summary.is_torn:
            every = objects_in((await self.records())[: self.summary.last])
            self.summary = mended(self.summary, every.values())

    def _take(self, record: Record) -> None:
        self.summary = after(self.summary, record)
        self._recent.append(record)

    async def _from(self, first: int) -> list[Record]:
        """Every record from a number on. Asked for, not listed: a list may lag. More at once as they come."""
        every: list[Record] = []
        count = 1
        while True:
            found = await self._some(first + len(every), count)
            every += found
            if len(found) < count:
                return every
            count = min(2 * count, AT_ONCE)

    async def _some(self, first: int, count: int) -> list[Record]:
        """Records from a number on, as far as there are any."""
        numbers = range(first, first + count)
        every = await in_turn(self._bucket.read(self._path(one), bytes_max=_RECORD_BYTES_MAX) for one in numbers)
        found = list(itertools.takewhile(lambda data: data is not None, every))
        try:
            return [decode(data) for data in found if data is not None]
        except DamagedError as error:
            raise SinkRefusedError(f"s3: {error}") from None

    async def _segment(self, name: str) -> Segment | None:
        data = await self._bucket.read(name, bytes_max=_SEGMENT_BYTES_MAX)
        try:
            return None if data is None else decode_segment(data)
        except DamagedError:
            return None

    def _path(self, number: int) -> str:
        return f"{self._folder}/log/{number:020}"
