"""Roles of a kubernetes mount: which service accounts of which namespaces get what.

Pure. Stored is `role/NAME`; names are lower-cased. Invariant: a role names accounts and namespaces, with `*` for any
text. What would need to read namespaces (a selector by labels) is refused, not ignored.
Source: Vault API, "Kubernetes: create/update role"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ...engines.base import Context, Plan
from ...engines.entries import Found, drop, find, names, put
from ...engines.fields import parameters, to_int
from ...request import Answer, RawRequest, Refusal
from .. import token_params
from ..token_params import TokenParams
from ..typed_fields import shown, to_names, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.fields import Given
    from ...engines.system.routes import Captures

FOLDER = "role/"
OLD_NAMES = {
    "bound_cidrs": "token_bound_cidrs", "max_ttl": "token_max_ttl", "num_uses": "token_num_uses",
    "period": "token_period", "policies": "token_policies", "ttl": "token_ttl",
}  # fmt: skip
BY_UID, BY_NAME = "serviceaccount_uid", "serviceaccount_name"
_LISTS = ("bound_service_account_names", "bound_service_account_namespaces")
_SELECTOR = "bound_service_account_namespace_selector"
FIELDS = frozenset({*_LISTS, _SELECTOR, "audience", "alias_name_source"}) | frozenset(OLD_NAMES) | token_params.FIELDS


class KubernetesRole(msgspec.Struct, array_like=True):
    """A role. New fields go at the end, with a default."""

    bound_service_account_names: list[str] = []
    bound_service_account_namespaces: list[str] = []
    audience: str = ""
    alias_name_source: str = BY_UID
    token: TokenParams = msgspec.field(default_factory=TokenParams)
    legacy: list[str] = []  # old names by which fields were given last

    def __repr__(self) -> str:
        return "<KubernetesRole>"


def name_of(captures: Captures) -> str:
    """The role in the path: names are lower-cased."""
    return captures["name"].lower()


def find_role(context: Context, name: str) -> Found[KubernetesRole] | None:
    """The role, or None."""
    return find(context, FOLDER + name.lower(), KubernetesRole)


def read_list(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The names of all roles; 404 without one."""
    given = parameters(request)
    after, limit = to_text("after", given.get("after")), max(to_int("limit", given.get("limit")), 0)
    found = names(context, FOLDER, after=after, limit=limit)
    if not found:
        raise Refusal(404)
    return Answer(data={"keys": found})


def read_role(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The role; 404 without one."""
    found = find_role(context, name_of(captures))
    if found is None:
        raise Refusal(404)
    role = found.value
    data: dict[str, Any] = {name: getattr(role, name) for name in (*_LISTS, "alias_name_source")}
    data |= {_SELECTOR: "", **token_params.shown_params(role.token)}
    if role.audience:
        data["audience"] = role.audience
    data.update({old: data[OLD_NAMES[old]] for old in role.legacy})
    return Answer(data=data)


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The role is made, or what is given of it changes."""
    name = name_of(captures)
    before = find_role(context, name)
    role = _changed(KubernetesRole() if before is None else before.value, parameters(request))
    draft = Draft()
    if before is None or before.value != role:
        put(context, draft, FOLDER + name, role, before)
    return Plan(Answer(), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The role is gone; tokens live on and are not renewed."""
    name = name_of(captures)
    found = find_role(context, name)
    draft = Draft()
    if found is not None:
        drop(context, draft, FOLDER + name, found)
    return Plan(Answer(), draft)


def _changed(role: KubernetesRole, given: Mapping[str, Given]) -> KubernetesRole:
    new = msgspec.structs.replace(role)
    fields, new.legacy = token_params.renamed(given, OLD_NAMES, role.legacy)
    if to_text(_SELECTOR, fields.get(_SELECTOR)):
        raise Refusal(400, f'"{_SELECTOR}" is not supported: name the namespaces')
    for name in _LISTS:
        if name in fields:
            setattr(new, name, to_names(name, fields[name]))
    if "audience" in fields:
        new.audience = to_text("audience", fields["audience"])
    if "alias_name_source" in fields:
        new.alias_name_source = to_text("alias_name_source", fields["alias_name_source"]) or BY_UID
    new.token = token_params.changed(role.token, fields)
    if not new.bound_service_account_names:
        raise Refusal(400, '"bound_service_account_names" can not be empty')
    if not new.bound_service_account_namespaces:
        raise Refusal(400, f'"bound_service_account_namespaces" can not be empty if "{_SELECTOR}" is not set')
    if new.alias_name_source not in {BY_UID, BY_NAME}:
        raise Refusal(400, f'unrecognized alias_name_source "{shown(new.alias_name_source)}"')
    return new
