"""The cluster: replicated state, Raft, links, journal, keys. `node` imports it through this file only."""

from __future__ import annotations

from .errors import (
    DamagedError,
    NotInitialisedError,
    NotLeaderError,
    OverloadedError,
    SealedError,
    StrongroomError,
    UnavailableError,
    UnknownOutcomeError,
    WrongKeyError,
)
from .clockshim import ShimRefusedError, clock_of
from .coordinator import Seed, find_cluster, run_init
from .files import read_file, write_file
from .folder import FolderError
from .initialise import AlreadyInitialisedError
from .keyring.seal import InvalidShareError, NewSeal, Unsealed, WrongSharesError, init_problem, open_envelope
from .keyring.unsealers import static as static_seal
from .keyring.unsealers.shamir import ShamirUnsealer
from .links.certs import certificate_der, certificate_expiry, write_certificates
from .links.transport import CallError, NotSentError, Tls, tls_contexts
from .member import Member, MemberAddress, MemberSettings
from .raft.chassis import Timing
from .rehydrate import Rehydrate
from .seams import SystemClock, SystemRandom
from .state import records, sweeps, write_ids
from .state.machine import State
from .state.records import (
    Accessor,
    AuditDevice,
    AuditHead,
    Config,
    Entry,
    Fact,
    Floor,
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
from .state.tables import EVERYTHING, QUIET, Table, version_key
from .state.transaction import Draft, Transaction
from .state.view import View, look
from .values import ValueSealing

__all__ = [
    "FolderError",
    "read_file",
    "static_seal",
    "write_file",
    "Rehydrate",
    "State",
    "certificate_expiry",
    "write_certificates",
    "SystemClock",
    "ShimRefusedError",
    "clock_of",
    "SystemRandom",
    "certificate_der",
    "Accessor",
    "AlreadyInitialisedError",
    "AuditDevice",
    "AuditHead",
    "CallError",
    "Config",
    "DamagedError",
    "Draft",
    "EVERYTHING",
    "Entry",
    "Fact",
    "Floor",
    "InvalidShareError",
    "KeyringRecord",
    "Lease",
    "Member",
    "MemberAddress",
    "MemberSettings",
    "Mount",
    "NewSeal",
    "NotInitialisedError",
    "NotLeaderError",
    "NotSentError",
    "OverloadedError",
    "Policy",
    "QUIET",
    "Record",
    "Salt",
    "SealedError",
    "Secret",
    "Seed",
    "ShamirUnsealer",
    "StrongroomError",
    "Sweep",
    "Table",
    "Timing",
    "Tls",
    "Token",
    "Transaction",
    "UnavailableError",
    "UnknownOutcomeError",
    "Unsealed",
    "ValueSealing",
    "Version",
    "View",
    "WriteId",
    "WrongKeyError",
    "WrongSharesError",
    "find_cluster",
    "init_problem",
    "look",
    "open_envelope",
    "records",
    "run_init",
    "sweeps",
    "tls_contexts",
    "version_key",
    "write_ids",
]
