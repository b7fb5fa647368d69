"""The sink in PostgreSQL against a real server: what breaks between them, and what each role may do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from cluster.backup.sinks.base import (
    Claim,
    ConflictError,
    FencedError,
    Position,
    SinkError,
    SinkRefusedError,
    UnknownStoreError,
)
from cluster.backup.sinks.postgres_errors import classified
from cluster.backup.sinks.postgres_schema import MIGRATIONS, grants_sql
from cluster.backup.sinks.urls import open_sink
from tests.cluster.backup.crafting import CLAIM, GENERATION, LINE, batch, chain
from tests.cluster.backup.postgres_server import PASSWORD
from tests.cluster.backup.proxy import proxy

if TYPE_CHECKING:
    from cluster.backup.sinks.base import Sink
    from tests.cluster.backup.postgres_server import Server

WAIT_S = 30.0
BASE, ONE, TWO = chain(2)


def position_of(found: Position | None) -> int:
    return 0 if found is None else found.last


async def ready(sink: Any) -> Any:
    """The sink is claimed, and reaches 11."""
    await sink.open()
    await sink.begin(LINE)
    await sink.claim(CLAIM)
    for data, parsed in (BASE, ONE):
        await sink.store(CLAIM, data, parsed)
    return sink


async def send(sink: Sink, claim: Claim = CLAIM) -> None:
    await sink.store(claim, *TWO)


@pytest.fixture
async def sink(postgres: Server, schema: str) -> Any:
    made = await ready(open_sink(postgres.socket_url(schema=schema)))
    yield made
    await made.close()


async def until_idle(server: Server) -> None:
    """No transaction of a sink is open on the server."""
    open_ones = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'strongroom' AND state <> 'idle'"
    )
    async with asyncio.timeout(WAIT_S):
        while (await server.sql(open_ones))[0][0]:
            pass


# ---- the server goes away
async def test_a_server_killed_between_calls_loses_nothing(postgres: Server, sink: Sink) -> None:
    """The next call says so, and the one after the restart finds what was answered."""
    postgres.kill()
    with pytest.raises(SinkError) as raised:
        await send(sink)
    assert not isinstance(raised.value, (SinkRefusedError, UnknownStoreError))
    with pytest.raises(SinkError, match="cannot be reached"):
        await sink.open()

    postgres.start()

    assert position_of(await sink.claim(CLAIM)) == 11
    await send(sink)
    assert position_of(await sink.claim(CLAIM)) == 21


@pytest.mark.parametrize("packet", [1, 3, 5, 7, 8])
async def test_a_server_killed_during_a_store_keeps_all_of_it_or_nothing(
    roles: Server, schema: str, packet: int
) -> None:
    """The position says which, and the batch is stored once."""
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        count = itertools.count(1)
        between.on_packet = lambda: roles.kill() if next(count) == packet else None
        with pytest.raises(SinkError):
            await send(sink)
        between.on_packet = lambda: None
        roles.start()

        found = position_of(await sink.claim(CLAIM))
        assert found in {11, 21}
        await send(sink)

        assert [one.last async for one in sink.objects(GENERATION)] == [1, 11, 21]
        await sink.close()


async def test_a_connection_lost_before_the_commit_stored_nothing(roles: Server, schema: str) -> None:
    """But the sink cannot know: the outcome is unknown, and the position resolves it."""
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        between.cut_before = b"COMMIT\0"
        with pytest.raises(UnknownStoreError):
            await send(sink)
        between.cut_before = b""

        assert position_of(await sink.claim(CLAIM)) == 11
        await sink.close()


async def test_a_connection_lost_behind_the_commit_stored_all(roles: Server, schema: str) -> None:
    """The same answer, the other outcome."""
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        between.cut_after = b"COMMIT\0"
        with pytest.raises(UnknownStoreError):
            await send(sink)
        between.cut_after = b""

        assert position_of(await sink.claim(CLAIM)) == 21
        await sink.close()


async def test_a_connection_reset_in_the_middle_of_a_batch_stored_nothing(roles: Server, schema: str) -> None:
    """Nothing was committed, so nothing is unknown."""
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        between.cut_before = b"middle"
        with pytest.raises(SinkError) as raised:
            await sink.store(CLAIM, *batch(12, 21, ONE, box=b"x" * 200_000 + b"middle" + b"x" * 200_000))
        assert not isinstance(raised.value, UnknownStoreError)
        between.cut_before = b""

        assert position_of(await sink.claim(CLAIM)) == 11
        await sink.close()


async def test_a_commit_that_is_still_on_its_way_is_waited_for(roles: Server, schema: str) -> None:
    """Until it is done or dropped no position is told: a batch is never sent beside it."""
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        direct = open_sink(roles.socket_url(schema=schema), timeout_s=2.0)
        between.hold = b"COMMIT\0"
        sending = asyncio.ensure_future(send(sink))
        await between.held.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

        with pytest.raises(SinkError, match="another writer holds the lock"):
            await direct.claim(CLAIM)
        between.released.set()

        async with asyncio.timeout(WAIT_S):
            assert position_of(await direct.claim(CLAIM)) == 21
        await send(direct)
        assert [one.last async for one in direct.objects(GENERATION)] == [1, 11, 21]
        await direct.close()
        await sink.close()


async def test_a_writer_that_vanished_in_the_middle_of_a_message_holds_up_nobody_for_ever(
    roles: Server, schema: str
) -> None:
    """Its session has half of a batch and the lock of the claim; whoever claims next ends it, and it stored nothing."""
    large = batch(12, 21, ONE, box=b"b" * 300_000 + b"the end of it")
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        direct = open_sink(roles.socket_url("trusting", schema=schema), timeout_s=0.5)
        between.hold = b"the end of it"
        sending = asyncio.ensure_future(sink.store(CLAIM, *large))
        await between.held.wait()
        newer, claimed = CLAIM._replace(term=CLAIM.term + 1, node_id="n2"), None
        with pytest.raises(SinkError, match="another writer holds the lock"):
            await direct.claim(newer)
        async with asyncio.timeout(WAIT_S):
            while claimed is None:
                with contextlib.suppress(SinkError):
                    claimed = await direct.claim(newer)
        between.released.set()

        answers = await asyncio.gather(sending, return_exceptions=True)
        assert isinstance(answers[0], SinkError | FencedError)
        assert position_of(claimed) == 11
        assert [one.last async for one in direct.objects(GENERATION)] == [1, 11]
        await direct.store(newer, *TWO)
        await direct.close()
        await sink.close()


async def test_a_child_that_is_about_to_begin_holds_up_its_twin(roles: Server, schema: str) -> None:
    """The second one waits until the first is there, and then it is fenced: never both."""
    child = LINE._replace(generation=b"generation-child", parent=GENERATION)
    twin = child._replace(generation=b"generation-twins")
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        direct = open_sink(roles.socket_url(schema=schema), timeout_s=1.0)
        between.hold = b"COMMIT\0"
        beginning = asyncio.ensure_future(sink.begin(child))
        await between.held.wait()

        with pytest.raises(SinkError, match="another writer"):
            await direct.begin(twin)
        between.released.set()
        await beginning

        with pytest.raises(FencedError):
            await direct.begin(twin)
        assert len(await direct.generations()) == 2
        await direct.close()
        await sink.close()


@pytest.mark.parametrize("packet", range(1, 9))
async def test_a_call_cancelled_at_any_step_leaves_no_transaction(roles: Server, schema: str, packet: int) -> None:
    """Whatever was sent by then; and the sink goes on."""
    async with proxy(roles.port) as between:
        sink = await ready(open_sink(roles.tcp_url("trusting", port=between.port, schema=schema)))
        count = itertools.count(1)
        sending = asyncio.ensure_future(send(sink))
        between.on_packet = lambda: sending.cancel() if next(count) == packet else None
        answers = await asyncio.gather(sending, return_exceptions=True)
        between.on_packet = lambda: None

        assert isinstance(answers[0], asyncio.CancelledError)
        await until_idle(roles)
        assert position_of(await sink.claim(CLAIM)) in {11, 21}
        await send(sink)
        assert position_of(await sink.claim(CLAIM)) == 21
        await sink.close()


async def test_a_hung_server_is_given_up_by_the_caller(postgres: Server, sink: Any) -> None:
    """The process that serves the connection is stopped; whoever called goes on, and so does the sink afterwards."""
    pid = sink._connection.get_server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await send(sink)
    finally:
        os.kill(pid, signal.SIGCONT)

    await until_idle(postgres)
    assert position_of(await sink.claim(CLAIM)) == 11


async def test_a_hung_server_is_given_up_by_the_sink(postgres: Server, schema: str) -> None:
    """Nobody has to wait longer than was configured."""
    sink = await ready(open_sink(postgres.socket_url(schema=schema)))
    sink._timeout_s = 0.2
    pid = sink._connection.get_server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(SinkError, match="no answer in time"):
            await send(sink)
    finally:
        os.kill(pid, signal.SIGCONT)
        await sink.close()


async def test_a_lock_that_somebody_holds_is_not_waited_for_for_ever(postgres: Server, schema: str) -> None:
    """The server ends the call before the sink's own time is over, so it is known why."""
    sink = await ready(open_sink(postgres.socket_url(schema=schema), timeout_s=1.0))
    other = await asyncpg.connect(host=str(postgres.folder), port=postgres.port, user="postgres", password="")
    async with other.transaction():
        await other.execute(f"SELECT * FROM {schema}.claims FOR UPDATE")
        with pytest.raises(SinkError, match="another writer holds the lock"):
            await send(sink)
    await other.close()

    await send(sink)
    await sink.close()


