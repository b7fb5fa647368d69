"""Roles: what certificates somebody may ask for, and what those look like.

Pure. Invariants: a write replaces the whole role, a patch the named fields; what is stored has passed the checks.
Source: Vault API, "PKI: create/update role"; the defaults and texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ...auth.token_ttl import TTL_S_MAX
from ...auth.typed_fields import to_names, to_text
from ...request import Answer, Operation, RawRequest, Refusal
from ..base import Context, Plan
from ..entries import Found, drop, find, put
from ..fields import Given, parameters, to_bool, to_int, to_seconds
from ..pages import listed
from . import keys, usages
from .authority import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..system.routes import Captures


_KEY_USAGE = ("DigitalSignature", "KeyAgreement", "KeyEncipherment")


class Role(msgspec.Struct, array_like=True, kw_only=True):
    """As stored. New fields go at the end, with a default."""

    allowed_domains: list[str] = []
    allow_bare_domains: bool = False
    allow_subdomains: bool = False
    allow_glob_domains: bool = False
    allow_wildcard_certificates: bool = True
    allow_any_name: bool = False
    allow_localhost: bool = True
    enforce_hostnames: bool = True
    allow_ip_sans: bool = True
    allowed_uri_sans: list[str] = []
    allowed_serial_numbers: list[str] = []
    server_flag: bool = True
    client_flag: bool = True
    code_signing_flag: bool = False
    email_protection_flag: bool = False
    key_usage: list[str] = msgspec.field(default_factory=lambda: [*_KEY_USAGE])
    ext_key_usage: list[str] = []
    ext_key_usage_oids: list[str] = []
    key_type: str = "rsa"
    key_bits: int = 2048
    ttl_s: int = 0
    max_ttl_s: int = 0
    not_before_duration_s: int = 30
    generate_lease: bool = False
    no_store: bool = False
    require_cn: bool = True
    use_csr_common_name: bool = True
    use_csr_sans: bool = True
    ou: list[str] = []
    organization: list[str] = []
    country: list[str] = []
    locality: list[str] = []
    province: list[str] = []
    street_address: list[str] = []
    postal_code: list[str] = []


_DEFAULTS = Role()
_SECONDS = {"ttl": "ttl_s", "max_ttl": "max_ttl_s", "not_before_duration": "not_before_duration_s"}
_ATTRIBUTES = {_name.removesuffix("_s"): _name for _name in Role.__struct_fields__}
FIELDS = frozenset(_ATTRIBUTES) | {"name"}
_FIXED: dict[str, Any] = {  # Vault's fields that cannot be set here, as they are: typed clients want every one
    "allow_token_displayname": False,
    "allowed_domains_template": False,
    "allowed_other_sans": [],
    "allowed_uri_sans_template": False,
    "allowed_user_ids": [],
    "basic_constraints_valid_for_non_ca": False,
    "cn_validations": ["email", "hostname"],
    "issuer_ref": "default",
    "not_after": "",
    "policy_identifiers": [],
    "signature_bits": 0,
    "use_pss": False,
}


def role_of(context: Context, name: str) -> Found[Role]:
    """The role. Refused with 400 where there is none."""
    found = find(context, ROLES + name, Role)
    if found is None:
        raise Refusal(400, f"unknown role: {name}")
    return found


def read_role(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """One role; 404 where there is none."""
    found = find(context, ROLES + captures["name"], Role)
    if found is None:
        raise Refusal(404)
    return Answer(data=described(found.value))


def read_roles(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The names of all roles."""
    return listed(context, request, ROLES)


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The role is what the parameters say, with the defaults for the others; a patch keeps the others."""
    name = captures["name"]
    before = find(context, ROLES + name, Role)
    is_patch = request.operation is Operation.PATCH
    if is_patch and before is None:
        raise Refusal(404)
    base = before.value if is_patch and before is not None else _DEFAULTS
    role = changed(base, parameters(request))
    draft = Draft()
    put(context, draft, ROLES + name, role, before)
    return Plan(Answer(data=described(role)), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The role is gone; certificates it gave stay as they are."""
    name = ROLES + captures["name"]
    draft = Draft()
    found = find(context, name, Role)
    if found is not None:
        drop(context, draft, name, found)
    return Plan(Answer(), draft)


def changed(base: Role, given: Mapping[str, Given]) -> Role:
    """The role with the given fields replaced. Raises FieldError, Refusal."""
    role = msgspec.structs.replace(base)
    for name, attribute in _ATTRIBUTES.items():
        if name in given:
            setattr(role, attribute, _value(name, getattr(_DEFAULTS, attribute), given[name]))
    if "key_type" in given and "key_bits" not in given:
        role.key_bits = 0  # those of the other type
    role.key_bits = keys.checked_bits(role.key_type, role.key_bits)
    if role.max_ttl_s and role.ttl_s > role.max_ttl_s:
        raise Refusal(400, '"ttl" value must be less than "max_ttl" value')
    if role.no_store and role.generate_lease:
        raise Refusal(400, "mutually exclusive values no_store=true and generate_lease=true were specified")
    usages.check(role.key_usage, role.ext_key_usage, role.ext_key_usage_oids)
    return role


def described(role: Role) -> dict[str, Any]:
    """The role as it is read, by Vault's names."""
    return _FIXED | {name: getattr(role, attribute) for name, attribute in _ATTRIBUTES.items()}


def _value(name: str, default: object, given: Given) -> object:
    if name in _SECONDS:
        return min(to_seconds(name, given, signed=False), TTL_S_MAX)
    if isinstance(default, bool):
        return to_bool(name, given)
    if isinstance(default, int):
        return to_int(name, given)
    return to_names(name, given) if isinstance(default, list) else to_text(name, given)
