"""Looking at tokens: what the API tells about one, and the list of all accessors.

Pure; any node answers. Invariants: nobody is told the raw token of an accessor; a token that is not valid is as
unknown as one that never was.
Source: Vault API, "Token auth method: lookup".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import Accessor, Table, Token, View, records

from ..engines.fields import parameters
from ..engines.instants import rfc3339
from ..engines.system.routes import Captures, permission_denied
from ..identity.person import policies_of
from ..request import Answer, RawRequest, Refusal
from .batch_tokens import BATCH
from .token_revoke import required_accessor
from .tokens import NS, ROOT_PATH, TokenView, find_by_accessor, find_raw, find_valid, is_orphan
from .typed_fields import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines.base import Context


def auth_block(
    record: Token, raw_token: str, ttl_s: int, *, orphan: bool, identity_policies: Sequence[str] = ()
) -> dict[str, Any]:
    """The `auth` of an answer that hands out or renews a token; `ttl_s` from now."""
    block: dict[str, Any] = {
        "client_token": raw_token,
        "accessor": record.accessor.decode(),
        "policies": sorted({*record.policies, *identity_policies}) if identity_policies else record.policies,
        "token_policies": record.policies,
        "metadata": record.meta,
        "lease_duration": ttl_s,
        "renewable": record.renewable,
        "entity_id": record.entity_id,
        "token_type": record.type,
        "orphan": orphan,
        "mfa_requirement": None,
        "num_uses": record.num_uses,
    }
    if identity_policies:
        block["identity_policies"] = list(identity_policies)
    return block


def read_lookup(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """lookup: the token in the request, or the caller's own where there is none."""
    raw_token = to_text("token", parameters(request).get("token"))
    if not raw_token:
        return read_lookup_self(context, request, captures)
    token = find_raw(context.view, context.sealing, raw_token, context.now_ns)
    return _answer(context, token, raw_token)


def read_lookup_self(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """lookup-self: the caller's token, the one on its last use included."""
    if context.caller.type == BATCH:
        return _answer(context, find_raw(context.view, context.sealing, request.token, context.now_ns), request.token)
    token = find_valid(context.view, context.caller.token_key, context.now_ns, spent=True)
    return _answer(context, token, request.token or "")


def read_lookup_accessor(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """lookup-accessor: everything but the token itself."""
    token = find_by_accessor(context.view, required_accessor(request), context.now_ns)
    if token is None:
        raise invalid_accessor()
    return _answer(context, token, "")


def read_accessors(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """LIST accessors (sudo): the accessors of all valid tokens."""
    if not (context.caller.is_root or context.caller.has_sudo):
        raise permission_denied()
    keys = [
        accessor.decode()
        for accessor, _, record in context.view.items(Table.ACCESSOR)
        if find_valid(context.view, records.decode(Accessor, record).token, context.now_ns) is not None
    ]
    if not keys:
        raise Refusal(404)
    return Answer(data={"keys": sorted(keys)})


def invalid_accessor() -> Refusal:
    """400 for an accessor that no valid token has."""
    return Refusal(400, "invalid accessor", wrapped=True)


def lookup_data(view: View, token: TokenView, raw_token: str, now_ns: int) -> dict[str, Any]:
    """Vault's description of a token; some keys are there only where they apply."""
    record = token.record
    data: dict[str, Any] = {
        "accessor": record.accessor.decode(),
        "creation_time": record.created_ns // NS,
        "creation_ttl": record.creation_ttl_s,
        "display_name": record.display_name,
        "entity_id": record.entity_id,
        "expire_time": rfc3339(record.expires_ns) if record.expires_ns else None,
        "explicit_max_ttl": record.explicit_max_ttl_s,
        "id": raw_token,
        "meta": record.meta,
        "num_uses": record.num_uses,
        "orphan": is_orphan(view, record),
        "path": record.path,
        "policies": record.policies,
        "ttl": token.ttl_s(now_ns),
        "type": record.type,
    }
    if record.expires_ns or record.path != ROOT_PATH:
        data["issue_time"] = rfc3339(record.created_ns)
        data["renewable"] = record.renewable
    if record.last_renewal_ns:
        data["last_renewal"] = rfc3339(record.last_renewal_ns)
        data["last_renewal_time"] = record.last_renewal_ns // NS
    if record.period_s:
        data["period"] = record.period_s
    if record.bound_cidrs:
        data["bound_cidrs"] = record.bound_cidrs
    if record.role:
        data["role"] = record.role
    identity_policies = policies_of(view, record)
    if identity_policies:
        data["identity_policies"] = list(identity_policies)
        data["external_namespace_policies"] = {}
    return data


def _answer(context: Context, token: TokenView | None, raw_token: str | None) -> Answer:
    if token is None:
        raise Refusal(403, "bad token")
    return Answer(data=lookup_data(context.view, token, raw_token or "", context.now_ns))
