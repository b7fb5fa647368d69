"""What every login ends with: a token for whoever proved who they are, and how such a token is renewed.

Pure. An auth method finds out who asks and what their role says; the rest is the same for all.
Invariants
  L1  no login makes a root token, whatever a role says
  L2  a login's token outlives neither its role's maximum nor its mount's; a renewal asks the role as it is then
  L3  what a login changes beside (a secret-id's use) is in the transaction that makes the token, or nothing is
Source: Vault internals, "Request handling" (login); Vault API, "Token auth method: renew".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster import Draft, Token

from ..engines.base import Context, Plan
from ..policy import builtin
from ..request import Answer, RawRequest, Refusal
from .access import policy_text
from .token_lookup import auth_block
from .token_params import TokenParams
from .token_ttl import Wish, decide_ttl_s
from .tokens import NS, new_raw_token, new_secret, put_token

if TYPE_CHECKING:
    from collections.abc import Mapping

# The parameters of the role a token came from, as they are now. Raises Refusal where there is no such role any more.
Renewer = Callable[[Context, Token], TokenParams]


@dataclass(slots=True)
class Login:
    """Somebody who proved who they are. `alias` is the name by which identity knows them below this mount."""

    params: TokenParams
    alias: str
    display_name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    bound_cidrs: list[str] = field(default_factory=list)  # beside those of the role; both must hold
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return "<Login>"


def issue(context: Context, request: RawRequest, login: Login, draft: Draft | None = None) -> Plan:
    """The plan of a login that is granted; `draft` holds what it changes beside. Raises Refusal."""
    params = login.params
    policies = _policies(params)
    wish = Wish(ttl_s=params.ttl_s, period_s=params.period_s, explicit_max_ttl_s=_longest_s(params))
    ttl_s, warnings = decide_ttl_s(wish, context.mount, context.now_ns, context.now_ns)
    record = Token(
        accessor=new_secret(context.random).encode(),
        policies=policies,
        created_ns=context.now_ns,
        expires_ns=context.now_ns + ttl_s * NS,
        creation_ttl_s=ttl_s,
        explicit_max_ttl_s=params.explicit_max_ttl_s,
        period_s=params.period_s,
        num_uses=params.num_uses,
        display_name=login.display_name,
        path=request.path,
        meta=dict(login.metadata) or None,
        bound_cidrs=login.bound_cidrs or params.bound_cidrs or None,
        no_default_policy=params.no_default_policy,
    )
    made = Draft() if draft is None else draft
    raw_token = new_raw_token(context.random)
    hashes = made.hashes
    is_alone = made.empty
    put_token(made, context.sealing, context.sealing.token_hash(raw_token), record, fresh=True)
    if not is_alone:
        made.hashes = hashes  # what it changes beside says what it touches
    warnings += [*login.warnings]
    warnings += [f'Policy "{name}" does not exist' for name in policies if policy_text(context.view, name) is None]
    block = auth_block(record, raw_token, ttl_s, orphan=True)
    return Plan(Answer(auth=block, warnings=warnings or None), made, secret_answer=True)


def renewal_s(context: Context, record: Token, params: TokenParams, increment_s: int) -> tuple[int, list[str]]:
    """(time to live from now in seconds, warnings) of a renewal by the role's parameters. Raises Refusal."""
    wish = Wish(
        increment_s=increment_s, ttl_s=params.ttl_s, period_s=params.period_s,
        explicit_max_ttl_s=_longest_s(params, record.explicit_max_ttl_s),
    )  # fmt: skip
    return decide_ttl_s(wish, context.mount, record.created_ns, context.now_ns)


def _longest_s(params: TokenParams, explicit_s: int | None = None) -> int:
    """The smaller of the role's maximum and the explicit one; the former does not bind a periodic token. 0: none."""
    explicit = params.explicit_max_ttl_s if explicit_s is None else explicit_s
    bounds = [bound for bound in (0 if params.period_s else params.max_ttl_s, explicit) if bound]
    return min(bounds, default=0)


def _policies(params: TokenParams) -> list[str]:
    names = set(builtin.normalise_names(params.policies))
    if builtin.ROOT in names:
        raise Refusal(400, "auth methods cannot create root tokens")  # L1
    names.discard(builtin.RESPONSE_WRAPPING)
    if params.no_default_policy:
        names.discard(builtin.DEFAULT)
    else:
        names.add(builtin.DEFAULT)
    return sorted(names)
