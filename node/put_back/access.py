"""What the snapshot has differently of who may do what: it stays as it is now, and is named.

Pure. Invariant: names of policies, paths of mounts and devices, and counts are said; no value, token, entity or record.
Source: docs/threat-model.md, backup and restore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import MOUNT_UUID_BYTES, Mount, Table, records

from ..engines.system.mount_table import AUTH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cluster import State

NAMES_SHOWN = 10
NAMED = {Table.POLICY: "policies", Table.MOUNT: "auth methods", Table.AUDIT_DEVICE: "audit devices"}
COUNTED = {Table.IDENTITY: "identities, groups and their names"}


class Differences:
    """Feed it every record of the snapshot, then ask."""

    def __init__(self, mounts: Mapping[bytes, bytes], secret_types: Collection[str]) -> None:
        """`mounts` is the snapshot's mount table."""
        self._stores: dict[bytes, str] = {}  # uuid → path, of what is not put back and not a token's own
        for key, record in mounts.items():
            mount = records.readable(Mount, record)
            if mount is not None and (key.startswith(AUTH.encode()) or mount.type not in {*secret_types, "cubbyhole"}):
                self._stores[mount.uuid] = key.decode()
        self._seen: dict[Table, set[bytes]] = {table: set() for table in NAMED}
        self._changed: dict[Table, set[bytes]] = {table: set() for table in NAMED}
        self._counts: dict[str, int] = {}

    def meet(self, state: State, table: int, key: bytes, record: bytes) -> None:
        """A record of the snapshot; `state` is that of now."""
        if table in NAMED and (table != Table.MOUNT or key.startswith(AUTH.encode())):
            named = Table(table)
            self._seen[named].add(key)
            if _differs(state, table, key, record):
                self._changed[named].add(key)
        elif table in COUNTED and _differs(state, table, key, record):
            self._count(COUNTED[Table(table)])
        elif table == Table.ENTRY and key[:MOUNT_UUID_BYTES] in self._stores and _differs(state, table, key, record):
            self._count(f"what {self._stores[key[:MOUNT_UUID_BYTES]]} stores")

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    def sentences(self, state: State) -> list[str]:
        """What differs, and stays."""
        found = []
        for table, what in NAMED.items():
            keys = (key for key, _, _ in state.items(table))
            now = {key for key in keys if table != Table.MOUNT or key.startswith(AUTH.encode())}
            differs = self._changed[table] & now
            said = [
                _names("differ", differs), _names("are gone since", self._seen[table] - now),
                _names("are newer", now - self._seen[table]),
            ]  # fmt: skip
            if any(said):
                found.append(f"{what} stay as they are now: {'; '.join(filter(None, said))}")
        found += [f"{what}: {count} records of the snapshot differ, and stay as they are now"
                  for what, count in sorted(self._counts.items())]  # fmt: skip
        return found


def _differs(state: State, table: int, key: bytes, record: bytes) -> bool:
    now = state.get(table, key)
    return now is None or now[1] != record


def _names(what: str, keys: set[bytes]) -> str:
    if not keys:
        return ""
    names = sorted(key.decode(errors="replace") for key in keys)
    more = len(names) - NAMES_SHOWN
    return f"{what}: {', '.join(names[:NAMES_SHOWN])}" + (f" and {more} more" if more > 0 else "")


__all__ = ["Differences"]
