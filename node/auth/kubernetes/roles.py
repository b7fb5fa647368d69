"""Roles of a kubernetes mount: which service accounts of which namespaces get what.

Pure. Stored is `role/NAME`; names are lower-cased. Invariant: a role names accounts and namespaces, with `*` for any
text; a `*` alone, which is all of them, stands beside no name that would make it look narrower. What would need to read
namespaces (a selector by labels) is refused, not ignored.
Source: Vault API, "Kubernetes: create/update role"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...request import Refusal
from .. import token_params
from ..role_paths import RolePaths
from ..token_params import TokenParams
from ..typed_fields import shown, to_names, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.fields import Given

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


def fields_of(role: KubernetesRole) -> dict[str, Any]:
    """What is read of a role: all of it, by the names it was given under."""
    data: dict[str, Any] = {name: getattr(role, name) for name in (*_LISTS, "alias_name_source")}
    data |= {_SELECTOR: "", **token_params.shown_params(role.token)}
    if role.audience:
        data["audience"] = role.audience
    data.update({old: data[OLD_NAMES[old]] for old in role.legacy})
    return data


def _changed(role: KubernetesRole, given: Mapping[str, Given]) -> KubernetesRole:
    new = msgspec.structs.replace(role)
    fields, new.legacy = token_params.renamed(given, OLD_NAMES, role.legacy)
    if to_text(_SELECTOR, fields.get(_SELECTOR)):
        raise Refusal(400, f'"{_SELECTOR}" is not supported: name the namespaces')
    for name in _LISTS:
        if name in fields:
            setattr(new, name, to_names(name, fields[name]))
            if len(getattr(new, name)) > 1 and "*" in getattr(new, name):
                raise Refusal(400, 'can not mix "*" with values')
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


ROLES = RolePaths(
    KubernetesRole, "role/", FOLDER, fields=FIELDS, fresh=lambda _name: KubernetesRole(),
    changed=_changed, shown=fields_of,
)  # fmt: skip
find_role = ROLES.find
