"""Signing in by browser: it is sent to an OpenID provider (`oidc/auth_url`) and comes back (`oidc/callback`).

Pure but for the sign-ins under way, which are in the memory of the leader: who asks for one has proved nothing yet, and
must not cost a write. With another leader a sign-in begins anew. The code is exchanged in a thread, before `decide`.
Invariants
  S1  a sign-in ends once, within ten minutes (under_way.py), at a place that the role allows, as it is by then, and
      with the nonce of whoever began it
  S2  state, nonce and the verifier of PKCE are drawn here; the last two never leave before their turn
Source: OpenID Connect Core 3.1; RFC 7636; Vault API, "JWT/OIDC: OIDC authorization URL"; the texts are Vault's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from ...engines.base import Context, Errand, Plan
from ...engines.fields import parameters
from ...request import Answer, RawRequest, Refusal, StaleLabour
from .. import remote
from ..login import issue
from ..remote import RemoteError
from ..typed_fields import to_text
from . import claims, compact
from .compact import InvalidTokenError
from .config import JwtConfig, known, place_of
from .login import check_address, invalid, login_of, now_s, wanted_role
from .roles import JwtRole, find_role
from .under_way import Pending, UnderWay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...engines.entries import Found
    from ...engines.system.routes import Captures
    from .keys import KeyCache, KeySet, Place

URL_FIELDS = frozenset({"role", "redirect_uri", "client_nonce"})
CALLBACK_FIELDS = frozenset({"state", "code", "nonce", "client_nonce", "id_token", "error", "error_description"})
FAILED = "Vault login failed."
_ALGORITHMS = ("RS256",)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?([/?][!-\[\]-~]*)?")
_NONCE_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the provider signs people in; `why` where it does not say."""

    place: Place
    url: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What the provider gave for a code: claims whose signature was right, or `why` there are none."""

    place: Place
    state: str
    code: str
    claims: dict[str, Any]
    why: str = ""

    def __repr__(self) -> str:
        return "<Exchanged>"


class SignIn:
    """The paths of signing in, of every mount of a node."""

    def __init__(self, cache: KeyCache) -> None:
        self._cache = cache
        self._under_way = UnderWay()

    # ---- to the provider
    def labour_url(self, context: Context, request: RawRequest) -> Callable[[], Provider]:
        """Asking the provider where people sign in, unless that is known. Raises Refusal."""
        found, _, _ = _asked(context, request)
        place, config, now_ns = place_of(context, found), found.value, context.now_ns

        def ask() -> Provider:
            try:
                held = self._cache.get(place, config, None, now_ns)
                return Provider(place, endpoint(config, held, "authorization_endpoint"))
            except RemoteError as error:
                return Provider(place, why=f"error getting provider for login operation: {error}")

        return Errand(ask, place[0])

    def decide_url(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """The URL a browser is to be sent to; it carries a state that the callback asks for."""
        found, name, role = _asked(context, request)
        config, place, provider = found.value, place_of(context, found), request.labour
        if not isinstance(provider, Provider) or provider.place != place:
            raise StaleLabour
        if provider.why:
            raise Refusal(400, provider.why)
        given = parameters(request)
        state, nonce, verifier = (_text(context.random(32)) for _ in range(3))
        redirect_uri = to_text("redirect_uri", given.get("redirect_uri"))
        client_nonce = to_text("client_nonce", given.get("client_nonce"))
        if len(client_nonce) > _NONCE_CHARACTERS_MAX:
            raise Refusal(400, f"client_nonce has more than {_NONCE_CHARACTERS_MAX} characters")
        self._under_way.begin(
            (place[0], state),
            Pending(
                place, name, redirect_uri, nonce, verifier, client_nonce, context.now_ns, request.remote_address
            ),
        )
        query = {
            "client_id": config.oidc_client_id,
            "code_challenge": _text(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "nonce": nonce,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": " ".join(dict.fromkeys(["openid", *role.oidc_scopes])),
            "state": state,
        }
        if config.oidc_response_mode == "form_post":
            query["response_mode"] = "form_post"
        if role.max_age_s > 0:
            query["max_age"] = str(role.max_age_s)
        joint = "&" if "?" in provider.url else "?"
        return Plan(Answer(data={"auth_url": provider.url + joint + urlencode(query)}), secret_answer=True)

    # ---- and back
    def labour_callback(self, context: Context, request: RawRequest) -> Callable[[], Exchanged]:
        """Exchanging the code at the provider, and checking what it signed. Raises Refusal."""
        state, code, pending, found, _ = self._came_back(context, request)
        config, place, now_ns = found.value, pending.place, context.now_ns

        def exchange() -> Exchanged:
            try:
                held = self._cache.get(place, config, None, now_ns)
                token = compact.take_apart(_id_token(config, held, pending, code))
                held = self._cache.get(place, config, token.key_id, now_ns)
                compact.prove(token, held, tuple(config.jwt_supported_algs) or _ALGORITHMS)
            except (RemoteError, InvalidTokenError) as error:
                return Exchanged(place, state, code, {}, str(error))
            return Exchanged(place, state, code, token.claims)

        return Errand(exchange, place[0])

    def decide_callback(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """A token for whoever signed in at the provider; the sign-in is over, whatever came of it (S1)."""
        state, code, pending, found, role = self._came_back(context, request)
        proof = request.labour
        is_of_this = isinstance(proof, Exchanged) and (proof.state, proof.code) == (state, code)
        if not is_of_this or proof.place != pending.place:
            raise StaleLabour
        self._under_way.end((pending.place[0], state))
        if proof.why:
            raise Refusal(400, f"{FAILED} {proof.why}")
        config, said = found.value, proof.claims
        try:
            claims.check_sign_in(said, config.oidc_discovery_url, config.oidc_client_id, pending.nonce)
            claims.check_standard(said, role, config.bound_issuer, now_s(context))
            claims.check_age(said, role, now_s(context))
            claims.check_bound(said, role, audience_is_known=True)
        except InvalidTokenError as error:
            raise invalid(str(error)) from None
        return issue(context, request, login_of(pending.role, role, said))

    def _came_back(self, context: Context, request: RawRequest) -> tuple[str, str, Pending, Found[JwtConfig], JwtRole]:
        """(state, code, what was begun, configuration, role). Raises Refusal."""
        given = parameters(request)
        state, code = to_text("state", given.get("state")), to_text("code", given.get("code"))
        found = known(context)
        place = place_of(context, found)
        pending = self._under_way.find((place[0], state), context.now_ns)
        if pending is None or pending.place != place:
            raise Refusal(400, f"{FAILED} Expired or missing OAuth state.")
        nonce = to_text("nonce", given.get("client_nonce") or given.get("nonce"))
        if pending.client_nonce and not hmac.compare_digest(nonce.encode(), pending.client_nonce.encode()):
            raise Refusal(400, f"{FAILED} invalid client_nonce")
        if not code:
            raise Refusal(400, f"{FAILED} No code or id_token received.")
        role = find_role(context, pending.role)
        if role is None or role.value.role_type != "oidc":
            raise Refusal(400, f"{FAILED} Role could not be found")
        if not _may_come_back(role.value, pending.redirect_uri):
            raise Refusal(400, f"{FAILED} unauthorized redirect_uri")
        check_address(role.value, request)
        return state, code, pending, found, role.value


def _asked(context: Context, request: RawRequest) -> tuple[Found[JwtConfig], str, JwtRole]:
    """(configuration, name of the role, role) of who wants to sign in. Raises Refusal."""
    found = known(context)
    if not found.value.oidc_client_id:
        raise Refusal(400, "OIDC login is not configured for this mount")
    name, role = wanted_role(context, request, found.value)
    if role.role_type != "oidc":
        raise Refusal(400, f"role with {role.role_type} role_type is not allowed")
    redirect_uri = to_text("redirect_uri", parameters(request).get("redirect_uri"))
    if not redirect_uri:
        raise Refusal(400, "missing redirect_uri")
    if not _may_come_back(role, redirect_uri):
        raise Refusal(400, "unauthorized redirect_uri")
    return found, name, role


def _may_come_back(role: JwtRole, uri: str) -> bool:
    return any(_is_same_place(uri, one) for one in role.allowed_redirect_uris)


def _is_same_place(uri: str, allowed: str) -> bool:
    """The same URI; on this machine, whose listeners take what port is free, at any port (RFC 8252).

    What stands between the slashes must be a host and a port to the letter: a browser may read anything else as another
    host than we do.
    """
    if uri == allowed:
        return True
    try:
        one, other = urlsplit(uri), urlsplit(allowed)
        is_local = one.hostname in _LOOPBACK and one.hostname == other.hostname
        if not is_local or _LOCAL.fullmatch(uri) is None:
            return False
        return urlunsplit(one._replace(netloc="")) == urlunsplit(other._replace(netloc=""))
    except ValueError:
        return False


def endpoint(config: JwtConfig, held: KeySet, name: str) -> str:
    """Where the provider says that it does this. Raises RemoteError."""
    url = (held.provider or {}).get(name)
    if not isinstance(url, str) or not remote.may_follow(url, config.oidc_discovery_url):
        raise RemoteError(f"the provider names no {name} that may be asked")
    return url


def _id_token(config: JwtConfig, held: KeySet, pending: Pending, code: str) -> str:
    """What the provider gives for the code. Waits. Raises RemoteError."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": pending.redirect_uri,
        "code_verifier": pending.verifier,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if _wants_secret_in_form(held.provider or {}):
        form |= {"client_id": config.oidc_client_id, "client_secret": config.oidc_client_secret}
    else:
        pair = f"{quote_plus(config.oidc_client_id)}:{quote_plus(config.oidc_client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    answer = remote.ask_json(
        endpoint(config, held, "token_endpoint"), config.oidc_discovery_ca_pem,
        method="POST", body=urlencode(form).encode(), headers=headers,
    )  # fmt: skip
    token = answer.get("id_token")
    if not isinstance(token, str):
        raise RemoteError("No id_token found in response.")
    return token


def _wants_secret_in_form(provider: Mapping[str, Any]) -> bool:
    ways = provider.get("token_endpoint_auth_methods_supported")
    return isinstance(ways, list) and "client_secret_basic" not in ways and "client_secret_post" in ways


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
