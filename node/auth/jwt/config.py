"""The configuration of a jwt or oidc mount: whose signatures count, and which issuer is meant.

Pure; the issuer that is named is asked once before it is written (`labour`), and has to answer with keys.
Invariants
  F1  exactly one source of keys; a write replaces the whole configuration, as Vault's does
  F2  what was asked beforehand is what is written: another URL or authority is asked again
Source: Vault API, "JWT/OIDC: configure"; the texts are Vault's. What is not there is refused, not ignored: responses
of type `id_token` and `provider_config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ...engines.base import Context, Errand, Plan
from ...engines.entries import Found, find, put
from ...engines.fields import parameters, to_bool, to_object
from ...engines.json_values import object_fields
from ...request import Answer, RawRequest, Refusal, StaleLabour
from .. import remote
from ..remote import RemoteError
from ..typed_fields import shown, to_names, to_text
from . import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.fields import Given
    from ...engines.system.routes import Captures
    from .keys import Place

NAME = "config"
_TEXTS = (
    "oidc_discovery_url", "oidc_discovery_ca_pem", "oidc_client_id", "oidc_client_secret", "oidc_response_mode",
    "jwks_url", "jwks_ca_pem", "bound_issuer", "default_role",
)  # fmt: skip
FIELDS = frozenset(_TEXTS) | {
    "oidc_response_types", "jwt_validation_pubkeys", "jwt_supported_algs", "provider_config", "namespace_in_state",
    "skip_jwks_validation",
}  # fmt: skip
_RESPONSE_MODES = frozenset({"", "query", "form_post"})
_PUBKEYS_MAX = 100


class JwtConfig(msgspec.Struct, array_like=True):
    """As it was given. New fields go at the end, with a default."""

    oidc_discovery_url: str = ""
    oidc_discovery_ca_pem: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_response_mode: str = ""
    oidc_response_types: list[str] = []
    jwks_url: str = ""
    jwks_ca_pem: str = ""
    jwt_validation_pubkeys: list[str] = []
    jwt_supported_algs: list[str] = []
    bound_issuer: str = ""
    default_role: str = ""
    namespace_in_state: bool = True

    def __repr__(self) -> str:
        return "<JwtConfig>"

    @property
    def issuer(self) -> str:
        """Whose tokens count: a provider's own, where no other is bound, whoever else has its keys. "": anybody's."""
        return self.bound_issuer or self.oidc_discovery_url

    @property
    def source(self) -> tuple[str, ...]:
        """What is fetched for it, and whom to believe about that."""
        return (self.oidc_discovery_url, self.oidc_discovery_ca_pem, self.jwks_url, self.jwks_ca_pem)


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking the source; `why` is empty where it has keys."""

    source: tuple[str, ...]
    why: str = ""


def known(context: Context) -> Found[JwtConfig]:
    """The configuration. Raises Refusal where there is none."""
    found = find(context, NAME, JwtConfig)
    if found is None:
        raise Refusal(400, "could not load configuration")
    return found


def place_of(context: Context, found: Found[JwtConfig]) -> Place:
    """Under what its keys are remembered."""
    assert context.mount is not None  # the flow gives every engine its mount
    return context.mount.uuid, found.read_index


