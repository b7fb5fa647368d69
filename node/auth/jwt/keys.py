"""Public keys that signatures are checked with: as PEM, or as the key set of an issuer, fetched and remembered.

What parses is pure; `KeyCache` is shared by the loop and the threads that fetch. Invariants
  K1  only keys for RSA, elliptic curves and Ed25519: a shared secret is never taken for a key, so none can be forged
      from what is public
  K2  a set is remembered for one configuration, as written at one index: another configuration fetches its own
  K3  an issuer is asked for an unknown key at most every UNKNOWN_S, and after a failure not before FAILED_S have
      passed since it was known, however long the issuer took to fail
Source: RFC 7517; Vault API, "JWT/OIDC: configure" (jwks_url, oidc_discovery_url, jwt_validation_pubkeys).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk

from .. import remote
from ..remote import RemoteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import Key

    from .config import JwtConfig

NS = 1_000_000_000
UNKNOWN_S = 300
OLD_S = 3_600
FAILED_S = 10
REMEMBERED_MAX = 64
KEYS_MAX = 100
RSA_BITS_MIN = 2_048
DISCOVERY = "/.well-known/openid-configuration"
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
ALGORITHMS = (*_RSA, "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, and the algorithms it may be used with. `id` is None where the set gives it no name."""

    key: Key
    algorithms: tuple[str, ...]
    id: str | None = None

    def __repr__(self) -> str:
        return "<PublicKey>"


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys as they were at `read_ns` of the cluster's time; `provider`: what the issuer says of itself, if asked."""

    keys: tuple[PublicKey, ...]
    read_ns: int = 0
    provider: Mapping[str, Any] | None = None

    def serves(self, key_id: str | None, now_ns: int) -> bool:
        """Whether the issuer need not be asked again (K3)."""
        age_s = (now_ns - self.read_ns) / NS
        is_known = key_id is not None and any(key.id == key_id for key in self.keys)
        return age_s <= (OLD_S if is_known else UNKNOWN_S)


def from_pem(text: str) -> PublicKey | None:
    """The key of a PEM public key or certificate; None: there is none that may be used (K1)."""
    data = text.strip().encode()
    try:
        if b"BEGIN CERTIFICATE" in data:
            found: Any = x509.load_pem_x509_certificate(data).public_key()
        else:
            found = serialization.load_pem_public_key(data)
        return _usable(found, None)
    except Exception:  # noqa: BLE001 - whatever a library says of somebody's text: it is no key
        return None


def from_set(document: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """The keys of a set that may be used; what is of another kind, or broken, is left out. Raises RemoteError."""
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise RemoteError(f"the answer holds no list of at most {KEYS_MAX} keys")
    found = (_from_jwk(one) for one in listed)
    return tuple(key for key in found if key is not None)


def _from_jwk(given: Any) -> PublicKey | None:
    if not isinstance(given, dict) or given.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    if given.get("use", "sig") != "sig":
        return None
    operations, name, algorithm = given.get("key_ops"), given.get("kid"), given.get("alg")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    # Only what is public is taken over, and nothing that says how to use it.
    public = {field: given[field] for field in ("kty", "n", "e", "crv", "x", "y") if field in given}
    if len(str(public.get("n", ""))) * 6 < RSA_BITS_MIN and public["kty"] == "RSA":
        return None  # too short to be worth a look
    try:
        key = _usable(jwk.import_key(public).get_op_key("verify"), name if isinstance(name, str) else None)
    except Exception:  # noqa: BLE001 - as in `from_pem`
        return None
    if key is None or algorithm is None:
        return key
    return PublicKey(key.key, (algorithm,), key.id) if algorithm in key.algorithms else None


def _usable(found: Any, name: str | None) -> PublicKey | None:
    kind, algorithms = "", ()  # type: tuple[str, tuple[str, ...]]
    if isinstance(found, rsa.RSAPublicKey) and found.key_size >= RSA_BITS_MIN:
        kind, algorithms = "RSA", _RSA
    elif isinstance(found, ec.EllipticCurvePublicKey):
        kind, algorithms = "EC", _BY_CURVE.get(found.curve.name, ())
    elif isinstance(found, ed25519.Ed25519PublicKey):
        kind, algorithms = "OKP", ("EdDSA",)
    if not algorithms:
        return None
    pem = found.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(jwk.import_key(pem, kind), algorithms, name)  # type: ignore[call-overload]


# ---- where they come from
def fetch(config: JwtConfig, now_ns: int) -> KeySet:
    """The keys of the configuration, from its issuer where it names one. Waits. Raises RemoteError."""
    if config.oidc_discovery_url:
        provider = discover(config)
        url = provider.get("jwks_uri")
        if not isinstance(url, str) or not remote.may_follow(url, config.oidc_discovery_url):
            raise RemoteError("the provider names no jwks_uri that may be asked")
        return KeySet(from_set(remote.ask_json(url, config.oidc_discovery_ca_pem)), now_ns, provider)
    if config.jwks_url:
        return KeySet(from_set(remote.ask_json(config.jwks_url, config.jwks_ca_pem)), now_ns)
    found = (from_pem(text) for text in config.jwt_validation_pubkeys)
    return KeySet(tuple(key for key in found if key is not None), now_ns)


def discover(config: JwtConfig) -> dict[str, Any]:
    """What the provider says of itself. Waits. Raises RemoteError."""
    url = config.oidc_discovery_url.removesuffix("/") + DISCOVERY
    provider = remote.ask_json(url, config.oidc_discovery_ca_pem)
    if provider.get("issuer") != config.oidc_discovery_url:
        raise RemoteError("the provider says that it is another issuer than oidc_discovery_url")
    return provider


Place = tuple[bytes, int]
"""Uuid of a mount, and the index at which its configuration was written."""


class KeyCache:
    """What was fetched, for every mount of a node (K2, K3)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sets: OrderedDict[Place, KeySet] = OrderedDict()
        self._failed: OrderedDict[Place, tuple[int, str]] = OrderedDict()
        self._fetching: dict[Place, threading.Lock] = {}
        self._newest_ns = 0  # of the cluster's times that requests came with: here is no clock

    def peek(self, place: Place, key_id: str | None, now_ns: int) -> KeySet | None:
        """What is remembered, if nobody has to be asked."""
        with self._lock:
            self._newest_ns = max(self._newest_ns, now_ns)
            known = self._sets.get(place)
            return known if known is not None and known.serves(key_id, now_ns) else None

    def get(self, place: Place, config: JwtConfig, key_id: str | None, now_ns: int) -> KeySet:
        """What is remembered, or what the issuer answers; one thread asks, the others wait. Raises RemoteError."""
        with self._lock:
            turn = self._fetching.setdefault(place, threading.Lock())
        try:
            with turn:
                known = self.peek(place, key_id, now_ns)
                if known is not None:
                    return known
                with self._lock:
                    failed_ns, text = self._failed.get(place, (0, ""))
                if text and now_ns - failed_ns < FAILED_S * NS:
                    raise RemoteError(text)
                try:
                    found = fetch(config, now_ns)
                except RemoteError as error:
                    self._remember(self._failed, place, (self._newest_ns, str(error)))
                    raise
                self._remember(self._sets, place, found)
                return found
        finally:
            with self._lock:
                if not turn.locked():
                    self._fetching.pop(place, None)

    def _remember(self, kept: OrderedDict[Place, Any], place: Place, value: Any) -> None:
        with self._lock:
            kept[place] = value
            kept.move_to_end(place)
            while len(kept) > REMEMBERED_MAX:
                kept.popitem(last=False)
