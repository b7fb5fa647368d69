"""Expected failures of a cluster, as types with their numbers.

Unknown outcome is its own type and is never folded into "failed": the write may have been applied.
No message holds a value, a token or a key. Source: docs/api.md, "Outcomes of failed writes".
"""

from __future__ import annotations


class StrongroomError(Exception):
    """Base of every error of ours."""


class NotInitialisedError(StrongroomError):
    """The node has no keyring yet."""


class SealedError(StrongroomError):
    """The node holds no keys and takes no part in Raft."""


class NotLeaderError(StrongroomError):
    """Nothing was proposed: this node does not lead. `hint` is the id of the leader it last heard, if any."""

    def __init__(self, hint: str | None = None) -> None:
        super().__init__("this node does not lead the cluster")
        self.hint = hint


class UnavailableError(StrongroomError):
    """Nothing was proposed or read: no leader, no majority, or the node is not sure. Retry after `retry_after_s`."""

    def __init__(self, why: str, retry_after_s: int = 1) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class OverloadedError(UnavailableError):
    """Nothing was proposed: a bound on queued work is reached."""


class TooLargeError(StrongroomError):
    """Nothing was proposed: the transaction is larger than one entry may be, and would be at any other time."""


class UnknownOutcomeError(StrongroomError):
    """The write was proposed and may or may not be committed; its write id resolves it."""


class DamagedError(StrongroomError):
    """Bytes that must open do not: the file, frame or entry is not what was written."""


class DamagedKeyringError(DamagedError):
    """A folder's file `keyring` is not what was written. The message says what to put in its place."""


class WrongKeyError(StrongroomError):
    """An envelope does not open with the given key."""


class FatalError(BaseException):
    """A broken invariant or a failed write: the process must end without acknowledging anything more.

    Not an Exception on purpose: no handler that means "this request failed" may swallow it.
    """
