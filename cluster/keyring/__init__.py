"""The keyring room: keys, what is sealed with them, and how a node comes by them.

Pure except `unsealers`: no I/O, clock, randomness or logging; random bytes and instants come in as arguments.
Rules of the room: one key per use (purposes.py), every blob opens only in the place it was written for (sealing.py),
and types that hold secrets are wiped, say nothing and are not copied (secrecy.py).
"""

from __future__ import annotations

from .envelope import Envelope, SealConfig, key_check, open_keyring, read_seal, seal_keyring
from .keyring import Keyring, UnknownKeyTermError
from .purposes import MacKey, Purpose
from .seal import (
    InvalidShareError,
    NewSeal,
    Unsealed,
    UnsealProgress,
    WrongSharesError,
    init_problem,
    initialise,
    open_envelope,
    parse_share,
    rekey,
    rotate,
)
from .sealing import Sealer, entry_hashes, entry_kind, entry_sequence
from .secrecy import Secret, wipe

__all__ = [
    "Envelope",
    "InvalidShareError",
    "Keyring",
    "MacKey",
    "NewSeal",
    "Purpose",
    "SealConfig",
    "Sealer",
    "Secret",
    "UnknownKeyTermError",
    "UnsealProgress",
    "Unsealed",
    "WrongSharesError",
    "entry_hashes",
    "entry_kind",
    "entry_sequence",
    "init_problem",
    "initialise",
    "key_check",
    "open_envelope",
    "open_keyring",
    "parse_share",
    "read_seal",
    "rekey",
    "rotate",
    "seal_keyring",
    "wipe",
]
