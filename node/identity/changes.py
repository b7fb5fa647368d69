"""Several records of identity changed in one decision: each is read once, changed at will, and written once.

Pure. Invariants
  C1  what is looked at includes what was changed before: two changes of one record are never made apart
  C2  every record that is put or dropped is expected at the index at which it was read
  C3  fields of a record that this program does not know survive a change
  C4  a decision that would not fit one transaction is refused before it is worked out: all others wait for it
Source: cluster/state/transaction.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cluster import Draft, IdentityName, Table, View, records

from ..request import Refusal

if TYPE_CHECKING:
    from cluster import Record

R = TypeVar("R", bound="Record")

CHANGED_MAX = 1_000  # records of one decision: what a transaction holds


def check_count(count: int) -> None:
    """Raises Refusal where so many records would change at once (C4)."""
    if count > CHANGED_MAX:
        raise Refusal(400, f"this would change more than {CHANGED_MAX} records at once: do it in parts")


class Changes:
    """Changes of the table of identity on one view."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._read: dict[bytes, tuple[int, bytes] | None] = {}
        self._records: dict[bytes, Record | None] = {}
        self._changed: dict[bytes, None] = {}

    def __repr__(self) -> str:
        return f"<Changes of {len(self._changed)} records>"

    def look(self, kind: type[R], key: bytes) -> R | None:
        """The record as it will be; None: there will be none. Whoever changes it gives it to `put`."""
        if key not in self._records:
            found = self._find(key)
            self._records[key] = None if found is None else records.decode(kind, found[1])
        record = self._records[key]
        assert record is None or isinstance(record, kind)  # a key has one kind of record
        return record

    def named(self, key: bytes) -> str | None:
        """The id that a name or alias stands for."""
        found = self.look(IdentityName, key)
        return None if found is None else found.id

    def put(self, key: bytes, record: Record) -> None:
        """The record will stand under the key."""
        self._find(key)
        self._records[key] = record
        self._changed[key] = None

    def name(self, key: bytes, id_: str) -> None:
        """The name or alias will stand for the id."""
        self.put(key, IdentityName(id=id_))

    def drop(self, key: bytes) -> None:
        """Nothing will stand under the key."""
        self._find(key)
        self._records[key] = None
        self._changed[key] = None

    def into(self, draft: Draft) -> Draft:
        """The draft makes the changes, too; what it touches is then everything."""
        for key in self._changed:
            found, record = self._read[key], self._records[key]
            if found is None and record is None:
                continue
            draft.expect(Table.IDENTITY, key, 0 if found is None else found[0])
            if record is None:
                draft.drop(Table.IDENTITY, key)
            elif found is None:
                draft.put(Table.IDENTITY, key, record)
            else:
                fields = {name: getattr(record, name) for name in record.__struct_fields__}
                draft.put(Table.IDENTITY, key, records.change(type(record), found[1], **fields))
            draft.hashes = ()
        return draft

    def _find(self, key: bytes) -> tuple[int, bytes] | None:
        if key not in self._read:
            self._read[key] = self.view.get(Table.IDENTITY, key)
        return self._read[key]
