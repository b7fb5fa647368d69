"""A sink in a PostgreSQL database.

A shell: one connection, each call one transaction. Whatever goes wrong in a call, a cancellation too, ends the
connection, so no transaction of ours stays open; the next call makes a new one. Nothing outlives a transaction but
what it committed: no prepared statement, no setting, no session lock. So PgBouncer may stand between, with pools of
transactions or of sessions.

A commit whose answer is lost still holds the lock of the claim until the server has done or dropped it. `claim` takes
the same lock before it reads the position: what it answers is what became of that commit. A writer that vanished in
the middle of a message holds it for ever, as no timeout of PostgreSQL ends a session that has half a message: `claim`
ends such sessions of its own role, long after their writer has given up.
See Sink for what is promised, postgres_link.py for the connection. Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from ...failpoints import failpoint
from . import postgres_schema as schema
from .base import (
    Claim,
    ConflictError,
    FencedError,
    Generation,
    Position,
    SinkError,
    SinkRefusedError,
    Stored,
    UnknownStoreError,
    check_follows,
    reach,
)
from .postgres_errors import classified
from .postgres_link import connect
from .rows import COLUMNS, claim_in, generation_in, number_of, stored_in, values_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ..format import Parsed
    from .postgres_link import Target

    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")
log = logging.getLogger("strongroom.backup")

PAGE_ROWS = 500
GIVEN_UP = 2
"""So many times as long as a call may take, its transaction is nobody's any more."""
_PICK = f"SELECT {COLUMNS} FROM objects WHERE generation = $1"  # noqa: S608 - names of columns
_TIP = f"{_PICK} AND final AND (kind = 2 OR fresh) ORDER BY last_index DESC, fresh DESC LIMIT 1"
_BASE = f"{_PICK} AND final AND kind = 1 ORDER BY last_index DESC LIMIT 1"
_REACH = f"({_TIP}) UNION ALL ({_BASE})"
_BESIDE = f"{_PICK} AND first_index = $2 AND kind = $3 AND base = $4 AND part = $5"
_AROUND = f"SELECT 0, * FROM ({_TIP}) AS tip UNION ALL SELECT 1, * FROM ({_BESIDE}) AS beside"  # noqa: S608
_ORDER = "ORDER BY first_index, kind, base, part"
_PAGE = f"{_PICK} AND (first_index, kind, base, part) > ($2, $3, $4, $5) {_ORDER} LIMIT $6"
_GENERATIONS = "SELECT generation, parent, parent_index, began_ns FROM generations"
_CLAIMANT = "SELECT term, node_id FROM claims WHERE generation = $1"
_CLAIM = """
    INSERT INTO claims AS known VALUES ($1, $2, $3)
    ON CONFLICT (generation) DO UPDATE SET term = excluded.term, node_id = excluded.node_id
    WHERE known.term < excluded.term OR (known.term = excluded.term AND known.node_id = excluded.node_id)
    RETURNING 1
"""
_END_STUCK = """
    SELECT pg_terminate_backend(held.pid) FROM pg_locks AS held JOIN pg_stat_activity AS who USING (pid)
    WHERE held.locktype = 'relation' AND held.relation = 'claims'::regclass AND who.datname = current_database()
      AND who.usename = session_user AND who.pid <> pg_backend_pid()
      AND who.xact_start < clock_timestamp() - $1::float8 * interval '1 second'
"""
_PUT = (
    f"INSERT INTO objects (generation, {COLUMNS.removesuffix(', id')}, data) "  # noqa: S608
    f"VALUES ({', '.join(f'${number}' for number in range(1, 16))}) ON CONFLICT DO NOTHING RETURNING 1"
)
_MAY_BOTH = "SELECT has_table_privilege('objects', 'DELETE') AND has_table_privilege('objects', 'INSERT')"
_REMOVE = "DELETE FROM objects WHERE generation = $1 AND id = ANY($2::bigint[])"


