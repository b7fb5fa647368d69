"""Creating tokens: what a token may give to its children, and what a role gives whoever may ask it.

Pure. Invariants
  C1  without root or sudo, a child has no policy its parent has not, no period, no chosen id, and a parent
  C2  only root makes root, and an expiring root makes none that lives for ever
  C3  a token of limited uses makes no children, nor does a batch token
  C4  an id that is taken stays taken while anything below it is left: a new token of the old id would otherwise bring
      the revoked children of the old one, or what it kept for itself, back
  C5  through a role, its policies, networks, period, kind and parentlessness count, not those of whoever asks; root is
      still root's to give. What a role's maximum and period bound, they bound of a batch token, too
  C6  a token that is bound to networks makes no token, child or not, that is bound to none
Source: Vault API, "Token auth method: create token".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster import Draft, Table, Token, View, sweeps

from ..engines.base import Context, Plan
from ..engines.durations import DurationError
from ..engines.fields import Given, parameters, to_bool, to_int
from ..identity.arrival import arrive
from ..identity.person import policies_of
from ..policy import PolicyError, builtin
from ..request import Answer, RawRequest, Refusal
from .access import policy_text
from .batch_tokens import BATCH, make_batch_token, refused_field
from .token_lookup import auth_block
from .token_roles import check_alias, find_role, given_policies, token_type_of
from .token_ttl import TTL_S_MAX, Wish, decide_ttl_s
from .tokens import DEPTH_MAX, NS, TokenView, depth, find_valid, new_raw_token, new_secret, put_token
from .typed_fields import to_names, to_pairs, to_text, to_ttl_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engines.system.routes import Captures
    from .token_roles import TokenRole

FIELDS = frozenset(
    {
        "display_name",
        "entity_alias",
        "explicit_max_ttl",
        "id",
        "lease",
        "meta",
        "no_default_policy",
        "no_parent",
        "num_uses",
        "period",
        "policies",
        "renewable",
        "ttl",
        "type",
    }
)
ID_WARNING = (
    "Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure SHA2-256 HMAC for "
    "token obfuscation. SHA1 hashed tokens on the wire leads to less secure lookups."
)
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-]")
_ID = re.compile(r"[!-~]{1,256}")  # what a header can carry


@dataclass(slots=True)
class _Wanted:
    """The fields of a request, in their types."""

    id: str = ""
    policies: list[str] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    no_parent: bool = False
    no_default_policy: bool = False
    renewable: bool = True
    type: str = ""
    display_name: str = ""
    num_uses: int = 0
    entity_alias: str = ""
    ttl: str = ""
    period: str = ""
    explicit_max_ttl: str = ""

    def __repr__(self) -> str:
        return "<_Wanted>"


def decide_create(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """create: a child of the caller, or an orphan where sudo asks for one."""
    return _create(context, request, "auth/token/create", orphan=False)


def decide_create_orphan(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """create-orphan: a token without a parent, for whoever may use this path."""
    return _create(context, request, "auth/token/create-orphan", orphan=True)


def decide_create_by_role(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """create/:role: a token as the role says (C5)."""
    name = captures["role_name"]
    found = find_role(context, name)
    if found is None:
        raise Refusal(400, f"unknown role {name}")
    role = found.value
    path = f"auth/token/create/{name}" + (f"/{role.path_suffix}" if role.path_suffix else "")
    return _create(context, request, path, orphan=role.orphan, role=role, role_name=name)


def _create(
    context: Context,
    request: RawRequest,
    path: str,
    *,
    orphan: bool,
    role: TokenRole | None = None,
    role_name: str = "",
) -> Plan:
    if context.caller.type == BATCH:
        raise Refusal(400, "batch tokens cannot create more tokens")
    wanted = _wanted(parameters(request))
    view, now_ns = context.view, context.now_ns
    parent = find_valid(view, context.caller.token_key, now_ns)
    if parent is None:
        raise Refusal(400, "parent token lookup failed: no parent found")
    if parent.record.num_uses > 0:
        raise Refusal(400, "restricted use token cannot generate child tokens")
    may_all = context.caller.is_root or context.caller.has_sudo
    _check_plain(wanted, role)
    warnings = _check_id(context, wanted.id, may_all=may_all)
    policies = _policies(wanted, parent.record, role, may_all=may_all)
    if wanted.no_parent and role is None and not may_all:
        raise Refusal(400, "root or sudo privileges required to create orphan token")
    record = Token(
        accessor=new_secret(context.random).encode(),
        policies=policies,
        created_ns=now_ns,
        num_uses=_smaller(wanted.num_uses, 0 if role is None else role.params.num_uses),
        display_name=_display_name(wanted.display_name),
        path=path,
        meta=wanted.meta or None,
        no_default_policy=wanted.no_default_policy,
        role=role_name,
        type=wanted.type,
    )
    if not (orphan or (wanted.no_parent and role is None)):
        _inherit(view, record, parent)
    of_role = [] if role is None else role.params.bound_cidrs
    record.bound_cidrs = of_role or parent.record.bound_cidrs
    warnings += _live(context, record, wanted, parent.record, role, may_all=may_all)
    warnings += [f'Policy "{name}" does not exist' for name in policies if policy_text(view, name) is None]
    return _plan(context, record, wanted, parent, warnings)


def _plan(context: Context, record: Token, wanted: _Wanted, parent: TokenView, warnings: list[str]) -> Plan:
    draft = Draft()
    given_id, beside = wanted.id, policies_of(context.view, record)
    if wanted.entity_alias and context.mount is not None:
        record.entity_id, beside = arrive(context, draft, context.mount.accessor, wanted.entity_alias)
    is_alone = draft.empty
    if record.type == BATCH:
        raw_token = make_batch_token(context.sealing, context.random, record)
    else:
        raw_token = given_id or new_raw_token(context.random)
        put_token(draft, context.sealing, context.sealing.token_hash(raw_token), record, fresh=not given_id)
        if record.parent is not None:
            draft.expect(Table.TOKEN, parent.key, parent.index)
    if not is_alone:
        draft.hashes = ()  # an entity that is made beside touches everything
    ttl_s = record.creation_ttl_s
    block = auth_block(record, raw_token, ttl_s, orphan=record.parent is None, identity_policies=beside)
    return Plan(Answer(auth=block, warnings=warnings or None), draft, secret_answer=True)


def _wanted(given: Mapping[str, Given]) -> _Wanted:
    """Raises FieldError."""
    wanted = _Wanted()
    for name in ("id", "type", "display_name", "entity_alias", "period", "explicit_max_ttl"):
        setattr(wanted, name, to_text(name, given.get(name)))
    wanted.ttl = to_text("ttl", given.get("ttl")) or to_text("lease", given.get("lease"))
    wanted.policies = to_names("policies", given.get("policies"))
    wanted.meta = to_pairs("meta", given.get("meta"))
    for name in ("no_parent", "no_default_policy", "renewable"):
        if name in given:
            setattr(wanted, name, to_bool(name, given[name]))
    wanted.num_uses = to_int("num_uses", given.get("num_uses"))
    return wanted


def _check_plain(wanted: _Wanted, role: TokenRole | None) -> None:
    """What can be refused by looking at single fields; the kind of the token is known afterwards."""
    wanted.type = token_type_of(role, wanted.type)
    if wanted.type == BATCH:
        for name in ("explicit_max_ttl", "num_uses", "period", "id"):
            value = getattr(wanted, name)
            if value and (name in {"num_uses", "id"} or _ttl_s(value, name)):
                raise refused_field(name)
    if wanted.num_uses < 0:
        raise Refusal(400, "number of uses cannot be negative")
    check_alias(role, wanted.entity_alias)


def _check_id(context: Context, given_id: str, *, may_all: bool) -> list[str]:
    """The warning about a chosen id; Refusal where it may not be chosen."""
    if not given_id:
        return []
    if not may_all:
        raise Refusal(400, "root or sudo privileges required to specify token id")
    for prefix in ("hvs.", "s."):
        if given_id.startswith(prefix):
            raise Refusal(400, f"custom token ID cannot have the '{prefix}' prefix")
    if "." in given_id:
        raise Refusal(400, "custom token ID cannot have a '.' in the value")
    if not _ID.fullmatch(given_id):
        raise Refusal(400, "custom token ID must be 1 to 256 visible ASCII characters")
    view, key = context.view, context.sealing.token_hash(given_id)
    is_taken = (
        view.get(Table.TOKEN, key) is not None
        or view.get(Table.SWEEP, sweeps.sweep_key(sweeps.TOKEN_KIND, key)) is not None
        or any(True for _ in view.token_children(key))
        or sweeps.keeps_something(view, key)
    )
    if is_taken:
        raise Refusal(400, "cannot create a token with a duplicate ID")
    return [ID_WARNING]


def _policies(wanted: _Wanted, parent: Token, role: TokenRole | None, *, may_all: bool) -> list[str]:
    """The child's policies, sorted; Refusal where neither the parent nor the role may give them."""
    add_default = False
    policies = set(builtin.normalise_names(wanted.policies))
    if role is not None and role.judges_policies:
        policies = set(given_policies(role, wanted.policies, parent.policies, no_default=wanted.no_default_policy))
    elif not wanted.policies:
        policies = set(parent.policies)
    elif may_all:
        add_default = True
    elif not policies <= set(parent.policies):
        raise Refusal(400, "child policies must be subset of parent")
    else:
        add_default = builtin.DEFAULT in parent.policies
    try:
        builtin.assignable_names(policies)
    except PolicyError as error:
        raise Refusal(400, str(error)) from None
    if builtin.ROOT in policies:
        if builtin.ROOT not in parent.policies:
            raise Refusal(400, "root tokens may not be created without parent token being root")
        return [builtin.ROOT]
    if add_default and not (role is not None and role.params.no_default_policy):
        policies.add(builtin.DEFAULT)
    if wanted.no_default_policy:
        policies.discard(builtin.DEFAULT)
    return sorted(policies)


