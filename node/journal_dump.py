"""What stands in a stopped node's folder, as lines of JSON: which records each entry changes, and no record itself.

A shell over cluster/inspection.py; naming is pure. docs/journal.md has every field. Invariants
  J1  no value, token, key, hash or accessor is in a line: of a record only the number of a KV version is looked at, and
      of a key only what `_NAMED` and `_paths` say; the rest is the table alone
  J2  nothing is written into the folder, and no server can start on it meanwhile
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cluster import (
    MOUNT_UUID_BYTES,
    VERSION_BYTES,
    DamagedError,
    FolderError,
    Inspection,
    Mount,
    NotInitialisedError,
    ReadingDisk,
    Secret,
    SystemRandom,
    Table,
    lock_for_reading,
    read_file,
    read_seal,
    records,
)

from .status import rfc3339, uuid_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster import Line

    from .restore.keys import Keys

FORMAT: Final = 1
OF_MOUNTS: Final = frozenset({Table.SECRET, Table.VERSION, Table.ENTRY})
TABLES: Final = {int(table): table.name.lower().replace("_", "-") for table in Table}


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


_NAMED: Final[dict[int, Callable[[bytes], str]]] = {
    **dict.fromkeys((Table.MOUNT, Table.POLICY, Table.MEMBER, Table.AUDIT_DEVICE, Table.BACKUP_POSITION), _text),
    **dict.fromkeys((Table.CONFIG, Table.KEYRING, Table.FLOOR), _text),
    Table.AUDIT_HEAD: lambda key: _text(key.replace(b"\x00", b" ")),
    Table.FACT: lambda key: _text(key.replace(b"\x00", b" ")),
    Table.SALT: lambda key: str(int.from_bytes(key)),
    Table.SWEEP: lambda key: _text(key.partition(b"\x00")[0]) if b"\x00" in key else "",  # a target may be a token's
}


class Namer:
    """Names what lines change. Remembers where mounts were, also those that are gone."""

    def __init__(self) -> None:
        self._mounts: dict[bytes, str] = {}

    def learn(self, key: bytes, record: bytes | None) -> None:
        """A record of the table of mounts; None if it is dropped."""
        mount = None if record is None else records.readable(Mount, record)
        if mount is not None:
            self._mounts[mount.uuid] = _text(key)

    def line(self, line: Line) -> dict[str, Any]:
        """J1."""
        for table, key, record in line.changes:
            if table == Table.MOUNT:
                self.learn(key, record)
        return {
            "index": line.index,
            "term": line.term or None,
            "time": rfc3339(line.time_ns) if line.time_ns else None,
            "kind": line.kind,
            "outcome": line.outcome,
            "changes": [self._change(*change) for change in line.changes],
        }

    def _change(self, table: int, key: bytes, record: bytes | None) -> dict[str, Any]:
        found: dict[str, Any] = {"table": TABLES.get(table, table)}
        if table in OF_MOUNTS:
            found |= self._path(table, key)
        elif table in _NAMED:
            found["key"] = _NAMED[table](key)
        if table == Table.SECRET and record is not None:
            secret = records.readable(Secret, record)
            found["version"] = None if secret is None else secret.current
        if record is None:
            found["drop"] = True
        return found

    def _path(self, table: int, key: bytes) -> dict[str, Any]:
        mount, rest = key[:MOUNT_UUID_BYTES], key[MOUNT_UUID_BYTES:]
        version: dict[str, Any] = {}
        if table == Table.VERSION:
            rest, number = rest[:-VERSION_BYTES], rest[-VERSION_BYTES:]
            version["version"] = int.from_bytes(number)
        elif table == Table.ENTRY:
            rest = b""  # names of engines' own, some of them made from tokens
        place = self._mounts.get(mount)
        if place is None:
            return {"mount": uuid_of(mount), "path": _text(rest), **version}
        return {"path": place + _text(rest), **version}


def dumped(
    folder: Path, keys_for: Callable[[str, int], Keys], say: Callable[[dict[str, Any]], None], *, verify: bool = False
) -> dict[str, Any]:
    """Every line was said, of a verification the first and the last one alone; returns the last one. Blocking.

    `keys_for` is given type and threshold of the seal. Raises NotInitialisedError, FolderError, WrongKeyError,
    DamagedError, OSError.
    """
    lock = lock_for_reading(folder)
    try:
        disk = ReadingDisk(folder)
        envelope = read_file(disk, "keyring")
        if envelope is None:
            raise NotInitialisedError(f"{folder} is no member's data folder")
        try:
            seal = read_seal(envelope)[1]
            unsealed = keys_for(seal.type, seal.threshold).open(envelope)
        except DamagedError as error:
            raise DamagedError(f"{folder}/keyring: {error}; another member's opens the log as well") from None
        try:
            try:
                inspection = Inspection(disk, unsealed, SystemRandom())
            except (NotInitialisedError, FolderError) as error:
                raise type(error)(f"{folder}: {error}") from None
            except DamagedError as error:
                raise DamagedError(f"{folder}: {error}: look into the folder of another member") from None
            try:
                return _said(inspection, say, verify=verify)
            finally:
                inspection.wipe()
        finally:
            unsealed.wipe()
    finally:
        if lock is not None:
            os.close(lock)


def _said(inspection: Inspection, say: Callable[[dict[str, Any]], None], *, verify: bool) -> dict[str, Any]:
    namer = Namer()
    for key, _, record in inspection.state.items(Table.MOUNT):
        namer.learn(key, record)
    say(_first(inspection))
    lines = 0
    if not verify:
        for line in inspection.heads():
            say(namer.line(line))
            lines += 1
    for line in inspection.entries():
        if not verify:
            say(namer.line(line))
        lines += 1
    last = {
        "condition": inspection.condition,
        "wrong": [{"what": one.what, "where": one.where, "why": one.why} for one in inspection.wrong],
        "lines": lines,
    }
    say(last)
    return last


def _first(inspection: Inspection) -> dict[str, Any]:
    about = inspection.about
    snapshot = None if about.snapshot is None else {"index": about.snapshot[0], "term": about.snapshot[1]}
    return {
        "format": FORMAT,
        "generation": uuid_of(about.generation),
        "snapshot": snapshot,
        "log": {"after": about.base[0], "last": about.last_index},
        "committed": about.committed,
        "mode": about.mode,
        "recovering": about.recovering,
    }
