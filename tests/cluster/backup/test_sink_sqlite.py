"""The sink in a SQLite file: several processes on it, files that are not ours, disks that fail."""

# ruff: noqa: ASYNC240 - the tests lay out and read small files themselves

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.backup.chain import plan
from cluster.backup.sinks import sqlite
from cluster.backup.sinks.base import Claim, SinkError, SinkRefusedError, UnknownStoreError
from cluster.backup.sinks.sqlite import SqliteSink
from cluster.backup.sinks.sqlite_file import MIGRATIONS, classified
from tests.cluster.backup.crafting import CLAIM, GENERATION, LINE, batch, chain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROOT = Path(__file__).parents[3]
WAIT_S = 60.0
BASE, ONE, TWO = chain(2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


@pytest.fixture
async def make(path: Path) -> AsyncIterator[Callable[..., SqliteSink]]:
    made: list[SqliteSink] = []

    def one_more(timeout_s: float = 4.0) -> SqliteSink:
        made.append(SqliteSink(path, timeout_s=timeout_s))
        return made[-1]

    yield one_more
    for sink in made:
        await sink.close()


async def ready(sink: SqliteSink) -> SqliteSink:
    """The sink is claimed, and reaches 11."""
    await sink.open()
    await sink.begin(LINE)
    await sink.claim(CLAIM)
    for data, parsed in (BASE, ONE):
        await sink.store(CLAIM, data, parsed)
    return sink


async def reached(sink: SqliteSink, claim: Claim = CLAIM) -> int:
    found = await sink.claim(claim)
    return 0 if found is None else found.last


@contextlib.contextmanager
def locked(path: Path) -> Any:
    """Somebody else is in the middle of a transaction."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


# ---- several processes
@contextlib.asynccontextmanager
async def writer(path: Path, term: int, node_id: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.cluster.backup.sqlite_writer", str(path), str(term), node_id, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        process._transport.close()  # type: ignore[attr-defined]


async def test_a_claim_of_another_process_fences_this_one(path: Path, make: Callable[..., SqliteSink]) -> None:
    """Between two batches; what it had answered is what the new claimant goes on from."""
    sink = make()
    async with writer(path, 3, "n1") as process:
        assert process.stdout is not None
        for _ in range(3):
            await process.stdout.readline()
        await sink.open()
        claim = Claim(GENERATION, 4, "n2")
        found = await sink.claim(claim)
        assert found is not None
        said = (await process.stdout.read()).split()

    assert said[-1] == b"fenced"
    assert [int(line) for line in said[-2:-1]] in ([found.last], [])
    tip = [one async for one in sink.objects(GENERATION)][-1]
    assert (tip.last, tip.hash) == (found.last, found.hash)


async def test_a_process_killed_while_it_writes_keeps_what_it_answered(
    path: Path, make: Callable[..., SqliteSink]
) -> None:
    """Every batch is there whole or not at all, and they follow each other."""
    async with writer(path, 3, "n1") as process:
        assert process.stdout is not None
        for _ in range(4):
            answered = int(await process.stdout.readline())
        process.kill()
        answered = max([answered, *map(int, (await process.stdout.read()).split())])
    sink = make()
    await sink.open()

    found = [one async for one in sink.objects(GENERATION)]

    assert plan(found).last == found[-1].last == await reached(sink)
    assert found[-1].last in {answered, answered + 10}
    assert [len(await sink.read(GENERATION, one)) for one in found] == [one.size for one in found]


async def test_a_file_that_another_process_holds_is_tried_again(path: Path, make: Callable[..., SqliteSink]) -> None:
    """It is waited for a while, and then it is said."""
    sink = await ready(make(timeout_s=0.05))
    with locked(path), pytest.raises(SinkError, match="another process holds the file") as raised:
        await sink.store(CLAIM, *TWO)

    assert not isinstance(raised.value, (SinkRefusedError, UnknownStoreError))
    await sink.store(CLAIM, *TWO)
    assert await reached(sink) == 21


async def test_a_call_given_up_while_it_waits_leaves_no_transaction(
    path: Path, make: Callable[..., SqliteSink]
) -> None:
    """It ends in its thread; the next call sees what became of it."""
    sink = await ready(make())
    with locked(path), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sink.store(CLAIM, *TWO)

    assert await reached(sink) in {11, 21}
    await sink.store(CLAIM, *TWO)
    assert await reached(sink) == 21
    assert not await sink._in_thread(lambda: sink._file is not None and sink._file.connection.in_transaction)


async def test_closing_does_not_wait_for_a_call_that_hangs(
    path: Path, make: Callable[..., SqliteSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ends by itself."""
    monkeypatch.setattr(sqlite, "CLOSE_S", 0.01)
    sink = await ready(make(timeout_s=2.0))
    with locked(path):
        sending = asyncio.ensure_future(sink.store(CLAIM, *TWO))
        await asyncio.sleep(0)
        await sink.close()
        assert not sending.done()

    await asyncio.gather(sending, return_exceptions=True)
    with pytest.raises(SinkError, match="not open"):
        await sink.claim(CLAIM)


async def test_a_sink_that_is_not_open_says_so(make: Callable[..., SqliteSink]) -> None:
    """Neither a file nor a thread is made by a mistake."""
    with pytest.raises(SinkError, match="not open"):
        await make().generations()


# ---- the file
async def test_a_commit_is_synced(make: Callable[..., SqliteSink]) -> None:
    """A log in front of the file, synced at every commit."""
    sink = await ready(make())

    def asked() -> list[Any]:
        assert sink._file is not None
        return [
            sink._file.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]

    assert await sink._in_thread(asked) == ["wal", 2]


async def test_nobody_else_may_read_the_file(path: Path, make: Callable[..., SqliteSink]) -> None:
    """Nor what SQLite keeps beside it, whatever the process's mask is."""
    mask = os.umask(0)
    try:
        await ready(make())
    finally:
        os.umask(mask)

    found = sorted(path.parent.iterdir())
    assert [file.name for file in found] == ["backup.db", "backup.db-shm", "backup.db-wal"]
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
async def test_a_link_is_refused(path: Path, make: Callable[..., SqliteSink], suffix: str) -> None:
    """It could lead anywhere; where it leads nothing changes."""
    aim = path.with_name("aim")
    aim.touch(0o600)
    path.with_name(path.name + suffix).symlink_to(aim)

    with pytest.raises(SinkRefusedError, match="a link"):
        await make().open()

    assert aim.read_bytes() == b""


@pytest.mark.parametrize("mode", [0o640, 0o602, 0o604])
async def test_a_file_that_others_may_touch_is_refused(
    path: Path, make: Callable[..., SqliteSink], mode: int
) -> None:
    """The operator says chmod, not we."""
    path.touch()
    path.chmod(mode)

    with pytest.raises(SinkRefusedError, match="0600"):
        await make().open()


async def test_a_file_of_another_user_is_refused(
    path: Path, make: Callable[..., SqliteSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one as root; otherwise this process says that it is somebody else."""
    path.touch(0o600)
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    else:
        sys.stderr.write("not root: the process pretends to be another user\n")
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)

    with pytest.raises(SinkRefusedError, match="another user"):
        await make().open()


async def test_what_is_no_file_is_refused(path: Path, make: Callable[..., SqliteSink]) -> None:
    """A pipe would hang whoever opens it."""
    os.mkfifo(path, 0o600)

    with pytest.raises(SinkRefusedError, match="no regular file"):
        await make().open()


async def test_a_folder_that_is_not_there_is_refused(path: Path, tmp_path: Path) -> None:
    """It is not made: the disk may not be mounted."""
    sink = SqliteSink(tmp_path / "nothing" / "backup.db", timeout_s=1.0)

    with pytest.raises(SinkRefusedError):
        await sink.open()

    await sink.close()
    assert list(tmp_path.iterdir()) == []


async def test_opening_closes_no_descriptor_of_the_file(
    make: Callable[..., SqliteSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing one would end the locks that this process holds through another connection."""

    def never(*_arguments: object, **_more: object) -> None:
        raise AssertionError("a descriptor was made")

    monkeypatch.setattr(os, "open", never)
    monkeypatch.setattr("builtins.open", never)
    monkeypatch.setattr(Path, "open", never)

    await ready(make())


@pytest.mark.parametrize("put_back", [False, True], ids=["removed", "replaced"])
async def test_a_file_taken_away_under_the_sink_takes_nothing_more(
    path: Path, make: Callable[..., SqliteSink], put_back: bool
) -> None:
    """What is written into a file without a name is lost; opened again, the sink is what is there now."""
    sink = await ready(make())
    for file in path.parent.iterdir():
        file.unlink()
    if put_back:
        path.touch(0o600)

    with pytest.raises(SinkError, match="removed or replaced") as raised:
        await sink.store(CLAIM, *TWO)
    assert not isinstance(raised.value, SinkRefusedError)
    await sink.open()

    assert await sink.generations() == []


# ---- what is in it
async def test_a_file_of_another_program_is_refused(path: Path, make: Callable[..., SqliteSink]) -> None:
    """And not touched."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    path.chmod(0o600)
    before = path.read_bytes()

    with pytest.raises(SinkRefusedError, match="another program"):
        await make().open()

    assert path.read_bytes() == before


async def test_a_file_of_a_newer_program_is_refused(path: Path, make: Callable[..., SqliteSink]) -> None:
    """Its version is higher than any that this one knows."""
    sink = await ready(make())
    await sink.close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    other.close()

    with pytest.raises(SinkRefusedError, match="version"):
        await sink.open()


async def test_what_is_no_database_is_refused(path: Path, make: Callable[..., SqliteSink]) -> None:
    """And not overwritten."""
    path.write_bytes(b"a letter to nobody\n" * 500)
    path.chmod(0o600)

    with pytest.raises(SinkRefusedError, match="not a SQLite database"):
        await make().open()

    assert path.read_bytes().startswith(b"a letter")


async def test_a_damaged_file_is_refused(path: Path, make: Callable[..., SqliteSink]) -> None:
    """It is not read on as if it were whole."""
    sink = await ready(make())
    await sink.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)
    path.write_bytes(raw)
    await sink.open()

    with pytest.raises(SinkRefusedError, match="damaged"):
        await sink.claim(CLAIM)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE objects SET term = 'three'",
        "UPDATE objects SET hash = 'text'",
        "UPDATE objects SET last_index = -1",
        "UPDATE claims SET term = 'three'",
        "DROP TABLE claims",
    ],
)
async def test_a_table_that_somebody_changed_is_an_error_of_the_sink(
    path: Path, make: Callable[..., SqliteSink], change: str
) -> None:
    """Never an exception of a kind that a pipeline does not expect."""
    sink = await ready(make())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(change)
    other.close()

    with pytest.raises(SinkError):
        await sink.claim(CLAIM)


async def test_a_full_disk_is_tried_again_later(make: Callable[..., SqliteSink]) -> None:
    """Nothing of the batch is stored; when there is space, it is."""
    sink = await ready(make())

    def limit(pages: int) -> None:
        assert sink._file is not None
        sink._file.connection.execute(f"PRAGMA max_page_count = {pages}")

    await sink._in_thread(lambda: limit(20))
    large = batch(12, 21, ONE, box=b"x" * 500_000)
    with pytest.raises(SinkError, match="no space") as raised:
        await sink.store(CLAIM, *large)
    assert not isinstance(raised.value, (SinkRefusedError, UnknownStoreError))
    assert await reached(sink) == 11

    await sink._in_thread(lambda: limit(1 << 30))
    await sink.store(CLAIM, *large)
    assert await reached(sink) == 21


class Failing:
    """A connection whose commit fails as a disk does, before or after it was done."""

    def __init__(self, inner: sqlite3.Connection, *, done: bool) -> None:
        self._inner = inner
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: str, *values: Any) -> Any:
        if statement != "COMMIT":
            return self._inner.execute(statement, *values)
        if self._done:
            self._inner.execute(statement)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


@pytest.mark.parametrize("done", [False, True])
async def test_a_commit_that_fails_on_the_disk_has_an_unknown_outcome(
    make: Callable[..., SqliteSink], done: bool
) -> None:
    """The file is opened anew, and what is in it says what happened."""
    sink = await ready(make())
    file: Any = sink._file
    file.connection = Failing(file.connection, done=done)
    with pytest.raises(UnknownStoreError):
        await sink.store(CLAIM, *TWO)
    await sink.open()

    assert await reached(sink) == (21 if done else 11)
    await sink.store(CLAIM, *TWO)
    assert [one.last async for one in sink.objects(GENERATION)] == [1, 11, 21]


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_FULL, SinkError, "no space"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, SinkError, "another process"),
        (sqlite3.SQLITE_IOERR_WRITE, SinkError, "disk reports an error"),
        (sqlite3.SQLITE_CORRUPT_VTAB, SinkRefusedError, "damaged"),
        (sqlite3.SQLITE_NOTADB, SinkRefusedError, "not a SQLite database"),
        (sqlite3.SQLITE_READONLY_DBMOVED, SinkRefusedError, "must not be written"),
        (sqlite3.SQLITE_CANTOPEN, SinkRefusedError, "cannot be opened"),
        (sqlite3.SQLITE_MISMATCH, SinkError, "cannot be used"),
        (None, SinkError, "cannot be used"),
    ],
)
def test_an_error_says_whether_it_helps_to_try_again(code: int | None, kind: type, words: str) -> None:
    """Its own text is not repeated."""
    error = sqlite3.OperationalError("row data")
    if code is not None:
        error.sqlite_errorcode = code

    found = classified(error)

    assert type(found) is kind
    assert words in str(found)
    assert "row data" not in str(found)


# ---- looking
async def test_looking_makes_no_file(path: Path, tmp_path: Path, make: Callable[..., SqliteSink]) -> None:
    """It says that there is none."""
    with pytest.raises(SinkRefusedError, match="No such file"):
        await make().look()

    assert list(tmp_path.iterdir()) == []


async def test_looking_leaves_an_empty_file_empty(path: Path, make: Callable[..., SqliteSink]) -> None:
    """It reads as a sink of which nobody began anything."""
    path.touch(0o600)
    sink = make()
    await sink.look()

    assert await sink.generations() == []
    assert await sink.claimant(GENERATION) is None
    await sink.close()
    assert path.read_bytes() == b""


async def test_whoever_looks_cannot_write(path: Path, make: Callable[..., SqliteSink]) -> None:
    """SQLite itself refuses; opening the sink changes that."""
    sink = await ready(make())
    await sink.look()
    with pytest.raises(SinkError):
        await sink.begin(LINE._replace(generation=b"generation-other"))

    await sink.open()
    assert await sink.generations() == [LINE]
    await sink.begin(LINE._replace(generation=b"generation-other"))

    assert len(await sink.generations()) == 2


async def test_looking_at_a_file_of_an_older_program_is_refused(
    path: Path, make: Callable[..., SqliteSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewing it is for whoever opens it."""
    await (await ready(make())).close()
    monkeypatch.setattr("cluster.backup.sinks.sqlite_file.MIGRATIONS", (*MIGRATIONS, ("SELECT 1",)))

    with pytest.raises(SinkRefusedError, match="older"):
        await make().look()
