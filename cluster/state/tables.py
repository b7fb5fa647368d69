"""The tables of the state, their numbers and what their changes touch.

Numbers are part of the format and never reused. `conflict` says which hash a transaction may carry that changes a
record of the table; the list of own hashes is closed (a table not listed is ALL):
  PATH    the hash of the KV path (metadata and versions of one path)
  FRESH   its own hash when created under a fresh random key; ALL when changed or dropped
  QUIET   the reserved hash that no request reads
  ALL     zero: touches everything
Tables above 255 do not exist; an unknown table below is stored, digested, snapshotted, and not indexed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from . import records


class Table(enum.IntEnum):
    """Numbers of the tables."""

    SECRET = 0
    VERSION = 1
    TOKEN = 2
    ACCESSOR = 3
    LEASE = 4
    WRITE_ID = 5
    FLOOR = 6
    ENTRY = 7
    MOUNT = 8
    POLICY = 9
    IDENTITY = 10
    CONFIG = 11
    MEMBER = 12
    AUDIT_DEVICE = 13
    AUDIT_HEAD = 14
    KEYRING = 15
    BACKUP_POSITION = 16
    SALT = 17
    SWEEP = 18
    FACT = 19


class Conflict(enum.Enum):
    """See the module's paragraph."""

    PATH = "path"
    FRESH = "fresh"
    QUIET = "quiet"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class TableInfo:
    """`expects`: whether transactions must name the index at which they read a record they change."""

    record: type[records.Record] | None
    conflict: Conflict = Conflict.ALL
    expects: bool = True


TABLES: dict[Table, TableInfo] = {
    Table.SECRET: TableInfo(records.Secret, Conflict.PATH),
    Table.VERSION: TableInfo(records.Version, Conflict.PATH, expects=False),
    Table.TOKEN: TableInfo(records.Token, Conflict.FRESH),
    Table.ACCESSOR: TableInfo(records.Accessor, Conflict.FRESH),
    Table.LEASE: TableInfo(records.Lease, Conflict.FRESH),
    Table.WRITE_ID: TableInfo(records.WriteId, Conflict.QUIET, expects=False),
    Table.FLOOR: TableInfo(records.Floor, expects=False),
    Table.ENTRY: TableInfo(records.Entry),
    Table.MOUNT: TableInfo(records.Mount),
    Table.POLICY: TableInfo(records.Policy),
    Table.IDENTITY: TableInfo(None),
    Table.CONFIG: TableInfo(records.Config),
    Table.MEMBER: TableInfo(records.Member),
    Table.AUDIT_DEVICE: TableInfo(records.AuditDevice),
    Table.AUDIT_HEAD: TableInfo(records.AuditHead, Conflict.QUIET, expects=False),
    Table.KEYRING: TableInfo(records.KeyringRecord),
    Table.BACKUP_POSITION: TableInfo(records.BackupPosition, Conflict.QUIET, expects=False),
    Table.SALT: TableInfo(records.Salt),
    Table.SWEEP: TableInfo(records.Sweep),
    Table.FACT: TableInfo(records.Fact),
}

KEY_BYTES_MAX = 2048
RECORDS_MAX = 1000
TRANSACTION_BYTES_MAX = 1_572_864  # 1.5 MiB
MOUNT_UUID_BYTES = 16
VERSION_BYTES = 4
EVERYTHING = b"\x00" * 8  # the conflict hash that touches everything
QUIET = b"\xff" * 8  # the reserved hash that no request reads


def version_key(secret_key: bytes, number: int) -> bytes:
    """Key of one version of a secret."""
    return secret_key + number.to_bytes(VERSION_BYTES, "big")
