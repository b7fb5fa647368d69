"""What an error of PostgreSQL, of its connection or of its answers means to whoever writes backups.

Pure. The server's own words are not repeated: they may quote rows. SQLSTATE says enough.
Source: PostgreSQL documentation, "Appendix A. PostgreSQL Error Codes".
"""

from __future__ import annotations

import asyncpg

from ...errors import StrongroomError
from .base import SinkError, SinkRefusedError

# The longest beginning of the SQLSTATE that is named here decides.
_REFUSED = {
    "0A": "the server is too old for what is needed",
    "28": "the server refuses the user or its password",
    "3D000": "the database does not exist",
    "3F000": "the schema does not exist: open it once with the role that shall own it",
    "42": "the schema is not what this program knows",
    "42501": "the role may not do this; what it needs is in docs/backup.md",
    "42P01": "the schema does not exist, or is not what this program knows",
    "54": "an object is larger than the server takes",
    "XX001": "the server reports damaged data",
    "XX002": "the server reports damaged data",
}
_AGAIN = {
    "08": "the connection was lost",
    "25006": "the server is read-only just now",
    "25P03": "the transaction stood still for too long",
    "40": "the server gave the transaction up",
    "53": "the server is out of resources",
    "53100": "no space is left on the server's disk",
    "53300": "the server takes no more connections",
    "55P03": "another writer holds the lock",
    "57": "the server ended the call",
    "57014": "the server did not finish the statement in time",
    "57P01": "the server is shutting down",
    "57P02": "the server has crashed and comes back",
    "57P03": "the server does not take connections yet",
    "58": "the server's disk reports an error",
}


def classified(error: Exception) -> StrongroomError:
    """An error of ours instead of any other one; ours stay what they are."""
    if isinstance(error, StrongroomError):
        return error
    state = sqlstate_of(error)
    if state is not None:
        return _of_state(state)
    if isinstance(error, TimeoutError):
        return SinkError("postgresql: no answer in time")
    if isinstance(error, OSError):
        return SinkError(f"postgresql: the server cannot be reached ({type(error).__name__})")
    return SinkError(f"postgresql: the server's answer makes no sense ({type(error).__name__})")


def sqlstate_of(error: BaseException) -> str | None:
    """The server's code, that of the message before a lost connection rather than that of the loss."""
    cause = error.__cause__
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(cause, asyncpg.PostgresError):
        return sqlstate_of(cause)
    state = getattr(error, "sqlstate", None)
    return state if isinstance(error, asyncpg.PostgresError) and isinstance(state, str) else None


def _of_state(state: str) -> SinkError:
    shown = state if state.isascii() and state.isalnum() and len(state) == 5 else "unknown"
    for length in (5, 2):
        if state[:length] in _REFUSED:
            return SinkRefusedError(f"postgresql: {_REFUSED[state[:length]]} (SQLSTATE {shown})")
        if state[:length] in _AGAIN:
            return SinkError(f"postgresql: {_AGAIN[state[:length]]} (SQLSTATE {shown})")
    return SinkError(f"postgresql: the server refuses the statement (SQLSTATE {shown})")
