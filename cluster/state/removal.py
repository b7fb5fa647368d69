"""A transaction that only removes, as large as one may be.

Pure. Invariant: what it holds, and one put more, fits into one transaction, in records and in bytes.
"""

from __future__ import annotations

from .tables import KEY_BYTES_MAX, RECORDS_MAX, TRANSACTION_BYTES_MAX, Table
from .transaction import Draft

PUTS_RESERVED = 1
ENVELOPE_BYTES = 16  # of one element: its array, table, index, and the length of its key
BYTES_MAX = TRANSACTION_BYTES_MAX - 4 * KEY_BYTES_MAX - 1024  # a Sweep record names two keys besides its own


class Removal:
    """`draft` is the transaction so far."""

    def __init__(self, limit: int) -> None:
        self.draft = Draft()
        self._records_left = min(limit, RECORDS_MAX - PUTS_RESERVED)
        self._bytes_left = BYTES_MAX

    def __repr__(self) -> str:
        return f"<Removal of {len(self.draft.drops)}>"

    @property
    def empty(self) -> bool:
        """Nothing is removed."""
        return not self.draft.drops

    def fits(self, records: int, key_bytes: int) -> bool:
        """Whether so many more records, with so many bytes of keys in drops and expectations, have room."""
        return records <= self._records_left and key_bytes + 2 * records * ENVELOPE_BYTES <= self._bytes_left

    def drop(self, table: Table, key: bytes, index: int = 0) -> bool:
        """The record written at `index` (0: at any) goes; False, and nothing changes, if there is no room."""
        key_bytes = 2 * len(key) if index else len(key)
        if not self.fits(1, key_bytes):
            return False
        if index:
            self.draft.expect(table, key, index)
        self.draft.drop(table, key)
        self._spend(1, key_bytes)
        return True

    def put(self, table: Table, key: bytes, record: bytes, index: int) -> None:
        """Beside the removals, a record is written that was read at `index`. Ask `fits` before."""
        self.draft.expect(table, key, index)
        self.draft.put(table, key, record)
        self._spend(1, 2 * len(key) + len(record))

    def _spend(self, records: int, key_bytes: int) -> None:
        self._records_left -= records
        self._bytes_left -= key_bytes + 2 * records * ENVELOPE_BYTES
