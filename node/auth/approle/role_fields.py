"""What a role says: its fields as stored, as given and as shown.

Pure. Invariants: what is stored has passed the checks; a field that is not given keeps what it was; a role asks for a
secret-id or is bound to networks, so that no login is free for all.
Source: Vault API, "AppRole: create/update AppRole"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ...engines.fields import Given, to_bool, to_int, to_seconds
from ...request import Refusal
from .. import token_params
from ..token_params import TokenParams
from ..token_ttl import TTL_S_MAX, mount_ttls_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster import Mount

OLD_NAMES = {"policies": "token_policies", "period": "token_period", "bound_cidr_list": "secret_id_bound_cidrs"}
_SHOWN_BY_OLD_NAME = ("policies", "period")
FIELDS = (
    frozenset(
        {
            "bind_secret_id",
            "local_secret_ids",
            "role_id",
            "secret_id_bound_cidrs",
            "secret_id_num_uses",
            "secret_id_ttl",
        }
    )
    | frozenset(OLD_NAMES)
    | token_params.FIELDS
)
NUM_USES_MAX = 2**31 - 1
_MAX_TTL_WARNING = (
    "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be "
    "truncated"
)
_DEFAULT_KINDS = {"default-service": "service", "default-batch": "batch"}


class Role(msgspec.Struct, array_like=True):
    """A role. `uid` is drawn when it is created: what hangs on it hangs on no later role of the same name.

    New fields go at the end, with a default.
    """

    uid: str
    role_id: str
    bind_secret_id: bool = True
    secret_id_bound_cidrs: list[str] = []
    secret_id_num_uses: int = 0
    secret_id_ttl_s: int = 0
    local_secret_ids: bool = False
    token: TokenParams = msgspec.field(default_factory=TokenParams)
    legacy: list[str] = []  # old names by which fields were given last

    def __repr__(self) -> str:
        return "<Role>"


class Part(NamedTuple):
    """A path below a role that is one field of it; `old` is what the field was called once."""

    path: str
    field: str
    old: str = ""
    default: bytes = b"null"  # what DELETE makes of it, as JSON


PARTS = (
    Part("policies", "token_policies", "policies"),
    Part("bind-secret-id", "bind_secret_id", default=b"true"),
    Part("secret-id-num-uses", "secret_id_num_uses"),
    Part("secret-id-ttl", "secret_id_ttl"),
    Part("period", "token_period", "period"),
    Part("token-num-uses", "token_num_uses"),
    Part("token-ttl", "token_ttl"),
    Part("token-max-ttl", "token_max_ttl"),
    Part("token-bound-cidrs", "token_bound_cidrs"),
    Part("secret-id-bound-cidrs", "secret_id_bound_cidrs"),
    Part("bound-cidr-list", "bound_cidr_list"),
)


def changed(role: Role, given: Mapping[str, Given]) -> tuple[Role, list[str]]:
    """(the role with the given fields replaced, warnings). Raises FieldError, Refusal."""
    new = msgspec.structs.replace(role)
    fields, new.legacy = token_params.renamed(given, OLD_NAMES, role.legacy)
    if "bind_secret_id" in fields:
        new.bind_secret_id = to_bool("bind_secret_id", fields["bind_secret_id"])
    if "secret_id_bound_cidrs" in fields:
        new.secret_id_bound_cidrs = token_params.cidrs("secret_id_bound_cidrs", fields["secret_id_bound_cidrs"])
    if "secret_id_num_uses" in fields:
        new.secret_id_num_uses = to_num_uses("secret_id_num_uses", fields["secret_id_num_uses"])
    if "secret_id_ttl" in fields:
        new.secret_id_ttl_s = min(to_seconds("secret_id_ttl", fields["secret_id_ttl"], signed=False), TTL_S_MAX)
    if "local_secret_ids" in fields:
        new.local_secret_ids = to_bool("local_secret_ids", fields["local_secret_ids"])
    new.token = token_params.changed(role.token, fields)
    warnings = []
    if new.token.type in _DEFAULT_KINDS:
        kind = _DEFAULT_KINDS[new.token.type]
        warnings.append(f"{new.token.type} has no useful meaning; adjusting to {kind}")
        new.token.type = kind
        token_params.check(new.token)
    if not (new.bind_secret_id or new.secret_id_bound_cidrs or new.token.bound_cidrs):
        raise Refusal(400, "at least one constraint should be enabled on the role")
    return new, warnings


def to_num_uses(name: str, given: Given) -> int:
    """How often; 0 = as often as one likes. Raises FieldError, Refusal."""
    number = to_int(name, given)
    if number < 0:
        raise Refusal(400, f"{name} cannot be negative")
    return min(number, NUM_USES_MAX)


def max_ttl_warning(role: Role, mount: Mount | None) -> list[str]:
    """Vault's warning about a maximum that the mount does not grant."""
    return [_MAX_TTL_WARNING] if role.token.max_ttl_s > mount_ttls_s(mount)[1] else []


def shown(role: Role) -> dict[str, Any]:
    """The role as a read shows it: everything but its id, which has a path of its own."""
    data = {
        "bind_secret_id": role.bind_secret_id,
        "local_secret_ids": role.local_secret_ids,
        "secret_id_bound_cidrs": role.secret_id_bound_cidrs or None,
        "secret_id_num_uses": role.secret_id_num_uses,
        "secret_id_ttl": role.secret_id_ttl_s,
        **token_params.shown_params(role.token),
    }
    data.update({old: data[OLD_NAMES[old]] for old in _SHOWN_BY_OLD_NAME if old in role.legacy})
    return data


def shown_part(role: Role, part: Part) -> dict[str, Any]:
    """The one field, and by its old name where it was given by that."""
    data = shown(role)
    data["bound_cidr_list"] = data["secret_id_bound_cidrs"]
    return {name: data[name] for name in (part.field, part.old) if name in data}
