"""The digest of the state: XOR of a keyed hash of every record.

Pure. Independent of order, so that it moves with each change; equal index must mean equal digest on every node.

Invariants
  D1  the hash is a keyed pseudo-random function (BLAKE2b-128): under a linear one (GMAC, CRC, Poly1305 with one key)
      swapping the values of two secrets would leave the XOR unchanged
  D2  table, key and record are told apart: table (1) | length of the key (2, big-endian) | key | record as logged
  D3  it does not cover the index at which a record was written
"""

from __future__ import annotations

import hashlib

from .shape import TABLES_MAX

DIGEST_BYTES = 16


class Fingerprints:
    """Hashes of records under one digest key."""

    __slots__ = ("_bases",)

    def __init__(self, digest_key: bytes) -> None:
        keyed = hashlib.blake2b(digest_size=DIGEST_BYTES, key=digest_key)
        self._bases = []
        for table in range(TABLES_MAX):
            base = keyed.copy()
            base.update(bytes([table]))
            self._bases.append(base)

    def __repr__(self) -> str:
        return "<Fingerprints>"

    def of(self, table: int, key: bytes, record: bytes) -> int:
        """128 bits that belong to exactly this record under this key of this table."""
        # Fed once per table and copied: keying costs as much as hashing a small record.
        hasher = self._bases[table].copy()
        hasher.update(len(key).to_bytes(2, "big") + key)
        hasher.update(record)
        return int.from_bytes(hasher.digest(), "little")