# ---- paths
def read_config(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The configuration without the client's secret; 404 without one."""
    found = find(context, NAME, JwtConfig)
    if found is None:
        raise Refusal(404)
    config = found.value
    data: dict[str, Any] = {name: getattr(config, name) for name in _TEXTS if name != "oidc_client_secret"}
    return Answer(
        data=data
        | {
            "oidc_response_types": config.oidc_response_types,
            "jwt_validation_pubkeys": config.jwt_validation_pubkeys,
            "jwt_supported_algs": config.jwt_supported_algs,
            "provider_config": {},
            "namespace_in_state": config.namespace_in_state,
        }
    )


def asking(request: RawRequest) -> Errand | None:
    """What asks the source of keys that the request names; None: nobody needs to be asked. Raises Refusal."""
    given = parameters(request)
    config = _given(given)
    if not (config.oidc_discovery_url or config.jwks_url) or _unchecked(given):
        return None

    def ask() -> Asked:
        try:
            keys.fetch(config, 0)
        except RemoteError as error:
            what = "oidc discovery URL" if config.oidc_discovery_url else "jwks URL"
            return Asked(config.source, f"error checking {what}: {error}")
        return Asked(config.source)

    return Errand(ask)


def decide_config(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """The configuration is what is given, and nothing of what it was."""
    given = parameters(request)
    config = _given(given)
    warnings = []
    if config.oidc_discovery_url or config.jwks_url:
        if _unchecked(given):
            warnings.append("the keys of the issuer were not looked at: logins fail until they can be fetched")
        elif not isinstance(request.labour, Asked) or request.labour.source != config.source:
            raise StaleLabour
        elif request.labour.why:
            raise Refusal(400, request.labour.why)
    before = find(context, NAME, JwtConfig)
    draft = Draft()
    put(context, draft, NAME, config, before)  # also the same again: what is remembered of its keys is forgotten
    return Plan(Answer(warnings=warnings or None), draft)


# ---- what is given
def _unchecked(given: Mapping[str, Given]) -> bool:
    return "skip_jwks_validation" in given and to_bool("skip_jwks_validation", given["skip_jwks_validation"])


def _given(given: Mapping[str, Given]) -> JwtConfig:
    config = JwtConfig()
    for name in _TEXTS:
        setattr(config, name, to_text(name, given.get(name)))
    config.oidc_response_types = to_names("oidc_response_types", given.get("oidc_response_types"))
    config.jwt_supported_algs = to_names("jwt_supported_algs", given.get("jwt_supported_algs"))
    config.jwt_validation_pubkeys = to_names("jwt_validation_pubkeys", given.get("jwt_validation_pubkeys"))
    if "namespace_in_state" in given:
        config.namespace_in_state = to_bool("namespace_in_state", given["namespace_in_state"])
    provider = to_object("provider_config", given["provider_config"]) if "provider_config" in given else None
    if provider is not None and object_fields(provider):
        raise Refusal(400, "provider_config is not supported")
    _check(config)
    return config


def _check(config: JwtConfig) -> None:
    sources = (config.oidc_discovery_url, config.jwks_url, config.jwt_validation_pubkeys)
    if sum(map(bool, sources)) != 1:
        names = "'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url'"
        raise Refusal(400, f"exactly one of {names} must be set")
    if bool(config.oidc_client_id) != bool(config.oidc_client_secret):
        raise Refusal(400, "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
    if config.oidc_client_id and not config.oidc_discovery_url:
        raise Refusal(400, "'oidc_discovery_url' must be set for OIDC")
    for name in ("oidc_discovery_url", "jwks_url"):
        if getattr(config, name):
            remote.check_url(name, getattr(config, name))
    if len(config.jwt_validation_pubkeys) > _PUBKEYS_MAX:
        raise Refusal(400, f"jwt_validation_pubkeys has more than {_PUBKEYS_MAX} keys")
    if any(keys.from_pem(text) is None for text in config.jwt_validation_pubkeys):
        raise Refusal(400, "error parsing public key: PEM of an RSA (2048 bits), EC or Ed25519 key is needed")
    for algorithm in config.jwt_supported_algs:
        if algorithm not in keys.ALGORITHMS:
            raise Refusal(400, f'unsupported signing algorithm: "{shown(algorithm)}"')
    if config.oidc_response_mode not in _RESPONSE_MODES:
        raise Refusal(400, f'invalid response_mode: "{shown(config.oidc_response_mode)}"')
    if any(kind != "code" for kind in config.oidc_response_types):
        raise Refusal(400, "invalid response_types: only code is supported")
