"""The cluster: replicated state, Raft, links, journal, keys. `node` imports it through this file only."""

from __future__ import annotations

from .backup.archive import ForeignSnapshotError
from .backup.arriving import Arrived, Arriving
from .backup.backup import Backup, BackupSettings, SinkSettings
from .backup.chain import RestoreError, Run, newest_gap
from .backup.copying import Copied, copy, prune
from .backup.format import NO_HASH
from .backup.joining import Joining
from .backup.layout import OccupiedError, check_free
from .backup.line import claim_of
from .backup.lines import lines, newest
from .backup.order import Expected, MissingEndError, Order, Report, UnwitnessedError
from .backup.ports import Policy as BackupPolicy
from .backup.ports import Standing
from .backup.read_through import Contents, ReadThrough
from .backup.recovering import Assessment, Recovering, envelopes_of
from .backup.renew import BATCH_TOKENS_VOID, HELD_DEVICES, RESTORED, Change, Restored, Wish
from .backup.restore import Point, Progress, Restore, Survey, choose, survey
from .backup.restoring import Restoring
from .backup.retention import removable
from .backup.saving import Saved, save_snapshot
from .backup.sinks.base import ConflictError, FencedError, Sink, SinkError, SinkRefusedError, UnknownStoreError
from .backup.sinks.postgres_schema import grants_sql
from .backup.sinks.snapshot import checked, is_snapshot
from .backup.sinks.urls import open_sink
from .backup.verify import Verified, Verifying
from .backup.witness import Witness, read_witnesses
from .clockshim import ShimRefusedError, clock_of
from .coordinator import Seed, find_cluster, read_envelope_answer, run_init
from .errors import (
    DamagedError,
    DamagedKeyringError,
    NotInitialisedError,
    NotLeaderError,
    OverloadedError,
    SealedError,
    StrongroomError,
    TooLargeError,
    UnavailableError,
    UnknownOutcomeError,
    WrongKeyError,
)
from .failpoints import FailpointError, arm_failpoints, failpoint, is_failpoint
from .files import read_file, write_file
from .folder import FolderError, lock_folder, lock_for_reading
from .initialise import AlreadyInitialisedError
from .inspection import Inspection, Line
from .keyring.envelope import SealConfig, read_seal
from .keyring.keyring import Keyring
from .keyring.seal import (
    InvalidShareError,
    NewSeal,
    Unsealed,
    UnsealProgress,
    Wrap,
    WrongSharesError,
    init_problem,
    open_envelope,
    rekey,
    shares_problem,
)
from .keyring.sealing import Sealer
from .keyring.secrecy import wipe
from .keyring.unsealers import static as static_seal
from .keyring.unsealers.shamir import ShamirUnsealer
from .keyring.unsealers.transit import Transit, TransitSettings
from .links.certs import (
    certificate_der,
    certificate_expiry,
    certificate_names,
    public_key_sha256,
    write_certificates,
)
from .links.transport import CallError, NotSentError, Tls, tls_contexts
from .member import Member, MemberAddress, MemberSettings
from .migration import migrate_seal
from .raft.chassis import Timing
from .rehydrate import Rehydrate
from .rekeying import Rekeying, TooManyTermsError, seal_epoch
from .seams import Clock, Disk, Random, ReadingDisk, SystemClock, SystemDisk, SystemRandom
from .state import records, sweeps, write_ids
from .state.machine import State
from .state.records import (
    Accessor,
    Alias,
    AuditDevice,
    AuditHead,
    Config,
    Entity,
    Entry,
    Fact,
    Floor,
    Group,
    GroupMembers,
    IdentityName,
    KeyringRecord,
    Lease,
    Mount,
    Policy,
    Record,
    Salt,
    Secret,
    Sweep,
    Token,
    Version,
    WriteId,
)
from .state.tables import EVERYTHING, MOUNT_UUID_BYTES, QUIET, VERSION_BYTES, Table, version_key
from .state.transaction import Draft, Transaction
from .state.view import View, index_of, look
from .values import ValueSealing

