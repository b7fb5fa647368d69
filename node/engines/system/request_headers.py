"""Which headers of requests are audited: sys/config/auditing/request-headers.

Pure. Every node follows this setting (`node.audit_desk`), so that a request is audited alike wherever it is asked.
Invariant: headers that carry credentials are hashed whatever is said here (`node.audit.entry`, E3).
Source: Vault API, "sys/config/auditing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...request import Answer, RawRequest, Refusal
from .. import entries
from ..base import Context, Plan
from ..fields import parameters, to_bool
from .header_names import header_name

if TYPE_CHECKING:
    from .routes import Captures

FIELDS = frozenset({"hmac"})
STORED = "config/auditing/request-headers"
HEADERS_MAX = 64


class AuditedHeaders(msgspec.Struct, array_like=True):
    """Name in lower case → whether its values are hashed."""

    headers: dict[str, bool] = {}


def audited_headers(context: Context) -> dict[str, bool]:
    """What is audited."""
    found = entries.find(context, STORED, AuditedHeaders)
    return {} if found is None else found.value.headers


def read_all(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """All of them."""
    shown = {name: {"hmac": hashed} for name, hashed in sorted(audited_headers(context).items())}
    return Answer(data={"headers": shown}, inject=True)


def read_one(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """One of them."""
    name = captures["header"].lower()
    headers = audited_headers(context)
    if name not in headers:
        raise Refusal(400, "Could not find header in config")
    return Answer(data={name: {"hmac": headers[name]}}, inject=True)


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The header is audited from now on, on every node."""
    given = parameters(request)
    hashed = to_bool("hmac", given["hmac"]) if "hmac" in given else False
    name = header_name(captures["header"])
    found = entries.find(context, STORED, AuditedHeaders)
    headers = {} if found is None else found.value.headers
    if name not in headers and len(headers) >= HEADERS_MAX:
        raise Refusal(400, f"{HEADERS_MAX} headers are audited already")
    draft = Draft()
    entries.put(context, draft, STORED, AuditedHeaders({**headers, name: hashed}), found)
    return Plan(Answer(), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The header is not audited; 204 also where it was not."""
    draft = Draft()
    found = entries.find(context, STORED, AuditedHeaders)
    name = captures["header"].lower()
    if found is not None and name in found.value.headers:
        rest = {other: hashed for other, hashed in found.value.headers.items() if other != name}
        entries.put(context, draft, STORED, AuditedHeaders(rest), found)
    return Plan(Answer(), draft)
