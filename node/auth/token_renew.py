"""Renewing tokens: a new end of life, within the maximum.

Pure. Invariant: a renewal changes the record at the index it was read at, so an expiry that was decided before it
(compare-and-drop) and the renewal never both happen.
Source: Vault API, "Token auth method: renew".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft, Table, Token, records

from ..engines.base import Context, Plan
from ..engines.fields import parameters, to_seconds
from ..request import Answer, RawRequest, Refusal
from .token_lookup import auth_block, invalid_accessor
from .token_revoke import required_accessor
from .token_ttl import TTL_S_MAX, Wish, current_ttl_s, decide_ttl_s
from .tokens import NS, TokenView, find_by_accessor, find_raw, find_valid, is_orphan
from .typed_fields import to_text

if TYPE_CHECKING:
    from ..engines.system.routes import Captures

FIELDS_TOKEN = frozenset({"token", "increment"})
FIELDS_SELF = frozenset({"token", "increment"})  # clients send the token along
FIELDS_ACCESSOR = frozenset({"accessor", "increment"})


def decide_renew(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """renew: the token in the request."""
    raw_token = to_text("token", parameters(request).get("token"))
    if not raw_token:
        raise Refusal(400, "missing token ID")
    return _renew(context, request, find_raw(context.view, context.sealing, raw_token, context.now_ns), raw_token)


def decide_renew_self(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """renew-self: the caller's token."""
    token = find_valid(context.view, context.caller.token_key, context.now_ns)
    return _renew(context, request, token, request.token or "")


def decide_renew_accessor(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """renew-accessor: the answer does not hold the token."""
    token = find_by_accessor(context.view, required_accessor(request), context.now_ns)
    if token is None:
        raise invalid_accessor()
    return _renew(context, request, token, "")


def _renew(context: Context, request: RawRequest, token: TokenView | None, raw_token: str) -> Plan:
    if token is None:
        raise Refusal(400, "token not found")
    record, now_ns = token.record, context.now_ns
    if not record.expires_ns:
        raise Refusal(400, "invalid lease ID")
    if not record.renewable:
        raise Refusal(400, "lease is not renewable")
    given = parameters(request)
    increment_s = to_seconds("increment", given["increment"], signed=False) if "increment" in given else 0
    wish = Wish(
        increment_s=min(increment_s, TTL_S_MAX),
        ttl_s=current_ttl_s(record),
        period_s=record.period_s,
        explicit_max_ttl_s=record.explicit_max_ttl_s,
    )
    ttl_s, warnings = decide_ttl_s(wish, context.mount, record.created_ns, now_ns)
    found = context.view.get(Table.TOKEN, token.key)
    assert found is not None, "the token was found in this very view"
    draft = Draft()
    draft.expect(Table.TOKEN, token.key, token.index)
    draft.put(
        Table.TOKEN,
        token.key,
        records.change(Token, found[1], expires_ns=now_ns + ttl_s * NS, last_renewal_ns=now_ns),
    )
    block = auth_block(record, raw_token, ttl_s, orphan=is_orphan(context.view, record))
    return Plan(Answer(auth=block, warnings=warnings or None), draft, secret_answer=bool(raw_token))