class PostgresSink:
    """See the module's paragraph. No call takes longer than `timeout_s`."""

    def __init__(self, target: Target, password: str | None, *, timeout_s: float) -> None:
        self._target = target
        self._password = password
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._warned = False
        self._reads_only = False
        self._is_there = True
        path = f"{schema.check_name(target.schema)}, pg_temp"
        self._begin = (
            f"BEGIN ISOLATION LEVEL READ COMMITTED{{}}; SET LOCAL search_path TO {path}; "
            f"SET LOCAL lock_timeout = {_ms(timeout_s * 0.4)}; SET LOCAL statement_timeout = {_ms(timeout_s * 0.8)}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {_ms(timeout_s * GIVEN_UP)}; "
            "SET LOCAL synchronous_commit = on"
        )

    def __repr__(self) -> str:
        return f"<PostgresSink {self.url}>"

    @property
    def url(self) -> str:
        """See Sink."""
        target = self._target
        host = "" if target.host.startswith("/") else f"[{target.host}]" if ":" in target.host else target.host
        return f"postgresql://{host}{f':{target.port}' if host else ''}/{target.database}"

    async def open(self) -> None:
        """See Sink."""
        self._reads_only, self._is_there = False, True
        await self._run(lambda connection: schema.prepare(connection, self._target.schema))

    async def look(self) -> None:
        """See Sink. The server itself refuses to write in a transaction of a call that follows."""
        self._reads_only = True
        self._is_there = await self._run(lambda connection: schema.is_there(connection, self._target.schema))

    async def close(self) -> None:
        """See Sink."""
        self._drop()
        await asyncio.sleep(0)  # the socket is closed one turn later

    async def begin(self, generation: Generation, *, fork: bool = False) -> None:
        """See Sink."""

        async def work(connection: Connection) -> None:
            await schema.lock(connection, self._target.schema)
            row = await connection.fetchrow(f"{_GENERATIONS} WHERE generation = $1", generation.generation)
            if row is not None:
                if generation_in(row)[:3] != generation[:3]:
                    raise ConflictError("the generation has begun from somewhere else")
                return
            siblings = "SELECT count(*) FROM generations WHERE parent = $1"
            if generation.parent and not fork and await connection.fetchval(siblings, generation.parent):
                raise FencedError("another generation has begun from the same parent")
            await connection.execute("INSERT INTO generations VALUES ($1, $2, $3, $4)", *generation)

        await self._run(work)

    async def generations(self) -> list[Generation]:
        """See Sink."""
        if not self._is_there:
            return []
        rows = await self._run(lambda connection: connection.fetch(f"{_GENERATIONS} ORDER BY began_ns, generation"))
        return [generation_in(row) for row in rows]

    async def claim(self, claim: Claim) -> Position | None:
        """See Sink. Raises SinkRefusedError if the server does not keep what it answers (S5).

        Warns once if a stolen password of this role would be enough to remove the backups.
        """

        async def work(connection: Connection) -> tuple[Position | None, bool]:
            if await connection.fetchval("SELECT current_setting('fsync')") != "on":
                raise SinkRefusedError("postgresql: the server runs with fsync off: what it answers can be lost")
            await connection.fetch(_END_STUCK, self._timeout_s * GIVEN_UP)
            try:
                stands = await connection.fetchval(_CLAIM, *claim)
            except asyncpg.ForeignKeyViolationError:
                raise ConflictError("a generation is claimed that has not begun") from None
            if stands is None:
                known = claim_in(await connection.fetchrow(_CLAIMANT, claim.generation))
                raise FencedError(f"term {0 if known is None else known[0]} has claimed this sink")
            position = reach([stored_in(row) for row in await connection.fetch(_REACH, claim.generation)])
            return position, not self._warned and bool(await connection.fetchval(_MAY_BOTH))

        position, may_both = await self._run(work)
        if may_both:
            self._warned = True
            log.warning("%s: the role that stores may delete too; docs/backup.md has one that may not", self.url)
        return position

    async def claimant(self, generation: bytes) -> Claim | None:
        """See Sink."""
        if not self._is_there:
            return None
        found = claim_in(await self._run(lambda connection: connection.fetchrow(_CLAIMANT, generation)))
        return None if found is None else Claim(generation, *found)

    async def store(self, claim: Claim, data: bytes, parsed: Parsed) -> None:
        """See Sink."""
        header = parsed.header
        place = (header.first, int(header.kind), header.base, header.part)

        async def work(connection: Connection) -> None:
            await _check_claim(connection, claim)
            rows = await connection.fetch(_AROUND, claim.generation, *place)
            around = {row[0]: stored_in(tuple(row)[1:]) for row in rows}
            if not check_follows(parsed, around.get(0), around.get(1)):
                return
            if await connection.fetchval(_PUT, claim.generation, *values_of(parsed, len(data)), data) is None:
                raise ConflictError(f"another object stands where {header.first} to {header.last} belongs")

        await self._run(work)

    async def objects(self, generation: bytes) -> AsyncIterator[Stored]:
        """See Sink. Read in pages: what is stored meanwhile behind the page just read is seen too."""
        after: tuple[int, int, bytes, int] = (-1, 0, b"", 0)
        while True:
            page = await self._page(generation, after)
            for stored in page:
                yield stored
            if len(page) < PAGE_ROWS:
                return
            after = page[-1].order

    async def read(self, generation: bytes, stored: Stored) -> bytes:
        """See Sink."""
        pick, number = "SELECT data FROM objects WHERE generation = $1 AND id = $2", number_of(stored.name)
        found = await self._run(lambda connection: connection.fetchval(pick, generation, number))
        if not isinstance(found, bytes):
            raise SinkError("postgresql: an object is gone")
        return found

    async def remove(self, claim: Claim, stored: list[Stored]) -> None:
        """See Sink."""
        numbers = [number_of(one.name) for one in stored]

        async def work(connection: Connection) -> None:
            await _check_claim(connection, claim)
            try:
                await connection.execute(_REMOVE, claim.generation, numbers)
            except asyncpg.InsufficientPrivilegeError:
                raise SinkRefusedError(
                    "postgresql: this role may not delete: run prune with the URL of the role that may"
                ) from None

        await self._run(work)

    # ---- transactions
    async def _page(self, generation: bytes, after: tuple[int, int, bytes, int]) -> list[Stored]:
        if not self._is_there:
            return []
        rows = await self._run(lambda connection: connection.fetch(_PAGE, generation, *after, PAGE_ROWS))
        return [stored_in(row) for row in rows]

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """One transaction. Raises SinkError, UnknownStoreError, and what `work` raises."""
        committing = False
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                await connection.execute(self._begin.format(", READ ONLY" if self._reads_only else ""))
                found = await work(connection)
                committing = True
                failpoint("backup.before-commit")
                if await connection.execute("COMMIT") != "COMMIT":
                    committing = False
                    raise SinkError("postgresql: the server gave the transaction up")  # noqa: TRY301
        except BaseException as error:
            self._drop()
            if not isinstance(error, Exception):
                raise
            meaning = classified(error)
            if committing:
                raise UnknownStoreError(f"{meaning}; what became of the transaction is not known") from None
            raise meaning from None
        return found

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._drop()
            self._connection = await connect(self._target, self._password)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _check_claim(connection: Connection, claim: Claim) -> None:
    """Holds the claim until the transaction ends. Raises FencedError."""
    row: Any = await connection.fetchrow(f"{_CLAIMANT} FOR UPDATE", claim.generation)
    if claim_in(row) != claim[1:]:
        raise FencedError("another node has claimed this sink")


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
