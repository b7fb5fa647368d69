"""What every login ends with: a token for whoever proved who they are, and how such a token is renewed.

Pure. An auth method finds out who asks and what their role says; the rest is the same for all.
Invariants
  L1  no login makes a root token, whatever a role says
  L2  a login's token outlives neither its role's maximum nor its mount's; a renewal asks the role as it is then
  L3  what a login changes beside (a secret-id's use) is in the transaction that makes the token, or nothing is
  L4  networks that a login adds narrow those of the role; what is left of both being nothing is a refusal, never a
      token without bounds
Source: Vault internals, "Request handling" (login); Vault API, "Token auth method: renew"; OpenBao API for
token_strictly_bind_ip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster import Draft, Table, Token

from ..engines.base import Context, Plan
from ..identity.arrival import arrive
from ..policy import builtin
from ..request import Answer, RawRequest, Refusal
from . import networks, token_params
from .batch_tokens import make_batch_token
from .token_lookup import auth_block
from .token_params import TokenParams
from .token_ttl import Wish, decide_ttl_s
from .tokens import NS, new_raw_token, new_secret, put_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster import Mount, View

# The parameters of the role a token came from, as they are now; the context is that of the mount it logged in at.
# Raises Refusal where there is no such role any more, or where what it says does not go with the token.
Renewer = Callable[[Context, Token], TokenParams]


@dataclass(slots=True)
class Login:
    """Somebody who proved who they are. `alias` is the name by which identity knows them below this mount.

    `name` stands behind the mount's path in what the token is called.
    """

    params: TokenParams
    alias: str
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    bound_cidrs: list[str] = field(default_factory=list)  # beside those of the role; both must hold
    warnings: list[str] = field(default_factory=list)
    alias_metadata: Mapping[str, str] | None = None  # what identity keeps of the alias; None: what it has
    groups: list[str] | None = None  # what the method calls the groups they are in; None: it knows of none

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
        display_name=display_name(context.mount_path, login.name),
        path=request.path,
        meta=dict(login.metadata) or None,
        bound_cidrs=_bound_cidrs(login, request.remote_address) or None,
        no_default_policy=params.no_default_policy,
    )
    made = Draft() if draft is None else draft
    identity_policies: tuple[str, ...] = ()
    if context.mount is not None:
        record.mount_path, record.mount = context.mount_path, context.mount.uuid  # T5
    if login.alias and context.mount is not None:
        record.entity_id, identity_policies = arrive(
            context, made, context.mount.accessor, login.alias, login.alias_metadata, login.groups
        )
    raw_token = make_token(context, params, record, made)
    warnings += [*login.warnings, *_missing(context.view, policies)]
    block = auth_block(record, raw_token, ttl_s, orphan=True, identity_policies=identity_policies)
    return Plan(Answer(auth=block, warnings=warnings or None), made, secret_answer=True)


def make_token(context: Context, params: TokenParams, record: Token, draft: Draft) -> str:
    """The raw token of the record; the draft, which may hold what is changed beside, makes it. Raises Refusal.

    Where every login's token comes into being: which kind it is, is decided here.
    """
    if _wants_batch(params, context.mount):
        token_params.check_batch(params)  # where the mount, not the role, asks for it
        return make_batch_token(context.sealing, context.random, record)
    raw_token = new_raw_token(context.random)
    hashes, is_alone = draft.hashes, draft.empty
    put_token(draft, context.sealing, context.sealing.token_hash(raw_token), record, fresh=True)
    if not is_alone:
        draft.hashes = hashes  # what is changed beside says what it touches
    return raw_token


def _wants_batch(params: TokenParams, mount: Mount | None) -> bool:
    """What the mount insists on, else what the role says, else what the mount has for roles that say nothing."""
    of_mount = "" if mount is None else str(mount.config.get("token_type") or "")
    if of_mount in {"batch", "service"}:
        return of_mount == "batch"
    return params.is_batch or (of_mount == "default-batch" and not params.type)


def renewal_s(context: Context, record: Token, params: TokenParams, increment_s: int) -> tuple[int, list[str]]:
    """(time to live from now in seconds, warnings) of a renewal by the role's parameters. Raises Refusal."""
    wish = Wish(
        increment_s=increment_s, ttl_s=params.ttl_s, period_s=params.period_s,
        explicit_max_ttl_s=_longest_s(params, record.explicit_max_ttl_s),
    )  # fmt: skip
    return decide_ttl_s(wish, context.mount, record.created_ns, context.now_ns)


def display_name(mount_path: str, name: str) -> str:
    """What tokens of a login are called: "auth/a/b/" and "x" are "a-b-x"; without a name "a-b"."""
    return (mount_path.removeprefix("auth/").replace("/", "-") + name).removesuffix("-")


def _longest_s(params: TokenParams, explicit_s: int | None = None) -> int:
    """The smaller of the role's maximum and the explicit one; the former does not bind a periodic token. 0: none."""
    explicit = params.explicit_max_ttl_s if explicit_s is None else explicit_s
    bounds = [bound for bound in (0 if params.period_s else params.max_ttl_s, explicit) if bound]
    return min(bounds, default=0)


def _bound_cidrs(login: Login, remote_address: str) -> list[str]:
    """The networks of the token; [] = none bind it. Raises Refusal where nothing would be left."""
    bound, narrower = login.params.bound_cidrs, login.bound_cidrs
    if bound and narrower:
        bound = networks.overlap(bound, narrower)
        if not bound:
            raise Refusal(400, "no address is inside the networks of both the role and the login")
    else:
        bound = bound or narrower
    if not login.params.strictly_bind_ip:
        return bound
    alone = networks.only(remote_address)
    if not alone or (bound and not networks.holds(bound, remote_address)):
        raise Refusal(400, "login request originated from invalid CIDR")
    return alone


def _missing(view: View, policies: Iterable[str]) -> list[str]:
    return [
        f'Policy "{name}" does not exist' for name in policies if view.get(Table.POLICY, name.encode()) is None
    ]


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
