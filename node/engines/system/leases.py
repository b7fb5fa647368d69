"""Handlers of `sys/leases/*`, and of the old names of the same paths (`sys/renew`, `sys/revoke`, …).

Pure. Invariants: an old name is the same handler behind the same checks; tokens are not reached through here, neither
by renewing nor by a prefix, because they have no lease: what cannot be done is refused, never answered as if done.
Source: Vault API, "sys/leases"; OpenBao, CVE-2026-45808 (the old names).
"""

from __future__ import annotations

from typing import Any

from cluster import Draft

from ...auth.typed_fields import to_text
from ...request import Answer, Operation, RawRequest, Refusal
from .. import leases
from ..base import Context, Plan
from ..fields import parameters, to_bool, to_seconds
from ..instants import rfc3339
from .routes import Captures, Route

FIELDS_LOOKUP = frozenset({"lease_id"})
FIELDS_RENEW = frozenset({"lease_id", "increment"})
FIELDS_REVOKE = frozenset({"lease_id", "sync"})
FIELDS_PREFIX = frozenset({"sync"})
FIELDS_COUNT = frozenset({"type", "limit", "include_child_namespaces"})

_TOKENS = "auth/"
_TIDY_WARNING = (
    "Tidy operation successfully started. Any information from the operation will be printed to the server logs."
)
_NO_PREFIX = "tokens have no lease here: revoke them by token, by accessor or with their parent"


def read_lookup(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """lookup: what is known of a valid lease."""
    lease_id = _lease_id(request, {})
    lease = leases.find(context.view, lease_id, context.now_ns)
    if lease is None:
        raise Refusal(400, "invalid lease")
    record = lease.record
    data: dict[str, Any] = {
        "id": lease_id,
        "issue_time": rfc3339(record.issued_ns),
        "expire_time": rfc3339(record.expires_ns),
        "last_renewal": rfc3339(record.last_renewal_ns) if record.last_renewal_ns else None,
        "renewable": record.renewable,
        "ttl": lease.ttl_s(context.now_ns),
    }
    return Answer(data=data)


def read_list(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """LIST lookup/:prefix (sudo): leases and folders of leases."""
    prefix = captures["prefix"] or ""
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    found = leases.names(context.view, prefix, context.now_ns)
    if not found:
        raise Refusal(404)
    return Answer(data={"keys": found})


def read_all(_context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """GET sys/leases: of type "irrevocable" there are none, whatever fails is only a record."""
    _check_type(request)
    return Answer(data={"lease_count": 0, "leases": []})


def read_count(_context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """GET sys/leases/count, as `read_all`."""
    _check_type(request)
    return Answer(data={"lease_count": 0, "counts": {}})


def decide_renew(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """renew: a new end, within the maximum."""
    lease_id = _lease_id(request, captures)
    if lease_id.startswith(_TOKENS):
        raise Refusal(400, "tokens cannot be renewed through this endpoint")
    given = parameters(request)
    increment_s = to_seconds("increment", given["increment"], signed=False) if "increment" in given else 0
    lease = leases.find(context.view, lease_id, context.now_ns)
    if lease is None:
        raise Refusal(400, leases.why_not(context.view, lease_id, context.now_ns))
    draft = Draft()
    ttl_s, warnings = leases.renew(context.view, draft, lease, increment_s, context.now_ns)
    answer = Answer(lease_id=lease_id, lease_duration_s=ttl_s, renewable=True, warnings=warnings or None)
    # The envelope of a repetition would lack the lease: it says that the first answer was not kept instead.
    return Plan(answer, draft, secret_answer=True)


def decide_revoke(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """revoke: the lease is gone; 204 whether or not it was there. Done when answered, with or without `sync`."""
    lease_id = _lease_id(request, captures)
    draft = Draft()
    leases.revoke(context.view, draft, lease_id)
    return Plan(_done(request), draft)


def decide_revoke_prefix(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """revoke-prefix, revoke-force (sudo): every lease at or below the path is invalid when this is answered."""
    prefix = captures["prefix"]
    draft = Draft()
    if not prefix.endswith("/") and leases.find(context.view, prefix, context.now_ns) is not None:
        leases.revoke(context.view, draft, prefix)
        return Plan(_done(request), draft)
    folder = prefix.rstrip("/") + "/"
    if folder.startswith(_TOKENS):
        raise Refusal(400, _NO_PREFIX)
    if context.view.list_leases(folder.encode(), limit=1):
        leases.revoke_prefix(context.view, draft, folder, context.now_ns)
    return Plan(_done(request), draft)


def decide_tidy(_context: Context, _request: RawRequest, _captures: Captures) -> Plan:
    """tidy: nothing to decide, what is no longer valid is removed whether or not anybody asks."""
    return Plan(Answer(status=202, warnings=[_TIDY_WARNING]))


_READ, _LIST, _UPDATE = Operation.READ, Operation.LIST, Operation.UPDATE

ROUTES = (
    Route("leases", reads={_READ: read_all}, fields=FIELDS_COUNT, help="Leases that cannot be revoked."),
    Route("leases/count", reads={_READ: read_count}, fields=FIELDS_COUNT, help="How many leases cannot be revoked."),
    Route("leases/tidy", decisions={_UPDATE: decide_tidy}, help="Cleans up what expired and revoked leases left."),
    Route("(?:leases/)?lookup", reads={_UPDATE: read_lookup}, fields=FIELDS_LOOKUP, help="What is known of a lease."),
    Route("leases/lookup/(?P<prefix>.*)", reads={_LIST: read_list}, help="Lists leases below a path."),
    Route(
        "(?:leases/)?renew",
        decisions={_UPDATE: decide_renew},
        fields=FIELDS_RENEW,
        help="Renews a lease.",
    ),
    Route(
        "(?:leases/)?renew/(?P<url_lease_id>.+)",
        decisions={_UPDATE: decide_renew},
        fields=FIELDS_RENEW,
        help="Renews a lease.",
    ),
    Route(
        "(?:leases/)?revoke",
        decisions={_UPDATE: decide_revoke},
        fields=FIELDS_REVOKE,
        help="Revokes a lease at once.",
    ),
    Route(
        "(?:leases/)?revoke/(?P<url_lease_id>.+)",
        decisions={_UPDATE: decide_revoke},
        fields=FIELDS_REVOKE,
        help="Revokes a lease at once.",
    ),
    Route(
        "(?:leases/)?revoke-(?:prefix|force)/(?P<prefix>.+)",
        decisions={_UPDATE: decide_revoke_prefix},
        fields=FIELDS_PREFIX,
        help="Revokes every lease below a path at once.",
    ),
)


def _lease_id(request: RawRequest, captures: Captures) -> str:
    lease_id = to_text("lease_id", parameters(request).get("lease_id")) or captures.get("url_lease_id", "")
    if not lease_id:
        raise Refusal(400, "lease_id must be specified")
    return lease_id


def _done(request: RawRequest) -> Answer:
    given = parameters(request)
    sync = to_bool("sync", given["sync"]) if "sync" in given else True
    return Answer() if sync else Answer(status=202)


def _check_type(request: RawRequest) -> None:
    if to_text("type", parameters(request).get("type")).lower() != "irrevocable":
        raise Refusal(404)