async def test_a_read_only_server_is_tried_again_later(roles: Server, schema: str) -> None:
    """It says that it is read-only; reading goes on."""
    sink = await ready(open_sink(roles.socket_url("trusting", schema=schema)))
    await sink.close()
    await roles.sql("ALTER ROLE trusting SET default_transaction_read_only = on")
    try:
        with pytest.raises(SinkError, match="read-only") as raised:
            await send(sink)
        assert not isinstance(raised.value, SinkRefusedError)
        assert [one.last async for one in sink.objects(GENERATION)] == [1, 11]
    finally:
        await roles.sql("ALTER ROLE trusting RESET default_transaction_read_only")
        await sink.close()

    await send(sink)
    await sink.close()


async def test_a_server_that_may_lose_what_it_answered_is_refused(postgres: Server, sink: Sink) -> None:
    """With fsync off nothing that it says is durable."""
    await postgres.sql("ALTER SYSTEM SET fsync = off")
    await postgres.sql("SELECT pg_reload_conf()")
    try:
        async with asyncio.timeout(WAIT_S):
            while (await postgres.sql("SELECT current_setting('fsync')"))[0][0] != "off":
                pass
        await sink.close()
        with pytest.raises(SinkRefusedError, match="fsync"):
            await sink.claim(CLAIM)
    finally:
        await postgres.sql("ALTER SYSTEM RESET fsync")
        await postgres.sql("SELECT pg_reload_conf()")


