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


class AuditFailedError(Exception):
    """No device took the record: the request must not be answered. `unknown`: and nobody knows what became of it."""

    def __init__(self, *, unknown: bool = False) -> None:
        super().__init__()
        self.unknown = unknown


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
        return Refusal(503, "Vault is sealed", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, UnknownOutcomeError):
        return Refusal(504, "the outcome of the write is unknown")
    if isinstance(error, DamagedError):
        return Refusal(500, "internal error")
    if isinstance(error, TooLargeError):
        return Refusal(413, "the request is too large: what it changes does not fit one entry of the log")
    return Refusal(503, str(error), retry_after_s=RETRY_AFTER_S)


def say_write_id(request: RawRequest, response: RawResponse) -> None:
    """The id of the write is in the header; what is no id is not echoed."""
    if request.write_id is not None and is_id(request.write_id):
        response.headers.append(("X-Strongroom-Write-Id", request.write_id))


def answer_of(request: RawRequest, error: StrongroomError | AuditFailedError) -> RawResponse:
    """The whole answer."""
    if isinstance(error, AuditFailedError):
        return outcome(request, 500, INTERNAL, "unknown") if error.unknown else refused(Refusal(500, INTERNAL))
    refusal = failed(error)
    if isinstance(error, DamagedError):
        return refused(refusal)
    applied = "unknown" if isinstance(error, UnknownOutcomeError) else "no"
    return outcome(request, refusal.status, refusal.texts[0], applied, retry_after_s=refusal.retry_after_s)


__all__ = ["INTERNAL", "AuditFailedError", "answer_of", "broken", "failed", "outcome", "say_write_id"]
