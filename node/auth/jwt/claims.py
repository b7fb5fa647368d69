"""What a token says, held against what a role asks for.

Pure: a token whose signature was right, a configuration, a role and the cluster's time. The order and the texts are
Vault's; no text holds a value of the token.
Invariants
  A1  a token says when it ends or when it began; what it does not say of the two is filled in with a leeway
  A2  an audience in the token must be one that the role binds: a token for somebody else is no login here
  A3  a claim that the role binds is there and is one of the bound values, of the same type (true is not 1)
Source: Vault API, "JWT/OIDC: create role"; hashicorp/cap, jwt.Validate; RFC 7519.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from ...request import Refusal
from ..globs import fits_one
from .compact import InvalidTokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .roles import JwtRole

LEEWAY_S = 150
SKEW_S = 60
_SECONDS_MAX = 1 << 40
_ABSENT = object()
METADATA_CHARACTERS_MAX = 1_024
GROUPS_MAX = 500


def check_standard(claims: Mapping[str, Any], role: JwtRole, issuer: str, now_s: float) -> None:
    """Who signed it, for whom, and when. Raises InvalidTokenError."""
    if issuer and claims.get("iss") != issuer:
        raise InvalidTokenError("invalid issuer (iss) claim")
    if role.bound_subject and claims.get("sub") != role.bound_subject:
        raise InvalidTokenError("invalid subject (sub) claim")
    if role.bound_audiences and not set(role.bound_audiences) & set(_audiences(claims)):
        raise InvalidTokenError("invalid audience (aud) claim: audience claim does not match any bound audience")
    _check_times(claims, role, now_s)


def _check_times(claims: Mapping[str, Any], role: JwtRole, now_s: float) -> None:
    issued_s, begins_s, ends_s = (_seconds(claims, name) for name in ("iat", "nbf", "exp"))
    if issued_s is None and begins_s is None and ends_s is None:
        raise InvalidTokenError("no issued at (iat), not before (nbf), or expiration time (exp) claims in token")
    if ends_s is None:
        ends_s = max(issued_s or 0, begins_s or 0) + _leeway_s(role.expiration_leeway_s, LEEWAY_S)
    if begins_s is None:
        begins_s = issued_s if issued_s is not None else ends_s - _leeway_s(role.not_before_leeway_s, LEEWAY_S)
    skew_s = _leeway_s(role.clock_skew_leeway_s, SKEW_S)
    if now_s > ends_s + skew_s:
        raise InvalidTokenError("invalid expiration time (exp) claim: token is expired")
    if now_s < begins_s - skew_s:
        raise InvalidTokenError("invalid not before (nbf) claim: token not yet valid")
    if issued_s is not None and now_s < issued_s - skew_s:
        raise InvalidTokenError("invalid issued at (iat) claim: token issued in the future")


def check_sign_in(claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str) -> None:
    """It was made by this provider, for this client, in the sign-in that was begun here. Raises InvalidTokenError."""
    audiences, party = _audiences(claims), claims.get("azp")
    if claims.get("iss") != issuer:
        raise InvalidTokenError("invalid issuer (iss) claim")
    if client_id not in audiences or (party is not None and party != client_id):
        raise InvalidTokenError("invalid audience (aud) claim: it is not for this client")
    if len(audiences) > 1 and party is None:
        raise InvalidTokenError("invalid audience (aud) claim: several, and no authorized party (azp)")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise InvalidTokenError("invalid id_token nonce")
    if _seconds(claims, "exp") is None:
        raise InvalidTokenError("no expiration time (exp) claim in token")


def check_age(claims: Mapping[str, Any], role: JwtRole, now_s: float) -> None:
    """Whoever signs in proved who they are not longer ago than the role allows. Raises InvalidTokenError."""
    if role.max_age_s > 0:
        proved_s = _seconds(claims, "auth_time")
        if proved_s is None or now_s > proved_s + role.max_age_s + _leeway_s(role.clock_skew_leeway_s, SKEW_S):
            raise InvalidTokenError("invalid auth_time claim: the sign-in is older than max_age")


def check_bound(claims: Mapping[str, Any], role: JwtRole, *, audience_is_known: bool = False) -> None:
    """The audience, unless it was checked already, and the claims that the role binds (A2, A3). Raises Refusal."""
    if _audiences(claims) and not role.bound_audiences and not audience_is_known:
        raise _invalid_claims("audience claim found in JWT but no audiences bound to the role")
    is_glob = role.bound_claims_type == "glob"
    for name, wanted in role.bound_claims.items():
        value = look(claims, name)
        if value is _ABSENT:
            raise _invalid_claims(f'claim "{name}" is missing')
        has = value if isinstance(value, list) else [value]
        if is_glob:
            fits = any(isinstance(one, str) and fits_one(wanted, one) for one in has)
        else:
            fits = any(_equal(one, other) for one in has for other in wanted)
        if not fits:
            raise _invalid_claims(f'claim "{name}" does not match any associated bound claim values')


def user_of(claims: Mapping[str, Any], role: JwtRole) -> str:
    """Who the token is about. Raises Refusal."""
    value = look(claims, role.user_claim, pointer=role.user_claim_json_pointer)
    if value is _ABSENT:
        raise Refusal(400, f'claim "{role.user_claim}" not found in token')
    if not isinstance(value, str) or not value:
        raise Refusal(400, f'claim "{role.user_claim}" could not be converted to string')
    return value


def metadata_of(claims: Mapping[str, Any], role: JwtRole) -> dict[str, str]:
    """The claims that the role takes over, by the names it gives them; absent ones are left out. Raises Refusal."""
    found = {}
    for name, key in role.claim_mappings.items():
        value = look(claims, name)
        if value is _ABSENT or value is None:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            text = str(value)
        else:
            raise Refusal(400, f'error converting claim "{name}" to string')
        if len(text) > METADATA_CHARACTERS_MAX:
            raise Refusal(400, f'claim "{name}" has more than {METADATA_CHARACTERS_MAX} characters')
        found[key] = text
    return found


def groups_of(claims: Mapping[str, Any], role: JwtRole) -> list[str]:
    """The groups the token names: none where the role does not ask, so that earlier ones are left. Raises Refusal."""
    if not role.groups_claim:
        return []
    value = look(claims, role.groups_claim)
    if value is _ABSENT:
        raise Refusal(400, f'"{role.groups_claim}" claim not found in token')
    listed = value if isinstance(value, list) else [value]
    if len(listed) > GROUPS_MAX or not all(isinstance(one, str) for one in listed):
        raise Refusal(400, f'"{role.groups_claim}" claim could not be converted to string list')
    return [one for one in dict.fromkeys(listed) if one]


def look(claims: Mapping[str, Any], name: str, *, pointer: bool = True) -> Any:
    """The claim of a name, or below others where the name begins with a slash (RFC 6901); `_ABSENT` without it."""
    if not (pointer and name.startswith("/")):
        return claims.get(name, _ABSENT)
    value: Any = claims
    for part in name[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 5 and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    value = claims.get("aud")
    listed: Iterable[Any] = value if isinstance(value, list) else [] if value is None else [value]
    found = [one for one in listed if isinstance(one, str)]
    if len(found) != len([*listed]):
        raise InvalidTokenError("invalid audience (aud) claim: it is no list of names")
    return [one for one in found if one]


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """A time of the token; None: it does not say. Raises InvalidTokenError."""
    value = claims.get(name)
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _SECONDS_MAX:
        raise InvalidTokenError(f"the claim {name} is no time")
    return float(value)


def _leeway_s(given_s: int, otherwise_s: int) -> int:
    """Negative is none at all, 0 is what Vault has."""
    return 0 if given_s < 0 else given_s or otherwise_s


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _invalid_claims(text: str) -> Refusal:
    return Refusal(400, f"error validating claims: {text}")
