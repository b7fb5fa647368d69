"""What an error is to a client: the status, whether the write was applied, and when to come again.

Pure but for a line of the log. One table for every path of the node, so that no two say different things of one error.
Source: docs/api.md, "Outcomes of failed writes".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cluster import DamagedError, SealedError, StrongroomError, TooLargeError, UnknownOutcomeError

from .http.render import multierror, refused
from .request import Refusal
from .writes import is_id

if TYPE_CHECKING:
    from .request import RawRequest, RawResponse

log = logging.getLogger("strongroom.node")

RETRY_AFTER_S = 1
INTERNAL = multierror(["internal error"])
SEALED = "Vault is sealed"
UNKNOWN = "the outcome of the write is unknown"


class AuditFailedError(Exception):
    """No device took the record: the request must not be answered. `applied`: what became of it, no, unknown or yes."""

    def __init__(self, applied: str = "no") -> None:
        super().__init__()
        self.applied = applied


def outcome(
    request: RawRequest, status: int, text: str, applied: str, *, retry_after_s: int | None = None
) -> RawResponse:
    """F5: the error that says whether the write was applied, and its id."""
    write_id = request.write_id if request.write_id is not None and is_id(request.write_id) else None
    response = refused(Refusal(status, text, retry_after_s=retry_after_s), applied=applied, write_id=write_id)
    say_write_id(request, response)
    return response


def broken(error: Exception) -> Refusal:
    """What is answered where an engine met what nobody foresaw: nothing was changed, and it is audited as a refusal."""
    log.error("an engine failed", exc_info=error)
    return Refusal(500, INTERNAL)


def failed(error: StrongroomError) -> Refusal:
    """What an error of the cluster is to a client, and to audit."""
    if isinstance(error, SealedError):
        return Refusal(503, SEALED, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, UnknownOutcomeError):
        return Refusal(504, UNKNOWN)
    if isinstance(error, DamagedError):
        return Refusal(500, "internal error")
    if isinstance(error, TooLargeError):
        return Refusal(413, "the request is too large: what it changes does not fit one entry of the log")
    return Refusal(503, str(error), retry_after_s=RETRY_AFTER_S)


def say_write_id(request: RawRequest, response: RawResponse) -> None:
    """The id of the write is in the header; what is no id is not echoed."""
    if request.write_id is not None and is_id(request.write_id):
        response.headers.append(("X-Strongroom-Write-Id", request.write_id))


def while_sealed(error: StrongroomError | AuditFailedError) -> StrongroomError | AuditFailedError:
    """What the error is once this node was sealed under the request: the seal alone, wherever nothing was done.

    Without keys there is no record (the chain has none), no leader and no majority: those are what the seal looks like
    from inside. Whatever the request did before stays said, and so does what does not open: that was tried with keys.
    """
    if isinstance(error, AuditFailedError):
        if error.applied == "unknown":
            return UnknownOutcomeError(UNKNOWN)
        return SealedError("this node is sealed") if error.applied == "no" else error
    return SealedError("this node is sealed") if failed(error).status == 503 else error


def answer_of(
    request: RawRequest, error: StrongroomError | AuditFailedError, *, sealed: bool = False
) -> RawResponse:
    """The whole answer. `sealed`: this node was, while the request was under way."""
    if sealed:
        error = while_sealed(error)
    if isinstance(error, AuditFailedError):
        status, text = (503, SEALED) if sealed else (500, INTERNAL)
        if error.applied == "no":
            return refused(Refusal(status, text))
        return outcome(request, status, text, error.applied)
    refusal = failed(error)
    if isinstance(error, DamagedError):
        return refused(refusal)
    applied = "unknown" if isinstance(error, UnknownOutcomeError) else "no"
    return outcome(request, refusal.status, refusal.texts[0], applied, retry_after_s=refusal.retry_after_s)


__all__ = [
    "INTERNAL", "AuditFailedError", "answer_of", "broken", "failed", "outcome", "say_write_id", "while_sealed",
]  # fmt: skip
