"""A SQLite file that holds backups: opened safely, brought to this program's schema, its errors told apart.

Blocking; runs in the one thread of its sink. Touches the file and what SQLite keeps beside it.

Invariants
  F1  only a regular file of this user that nobody else may read or write is opened, never through a link
  F2  what is committed is on stable storage (WAL with synchronous FULL), and in the file that the path names now: a
      file that was removed or replaced under an open connection takes nothing more
  F3  no descriptor of the file is closed beside SQLite's own: that would end this process's locks on it
  F4  a schema of a newer program is refused and not touched
  F5  whoever only reads makes no file and no table; a file without tables reads as an empty one
Source: sqlite.org, "Write-Ahead Logging", "How To Corrupt An SQLite Database File" (2.2), "Result and Error Codes".
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING
from urllib.parse import quote

from .base import SinkError, SinkRefusedError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = int.from_bytes(b"SRBK", "big")
MIGRATIONS = (
    (
        """CREATE TABLE generations (
            generation BLOB PRIMARY KEY, parent BLOB NOT NULL, parent_index INTEGER NOT NULL, began_ns INTEGER NOT NULL
        )""",
        """CREATE TABLE claims (
            generation BLOB PRIMARY KEY REFERENCES generations, term INTEGER NOT NULL, node_id TEXT NOT NULL
        )""",
        """CREATE TABLE objects (
            id INTEGER PRIMARY KEY AUTOINCREMENT, generation BLOB NOT NULL REFERENCES generations,
            kind INTEGER NOT NULL, first_index INTEGER NOT NULL, last_index INTEGER NOT NULL, term INTEGER NOT NULL,
            time_ns INTEGER NOT NULL, base BLOB NOT NULL, part INTEGER NOT NULL, final INTEGER NOT NULL,
            fresh INTEGER NOT NULL, size INTEGER NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL,
            keyed INTEGER NOT NULL,
            UNIQUE (generation, first_index, kind, base, part)
        )""",
        "CREATE TABLE blobs (id INTEGER PRIMARY KEY REFERENCES objects, data BLOB NOT NULL)",
        "CREATE INDEX tips ON objects (generation, last_index, fresh) WHERE final AND (kind = 2 OR fresh)",
        "CREATE INDEX bases ON objects (generation, last_index) WHERE final AND kind = 1",
    ),
)
"""Number n brings a file of version n to n + 1. What has been released is never changed."""

_BESIDE = ("-wal", "-shm", "-journal")
_PRIMARY = 0xFF  # extended codes carry the primary one in their low byte
_AGAIN = {
    sqlite3.SQLITE_FULL: "no space is left for the file",
    sqlite3.SQLITE_BUSY: "another process holds the file",
    sqlite3.SQLITE_LOCKED: "another process holds the file",
    sqlite3.SQLITE_NOMEM: "no memory is left",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_INTERRUPT: "the call was ended",
}
_REFUSED = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_FORMAT: "the file is damaged",
    sqlite3.SQLITE_READONLY: "the file must not be written",
    sqlite3.SQLITE_PERM: "the file must not be read",
    sqlite3.SQLITE_AUTH: "the file must not be read",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_TOOBIG: "an object is larger than SQLite takes",
}


class OpenFile:
    """See the module's paragraph. To be used by the thread that made it."""

    def __init__(self, path: Path, timeout_s: float, *, reads_only: bool = False) -> None:
        """`reads_only`: see F5. Raises SinkError, SinkRefusedError."""
        self._path = path
        self.reads_only = reads_only
        try:
            if not reads_only:
                with contextlib.suppress(FileExistsError):
                    os.mknod(path, stat.S_IFREG | 0o600)  # leaves no descriptor to close (F3)
            self._place = _place_of(path)
        except OSError as error:
            raise SinkRefusedError(f"sqlite: the file cannot be opened ({error.strerror})") from None
        try:
            self.connection = _connected(path, timeout_s)
        except sqlite3.Error as error:
            raise classified(error) from None
        try:
            if reads_only:
                self._prepare_to_read()
            else:
                _prepare(self.connection)
            self.check()
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise classified(error) from None
            raise

    def _prepare_to_read(self) -> None:
        """Nothing is written (F5). Raises SinkRefusedError, sqlite3.Error."""
        _harden(self.connection)
        version = _check_version(self.connection)
        if version == 0:  # an empty file is read as the empty tables that it may get
            self.connection.close()
            self.connection = sqlite3.connect(":memory:", isolation_level=None)
            _migrate(self.connection)
        elif version != len(MIGRATIONS):
            raise SinkRefusedError("sqlite: the file is of an older version: a node, or backup prepare, renews it")
        self.connection.execute("PRAGMA query_only = ON")

    def check(self) -> None:
        """The path still names the file that is open (F2). Raises SinkError, SinkRefusedError."""
        try:
            place = _place_of(self._path)
        except OSError:
            place = None
        if place != self._place:
            raise SinkError("sqlite: the file was removed or replaced while it was open")

    def close(self) -> None:
        """Nothing is open."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()


def classified(error: sqlite3.Error) -> SinkError:
    """What an error of SQLite means to whoever writes. Its own text is not repeated."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY
    if primary in _REFUSED:
        return SinkRefusedError(f"sqlite: {_REFUSED[primary]}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return SinkError(f"sqlite: {_AGAIN.get(primary or 0, f'the file cannot be used ({name})')}")


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the connection is not to be used again: what it remembers of the file may not be what is there."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & _PRIMARY not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT}


def _place_of(path: Path) -> tuple[int, int]:
    """Device and inode of the file. Raises SinkRefusedError (F1), OSError."""
    status = path.lstat()
    _check_own(status)
    if status.st_mode & 0o077:
        raise SinkRefusedError("sqlite: the file can be read or written by others: its mode must be 0600")
    for suffix in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            _check_own(path.with_name(path.name + suffix).lstat())
    return status.st_dev, status.st_ino


def _check_own(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SinkRefusedError("sqlite: the file, or what SQLite keeps beside it, is a link or no regular file")
    if status.st_uid != os.geteuid():
        raise SinkRefusedError("sqlite: the file, or what SQLite keeps beside it, belongs to another user")


def _connected(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection to the file, which is there: SQLite makes none. Raises sqlite3.Error."""
    name = quote(os.fsencode(path.absolute()))
    return sqlite3.connect(f"file:{name}?mode=rw", uri=True, timeout=timeout_s, isolation_level=None)


def _harden(connection: sqlite3.Connection) -> None:
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare(connection: sqlite3.Connection) -> None:
    """The schema is this program's, and commits are durable. Raises SinkRefusedError, sqlite3.Error."""
    _harden(connection)
    _check_version(connection)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise SinkRefusedError("sqlite: the file's disk cannot hold a write-ahead log")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
    if _check_version(connection) != len(MIGRATIONS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """Raises SinkRefusedError, sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_check_version(connection), len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _check_version(connection: sqlite3.Connection) -> int:
    """Raises SinkRefusedError (F4)."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise SinkRefusedError("sqlite: the file belongs to another program")
    if not isinstance(version, int) or version > len(MIGRATIONS):
        raise SinkRefusedError(f"sqlite: the file is of version {version}; this program knows {len(MIGRATIONS)}")
    return version