async def test_a_database_that_does_not_exist_is_refused(postgres: Server) -> None:
    """An operator must make it."""
    url = postgres.socket_url().replace("/postgres?", "/nowhere?")

    with pytest.raises(SinkRefusedError, match="the database does not exist"):
        await open_sink(url).open()


# ---- nothing is left in the session
async def test_a_transaction_leaves_nothing_in_the_session(sink: Any) -> None:
    """A pooler may give the next one another session: no setting, statement, lock or transaction outlives it."""
    await send(sink)
    connection = sink._connection
    asked = (
        "SELECT (SELECT count(*) FROM pg_prepared_statements WHERE name <> ''), "
        "(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'), "
        "current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('search_path')"
    )

    assert tuple(await connection.fetchrow(asked)) == (0, 0, "0", "0", '"$user", public')
    assert not connection.is_in_transaction()


async def test_each_transaction_may_meet_another_session(postgres: Server, sink: Any) -> None:
    """As behind a pooler: the connection is another one before every call."""
    for data, parsed in (TWO, batch(22, 23, TWO)):
        sink._connection.terminate()
        await sink.store(CLAIM, data, parsed)

    assert position_of(await sink.claim(CLAIM)) == 23


# ---- roles
async def role(server: Server, name: str) -> None:
    await server.sql(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') "
        f"THEN CREATE ROLE {name} LOGIN; END IF; END $$"
    )


