"""Changing members, and autopilot's settings: what there is not yet, said plainly.

Pure; any node answers. The members of a cluster are those of its configuration files. Invariant: a request to change
them is refused, never taken and forgotten.
Source: Vault API, "sys/storage/raft".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...auth.typed_fields import to_text, to_ttl_s
from ...request import Answer, RawRequest, Refusal
from ..durations import DurationError, format_duration
from ..fields import parameters, to_bool, to_int

if TYPE_CHECKING:
    from ..base import Context
    from .routes import Captures

MEMBER_FIELDS = frozenset({"server_id", "dr_operation_token"})
TRAILING_LOGS_MAX = 1000
"""Entries that a healthy member may lack."""
_DURATIONS_S = {
    "dead_server_last_contact_threshold": 86_400,
    "last_contact_threshold": 10,
    "server_stabilization_time": 10,
}
_NUMBERS = {"max_trailing_logs": TRAILING_LOGS_MAX, "min_quorum": 0}
AUTOPILOT_FIELDS = frozenset({"cleanup_dead_servers", *_DURATIONS_S, *_NUMBERS})
NOT_YET = "the members of a running cluster cannot be changed yet: they are those of the configuration files"


def refuse_member(_context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """No member is removed, promoted or demoted."""
    if not to_text("server_id", parameters(request).get("server_id")):
        raise Refusal(400, "no server id provided")
    raise Refusal(400, NOT_YET)


def read_autopilot(_context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The settings, which are fixed: nobody is removed by itself."""
    data: dict[str, Any] = {"cleanup_dead_servers": False, **_NUMBERS}
    data |= {name: format_duration(seconds) for name, seconds in _DURATIONS_S.items()}
    return Answer(data=data)


def check_autopilot(_context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """Taken if it says what holds anyway, else refused."""
    given = parameters(request)
    if "cleanup_dead_servers" in given and to_bool("cleanup_dead_servers", given["cleanup_dead_servers"]):
        raise Refusal(400, f"cleanup_dead_servers cannot be switched on: {NOT_YET}")
    for name, number in _NUMBERS.items():
        if name in given and to_int(name, given[name]) != number:
            raise Refusal(400, f"{name} is {number} and cannot be changed yet")
    for name, seconds in _DURATIONS_S.items():
        if name in given and _seconds(to_text(name, given[name])) != seconds:
            raise Refusal(400, f"{name} is {format_duration(seconds)} and cannot be changed yet")
    return Answer()


def _seconds(text: str) -> int | None:
    try:
        return to_ttl_s(text)
    except DurationError:
        return None
