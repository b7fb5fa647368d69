"""A transaction: facts that every node installs, all or nothing.

Drops first, then puts in order, the last one wins. `expects` names the index at which the proposer read each
metadata record it decided on (0 = it did not exist). The types below are part of the format: tightening them later
would make nodes of two versions disagree and old logs undecodable.
"""

from __future__ import annotations

import msgspec

from . import records
from .tables import RECORDS_MAX, TRANSACTION_BYTES_MAX, Table

BYTES_MAX = TRANSACTION_BYTES_MAX
__all__ = ["BYTES_MAX", "RECORDS_MAX", "Draft", "Transaction", "decode", "encode"]


class Transaction(msgspec.Struct, array_like=True, gc=False):
    """`term` and `sequence` are the proposer's, `time_ns` its stamp."""

    term: int
    sequence: int
    time_ns: int
    expects: list[tuple[int, bytes, int]]
    puts: list[tuple[int, bytes, bytes]]
    drops: list[tuple[int, bytes]]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Transaction).decode


class Draft:
    """A transaction being written by a decider: records of one decision, not yet stamped or numbered."""

    __slots__ = ("drops", "expects", "hashes", "puts")

    def __init__(self) -> None:
        self.expects: list[tuple[int, bytes, int]] = []
        self.puts: list[tuple[int, bytes, bytes]] = []
        self.drops: list[tuple[int, bytes]] = []
        self.hashes: tuple[bytes, ...] = ()  # conflict hashes; empty = touches everything

    def __repr__(self) -> str:
        return f"<Draft {len(self.puts)} puts {len(self.drops)} drops>"

    def expect(self, table: Table, key: bytes, index: int) -> None:
        """The decision read this record at `index` (0: it did not exist)."""
        self.expects.append((table, key, index))

    def put(self, table: Table, key: bytes, record: records.Record | bytes) -> None:
        """The record replaces whatever stands under the key."""
        self.puts.append((table, key, record if isinstance(record, bytes) else records.encode(record)))

    def drop(self, table: Table, key: bytes) -> None:
        """Nothing stands under the key."""
        self.drops.append((table, key))

    @property
    def empty(self) -> bool:
        """Nothing would change."""
        return not self.puts and not self.drops