@pytest.fixture
async def owned(postgres: Server, schema: str) -> Any:
    """A schema that its owner has made, with a role for the nodes, one for `prune`, and one that may nothing."""
    await (await ready(open_sink(postgres.socket_url(schema=schema)))).close()
    for name in ("nodes", "pruner", "nobody_special"):
        await role(postgres, name)
    await postgres.sql(grants_sql("nodes", schema=schema) + grants_sql("pruner", prune=True, schema=schema))
    made = {name: open_sink(postgres.socket_url(name, schema=schema)) for name in ("nodes", "pruner", "nobody_special")}
    yield made
    for sink in made.values():
        await sink.close()


async def test_the_role_of_the_nodes_stores_and_does_not_delete(owned: dict[str, Sink]) -> None:
    """A stolen password of a node does not remove a backup; the refusal says who may."""
    nodes = owned["nodes"]
    await nodes.open()
    await nodes.begin(LINE._replace(generation=b"generation-other"))
    assert position_of(await nodes.claim(CLAIM)) == 11
    await send(nodes)
    every = [one async for one in nodes.objects(GENERATION)]

    with pytest.raises(SinkRefusedError, match="prune"):
        await nodes.remove(CLAIM, every[:1])

    assert [one async for one in nodes.objects(GENERATION)] == every


async def test_the_role_of_prune_deletes_and_does_not_store(owned: dict[str, Sink]) -> None:
    """The other way round."""
    pruner = owned["pruner"]
    await pruner.open()
    every = [one async for one in pruner.objects(GENERATION)]
    with pytest.raises(SinkRefusedError):
        await send(pruner)

    await pruner.remove(CLAIM, every[:1])

    assert [one async for one in pruner.objects(GENERATION)] == every[1:]


@pytest.mark.parametrize(("name", "warnings"), [("postgres", 1), ("nodes", 0), ("pruner", 0)])
async def test_a_role_that_stores_and_deletes_is_warned_about_once(
    postgres: Server, schema: str, owned: dict[str, Sink], caplog: pytest.LogCaptureFixture, name: str, warnings: int
) -> None:
    """When it claims, not when it looks. A role that does one of the two is as it should be."""
    sink = owned.get(name) or open_sink(postgres.socket_url(name, schema=schema))
    caplog.clear()

    await sink.look()
    await sink.open()
    assert "may delete" not in caplog.text
    for _ in range(2):
        await sink.claim(CLAIM)

    assert len([record for record in caplog.records if "may delete" in record.message]) == warnings
    await sink.close()


async def test_a_role_without_rights_is_refused_at_once(owned: dict[str, Sink]) -> None:
    """It may not even look."""
    with pytest.raises(SinkRefusedError, match="the role may not do this"):
        await owned["nobody_special"].open()


async def test_a_role_that_may_not_make_the_schema_is_refused(postgres: Server) -> None:
    """The owner opens it first."""
    await role(postgres, "nobody_special")

    with pytest.raises(SinkRefusedError):
        await open_sink(postgres.socket_url("nobody_special", schema="test_never_made")).open()


async def test_a_name_of_a_role_is_quoted(postgres: Server) -> None:
    """Whatever it is called."""
    assert 'TO "a""b; DROP";' in grants_sql('a"b; DROP')