def _inherit(view: View, record: Token, parent: TokenView) -> None:
    """The token becomes a child: bound to its parent's life and entity."""
    if depth(view, parent.record) + 1 >= DEPTH_MAX:
        raise Refusal(400, f"the token has {DEPTH_MAX - 1} ancestors: its children would be too many generations deep")
    record.parent = parent.key
    record.entity_id = parent.record.entity_id


def _live(
    context: Context, record: Token, wanted: _Wanted, parent: Token, role: TokenRole | None, *, may_all: bool
) -> list[str]:
    """Sets how long the token lives, and returns the warnings about it."""
    record.explicit_max_ttl_s = _ttl_s(wanted.explicit_max_ttl, "explicit_max_ttl")
    record.period_s = _ttl_s(wanted.period, "period")
    if record.period_s and not may_all:
        raise Refusal(400, "root or sudo privileges required to create periodic token")
    ttl_s = _ttl_s(wanted.ttl, "ttl")
    warnings: list[str] = []
    longest_s = 0
    if role is not None and record.type == BATCH:  # it carries neither: they bound it once and for all
        longest_s = _smaller(role.params.explicit_max_ttl_s, role.params.period_s)
    elif role is not None:
        record.explicit_max_ttl_s, explicit_warnings = _lesser(
            "Explicit max TTL", record.explicit_max_ttl_s, role.params.explicit_max_ttl_s
        )
        record.period_s, period_warnings = _lesser("Period", record.period_s, role.params.period_s)
        warnings += explicit_warnings + period_warnings
    if record.period_s or ttl_s or builtin.ROOT not in record.policies:
        longest_s = longest_s or record.explicit_max_ttl_s
        wish = Wish(ttl_s=ttl_s, period_s=record.period_s, explicit_max_ttl_s=longest_s)
        ttl_s, capped = decide_ttl_s(wish, context.mount, context.now_ns, context.now_ns)
        warnings += capped
    else:
        ttl_s = record.explicit_max_ttl_s
    if not ttl_s and parent.expires_ns:
        raise Refusal(400, "expiring root tokens cannot create non-expiring root tokens")
    if not ttl_s:
        record.bound_cidrs = None
    record.renewable = wanted.renewable and ttl_s > 0 and (role is None or role.renewable)
    record.creation_ttl_s = ttl_s
    record.expires_ns = context.now_ns + ttl_s * NS if ttl_s else 0
    return warnings


def _smaller(one: int, two: int) -> int:
    """The smaller of two numbers of which 0 means that there is none."""
    return min(one, two) if one and two else one or two


def _lesser(what: str, asked_s: int, role_s: int) -> tuple[int, list[str]]:
    lesser_s = _smaller(asked_s, role_s)
    if not (asked_s and role_s):
        return lesser_s, []
    text = f"{what} specified both during creation call and in role; using the lesser value of {lesser_s} seconds"
    return lesser_s, [text]


def _ttl_s(text: str, name: str) -> int:
    try:
        ttl_s = to_ttl_s(text)
    except DurationError as error:
        raise Refusal(400, str(error)) from None
    if ttl_s < 0:
        raise Refusal(400, f"{name} must be positive")
    return min(ttl_s, TTL_S_MAX)


def _display_name(given: str) -> str:
    return _NOT_IN_NAMES.sub("-", f"token-{given}").removesuffix("-") if given else "token"
