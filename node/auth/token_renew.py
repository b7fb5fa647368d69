"""Renewing tokens: a new end of life, within the maximum.

Pure. Invariants
  N1  a renewal changes the record at the index it was read at, so an expiry that was decided before it
      (compare-and-drop) and the renewal never both happen
  N2  a token that a login made is renewed by what its role says now, within the limits of the mount it logged in at;
      not where the role, that mount, or who knows about its roles is gone
Source: Vault API, "Token auth method: renew".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft, Table, Token, records

from ..engines.base import Context, Plan
from ..engines.fields import parameters, to_seconds
from ..engines.system.mount_table import find_mount
from ..identity.person import policies_of
from ..request import Answer, RawRequest, Refusal
from . import token_roles
from .batch_tokens import BATCH
from .login import Renewer, renewal_s
from .token_lookup import auth_block, invalid_accessor
from .token_revoke import required_accessor
from .token_ttl import TTL_S_MAX, Wish, current_ttl_s, decide_ttl_s
from .tokens import NS, TokenView, find_by_accessor, find_raw, find_valid, is_orphan
from .typed_fields import to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engines.system.routes import Captures

_OWN_PATHS = "auth/token/"
FIELDS_TOKEN = frozenset({"token", "increment"})
FIELDS_SELF = frozenset({"token", "increment"})  # clients send the token along
FIELDS_ACCESSOR = frozenset({"accessor", "increment"})


class Renewal:
    """The handlers of the three ways to renew. `renewers`: type of auth method → what asks its roles."""

    def __init__(self, renewers: Mapping[str, Renewer]) -> None:
        self._renewers = renewers

    def decide_renew(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """renew: the token in the request."""
        raw_token = to_text("token", parameters(request).get("token"))
        if not raw_token:
            raise Refusal(400, "missing token ID")
        token = find_raw(context.view, context.sealing, raw_token, context.now_ns)
        return self._renew(context, request, token, raw_token)

    def decide_renew_self(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """renew-self: the caller's token."""
        if context.caller.type == BATCH:
            raise _not_renewable()
        token = find_valid(context.view, context.caller.token_key, context.now_ns)
        return self._renew(context, request, token, request.token or "")

    def decide_renew_accessor(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """renew-accessor: the answer does not hold the token."""
        token = find_by_accessor(context.view, required_accessor(request), context.now_ns)
        if token is None:
            raise invalid_accessor()
        return self._renew(context, request, token, "")

    def _renew(self, context: Context, request: RawRequest, token: TokenView | None, raw_token: str) -> Plan:
        if token is None:
            raise Refusal(400, "token not found")
        record, now_ns = token.record, context.now_ns
        if token.is_batch:
            raise _not_renewable()
        if not record.expires_ns:
            raise Refusal(400, "invalid lease ID")
        if not record.renewable:
            raise Refusal(400, "lease is not renewable")
        given = parameters(request)
        increment_s = to_seconds("increment", given["increment"], signed=False) if "increment" in given else 0
        ttl_s, warnings = self._ttl_s(context, record, min(increment_s, TTL_S_MAX), request.certificate)
        found = context.view.get(Table.TOKEN, token.key)
        assert found is not None, "the token was found in this very view"
        draft = Draft()
        draft.expect(Table.TOKEN, token.key, token.index)
        draft.put(
            Table.TOKEN,
            token.key,
            records.change(Token, found[1], expires_ns=now_ns + ttl_s * NS, last_renewal_ns=now_ns),
        )
        view, beside = context.view, policies_of(context.view, record)
        block = auth_block(record, raw_token, ttl_s, orphan=is_orphan(view, record), identity_policies=beside)
        return Plan(Answer(auth=block, warnings=warnings or None), draft, secret_answer=bool(raw_token))

    def _ttl_s(
        self, context: Context, record: Token, increment_s: int, certificate: bytes
    ) -> tuple[int, list[str]]:
        if record.path.startswith(_OWN_PATHS):
            period_s, explicit_max_ttl_s = record.period_s, record.explicit_max_ttl_s
            if record.role:
                period_s, explicit_max_ttl_s = token_roles.renewed_by(context, record)
            wish = Wish(
                increment_s=increment_s,
                ttl_s=current_ttl_s(record),
                period_s=period_s,
                explicit_max_ttl_s=explicit_max_ttl_s,
            )
            return decide_ttl_s(wish, context.mount, record.created_ns, context.now_ns)
        found = find_mount(context.view, record.path)
        if found is None or found[2].created_ns > record.created_ns:  # another one stands there now
            raise Refusal(400, "lease is not renewable")
        mount_path, _, mount = found
        renewer = self._renewers.get(mount.type)
        if renewer is None:
            raise Refusal(400, "lease is not renewable")
        logged_in = context.at(mount_path, mount)
        logged_in.certificate = certificate
        return renewal_s(logged_in, record, renewer(logged_in, record), increment_s)


def _not_renewable() -> Refusal:
    return Refusal(400, "batch tokens cannot be renewed")