async def as_owner(server: Server, database: str, statements: str) -> None:
    connection = await asyncpg.connect(
        host=str(server.folder), port=server.port, user="keeper", database=database, password=""
    )
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def test_the_steps_of_the_manual_lead_to_a_role_that_only_appends(postgres: Server) -> None:
    """An owner that is no superuser makes the tables and gives the rights; the nodes store, and only prune removes."""
    for name in ("keeper", "nodes", "pruner"):
        await role(postgres, name)
    await postgres.sql("CREATE DATABASE steps OWNER keeper")
    await postgres.sql("REVOKE ALL ON DATABASE steps FROM PUBLIC")
    await postgres.sql("GRANT CONNECT ON DATABASE steps TO nodes, pruner")
    urls = {name: postgres.socket_url(name).replace("/postgres?", "/steps?") for name in ("keeper", "nodes", "pruner")}
    sinks = {name: open_sink(url) for name, url in urls.items()}

    with pytest.raises(SinkRefusedError):
        await sinks["nodes"].open()
    await sinks["keeper"].open()
    with pytest.raises(SinkRefusedError, match="the role may not do this"):
        await sinks["nodes"].look()
    await as_owner(postgres, "steps", grants_sql("nodes") + grants_sql("pruner", prune=True))

    await ready(sinks["nodes"])
    await send(sinks["nodes"])
    every = [one async for one in sinks["nodes"].objects(GENERATION)]
    with pytest.raises(SinkRefusedError, match="may not delete"):
        await sinks["nodes"].remove(CLAIM, every)
    await sinks["pruner"].open()
    await sinks["pruner"].claim(CLAIM)
    await sinks["pruner"].remove(CLAIM, every[:1])
    await sinks["keeper"].look()
    assert [one async for one in sinks["keeper"].objects(GENERATION)] == every[1:]
    for sink in sinks.values():
        await sink.close()
    await postgres.sql("DROP DATABASE steps (FORCE)")


# ---- looking
async def test_looking_makes_no_schema(postgres: Server, schema: str) -> None:
    """Nor may anything be written then; opening makes it."""
    asked = f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'"
    sink = open_sink(postgres.socket_url(schema=schema))

    await sink.look()

    assert await sink.generations() == []
    assert await postgres.sql(asked) == [(0,)]
    await sink.open()
    await sink.look()
    with pytest.raises(SinkError, match="read-only"):
        await sink.begin(LINE)
    assert await sink.generations() == []
    assert await postgres.sql(asked) == [(1,)]
    await sink.close()


