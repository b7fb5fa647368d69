"""The token_* parameters that every auth method's roles have in common: what tokens of a login get.

Pure. Invariant: what is stored has passed the checks; a parameter that is not given keeps what it was.
Source: Vault API, "AppRole", "Userpass" (the token_* parameters); the texts are Vault's (tokenutil).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import msgspec

from ..engines.fields import Given, to_bool, to_int, to_seconds
from ..policy import builtin
from ..request import Refusal
from .token_ttl import TTL_S_MAX
from .typed_fields import shown, to_names, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = frozenset(
    {
        "token_bound_cidrs",
        "token_explicit_max_ttl",
        "token_max_ttl",
        "token_no_default_policy",
        "token_num_uses",
        "token_period",
        "token_policies",
        "token_strictly_bind_ip",
        "token_ttl",
        "token_type",
    }
)
CIDRS_MAX = 100  # every login compares with each of them
_TYPES = {
    "": "", "default": "", "service": "service", "batch": "batch", "default-service": "default-service",
    "default-batch": "default-batch",
}  # fmt: skip


class TokenParams(msgspec.Struct, array_like=True):
    """What a role says of its tokens. New fields go at the end, with a default."""

    bound_cidrs: list[str] = []
    explicit_max_ttl_s: int = 0
    max_ttl_s: int = 0
    no_default_policy: bool = False
    num_uses: int = 0
    period_s: int = 0
    policies: list[str] = []
    ttl_s: int = 0
    type: str = ""  # "": what the mount says
    strictly_bind_ip: bool = False

    @property
    def is_batch(self) -> bool:
        """Whether the role itself asks for batch tokens."""
        return self.type in {"batch", "default-batch"}


def changed(params: TokenParams, given: Mapping[str, Given]) -> TokenParams:
    """The parameters with those given replaced. Raises FieldError, Refusal with Vault's texts."""
    new = msgspec.structs.replace(params)
    if "token_bound_cidrs" in given:
        new.bound_cidrs = cidrs("token_bound_cidrs", given["token_bound_cidrs"])
    for name in ("explicit_max_ttl", "max_ttl", "period", "ttl"):
        if f"token_{name}" in given:
            seconds = to_seconds(f"token_{name}", given[f"token_{name}"], signed=True)
            if seconds < 0:
                raise Refusal(400, f"'token_{name}' cannot be negative")
            setattr(new, f"{name}_s", min(seconds, TTL_S_MAX))
    for name in ("no_default_policy", "strictly_bind_ip"):
        if f"token_{name}" in given:
            setattr(new, name, to_bool(f"token_{name}", given[f"token_{name}"]))
    if "token_num_uses" in given:
        new.num_uses = to_int("token_num_uses", given["token_num_uses"])
        if new.num_uses < 0:
            raise Refusal(400, "'token_num_uses' cannot be negative")
    if "token_policies" in given:
        new.policies = policy_names("token_policies", given["token_policies"])
    if "token_type" in given:
        new.type = token_type("token_type", given["token_type"])
    check(new)
    return new


def renamed(
    given: Mapping[str, Given], old_names: Mapping[str, str], legacy: list[str]
) -> tuple[dict[str, Given], list[str]]:
    """(what is given under today's names, the old names whose value was given by them and is shown by them, sorted).

    Today's name wins, and makes the old one forgotten.
    """
    fields, used = dict(given), set(legacy)
    for old, new in old_names.items():
        if new in given:
            used.discard(old)
        elif old in given:
            fields[new] = given[old]
            used.add(old)
    return fields, sorted(used)


def check(params: TokenParams) -> None:
    """Raises Refusal for parameters that do not go together."""
    if params.max_ttl_s and params.ttl_s > params.max_ttl_s:
        raise Refusal(400, "'token_ttl' cannot be greater than 'token_max_ttl'")
    if params.is_batch:
        check_batch(params)


def check_batch(params: TokenParams) -> None:
    """Raises Refusal for parameters that a batch token cannot keep."""
    for is_set, what in ((params.num_uses, "limited use count"), (params.period_s, "a period")):
        if is_set:
            text = f"'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with {what}"
            raise Refusal(400, text)


def shown_params(params: TokenParams) -> dict[str, Any]:
    """As reads of roles show them."""
    return {
        "token_bound_cidrs": params.bound_cidrs or [],
        "token_explicit_max_ttl": params.explicit_max_ttl_s,
        "token_max_ttl": params.max_ttl_s,
        "token_no_default_policy": params.no_default_policy,
        "token_num_uses": params.num_uses,
        "token_period": params.period_s,
        "token_policies": params.policies or [],
        "token_strictly_bind_ip": params.strictly_bind_ip,
        "token_ttl": params.ttl_s,
        "token_type": params.type or "default",
    }


def policy_names(name: str, given: Given) -> list[str]:
    """Policies as tokens carry them: normalised, each once, sorted. Raises FieldError."""
    return list(builtin.normalise_names(to_names(name, given)))


def token_type(name: str, given: Given) -> str:
    """One of Vault's kinds of token; "" for the default. Raises FieldError, Refusal."""
    text = to_text(name, given)
    found = _TYPES.get(text)
    if found is None:
        raise Refusal(400, f"invalid '{name}' value")
    return found


def cidrs(name: str, given: Given) -> list[str]:
    """Networks as text; a lone address is the network of itself. Raises FieldError, Refusal."""
    found = []
    texts = to_names(name, given)
    if len(texts) > CIDRS_MAX:
        raise Refusal(400, f"{name} has more than {CIDRS_MAX} networks")
    for text in texts:
        try:
            if "/" in text:
                found.append(str(ipaddress.ip_network(text, strict=False)))
            else:
                found.append(str(ipaddress.ip_address(text)))
        except ValueError:
            why = f'Unable to convert "{shown(text)}" to an IP address or network'
            raise Refusal(400, f"error parsing {name}: {why}") from None
    return found
