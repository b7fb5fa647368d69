"""Private keys of authorities and certificates: which there are, and the forms they are given away in.

Pure but for `make`, which draws the library's own randomness and is only called where work runs (engines/base.py,
Labour). Invariant: a key is in no message; what holds one shows a fixed text.
Source: Vault API, "PKI" (key_type, key_bits, private_key_format); RFC 5958, RFC 5915, RFC 8017.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ...request import Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

ANY = "any"  # of a role that only signs
FORMATS = frozenset({"pem", "der", "pem_bundle"})
KEY_FORMATS = frozenset({"der", "pkcs8"})
_CURVES: dict[int, type[ec.EllipticCurve]] = {
    224: ec.SECP224R1,
    256: ec.SECP256R1,
    384: ec.SECP384R1,
    521: ec.SECP521R1,
}
_RSA_BITS = frozenset({2048, 3072, 4096})
_RSA_BITS_MAX = 8192  # of somebody else's key: checking a signature by a larger one holds the event loop
_DEFAULT_BITS = {"rsa": 2048, "ec": 256, "ed25519": 0, ANY: 0}
_PUBLIC_EXPONENT = 65_537


def checked_bits(key_type: str, key_bits: int) -> int:
    """The bits of keys of this type, the default for 0. Raises Refusal with Vault's texts."""
    if key_type not in _DEFAULT_BITS:
        raise Refusal(400, "unknown key type: it is one of rsa, ec, ed25519, any")
    bits = key_bits or _DEFAULT_BITS[key_type]
    if key_type == "rsa" and bits not in _RSA_BITS:
        raise Refusal(400, f"unsupported bit length for RSA key: {bits}")
    if key_type == "ec" and bits not in _CURVES:
        raise Refusal(400, f"unsupported bit length for EC key: {bits}")
    return bits


def make(key_type: str, bits: int) -> PrivateKey:
    """A new key; seconds for a long one of RSA."""
    if key_type == "rsa":
        return rsa.generate_private_key(_PUBLIC_EXPONENT, bits)
    if key_type == "ec":
        return ec.generate_private_key(_CURVES[bits]())
    assert key_type == "ed25519"
    return ed25519.Ed25519PrivateKey.generate()


def stored(key: PrivateKey) -> bytes:
    """The key as it is sealed and kept."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def opened(kept: bytes) -> PrivateKey:
    """The key of an authority. It was made here: its arithmetic is not checked again at each use."""
    key = serialization.load_der_private_key(kept, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, PrivateKey)
    return key


def digest_for(key: PrivateKey) -> Digest | None:
    """The hash that goes with an authority's key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def type_of(key: PrivateKey) -> str:
    """Vault's word for what it is."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa"
    return "ec" if isinstance(key, ec.EllipticCurvePrivateKey) else "ed25519"


def checked_public(public: CertificatePublicKeyTypes, key_type: str, bits: int) -> PublicKey:
    """A request's own key, which is what the role asks for. Raises Refusal with Vault's texts."""
    if isinstance(public, rsa.RSAPublicKey):
        found, found_bits, least_bits = "rsa", public.key_size, 2048
    elif isinstance(public, ec.EllipticCurvePublicKey):
        found, found_bits, least_bits = "ec", public.key_size, 224
    elif isinstance(public, ed25519.Ed25519PublicKey):
        found, found_bits, least_bits = "ed25519", 0, 0
    else:
        raise Refusal(400, "the key of the certificate request has a type that is not supported")
    if key_type not in {ANY, found}:
        raise Refusal(400, f"role requires keys of type {key_type}")
    least_bits = max(least_bits, bits if key_type == found else 0)
    if found_bits < least_bits:
        raise Refusal(400, f"role requires a minimum of a {least_bits}-bit key, but CSR's key is {found_bits} bits")
    if found == "rsa" and found_bits > _RSA_BITS_MAX:
        raise Refusal(400, f"the key of the certificate request has more than {_RSA_BITS_MAX} bits")
    return public


def shown(key: PrivateKey, form: str, key_form: str) -> str:
    """The key as it is given away once: PEM, or base64 of DER; PKCS 8, or the older form of its type."""
    old = key_form != "pkcs8" and not isinstance(key, ed25519.Ed25519PrivateKey)
    inner = serialization.PrivateFormat.TraditionalOpenSSL if old else serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    if form == "der":
        return base64.b64encode(key.private_bytes(serialization.Encoding.DER, inner, plain)).decode()
    return key.private_bytes(serialization.Encoding.PEM, inner, plain).decode().strip()
