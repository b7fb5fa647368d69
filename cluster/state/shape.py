"""Is a transaction well formed? Looked at completely before anything of it is installed.

Pure. This check, like the types of the transaction, is part of the format: if one version of the program refused
what another installs, their states would differ. So it only asks what the state itself needs to hold the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .slots import METADATA, SECRET, VERSION
from .tables import KEY_BYTES_MAX, MOUNT_UUID_BYTES, RECORDS_MAX, VERSION_BYTES

if TYPE_CHECKING:
    from .transaction import Transaction

TABLES_MAX = 256
TIME_NS_END = 1 << 63
VERSION_KEY_BYTES_MIN = MOUNT_UUID_BYTES + 1 + VERSION_BYTES


def names_a_record(table: int, key: bytes) -> bool:
    """Whether a record can stand there: mount uuid and a path for a secret, and a number above 0 for a version."""
    if table == SECRET:
        return MOUNT_UUID_BYTES < len(key) <= KEY_BYTES_MAX
    if table == VERSION:
        return VERSION_KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX and not key.endswith(METADATA)
    return 0 <= table < TABLES_MAX and 0 < len(key) <= KEY_BYTES_MAX


def well_formed(transaction: Transaction) -> bool:
    """Whether the state can install it, its expectations aside."""
    if len(transaction.puts) + len(transaction.drops) > RECORDS_MAX or not 0 <= transaction.time_ns < TIME_NS_END:
        return False
    for table, key, _ in transaction.puts:
        if not names_a_record(table, key):
            return False
    for table, key in transaction.drops:
        if not names_a_record(table, key):
            return False
    return all(names_a_record(table, key) for table, key, _ in transaction.expects)
