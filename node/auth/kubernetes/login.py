"""Logging in as a service account; and the role such a login came from, for its renewal.

Pure: the token is reviewed by its cluster in a thread, before `decide`.
Invariants
  L1  a review is good for the token in the request, the configuration as it is and the role's audience
  L2  who the account is comes from the review; what the token says must agree, and only then is the role asked
  L3  nothing is asked of the cluster for a token that no role of this mount could let in
Source: Vault API, "Kubernetes: login"; vault-plugin-auth-kubernetes, path_login.go; the texts are Vault's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...engines.base import Context, Errand, Plan
from ...engines.fields import parameters
from ...request import RawRequest, Refusal, StaleLabour
from .. import networks
from ..globs import fits_one
from ..jwt import compact, keys
from ..jwt.compact import InvalidTokenError
from ..login import Login, issue
from ..typed_fields import shown, to_text
from .config import DEFAULT_ISSUER, KubernetesConfig, known
from .review import UNAUTHORIZED, Account, ReviewError, review, said_by
from .roles import BY_NAME, KubernetesRole, find_role

if TYPE_CHECKING:
    from cluster import Token

    from ...engines.entries import Found
    from ...engines.system.routes import Captures
    from ..token_params import TokenParams

FIELDS = frozenset({"role", "jwt"})


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What came of a review, and of what it was one."""

    config_index: int
    text: str
    audience: str
    account: Account | None
    why: str = ""
    status: int = 403

    def __repr__(self) -> str:
        return "<Reviewed>"


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    role: KubernetesRole
    config: Found[KubernetesConfig]
    jwt: str
    account: Account  # by the token's own words

    def __repr__(self) -> str:
        return "<_Asked>"


def labour(context: Context, request: RawRequest) -> Errand:
    """Having the token reviewed. Raises Refusal."""
    asked = _ask(context, request)
    config, index, audience = asked.config.value, asked.config.read_index, asked.role.audience
    token = compact.take_apart(asked.jwt)
    assert context.mount is not None  # the flow gives every engine its mount

    def ask() -> Reviewed:
        try:
            if config.pem_keys:
                found = tuple(key for text in config.pem_keys if (key := keys.from_pem(text)) is not None)
                compact.prove(token, keys.KeySet(found), keys.ALGORITHMS)
            return Reviewed(index, asked.jwt, audience, review(config, asked.jwt, audience))
        except InvalidTokenError as error:
            return Reviewed(index, asked.jwt, audience, None, str(error))
        except ReviewError as error:
            return Reviewed(index, asked.jwt, audience, None, str(error), error.status)

    return Errand(ask, context.mount.uuid)


def decide_login(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """A token for the service account, if its cluster knows it and the role names it."""
    asked = _ask(context, request)
    reviewed = request.labour
    if not isinstance(reviewed, Reviewed) or (reviewed.config_index, reviewed.text, reviewed.audience) != (
        asked.config.read_index, asked.jwt, asked.role.audience,
    ):  # fmt: skip
        raise StaleLabour
    account = reviewed.account
    if account is None:
        raise Refusal(reviewed.status, reviewed.why)
    said = asked.account
    if (account.namespace, account.name, account.uid) != (said.namespace, said.name, said.uid):
        raise Refusal(403, UNAUTHORIZED)
    _check_bound(asked.role, account)
    alias = f"{account.namespace}/{account.name}" if asked.role.alias_name_source == BY_NAME else account.uid
    named = {
        "service_account_uid": account.uid,
        "service_account_name": account.name,
        "service_account_namespace": account.namespace,
        "service_account_secret_name": said.secret_name,
    }
    login = Login(
        asked.role.token,
        alias=alias,
        name=f"{account.namespace}-{account.name}",
        metadata={**named, "role": asked.name},
        alias_metadata=named,
    )
    return issue(context, request, login)


def renewal_params(context: Context, record: Token) -> TokenParams:
    """What the role of a token says now. Raises Refusal with 400 where the role is gone."""
    name = (record.meta or {}).get("role", "")
    found = find_role(context, name) if name else None
    if found is None:
        raise Refusal(400, f"role {shown(name)} does not exist during renewal", wrapped=True)
    return found.value.token


def _ask(context: Context, request: RawRequest) -> _Asked:
    """What the request asks for, as far as no review is needed to say no. Raises Refusal."""
    given = parameters(request)
    name, text = to_text("role", given.get("role")), to_text("jwt", given.get("jwt")).strip()
    if not name:
        raise Refusal(400, "missing role")
    if not text:
        raise Refusal(400, "missing jwt")
    found = find_role(context, name)
    if found is None:
        raise Refusal(400, f'invalid role name "{shown(name)}"')
    role = found.value
    if role.token.bound_cidrs and not networks.holds(role.token.bound_cidrs, request.remote_address):
        raise Refusal(403, "permission denied", wrapped=True)
    config = known(context)
    try:
        claims = compact.take_apart(text).claims
    except InvalidTokenError as error:
        raise Refusal(403, str(error)) from None
    account = said_by(claims)
    if not account.is_whole:
        raise Refusal(403, "the token is not one of a service account")
    _check_claims(claims, role, config.value, context.now_ns / keys.NS)
    _check_bound(role, account)
    return _Asked(name.lower(), role, config, text, account)


def _check_claims(claims: dict[str, Any], role: KubernetesRole, config: KubernetesConfig, now_s: float) -> None:
    """What a token that is good would not say. Whether it is good is for the review to say. Raises Refusal."""
    if not config.disable_iss_validation and claims.get("iss") != (config.issuer or DEFAULT_ISSUER):
        raise Refusal(403, "invalid issuer (iss) claim")
    audiences = claims.get("aud")
    if role.audience and role.audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise Refusal(403, "invalid audience (aud) claim")
    ends_s = claims.get("exp")
    if isinstance(ends_s, (int, float)) and now_s > ends_s:
        raise Refusal(403, "invalid expiration time (exp) claim: token is expired")


def _check_bound(role: KubernetesRole, account: Account) -> None:
    if not fits_one(role.bound_service_account_namespaces, account.namespace):
        raise Refusal(403, "namespace not authorized")
    if not fits_one(role.bound_service_account_names, account.name):
        raise Refusal(403, "service account name not authorized")