__all__ = [
    "BATCH_TOKENS_VOID",
    "EVERYTHING",
    "HELD_DEVICES",
    "MOUNT_UUID_BYTES",
    "NO_HASH",
    "QUIET",
    "RESTORED",
    "VERSION_BYTES",
    "Accessor",
    "Alias",
    "AlreadyInitialisedError",
    "Arrived",
    "Arriving",
    "Assessment",
    "AuditDevice",
    "AuditHead",
    "Backup",
    "BackupPolicy",
    "BackupSettings",
    "CallError",
    "Change",
    "Clock",
    "Config",
    "ConflictError",
    "Contents",
    "Copied",
    "DamagedError",
    "DamagedKeyringError",
    "Disk",
    "Draft",
    "Entity",
    "Entry",
    "Expected",
    "Fact",
    "FailpointError",
    "FencedError",
    "Floor",
    "FolderError",
    "ForeignSnapshotError",
    "Group",
    "GroupMembers",
    "IdentityName",
    "Inspection",
    "InvalidShareError",
    "Joining",
    "Keyring",
    "KeyringRecord",
    "Lease",
    "Line",
    "Member",
    "MemberAddress",
    "MemberSettings",
    "MissingEndError",
    "Mount",
    "NewSeal",
    "NotInitialisedError",
    "NotLeaderError",
    "NotSentError",
    "OccupiedError",
    "Order",
    "OverloadedError",
    "Point",
    "Policy",
    "Progress",
    "Random",
    "ReadThrough",
    "ReadingDisk",
    "Record",
    "Recovering",
    "Rehydrate",
    "Rekeying",
    "Report",
    "Restore",
    "RestoreError",
    "Restored",
    "Restoring",
    "Run",
    "Salt",
    "Saved",
    "SealConfig",
    "SealedError",
    "Sealer",
    "Secret",
    "Seed",
    "ShamirUnsealer",
    "ShimRefusedError",
    "Sink",
    "SinkError",
    "SinkRefusedError",
    "SinkSettings",
    "Standing",
    "State",
    "StrongroomError",
    "Survey",
    "Sweep",
    "SystemClock",
    "SystemDisk",
    "SystemRandom",
    "Table",
    "Timing",
    "Tls",
    "Token",
    "TooLargeError",
    "TooManyTermsError",
    "Transaction",
    "Transit",
    "TransitSettings",
    "UnavailableError",
    "UnknownOutcomeError",
    "UnknownStoreError",
    "UnsealProgress",
    "Unsealed",
    "UnwitnessedError",
    "ValueSealing",
    "Verified",
    "Verifying",
    "Version",
    "View",
    "Wish",
    "Witness",
    "Wrap",
    "WriteId",
    "WrongKeyError",
    "WrongSharesError",
    "arm_failpoints",
    "certificate_der",
    "certificate_expiry",
    "certificate_names",
    "check_free",
    "checked",
    "choose",
    "claim_of",
    "clock_of",
    "copy",
    "envelopes_of",
    "failpoint",
    "find_cluster",
    "grants_sql",
    "index_of",
    "init_problem",
    "is_failpoint",
    "is_snapshot",
    "lines",
    "lock_folder",
    "lock_for_reading",
    "look",
    "migrate_seal",
    "newest",
    "newest_gap",
    "open_envelope",
    "open_sink",
    "prune",
    "public_key_sha256",
    "read_envelope_answer",
    "read_file",
    "read_seal",
    "read_witnesses",
    "records",
    "rekey",
    "removable",
    "run_init",
    "save_snapshot",
    "seal_epoch",
    "shares_problem",
    "static_seal",
    "survey",
    "sweeps",
    "tls_contexts",
    "version_key",
    "wipe",
    "write_certificates",
    "write_file",
    "write_ids",
]
