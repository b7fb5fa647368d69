"""A sink in one SQLite file: of one node, or of several processes of one machine, as in `dev`.

A shell: each call is one transaction, run as a whole by the one thread that the sink owns. A call that is cancelled
ends in that thread by itself, and the next one waits for it: no transaction is left open, and what is then read is
what is there. See Sink for what is promised, sqlite_file.py for the file.
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ...failpoints import failpoint
from .base import (
    Claim,
    ConflictError,
    FencedError,
    Generation,
    Position,
    SinkError,
    Stored,
    UnknownStoreError,
    check_follows,
    reach,
)
from .rows import COLUMNS, claim_in, generation_in, number_of, stored_in, values_of
from .sqlite_file import OpenFile, classified, is_broken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ..format import Parsed

T = TypeVar("T")

PAGE_ROWS = 500
CLOSE_S = 2.0
_PICK = f"SELECT {COLUMNS} FROM objects WHERE generation = ?"  # noqa: S608 - names of columns
_TIP = f"{_PICK} AND final AND (kind = 2 OR fresh) ORDER BY last_index DESC, fresh DESC LIMIT 1"
_BASE = f"{_PICK} AND final AND kind = 1 ORDER BY last_index DESC LIMIT 1"
_BESIDE = f"{_PICK} AND first_index = ? AND kind = ? AND base = ? AND part = ?"
_ORDER = "ORDER BY first_index, kind, base, part"
_PAGE = f"{_PICK} AND (first_index, kind, base, part) > (?, ?, ?, ?) {_ORDER} LIMIT ?"
_REMOVE = (
    "DELETE FROM blobs WHERE id = (SELECT id FROM objects WHERE id = ? AND generation = ?)",
    "DELETE FROM objects WHERE id = ? AND generation = ?",
)
_GENERATIONS = "SELECT generation, parent, parent_index, began_ns FROM generations"
_PUT = f"INSERT INTO objects (generation, {COLUMNS}) VALUES (?, {', '.join('?' * 13)}, NULL)"  # noqa: S608


class SqliteSink:
    """See the module's paragraph. `timeout_s` is how long a call waits for another process."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._thread: ThreadPoolExecutor | None = None
        self._file: OpenFile | None = None

    @property
    def url(self) -> str:
        """See Sink."""
        return f"sqlite://{self._path}"

    async def open(self) -> None:
        """See Sink."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "backup-sqlite")
        await self._in_thread(self._opened)

    async def look(self) -> None:
        """See Sink. Raises SinkRefusedError where there is no file."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "backup-sqlite")
        await self._in_thread(self._looked_at)

    async def close(self) -> None:
        """See Sink."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        closing = asyncio.get_running_loop().run_in_executor(thread, self._shut)
        thread.shutdown(wait=False)
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.shield(closing)
        except TimeoutError:
            file = self._file
            if file is not None:
                with contextlib.suppress(sqlite3.Error):
                    file.connection.interrupt()

    async def begin(self, generation: Generation, *, fork: bool = False) -> None:
        """See Sink."""

        def work(connection: sqlite3.Connection) -> None:
            known = connection.execute(f"{_GENERATIONS} WHERE generation = ?", generation[:1]).fetchone()
            if known is not None:
                if known[:3] != generation[:3]:
                    raise ConflictError("the generation has begun from somewhere else")
                return
            siblings = connection.execute("SELECT 1 FROM generations WHERE parent = ?", (generation.parent,))
            if generation.parent and not fork and siblings.fetchone() is not None:
                raise FencedError("another generation has begun from the same parent")
            connection.execute("INSERT INTO generations VALUES (?, ?, ?, ?)", generation)

        await self._write(work)

    async def generations(self) -> list[Generation]:
        """See Sink."""
        pick = f"{_GENERATIONS} ORDER BY began_ns, rowid"
        return await self._read(lambda connection: [generation_in(row) for row in connection.execute(pick)])

    async def claim(self, claim: Claim) -> Position | None:
        """See Sink."""

        def work(connection: sqlite3.Connection) -> Position | None:
            began = connection.execute("SELECT 1 FROM generations WHERE generation = ?", claim[:1]).fetchone()
            if began is None:
                raise ConflictError("a generation is claimed that has not begun")
            known = _claimant(connection, claim)
            if known is not None and known != claim[1:] and known[0] >= claim.term:
                raise FencedError(f"term {known[0]} has claimed this sink")
            if known != claim[1:]:
                connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", claim)
            found = [connection.execute(pick, claim[:1]).fetchone() for pick in (_TIP, _BASE)]
            return reach([stored_in(row) for row in found if row is not None])

        return await self._write(work)

    async def claimant(self, generation: bytes) -> Claim | None:
        """See Sink."""
        asked = Claim(generation, 0, "")
        found = await self._read(lambda connection: _claimant(connection, asked))
        return None if found is None else Claim(generation, *found)

    async def store(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """See Sink."""
        header = parsed.header
        place = (claim.generation, header.first, int(header.kind), header.base, header.part)

        def work(connection: sqlite3.Connection) -> None:
            _check_claim(connection, claim)
            tip = connection.execute(_TIP, claim[:1]).fetchone()
            beside = connection.execute(_BESIDE, place).fetchone()
            if check_follows(parsed, *(None if row is None else stored_in(row) for row in (tip, beside))):
                put = connection.execute(_PUT, (claim.generation, *values_of(parsed, len(data))))
                connection.execute("INSERT INTO blobs VALUES (?, ?)", (put.lastrowid, data))

        await self._write(work)

    async def objects(self, generation: bytes) -> AsyncIterator[Stored]:
        """See Sink. Read in pages: what is stored meanwhile behind the page just read is seen too."""
        after: tuple[int, int, bytes, int] = (-1, 0, b"", 0)
        while True:
            page = await self._read(partial(_page, generation=generation, after=after))
            for stored in page:
                yield stored
            if len(page) < PAGE_ROWS:
                return
            after = page[-1].order

    async def read(self, generation: bytes, stored: Stored) -> bytes:
        """See Sink."""
        number = number_of(stored.name)
        pick = "SELECT data FROM blobs JOIN objects USING (id) WHERE id = ? AND generation = ?"
        row = await self._read(lambda connection: connection.execute(pick, (number, generation)).fetchone())
        if row is None or not isinstance(row[0], bytes):
            raise SinkError("sqlite: an object is gone")
        return row[0]

    async def remove(self, claim: Claim, stored: list[Stored]) -> None:
        """See Sink."""
        numbers = [number_of(one.name) for one in stored]

        def work(connection: sqlite3.Connection) -> None:
            _check_claim(connection, claim)
            for number in numbers:
                for statement in _REMOVE:
                    connection.execute(statement, (number, claim.generation))

        await self._write(work)

    # ---- in the thread
    def _opened(self) -> None:
        if self._file is not None and self._file.reads_only:
            self._shut()
        if self._file is not None:
            try:
                return self._file.check()
            except SinkError:
                self._shut()
        self._file = OpenFile(self._path, self._timeout_s)
        return None

    def _looked_at(self) -> None:
        self._shut()
        self._file = OpenFile(self._path, self._timeout_s, reads_only=True)

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _transaction(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        file = self._file
        if file is None:
            raise SinkError("sqlite: the sink is not open")
        connection = file.connection
        committing = False
        try:
            file.check()
            connection.execute(begin)
            found = work(connection)
            committing = begin != "BEGIN"
            failpoint("backup.before-commit")
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                raise
            if is_broken(error) or connection.in_transaction:
                self._shut()
            refusal = classified(error)
            if committing and is_broken(error):
                raise UnknownStoreError(f"{refusal}; what became of the transaction is not known") from None
            raise refusal from None
        return found

    # ---- the thread
    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_thread(lambda: self._transaction("BEGIN IMMEDIATE", work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_thread(lambda: self._transaction("BEGIN", work))

    async def _in_thread(self, job: Callable[[], T]) -> T:
        if self._thread is None:
            raise SinkError("sqlite: the sink is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)


def _claimant(connection: sqlite3.Connection, claim: Claim) -> tuple[int, str] | None:
    """Term and node of who has claimed the generation."""
    pick = "SELECT term, node_id FROM claims WHERE generation = ?"
    return claim_in(connection.execute(pick, claim[:1]).fetchone())


def _check_claim(connection: sqlite3.Connection, claim: Claim) -> None:
    if _claimant(connection, claim) != claim[1:]:
        raise FencedError("another node has claimed this sink")


def _page(connection: sqlite3.Connection, *, generation: bytes, after: tuple[int, int, bytes, int]) -> list[Stored]:
    return [stored_in(row) for row in connection.execute(_PAGE, (generation, *after, PAGE_ROWS))]
