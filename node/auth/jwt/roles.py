"""Roles of a jwt or oidc mount: what must stand in a token, and what it gets.

Pure. Stored is `role/NAME`. Invariant: a role of type jwt binds a token to something beside the key that signed it; one
of type oidc names the places a browser may come back to.
Source: Vault API, "JWT/OIDC: create role"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...engines.fields import FieldError, to_bool, to_object, to_seconds
from ...request import Refusal
from .. import token_params
from ..role_paths import RolePaths
from ..token_params import TokenParams
from ..typed_fields import shown, to_names, to_pairs, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.fields import Given

FOLDER = "role/"
OLD_NAMES = {
    "bound_cidrs": "token_bound_cidrs", "max_ttl": "token_max_ttl", "num_uses": "token_num_uses",
    "period": "token_period", "policies": "token_policies", "ttl": "token_ttl",
}  # fmt: skip
_TEXTS = ("bound_subject", "user_claim", "groups_claim")
_LISTS = ("bound_audiences", "allowed_redirect_uris", "oidc_scopes")
_SECONDS = ("expiration_leeway", "not_before_leeway", "clock_skew_leeway", "max_age")
_BOOLS = ("user_claim_json_pointer", "verbose_oidc_logging")
FIELDS = (
    frozenset({"role_type", "bound_claims", "bound_claims_type", "claim_mappings"})
    | frozenset({*_TEXTS, *_LISTS, *_SECONDS, *_BOOLS})
    | frozenset(OLD_NAMES)
    | token_params.FIELDS
)
_VALUES_MAX = 1_000
_SECONDS_MAX = 1 << 32
RESERVED = "role"


class JwtRole(msgspec.Struct, array_like=True):
    """A role. New fields go at the end, with a default."""

    role_type: str = "oidc"
    user_claim: str = ""
    bound_audiences: list[str] = []
    bound_subject: str = ""
    bound_claims: dict[str, list[Any]] = {}
    bound_claims_type: str = "string"
    claim_mappings: dict[str, str] = {}
    groups_claim: str = ""
    allowed_redirect_uris: list[str] = []
    oidc_scopes: list[str] = []
    expiration_leeway_s: int = 0
    not_before_leeway_s: int = 0
    clock_skew_leeway_s: int = 0
    max_age_s: int = 0
    user_claim_json_pointer: bool = False
    verbose_oidc_logging: bool = False
    token: TokenParams = msgspec.field(default_factory=TokenParams)
    legacy: list[str] = []  # old names by which fields were given last

    def __repr__(self) -> str:
        return "<JwtRole>"


def fields_of(role: JwtRole) -> dict[str, Any]:
    """What is read of a role: all of it, by the names it was given under."""
    data: dict[str, Any] = {name: getattr(role, name) for name in (*_TEXTS, *_LISTS, *_BOOLS)}
    data |= {name: getattr(role, f"{name}_s") for name in _SECONDS}
    data |= {
        "role_type": role.role_type,
        "bound_claims": role.bound_claims or None,
        "bound_claims_type": role.bound_claims_type,
        "claim_mappings": role.claim_mappings or None,
        **token_params.shown_params(role.token),
    }
    data.update({old: data[OLD_NAMES[old]] for old in role.legacy})
    return data


# ---- what is given
def changed(role: JwtRole, given: Mapping[str, Given]) -> JwtRole:
    """The role with the given fields replaced. Raises FieldError, Refusal."""
    new = msgspec.structs.replace(role)
    fields, new.legacy = token_params.renamed(given, OLD_NAMES, role.legacy)
    for name in ("role_type", "bound_claims_type", *_TEXTS):
        if name in fields:
            setattr(new, name, to_text(name, fields[name]))
    for name in _LISTS:
        if name in fields:
            setattr(new, name, to_names(name, fields[name]))
    for name in _BOOLS:
        if name in fields:
            setattr(new, name, to_bool(name, fields[name]))
    for name in _SECONDS:
        if name in fields:
            seconds = to_seconds(name, fields[name], signed=True)
            setattr(new, f"{name}_s", max(-1, min(seconds, _SECONDS_MAX)))
    if "claim_mappings" in fields:
        new.claim_mappings = to_pairs("claim_mappings", fields["claim_mappings"])
    if "bound_claims" in fields:
        new.bound_claims = _bound_claims(fields["bound_claims"])
    new.role_type, new.bound_claims_type = new.role_type or "oidc", new.bound_claims_type or "string"
    new.token = token_params.changed(role.token, fields)
    _check(new)
    return new


def _bound_claims(given: Given) -> dict[str, list[Any]]:
    """Claim → the values it may have. Raises FieldError."""
    raw = to_object("bound_claims", given)
    decoded: dict[str, Any] = {} if raw is None else msgspec.json.decode(raw)
    found = {name: value if isinstance(value, list) else [value] for name, value in decoded.items()}
    values = [one for listed in found.values() for one in listed]
    if len(values) > _VALUES_MAX or not all(isinstance(one, (str, bool, int, float)) for one in values):
        raise FieldError("bound_claims", f"claims are bound to at most {_VALUES_MAX} strings, numbers or booleans")
    return found


def _check(role: JwtRole) -> None:
    if role.role_type not in {"jwt", "oidc"}:
        raise Refusal(400, f"invalid 'role_type': {shown(role.role_type)}")
    if role.bound_claims_type not in {"string", "glob"}:
        raise Refusal(400, f"invalid 'bound_claims_type': {shown(role.bound_claims_type)}")
    if not role.user_claim:
        raise Refusal(400, "a user claim must be defined on the role")
    if role.bound_claims_type == "glob" and any(
        not isinstance(one, str) for listed in role.bound_claims.values() for one in listed
    ):
        raise Refusal(400, "claim is not a string or list: globs are bound to strings")
    if RESERVED in role.claim_mappings.values():
        raise Refusal(400, f'metadata key "{RESERVED}" is reserved and may not be a mapping destination')
    if len(set(role.claim_mappings.values())) != len(role.claim_mappings):
        raise Refusal(400, "multiple claims are mapped to one metadata key")
    if role.role_type == "oidc" and not role.allowed_redirect_uris:
        raise Refusal(400, "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.")
    bounds = (role.bound_audiences, role.bound_subject, role.bound_claims, role.token.bound_cidrs)
    if role.role_type == "jwt" and not any(bounds):
        raise Refusal(400, "must have at least one bound constraint when creating/updating a role")


ROLES = RolePaths(
    JwtRole, "role/", FOLDER, fields=FIELDS, fresh=lambda _name: JwtRole(),
    changed=changed, shown=fields_of, folds=False,
)  # fmt: skip
find_role = ROLES.find
