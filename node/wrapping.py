"""Response wrapping: an answer is kept for whoever holds a token made for it, and the token is the answer.

Pure: what is decided here stands in the transaction of the request whose answer it is.
Invariants
  W1  an answer that is to be wrapped leaves wrapped, or not at all: an error that holds data is refused without it.
      Plain errors, and answers without a body, hold nothing to wrap; a raw answer is one that was unwrapped, help is
      nobody's secret
  W2  the token, what it holds, and what the request changes are in one transaction, or nothing is
  W3  the token lives as long as the header says, or the engine, or the system at most, whichever is shortest
  W4  nobody without a token makes the cluster keep anything but what a login gave
Source: Vault concepts, "Response Wrapping"; Vault API, headers (X-Vault-Wrap-TTL).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from .auth.token_ttl import SYSTEM_TTL_S
from .engines.wrapping_tokens import Origin, give
from .http.render import envelope, json_bytes
from .request import Answer, Operation, RawRequest, Refusal

if TYPE_CHECKING:
    from .engines.base import Context, Plan

_NOT_BARE = "a part of this failed, and what is left is not given without its wrapping"
_SECRET_ID_ACCESSOR = "secret_id_accessor"  # noqa: S105 - the name of a field


def goes_to_leader(request: RawRequest) -> bool:
    """Whether the request's answer is to be wrapped, which is a write, whatever the request is."""
    return bool(request.wrap_ttl_s) and request.operation is not Operation.HELP


def wrapped(context: Context, request: RawRequest, plan: Plan) -> Plan:
    """The plan, its answer a wrapping token if one is wished for and there is something to wrap. Raises Refusal."""
    answer = plan.answer
    ttl_s = _smaller(request.wrap_ttl_s or 0, answer.wrap_ttl_s)
    if not ttl_s or answer.wrap_info is not None or answer.empty or answer.bare or answer.raw is not None:
        return plan
    if answer.status >= 400:
        if answer.data is None and answer.auth is None:
            return plan
        raise Refusal(answer.status, *(() if answer.status == 404 else (_NOT_BARE,)))
    if context.caller.token_key is None and answer.auth is None:
        return plan  # W4
    ttl_s = min(ttl_s, SYSTEM_TTL_S)
    body = envelope(request.id, replace(answer, inject=False)).rstrip(b"\n")
    accessor = _accessor_in(context, answer)
    plan.answer = give(context, plan.draft, request.path, body, Origin(request.path, ttl_s, accessor))
    plan.secret_answer = True
    return plan


def _accessor_in(context: Context, answer: Answer) -> str:
    """The accessor of the token or of the secret-id that is wrapped; "" where it is something else."""
    if answer.auth is not None:
        return str(answer.auth.get("accessor") or "")
    if context.mount is None or context.mount.type != "approle" or answer.data is None:
        return ""
    found = msgspec.json.decode(json_bytes(answer.data))
    return str(found.get(_SECRET_ID_ACCESSOR) or "") if isinstance(found, dict) else ""


def _smaller(one_s: int, two_s: int) -> int:
    return min(one_s, two_s) if one_s and two_s else one_s or two_s
