"""The cluster: replicated state, Raft, links, journal, keys. `node` imports it through this file only."""

from __future__ import annotations

from .clockshim import ShimRefusedError, clock_of
from .coordinator import Seed, find_cluster, run_init
from .errors import (
    DamagedError,
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
from .seams import Clock, SystemClock, SystemRandom
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
    "EVERYTHING",
    "QUIET",
    "Accessor",
    "AlreadyInitialisedError",
    "AuditDevice",
    "AuditHead",
    "CallError",
    "Clock",
    "Config",
    "DamagedError",
    "Draft",
    "Entry",
    "Fact",
    "Floor",
    "FolderError",
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
    "Record",
    "Rehydrate",
    "Salt",
    "SealedError",
    "Secret",
    "Seed",
    "ShamirUnsealer",
    "ShimRefusedError",
    "State",
    "StrongroomError",
    "Sweep",
    "SystemClock",
    "SystemRandom",
    "Table",
    "Timing",
    "Tls",
    "Token",
    "TooLargeError",
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
    "certificate_der",
    "certificate_expiry",
    "clock_of",
    "find_cluster",
    "init_problem",
    "look",
    "open_envelope",
    "read_file",
    "records",
    "run_init",
    "static_seal",
    "sweeps",
    "tls_contexts",
    "version_key",
    "write_certificates",
    "write_file",
    "write_ids",
]
