"""What a token may do on given paths: sys/capabilities and its two sisters.

Pure; any node answers. Invariant: the answer comes from the same compiled list that judges requests, so it never
promises what is then refused by policy.
Source: Vault API, "sys/capabilities".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...auth.access import acl_of_token
from ...auth.tokens import find_by_accessor, find_raw
from ...auth.typed_fields import to_names, to_text
from ...request import Answer, RawRequest, Refusal
from ..fields import parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..base import Context
    from .routes import Captures

FIELDS = frozenset({"token", "accessor", "paths", "path"})
PATHS_MAX = 1_000


def read_capabilities(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """Of the token in the request."""
    paths = _paths(request)
    raw_token = to_text("token", parameters(request).get("token"))
    if not raw_token:
        raise Refusal(400, "missing token", wrapped=True)
    token = find_raw(context.view, context.sealing, raw_token, context.now_ns)
    if token is None:
        raise Refusal(400, "invalid token", wrapped=True)
    return _answer(context, token.record.policies, token.record.entity_id, paths)


def read_capabilities_self(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """Of the caller."""
    return _answer(context, context.caller.policies, context.caller.entity_id, _paths(request))


def read_capabilities_accessor(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """Of the token with the accessor in the request."""
    accessor = to_text("accessor", parameters(request).get("accessor"))
    if not accessor:
        raise Refusal(400, "missing accessor")
    paths = _paths(request)
    token = find_by_accessor(context.view, accessor, context.now_ns)
    if token is None:
        raise Refusal(400, "invalid accessor", wrapped=True)
    return _answer(context, token.record.policies, token.record.entity_id, paths)


def _paths(request: RawRequest) -> list[str]:
    given = parameters(request)
    paths = to_names("paths", given.get("paths")) or to_names("path", given.get("path"))
    if not paths:
        raise Refusal(400, "paths must be supplied")
    if len(paths) > PATHS_MAX:
        raise Refusal(400, f"at most {PATHS_MAX} paths can be asked about at once")
    return paths


def _answer(context: Context, policies: Iterable[str], entity_id: str, paths: list[str]) -> Answer:
    acl = acl_of_token(context.view, policies, entity_id)
    data: dict[str, Any] = {path: acl.capabilities(path) for path in paths}
    if len(paths) == 1:
        data["capabilities"] = data[paths[0]]
    return Answer(data=data, inject=True)
