"""Logging in with a token that somebody else signed; and the role such a login came from, for its renewal.

Pure but for what `KeyCache` remembers; keys are fetched and the signature is checked in a thread, before `decide`.
Invariants
  L1  what was proved is proved for the token in the request and the configuration as it is: else it is proved again
  L2  role, claims and times are judged in `decide`, on the state the entry meets and by the cluster's time
Source: Vault API, "JWT/OIDC: JWT login"; the texts are Vault's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...engines.base import Context, Errand, Plan
from ...engines.fields import parameters
from ...request import RawRequest, Refusal, StaleLabour
from .. import networks
from ..login import Login, issue
from ..remote import RemoteError
from ..typed_fields import shown, to_text
from . import claims, compact, keys
from .compact import InvalidTokenError, Unproven
from .config import JwtConfig, known, place_of
from .roles import JwtRole, find_role

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Token

    from ...engines.entries import Found
    from ...engines.system.routes import Captures
    from ..token_params import TokenParams
    from .keys import KeyCache, KeySet, Place

FIELDS = frozenset({"role", "jwt"})


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of looking at a signature: `why` is empty where it was right."""

    place: Place
    text: str
    claims: dict[str, Any]
    why: str = ""

    def __repr__(self) -> str:
        return "<Proof>"


class LoginPath:
    """The path `login`."""

    def __init__(self, cache: KeyCache) -> None:
        self._cache = cache

    def labour(self, context: Context, request: RawRequest) -> Callable[[], Proof]:
        """Checking the signature, with keys that are fetched where they are not known. Raises Refusal."""
        asked = _ask(context, request)
        place, now_ns = place_of(context, asked.config), context.now_ns
        token = _taken_apart(asked.jwt)
        config, cache = asked.config.value, self._cache
        held = cache.peek(place, token.key_id, now_ns)
        if held is not None or config.jwt_validation_pubkeys:
            return lambda: _prove(place, token, held or keys.fetch(config, now_ns), config)

        def fetch_and_prove() -> Proof:
            try:
                found = cache.get(place, config, token.key_id, now_ns)
            except RemoteError as error:
                return Proof(place, token.text, {}, f"error fetching keys: {error}")
            return _prove(place, token, found, config)

        return Errand(fetch_and_prove, place[0])

    def decide(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """A token of ours for whoever holds one that the role accepts."""
        asked = _ask(context, request)
        proof = request.labour
        is_of_this = isinstance(proof, Proof) and proof.text == asked.jwt
        if not is_of_this or proof.place != place_of(context, asked.config):
            raise StaleLabour
        if proof.why:
            raise invalid(proof.why)
        try:
            claims.check_standard(proof.claims, asked.role, asked.config.value.issuer, now_s(context))
            claims.check_bound(proof.claims, asked.role)
        except InvalidTokenError as error:
            raise invalid(str(error)) from None
        return issue(context, request, login_of(asked.name, asked.role, proof.claims))


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    role: JwtRole
    config: Found[JwtConfig]
    jwt: str

    def __repr__(self) -> str:
        return "<_Asked>"


def _ask(context: Context, request: RawRequest) -> _Asked:
    """What the request asks for, as far as no signature is needed to say no. Raises Refusal."""
    given = parameters(request)
    config = known(context)
    name, role = wanted_role(context, request, config.value)
    if role.role_type != "jwt":
        raise Refusal(400, "role with oidc role_type is not allowed")
    text = to_text("jwt", given.get("jwt")).strip()
    if not text:
        raise Refusal(400, "missing token")
    check_address(role, request)
    return _Asked(name, role, config, text)


def wanted_role(context: Context, request: RawRequest, config: JwtConfig) -> tuple[str, JwtRole]:
    """(name, role) that the request asks for, or that the configuration has for who says none. Raises Refusal."""
    name = to_text("role", parameters(request).get("role")) or config.default_role
    if not name:
        raise Refusal(400, "missing role")
    found = find_role(context, name)
    if found is None:
        raise Refusal(400, f'role "{shown(name)}" could not be found')
    return name, found.value


def check_address(role: JwtRole, request: RawRequest) -> None:
    """Raises Refusal for an address that the role does not let in."""
    if role.token.bound_cidrs and not networks.holds(role.token.bound_cidrs, request.remote_address):
        raise Refusal(403, "permission denied", wrapped=True)


def login_of(name: str, role: JwtRole, said: dict[str, Any]) -> Login:
    """Who logs in, by claims that are proved and bound. Raises Refusal."""
    user = claims.user_of(said, role)
    metadata = claims.metadata_of(said, role)
    return Login(
        role.token,
        alias=user,
        name=user,
        metadata={**metadata, "role": name},
        alias_metadata=metadata,
        groups=claims.groups_of(said, role),
    )


def renewal_params(context: Context, record: Token) -> TokenParams:
    """What the role of a token says now. Raises Refusal with 400 where the role is gone."""
    name = (record.meta or {}).get("role", "")
    found = find_role(context, name)
    if found is None:
        raise Refusal(400, f"role {shown(name)} does not exist during renewal", wrapped=True)
    return found.value.token


def algorithms(config: JwtConfig) -> tuple[str, ...]:
    """Those a login with a token may be signed with."""
    return tuple(config.jwt_supported_algs) or keys.ALGORITHMS


def now_s(context: Context) -> float:
    """The cluster's time in seconds."""
    return context.now_ns / keys.NS


def invalid(why: str) -> Refusal:
    """400 for a token that proves nothing."""
    return Refusal(400, f"error validating token: {why}")


def _taken_apart(text: str) -> Unproven:
    try:
        return compact.take_apart(text)
    except InvalidTokenError as error:
        raise invalid(str(error)) from None


def _prove(place: Place, token: Unproven, held: KeySet, config: JwtConfig) -> Proof:
    try:
        compact.prove(token, held, algorithms(config))
    except InvalidTokenError as error:
        return Proof(place, token.text, {}, str(error))
    return Proof(place, token.text, token.claims)
