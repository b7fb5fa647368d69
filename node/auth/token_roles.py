"""Roles of the token store: what tokens that are created through a role get, whoever creates them.

Pure. A role is an entry of the mount auth/token/, under "role/" and its name, upper and lower case told apart as rules
of policies do; its token_* parameters are those that all roles have in common. Invariants
  R1  what is stored has passed the checks; a parameter that is not given keeps what it was
  R2  a policy is given only if the role allows it, by name or pattern, and does not disallow it; a role that says
      neither gives no more than the token that asks may give
  R3  a role that makes batch tokens makes orphans that nothing can renew, and no other kind
Source: Vault API, "Token auth method: token roles"; the texts are Vault's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ..engines.base import Context, Plan
from ..engines.entries import Found, drop, find, names, put
from ..engines.fields import FieldError, Given, parameters, refusal_of, to_bool
from ..policy import builtin
from ..request import Answer, RawRequest, Refusal
from . import token_params
from .token_params import TokenParams, policy_names, renamed
from .token_ttl import mount_ttls_s
from .typed_fields import shown, to_names, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster import Token

    from ..engines.system.routes import Captures

NAME = r"\w(?:[\w.-]*\w)?"
DEFAULT_SERVICE = "default-service"
_TYPES = frozenset({"service", "batch", DEFAULT_SERVICE, "default-batch"})
_OLD_NAMES = {
    "bound_cidrs": "token_bound_cidrs", "explicit_max_ttl": "token_explicit_max_ttl", "period": "token_period",
}  # fmt: skip
_PARAMS = frozenset(
    {"token_bound_cidrs", "token_explicit_max_ttl", "token_no_default_policy", "token_num_uses", "token_period"}
)
_LISTS = ("allowed_policies", "disallowed_policies", "allowed_policies_glob", "disallowed_policies_glob")
FIELDS = (
    _PARAMS
    | frozenset(_OLD_NAMES)
    | frozenset(_LISTS)
    | {"role_name", "orphan", "renewable", "path_suffix", "token_type", "allowed_entity_aliases"}
)
_SUFFIX = re.compile(NAME)
_FOLDER = "role/"


class TokenRole(msgspec.Struct, array_like=True):
    """What is stored. New fields go at the end, with a default."""

    params: TokenParams
    allowed_policies: list[str] = []
    disallowed_policies: list[str] = []
    allowed_policies_glob: list[str] = []
    disallowed_policies_glob: list[str] = []
    orphan: bool = False
    renewable: bool = True
    path_suffix: str = ""
    type: str = DEFAULT_SERVICE
    allowed_entity_aliases: list[str] = []
    old_names: list[str] = []  # the parameters that were given by their old names, and are shown by them, too

    @property
    def judges_policies(self) -> bool:
        """Whether it says itself which policies its tokens may have."""
        return any(getattr(self, name) for name in _LISTS)


def find_role(context: Context, name: str) -> Found[TokenRole] | None:
    """The role of that name, in the mount of the context."""
    return find(context, _FOLDER + name, TokenRole)


def read_list(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """LIST roles: their names; 404 without any."""
    found = names(context, _FOLDER)
    if not found:
        raise Refusal(404)
    return Answer(data={"keys": found})


def read_role(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """roles/:name: what the role says."""
    found = find_role(context, captures["role_name"])
    if found is None:
        raise Refusal(404)
    return Answer(data=_shown(found.value, captures["role_name"]))


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """roles/:name: the role is made, or what is given of it replaced."""
    name = captures["role_name"]
    before = find_role(context, name)
    given = parameters(request)
    try:
        role = _changed(TokenRole(TokenParams()) if before is None else before.value, given)
    except FieldError as error:
        raise refusal_of(error, existence_checked=True) from None
    _check(role)
    draft = Draft()
    put(context, draft, _FOLDER + name, role, before)
    return Plan(Answer(warnings=_warnings(context, role, given) or None), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """roles/:name: gone; 204 whether or not it was there."""
    found = find_role(context, captures["role_name"])
    draft = Draft()
    if found is not None:
        drop(context, draft, _FOLDER + captures["role_name"], found)
    return Plan(Answer(), draft)


# ---- what a role gives
def given_policies(role: TokenRole, asked: list[str], parent: Iterable[str], *, no_default: bool) -> list[str]:
    """The policies of a token of a role that judges them itself (R2). Raises Refusal."""
    default = builtin.DEFAULT
    add_default = not (
        no_default
        or role.params.no_default_policy
        or default in role.disallowed_policies
        or _fits_one(default, role.disallowed_policies_glob)
    )

    def with_default(policies: Iterable[str]) -> list[str]:
        cleaned = set(builtin.normalise_names(policies))
        if builtin.ROOT in cleaned:
            return [builtin.ROOT]
        return sorted(cleaned | {default} if add_default else cleaned)

    wanted = with_default(asked) if asked else []
    if role.allowed_policies or role.allowed_policies_glob:
        allowed = with_default(role.allowed_policies)
        if not wanted:
            wanted = allowed
        elif any(name not in allowed and not _fits_one(name, role.allowed_policies_glob) for name in wanted):
            text = f"token policies ({_quoted(wanted)}) must be subset of the role's allowed policies"
            raise Refusal(400, f"{text} ({_quoted(allowed)}) or glob policies ({_quoted(role.allowed_policies_glob)})")
    elif not wanted:
        wanted = with_default(parent)
    for name in wanted:
        if name in role.disallowed_policies or _fits_one(name, role.disallowed_policies_glob):
            raise Refusal(400, f'token policy "{name}" is disallowed by this role')
    return wanted


def token_type_of(role: TokenRole | None, asked: str) -> str:
    """What kind the request asks for, as far as the role lets it choose. Raises Refusal for a kind there is not."""
    wanted = asked
    if role is not None and role.type in {"service", "batch"}:
        wanted = role.type
    elif role is not None and not asked and role.type == "default-batch":
        wanted = "batch"
    if wanted not in {"", "service", "batch"}:
        raise Refusal(400, "invalid 'token_type' value")
    return wanted or "service"


def check_alias(role: TokenRole | None, alias: str) -> None:
    """Raises Refusal unless the role lets tokens be made for this alias."""
    if not alias:
        return
    if role is None:
        raise Refusal(400, "'entity_alias' is only allowed in combination with token role")
    if not _fits_one(alias.lower(), role.allowed_entity_aliases):
        raise Refusal(400, "invalid 'entity_alias' value")


def renewed_by(context: Context, record: Token) -> tuple[int, int]:
    """(period, explicit maximum) in seconds, 0 for none, of a role's token that is renewed: as the role says now.

    Raises Refusal where there is no such role any more.
    """
    found = find_role(context, record.role)
    if found is None:
        raise Refusal(400, f'original token role "{record.role}" could not be found, not renewing', wrapped=True)
    params = found.value.params
    bounds = [bound for bound in (record.explicit_max_ttl_s, params.explicit_max_ttl_s) if bound]
    return params.period_s, min(bounds, default=0)


# ---- fields
def _changed(role: TokenRole, given: Mapping[str, Given]) -> TokenRole:
    fields, old_names = renamed(given, _OLD_NAMES, role.old_names)
    new = msgspec.structs.replace(role, old_names=old_names)
    new.params = token_params.changed(role.params, {name: fields[name] for name in _PARAMS & fields.keys()})
    for name in _LISTS[:2]:
        if name in given:
            setattr(new, name, policy_names(name, given[name]))
    for name in (*_LISTS[2:], "allowed_entity_aliases"):
        if name in given:
            setattr(new, name, sorted({pattern.lower() for pattern in to_names(name, given[name])}))
    for name in ("orphan", "renewable"):
        if name in given:
            setattr(new, name, to_bool(name, given[name]))
    if "path_suffix" in given:
        new.path_suffix = _suffix(to_text("path_suffix", given["path_suffix"]))
    if "token_type" in given:
        new.type = to_text("token_type", given["token_type"])
        if new.type not in _TYPES:
            raise Refusal(400, f"invalid 'token_type' value \"{shown(new.type)}\"")
    return new


def _suffix(text: str) -> str:
    if text and not _SUFFIX.fullmatch(text):
        raise Refusal(400, "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w")
    if ".." in text:
        raise Refusal(400, "error registering path suffix: path cannot contain parent references")
    return text


def _check(role: TokenRole) -> None:
    """R3."""
    if role.type != "batch":
        return
    for is_wrong, what in (
        (not role.orphan, "non-orphan tokens"),
        (role.params.period_s, "periodic tokens"),
        (role.renewable, "renewable tokens"),
        (role.params.explicit_max_ttl_s, "tokens with an explicit max TTL"),
        (role.params.num_uses, "tokens with limited use count"),
    ):
        if is_wrong:
            raise Refusal(400, f"'token_type' cannot be 'batch' when role is set to generate {what}")


def _warnings(context: Context, role: TokenRole, given: Mapping[str, Given]) -> list[str]:
    warnings = [
        f"Both '{new}' and deprecated '{old}' value supplied, ignoring the deprecated value"
        for old, new in _OLD_NAMES.items()
        if old in given and new in given
    ]
    _, longest_s = mount_ttls_s(context.mount)
    if role.params.explicit_max_ttl_s > longest_s:
        warnings.append(
            f"Given explicit max TTL of {role.params.explicit_max_ttl_s} is greater than system/mount allowed value of "
            f"{longest_s} seconds; tokens of this role are capped accordingly"
        )
    return warnings


def _shown(role: TokenRole, name: str) -> dict[str, Any]:
    params = role.params
    data: dict[str, Any] = {
        "name": name,
        **{field: getattr(role, field) for field in _LISTS},
        "orphan": role.orphan,
        "path_suffix": role.path_suffix,
        "renewable": role.renewable,
        "token_type": role.type,
        "period": params.period_s if "period" in role.old_names else 0,
        "token_period": params.period_s,
        "explicit_max_ttl": params.explicit_max_ttl_s if "explicit_max_ttl" in role.old_names else 0,
        "token_explicit_max_ttl": params.explicit_max_ttl_s,
        "allowed_entity_aliases": role.allowed_entity_aliases,
        "token_no_default_policy": params.no_default_policy,
    }
    if params.bound_cidrs:
        data["token_bound_cidrs"] = params.bound_cidrs
        if "bound_cidrs" in role.old_names:
            data["bound_cidrs"] = params.bound_cidrs
    if params.num_uses:
        data["token_num_uses"] = params.num_uses
    return data


def _fits_one(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns, in which `*` stands for any text, is the whole name."""
    return any(_fits(name, pattern.split("*")) for pattern in patterns)


def _fits(name: str, parts: list[str]) -> bool:
    """In time that grows with the length of the name, not with what stars there are."""
    first, *middle, last = parts if len(parts) > 1 else [*parts, ""]
    if len(parts) == 1:
        return name == first
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _quoted(texts: Iterable[str]) -> str:
    return "[" + " ".join(f'"{text}"' for text in texts) + "]"
