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
from .state import records
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
    Member,
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
    "AuditDevice",
    "AuditHead",
    "Config",
    "DamagedError",
    "Draft",
    "Entry",
    "Fact",
    "Floor",
    "KeyringRecord",
    "Lease",
    "Member",
    "Mount",
    "NotInitialisedError",
    "NotLeaderError",
    "OverloadedError",
    "Policy",
    "Record",
    "Salt",
    "SealedError",
    "Secret",
    "StrongroomError",
    "Sweep",
    "Table",
    "Token",
    "Transaction",
    "UnavailableError",
    "UnknownOutcomeError",
    "ValueSealing",
    "Version",
    "View",
    "WriteId",
    "WrongKeyError",
    "look",
    "records",
    "version_key",
]
