"""What one version of a key is made of, how it comes to be, and the forms it is loaded and shown in.

Pure: bytes come in; a key of RSA is drawn by the library, in a thread, before anything is decided (`RsaDraw`). An
elliptic scalar is drawn from 8 bytes more than its order has, so that no value of it is likelier than another.
Invariants: no repr holds a key; what comes from a backup is checked as if an enemy had written it; a stored key is
loaded without the library's primality tests (100 ms), because the seal vouches for it.
Source: FIPS 186-5, A.2.1; RFC 5958; RFC 8032; Vault API, transit, "Read key", "Export key".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, cast

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .encoding import encode
from .key_types import KeyType, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

HMAC_KEY_BYTES = 32
_ED25519_BYTES = 32
_RSA_EXPONENT = 65537
_SCALAR_EXTRA_BYTES = 8
_CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8
_PKIX = serialization.PublicFormat.SubjectPublicKeyInfo
_PLAIN = serialization.NoEncryption()


class Hidden(msgspec.Struct, array_like=True):
    """Base of records that hold keys: a fixed repr, and no pickling."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        msg = f"{type(self).__name__} holds keys and is not pickled"
        raise TypeError(msg)


class Version(Hidden):
    """`key`: the symmetric key, the seed of ed25519, or PKCS 8; `public`: 32 bytes of ed25519, or PKIX."""

    key: bytes
    hmac_key: bytes
    created_ns: int
    public: bytes = b""


class RsaDraw:
    """A key of RSA that was drawn before the decision, and for which size."""

    __slots__ = ("bits", "key")

    def __init__(self, bits: int) -> None:
        """Takes 100 ms and more: only in a thread."""
        self.bits = bits
        self.key = rsa.generate_private_key(_RSA_EXPONENT, bits).private_bytes(_DER, _PKCS8, _PLAIN)

    def __repr__(self) -> str:
        return "<RsaDraw>"

    def __reduce__(self) -> NoReturn:
        msg = "RsaDraw holds a key and is not pickled"
        raise TypeError(msg)


def new_version(
    type_: KeyType, random: Callable[[int], bytes], now_ns: int, *, key_bytes: int, rsa_key: bytes
) -> Version:
    """A fresh version. `key_bytes` is the size of a key for HMAC, `rsa_key` what was drawn for RSA."""
    match type_.kind:
        case Kind.AEAD:
            key = random(type_.bits // 8)
        case Kind.HMAC:
            key = random(key_bytes)
        case Kind.ED25519:
            key = random(_ED25519_BYTES)
        case Kind.EC:
            key = _new_scalar(_CURVES[type_.bits], random)
        case Kind.RSA:
            key = rsa_key
    hmac_key = key if type_.kind is Kind.HMAC else random(HMAC_KEY_BYTES)
    return Version(key, hmac_key, now_ns, _public_bytes(type_, key))


def checked(type_: KeyType, version: Version, *, key_bytes: int) -> Version | None:
    """The version as this program would have made it from that key, or None if it is no key of that type."""
    try:
        good = _is_good(type_, version.key, key_bytes)
        public = _public_bytes(type_, version.key) if good else b""
    except (ValueError, TypeError, AttributeError):
        return None
    hmac_bytes = key_bytes if type_.kind is Kind.HMAC else HMAC_KEY_BYTES
    if not good or len(version.hmac_key) != hmac_bytes or version.created_ns < 0:
        return None
    if type_.kind is Kind.HMAC and version.key != version.hmac_key:
        return None
    return Version(version.key, version.hmac_key, version.created_ns, public)


# ---- loading
def ed25519_key(seed: bytes) -> ed25519.Ed25519PrivateKey:
    """The private key of a seed."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed)


def ec_key(version: Version) -> ec.EllipticCurvePrivateKey:
    """The private key."""
    return cast("ec.EllipticCurvePrivateKey", serialization.load_der_private_key(version.key, None))


def rsa_key(version: Version) -> rsa.RSAPrivateKey:
    """The private key."""
    return _load_rsa(version.key)


def public_key(version: Version) -> PublicKeyTypes:
    """The public key of EC or RSA."""
    return serialization.load_der_public_key(version.public)


# ---- showing
def shown_public(type_: KeyType, version: Version) -> str:
    """As Vault shows it: PEM, or base64 for ed25519."""
    if type_.kind is Kind.ED25519:
        return encode(version.public)
    return public_key(version).public_bytes(_PEM, _PKIX).decode("ascii")


# ---- making and checking
def _new_scalar(curve: ec.EllipticCurve, random: Callable[[int], bytes]) -> bytes:
    drawn = int.from_bytes(random((curve.key_size + 7) // 8 + _SCALAR_EXTRA_BYTES), "big")
    scalar = drawn % (curve.group_order - 1) + 1
    return ec.derive_private_key(scalar, curve).private_bytes(_DER, _PKCS8, _PLAIN)


def _public_bytes(type_: KeyType, key: bytes) -> bytes:
    match type_.kind:
        case Kind.ED25519:
            return ed25519_key(key).public_key().public_bytes_raw()
        case Kind.EC:
            loaded = cast("ec.EllipticCurvePrivateKey", serialization.load_der_private_key(key, None))
            return loaded.public_key().public_bytes(_DER, _PKIX)
        case Kind.RSA:
            return _load_rsa(key).public_key().public_bytes(_DER, _PKIX)
        case _:
            return b""


def _is_good(type_: KeyType, key: bytes, key_bytes: int) -> bool:
    match type_.kind:
        case Kind.AEAD:
            return len(key) * 8 == type_.bits
        case Kind.ED25519:
            return len(key) == _ED25519_BYTES
        case Kind.HMAC:
            return len(key) == key_bytes
        case Kind.EC:
            loaded = serialization.load_der_private_key(key, None)
            return isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.key_size == type_.bits
        case Kind.RSA:
            return _is_good_rsa(key, type_.bits)


def _is_good_rsa(key: bytes, bits: int) -> bool:
    """What a wrong number would make leak or fail; whether p and q are primes is its owner's affair."""
    loaded = _load_rsa(key)
    if not isinstance(loaded, rsa.RSAPrivateKey) or loaded.key_size != bits:
        return False
    numbers = loaded.private_numbers()
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    return (
        e == _RSA_EXPONENT
        and p != q
        and min(p, q).bit_length() == bits // 2
        and p * q == numbers.public_numbers.n
        and d * e % (p - 1) == 1
        and d * e % (q - 1) == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    )


def _load_rsa(key: bytes) -> rsa.RSAPrivateKey:
    loaded = serialization.load_der_private_key(key, None, unsafe_skip_rsa_key_validation=True)
    return cast("rsa.RSAPrivateKey", loaded)
