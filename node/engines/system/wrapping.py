"""The paths below sys/wrapping/: a value is wrapped, a token looked at, what it holds taken out or put under a new one.

Pure. Invariants
  P1  what is taken out is taken once: the token is dropped, with what it held, in the transaction that the answer is of
  P2  whoever only looks spends nothing, and learns no more than from where and when the answer is
The judge has asked before whether there is a wrapping token to speak of (node/engines/wrapping_tokens.py, H3).
Source: Vault API, "sys/wrapping/*".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import Draft

from ...auth.token_revoke import revoke_token
from ...request import Answer, Operation, RawJson, RawRequest, RawResponse, Refusal
from .. import wrapping_tokens
from ..base import Context, Plan
from .routes import Captures, Route

if TYPE_CHECKING:
    from ...auth.tokens import TokenView


class _Anything(frozenset[str]):
    """Every name there is: what is wrapped has parameters of its own."""

    def __contains__(self, _name: object) -> bool:
        return True


def read_wrap(_context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """wrap: what was sent, which leaves as a wrapping token."""
    if not request.wrap_ttl_s:
        raise Refusal(400, "endpoint requires response wrapping to be used")
    return Answer(data=RawJson(request.body.raw.strip() or b"{}"))


def read_lookup(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """lookup: from where and when what the token holds is."""
    token = wrapping_tokens.named_token(context.view, context.sealing, request, context.now_ns)
    origin = wrapping_tokens.origin_of(context, token)
    data: dict[str, Any] = {
        "creation_path": origin.creation_path,
        "creation_time": origin.creation_time,
        "creation_ttl": origin.ttl_s,
    }
    return Answer(data=data)


def decide_unwrap(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """unwrap: the answer as it would have been sent, once."""
    token = wrapping_tokens.named_token(context.view, context.sealing, request, context.now_ns)
    body = wrapping_tokens.held_by(context, token)
    draft = _spent(context, token)
    if not body:
        return Plan(Answer(), draft)
    return Plan(Answer(raw=RawResponse(200, body + b"\n")), draft, secret_answer=True)


def decide_rewrap(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """rewrap: the same answer, under a new token, for as long as the first was to hold it; a header may shorten it."""
    token = wrapping_tokens.named_token(context.view, context.sealing, request, context.now_ns)
    origin, body = wrapping_tokens.origin_of(context, token), wrapping_tokens.held_by(context, token)
    if not body:
        raise wrapping_tokens.not_valid()
    draft = _spent(context, token)
    if request.wrap_ttl_s:
        origin = origin._replace(ttl_s=min(origin.ttl_s, request.wrap_ttl_s))
    return Plan(wrapping_tokens.give(context, draft, request.path, body, origin), draft, secret_answer=True)


def _spent(context: Context, token: TokenView) -> Draft:
    """The token is dropped with what it holds (P1). If it is the one that asks, its use drops it, too."""
    draft = Draft()
    if token.key != context.caller.token_key:
        revoke_token(context.view, draft, token)
    return draft


_UPDATE, _READ = Operation.UPDATE, Operation.READ
_TOKEN = frozenset({"token"})

ROUTES = (
    Route("wrapping/wrap", reads={_UPDATE: read_wrap}, fields=_Anything(), help="Response-wraps what is sent."),
    Route(
        "wrapping/lookup",
        reads={_UPDATE: read_lookup, _READ: read_lookup},
        fields=_TOKEN,
        help="Looks up the properties of a response-wrapped token.",
    ),
    Route(
        "wrapping/unwrap",
        decisions={_UPDATE: decide_unwrap},
        fields=_TOKEN,
        help="Unwraps a response-wrapped token.",
    ),
    Route(
        "wrapping/rewrap",
        decisions={_UPDATE: decide_rewrap},
        fields=_TOKEN,
        help="Rotates a response-wrapped token.",
    ),
)
