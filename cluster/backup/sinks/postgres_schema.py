"""The schema of backups in PostgreSQL: numbered migrations, and what each role needs.

A shell around one connection inside a transaction. Invariants
  D1  migrations run one after another, each once, under one lock, in the transaction of whoever needs them
  D2  a schema of a newer program is refused and not touched
Source: docs/backup.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .base import SinkRefusedError

if TYPE_CHECKING:
    import asyncpg

MIGRATIONS = (
    """
    CREATE TABLE generations (
        generation bytea PRIMARY KEY CHECK (octet_length(generation) = 16),
        parent bytea NOT NULL, parent_index bigint NOT NULL, began_ns bigint NOT NULL
    );
    CREATE TABLE claims (
        generation bytea PRIMARY KEY REFERENCES generations, term bigint NOT NULL, node_id text NOT NULL
    );
    CREATE TABLE objects (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        generation bytea NOT NULL REFERENCES generations,
        kind smallint NOT NULL, first_index bigint NOT NULL, last_index bigint NOT NULL, term bigint NOT NULL,
        time_ns bigint NOT NULL, base bytea NOT NULL, part integer NOT NULL, final boolean NOT NULL,
        fresh boolean NOT NULL, size integer NOT NULL, previous bytea NOT NULL, hash bytea NOT NULL,
        keyed boolean NOT NULL, data bytea NOT NULL CHECK (octet_length(data) = size),
        UNIQUE (generation, first_index, kind, base, part)
    );
    ALTER TABLE objects ALTER COLUMN data SET STORAGE EXTERNAL;
    CREATE INDEX tips ON objects (generation, last_index DESC, fresh DESC) WHERE final AND (kind = 2 OR fresh);
    CREATE INDEX bases ON objects (generation, last_index DESC) WHERE final AND kind = 1;
    """,
)
"""Number n brings a schema of version n to n + 1. What has been released is never changed."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('strongroom schema ' || $1, 0))"
# Asked of the tables of the catalog: to_regclass may remember that something was not there before the lock was had.
_EXISTS = (
    "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE relname = 'schema_version' AND nspname = $1"
)


def check_name(schema: str) -> str:
    """The name, which needs no quotes. Raises SinkRefusedError."""
    if _NAME.fullmatch(schema) is None or schema.startswith("pg_"):
        raise SinkRefusedError("postgresql: a schema is named with small letters, digits and _")
    return schema


async def lock(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> None:
    """Nobody else migrates or begins a generation until the transaction ends."""
    await connection.execute(_LOCK, schema)


async def prepare(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> None:
    """The schema is this program's (D1). Raises SinkRefusedError (D2), errors of asyncpg."""
    if await _version(connection, schema) == len(MIGRATIONS):
        return
    await lock(connection, schema)
    version = await _version(connection, schema)
    if version == len(MIGRATIONS):
        return
    if version == 0:
        if not await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema):
            await connection.execute(f"CREATE SCHEMA {check_name(schema)}")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version "
            "(version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
        )
    for number in range(version, len(MIGRATIONS)):
        await connection.execute(MIGRATIONS[number])
        await connection.execute("INSERT INTO schema_version (version) VALUES ($1)", number + 1)


async def is_there(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> bool:
    """Whether the schema can be read; nothing is made. Raises SinkRefusedError (also for an older one)."""
    version = await _version(connection, schema)
    if version not in {0, len(MIGRATIONS)}:
        raise SinkRefusedError("postgresql: the schema is of an older version: its owner renews it by backup prepare")
    return version != 0


async def _version(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> int:
    """Raises SinkRefusedError (D2)."""
    if not await connection.fetchval(_EXISTS, schema):
        return 0
    version = await connection.fetchval(f"SELECT coalesce(max(version), 0) FROM {schema}.schema_version")  # noqa: S608
    if not isinstance(version, int) or not 0 <= version <= len(MIGRATIONS):
        raise SinkRefusedError(f"postgresql: the schema is of another version; this program knows {len(MIGRATIONS)}")
    return version


def grants_sql(role: str, *, prune: bool = False, schema: str = "strongroom") -> str:
    """What the owner of the schema runs for the role of the nodes, or for the one of `prune`.

    The nodes store and never delete; `prune` deletes and stores nothing.
    """
    name = '"' + role.replace('"', '""') + '"'
    check_name(schema)
    lines = [
        f"GRANT USAGE ON SCHEMA {schema} TO {name};",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name};",
        f"GRANT INSERT, UPDATE ON {schema}.claims TO {name};",
    ]
    if prune:
        lines.append(f"GRANT DELETE ON {schema}.objects TO {name};")
    else:
        lines.append(f"GRANT INSERT ON {schema}.generations, {schema}.objects TO {name};")
    return "\n".join(lines) + "\n"
