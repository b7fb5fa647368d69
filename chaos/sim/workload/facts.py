"""What the log says, entry by entry: the state at every index, kept as plain data, with the times it became true.

Fed with every transaction once, in order, when the first member applies it. Values are opened with the cluster's keys:
a version is known by the operation that its value names. Pure otherwise; nothing here is read from a member's state.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from cluster.state import records
from cluster.state.tables import VERSION_BYTES, Table
from node.engines.kv_values import FIELD

if TYPE_CHECKING:
    from cluster.keyring.sealing import Sealer
    from cluster.state.transaction import Transaction

T = TypeVar("T")


class Versions(Generic[T]):
    """One record through the log: what it was from which index on."""

    __slots__ = ("_indexes", "_values")

    def __init__(self) -> None:
        self._indexes: list[int] = []
        self._values: list[T | None] = []

    def put(self, index: int, value: T | None) -> None:
        """From `index` on; the last word for one index wins."""
        if self._indexes and self._indexes[-1] == index:
            self._values[-1] = value
            return
        self._indexes.append(index)
        self._values.append(value)

    def at(self, index: int) -> T | None:
        """As of that index."""
        place = bisect.bisect_right(self._indexes, index)
        return self._values[place - 1] if place else None

    @property
    def newest(self) -> T | None:
        """As of the end."""
        return self._values[-1] if self._values else None


@dataclass(frozen=True, slots=True)
class Written:
    """A version: number of the operation whose value it holds (0: destroyed), index of the entry."""

    operation: int
    index: int


@dataclass(slots=True)
class Change:
    """What one transaction said, for checks."""

    index: int
    time_ns: int
    write_ids: list[bytes]
    secrets: list[tuple[bytes, records.Secret | None, records.Secret | None]]  # key, before, after
    versions: list[tuple[bytes, int, int]]  # key of the secret, number, operation (0: destroyed)
    tokens: list[tuple[bytes, records.Token | None, records.Token | None]]
    forgets: bool = False  # drops write ids: nobody's operation


class Facts:
    """See the module's paragraph. `number_of` reads the number of an operation out of a value."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self.highest = 0
        self.times_ns: Versions[int] = Versions()
        self.applied_s: Versions[float] = Versions()  # when an index was first applied anywhere
        self.secrets: dict[bytes, Versions[records.Secret]] = {}
        self.versions: dict[tuple[bytes, int], Versions[Written]] = {}
        self.tokens: dict[bytes, Versions[records.Token]] = {}
        self._newest_ns = 0

    def secret(self, key: bytes, index: int) -> records.Secret | None:
        """Metadata of a path as of an index."""
        found = self.secrets.get(key)
        return None if found is None else found.at(index)

    def version(self, key: bytes, number: int, index: int) -> Written | None:
        """One version as of an index."""
        found = self.versions.get((key, number))
        return None if found is None else found.at(index)

    def token(self, key: bytes, index: int) -> records.Token | None:
        """A token as of an index."""
        found = self.tokens.get(key)
        return None if found is None else found.at(index)

    # ---- feeding
    def add(self, index: int, transaction: Transaction, now_s: float) -> Change:
        """The transaction is the one at this index. Raises DamagedError for a value that does not open in its place."""
        self.highest = index
        self._newest_ns = max(self._newest_ns, transaction.time_ns)
        self.times_ns.put(index, self._newest_ns)
        self.applied_s.put(index, now_s)
        change = Change(index, transaction.time_ns, [], [], [], [])
        after: dict[tuple[int, bytes], bytes | None] = dict.fromkeys(transaction.drops)
        after.update({(table, key): record for table, key, record in transaction.puts})
        for (table, key), record in after.items():
            if table == Table.SALT and record is not None:
                salt = records.decode(records.Salt, record)
                self._sealer.learn_salt(int.from_bytes(key, "big"), salt.key_term, salt.salt)
            elif table == Table.SECRET:
                self._secret(change, key, record)
            elif table == Table.TOKEN:
                self._token(change, key, record)
            elif table == Table.WRITE_ID:
                change.forgets |= record is None
                change.write_ids += [key] if record is not None else []
        for (table, key), record in after.items():
            if table == Table.VERSION:
                self._version(change, key[:-VERSION_BYTES], key[-VERSION_BYTES:], record)
        return change

    def _secret(self, change: Change, key: bytes, record: bytes | None) -> None:
        kept = self.secrets.setdefault(key, Versions())
        before = kept.newest
        after = None if record is None else records.decode(records.Secret, record)
        kept.put(change.index, after)
        change.secrets.append((key, before, after))

    def _token(self, change: Change, key: bytes, record: bytes | None) -> None:
        kept = self.tokens.setdefault(key, Versions())
        before = kept.newest
        after = None if record is None else records.decode(records.Token, record)
        kept.put(change.index, after)
        change.tokens.append((key, before, after))

    def _version(self, change: Change, key: bytes, suffix: bytes, record: bytes | None) -> None:
        number = int.from_bytes(suffix, "big")
        kept = self.versions.setdefault((key, number), Versions())
        if record is None:
            kept.put(change.index, None)
            return
        version = records.decode(records.Version, record)
        operation = 0
        if version.box:
            secret = self.secrets[key].newest if key in self.secrets else None
            rid = b"" if secret is None else secret.rid
            plain = self._sealer.open_value(
                version.salt_id, version.box, table=Table.VERSION, key=key, field=FIELD, record_id=rid + suffix
            )
            operation = number_of(msgspec.json.decode(plain))
        kept.put(change.index, Written(operation, change.index))
        change.versions.append((key, number, operation))


def number_of(data: object) -> int:
    """The operation that a secret's data name; 0 for anything else."""
    value = data.get("v") if isinstance(data, dict) else None
    head, _, number = value.rpartition("-") if isinstance(value, str) else ("", "", "")
    return int(number) if head and number.isdecimal() else 0