async def test_looking_at_a_schema_of_another_version_is_refused(
    postgres: Server, schema: str, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one is renewed by whoever opens it, never by whoever looks."""
    monkeypatch.setattr("cluster.backup.sinks.postgres_schema.MIGRATIONS", (*MIGRATIONS, "SELECT 1"))
    with pytest.raises(SinkRefusedError, match="backup prepare"):
        await sink.look()
    await postgres.sql(f"INSERT INTO {schema}.schema_version VALUES (99)")

    with pytest.raises(SinkRefusedError, match="another version"):
        await sink.look()


# ---- migrations
async def test_nodes_that_start_together_migrate_once(postgres: Server, schema: str) -> None:
    """One makes the schema, the others find it."""
    sinks = [open_sink(postgres.socket_url(schema=schema)) for _ in range(4)]

    await asyncio.gather(*(sink.open() for sink in sinks))

    assert await postgres.sql(f"SELECT count(*) FROM {schema}.schema_version") == [(len(MIGRATIONS),)]
    for sink in sinks:
        await sink.close()


async def test_a_schema_of_a_newer_program_is_refused(postgres: Server, schema: str, sink: Sink) -> None:
    """And not touched."""
    await postgres.sql(f"INSERT INTO {schema}.schema_version VALUES ({len(MIGRATIONS) + 1})")

    with pytest.raises(SinkRefusedError, match="another version"):
        await sink.open()

    assert await postgres.sql(f"SELECT max(version) FROM {schema}.schema_version") == [(len(MIGRATIONS) + 1,)]


async def test_an_interrupted_migration_left_nothing(roles: Server, schema: str) -> None:
    """It is one transaction."""
    async with proxy(roles.port) as between:
        sink = open_sink(roles.tcp_url("trusting", port=between.port, schema=schema))
        between.cut_before = b"ALTER TABLE objects"
        with pytest.raises(SinkError):
            await sink.open()
        between.cut_before = b""
        await until_idle(roles)
        assert await roles.sql(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'") == [(0,)]

        await ready(sink)
        await sink.close()


# ---- a database that is not believed
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE objects ALTER COLUMN term TYPE text",
        "ALTER TABLE objects ALTER COLUMN previous TYPE text USING 'x'",
        "UPDATE objects SET last_index = -1",
        "ALTER TABLE objects DROP COLUMN fresh CASCADE",
        "DROP TABLE claims",
    ],
)
async def test_a_table_that_somebody_changed_is_an_error_of_the_sink(
    postgres: Server, schema: str, sink: Sink, change: str
) -> None:
    """Never an exception of a kind that a pipeline does not expect."""
    await postgres.sql(f"SET search_path TO {schema}; {change}")

    with pytest.raises(SinkError):
        await sink.claim(CLAIM)


async def test_an_object_stored_by_others_is_not_replaced(postgres: Server, schema: str, sink: Sink) -> None:
    """Another program has put a row where the batch belongs."""
    await postgres.sql(
        f"INSERT INTO {schema}.objects OVERRIDING SYSTEM VALUE SELECT 99, generation, kind, 12, 21, term, time_ns, "
        f"base, part, false, fresh, size, previous, hash, keyed, data FROM {schema}.objects WHERE last_index = 11"
    )

    with pytest.raises(ConflictError):
        await send(sink)


async def test_a_fenced_call_ends_its_transaction(postgres: Server, sink: Sink) -> None:
    """The claim of the other one is free at once."""
    await sink.claim(Claim(GENERATION, 9, "n2"))

    with pytest.raises(FencedError):
        await send(sink)

    await until_idle(postgres)


# ---- errors
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (asyncpg.InvalidPasswordError, SinkRefusedError, "refuses the user or its password"),
        (asyncpg.InvalidAuthorizationSpecificationError, SinkRefusedError, "refuses the user or its password"),
        (asyncpg.InvalidCatalogNameError, SinkRefusedError, "database does not exist"),
        (asyncpg.InsufficientPrivilegeError, SinkRefusedError, "role may not do this"),
        (asyncpg.UndefinedTableError, SinkRefusedError, "schema does not exist"),
        (asyncpg.DataCorruptedError, SinkRefusedError, "damaged"),
        (asyncpg.ReadOnlySQLTransactionError, SinkError, "read-only"),
        (asyncpg.DiskFullError, SinkError, "no space is left"),
        (asyncpg.TooManyConnectionsError, SinkError, "no more connections"),
        (asyncpg.AdminShutdownError, SinkError, "shutting down"),
        (asyncpg.QueryCanceledError, SinkError, "did not finish"),
        (asyncpg.ConnectionDoesNotExistError, SinkError, "connection was lost"),
        (asyncpg.SerializationError, SinkError, "gave the transaction up"),
        (asyncpg.RaiseError, SinkError, "refuses the statement"),
        (asyncpg.InterfaceError, SinkError, "makes no sense"),
        (ConnectionRefusedError, SinkError, "cannot be reached"),
        (TimeoutError, SinkError, "no answer in time"),
        (IndexError, SinkError, "makes no sense"),
    ],
)
def test_an_error_says_whether_it_helps_to_try_again(error: type[Exception], kind: type, words: str) -> None:
    """Its own text, which may quote a row, is not repeated."""
    found = classified(error(f"row data {PASSWORD}"))

    assert type(found) is kind
    assert words in str(found)
    assert PASSWORD not in str(found)
