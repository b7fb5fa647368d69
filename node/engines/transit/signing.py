"""Signatures with one key: Ed25519, ECDSA, RSA with PSS or PKCS 1 v1.5; in ASN.1 or as JWS has them.

Pure but for the salt of PSS, which the library draws itself: it leaves with the answer and is in no fact. ECDSA draws
nothing (RFC 6979). Invariants: an algorithm that a key cannot do is refused, never replaced by another; a signature
that does not fit is `False`, without saying why.
Source: RFC 8032; RFC 6979; RFC 7518, 3.4; RFC 8017; Vault API, transit, "Sign data".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from ...auth.typed_fields import shown, to_text
from ...request import Refusal
from ..fields import to_bool
from .ciphers import derive
from .encoding import decode, decode_url_safe, encode, encode_url_safe, tagged, untagged
from .hashing import DEFAULT, HASHES, hash_name
from .key_types import Kind
from .material import ec_key, ed25519_key, public_key, rsa_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..fields import Given
    from .keys import NamedKey
    from .material import Version

NONE = "none"
_ASN1, _JWS = "asn1", "jws"
_PSS, _PKCS1 = "pss", "pkcs1v15"
_SALT_HASH = -1
_SEED_BYTES = 32
_NUMBER_DIGITS_MAX = 6
_CLASSES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - old signatures have to be verified; nobody gets it without asking
    "sha2-224": hashes.SHA224(),
    "sha2-256": hashes.SHA256(),
    "sha2-384": hashes.SHA384(),
    "sha2-512": hashes.SHA512(),
    "sha3-224": hashes.SHA3_224(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-384": hashes.SHA3_384(),
    "sha3-512": hashes.SHA3_512(),
}
_BY_SIZE = {_CLASSES[name].digest_size: _CLASSES[name] for name in ("sha1", "sha2-224", "sha2-256", "sha2-384")}
_BY_SIZE[64] = _CLASSES["sha2-512"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a signature is made: as the request says, checked."""

    hash: str = DEFAULT
    marshaling: str = _ASN1
    algorithm: str = _PSS
    salt_length: int = 0  # 0: as long as possible, and whatever it is when verifying; -1: as long as the hash
    prehashed: bool = False


class Signature(NamedTuple):
    """A signature, the version that made it, and the public key where that depends on the context."""

    signature: str
    key_version: int
    public_key: str


def scheme_of(given: Mapping[str, Given], url_algorithm: str | None) -> Scheme:
    """The scheme that the parameters name; the path's hash algorithm wins. Raises Refusal and FieldError."""
    named = url_algorithm or to_text("hash_algorithm", given.get("hash_algorithm"))
    chosen = named or to_text("algorithm", given.get("algorithm")) or DEFAULT
    if chosen != NONE:
        chosen = hash_name(chosen, "invalid hash algorithm")
    marshaling = to_text("marshaling_algorithm", given.get("marshaling_algorithm")) or _ASN1
    if marshaling not in {_ASN1, _JWS}:
        raise Refusal(400, f'invalid marshaling type "{shown(marshaling)}"')
    algorithm = to_text("signature_algorithm", given.get("signature_algorithm"))
    prehashed = "prehashed" in given and to_bool("prehashed", given["prehashed"])
    if chosen == NONE and (not prehashed or algorithm != _PKCS1):
        raise Refusal(400, "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15")
    salt_length = _salt_length(to_text("salt_length", given.get("salt_length")))
    return Scheme(chosen, marshaling, algorithm or _PSS, salt_length, prehashed)


def sign(named: NamedKey, number: int, message: bytes, context: bytes, scheme: Scheme) -> Signature:
    """The signature of the version that was asked for, 0 being the latest. Raises Refusal."""
    number = named.to_make(number, "signing")
    version = named.version(number)
    public = ""
    match named.type.kind:
        case Kind.ED25519:
            key = _ed25519(named, version, context)
            raw = key.sign(message)
            public = encode(key.public_key().public_bytes_raw()) if named.key.derived else ""
        case Kind.EC:
            digest = _digest(message, scheme)
            ecdsa = ec.ECDSA(_prehashed(digest), deterministic_signing=True)
            raw = _marshal(ec_key(version).sign(digest, ecdsa), scheme, named.type.bits)
        case Kind.RSA:
            raw = _sign_rsa(rsa_key(version), _digest(message, scheme), scheme)
        case _:
            raise Refusal(400, f"key type {named.type} does not support signing")
    text = encode_url_safe(raw) if scheme.marshaling == _JWS else encode(raw)
    return Signature(tagged(number, text), number, public)


def verify(named: NamedKey, signature: str, message: bytes, context: bytes, scheme: Scheme) -> bool:
    """Whether the key signed the message so. Raises Refusal."""
    given, rest = untagged(signature, "signature")
    version = named.version(named.to_open(given, "signature"))
    raw = _decoded(rest, scheme)
    try:
        match named.type.kind:
            case Kind.ED25519:
                _ed25519_public(named, version, context).verify(raw, message)
            case Kind.EC:
                digest = _digest(message, scheme)
                key = cast("ec.EllipticCurvePublicKey", public_key(version))
                key.verify(_unmarshal(raw, scheme, named.type.bits), digest, ec.ECDSA(_prehashed(digest)))
            case Kind.RSA:
                _verify_rsa(cast("rsa.RSAPublicKey", public_key(version)), raw, _digest(message, scheme), scheme)
            case _:
                raise Refusal(400, f"key type {named.type} does not support verification")
    except InvalidSignature:
        return False
    return True


# ---- Ed25519
def derived_public(version: Version, context: bytes) -> str:
    """The public key of a context, as shown. Raises Refusal."""
    return encode(ed25519_key(derive(version, context, _SEED_BYTES)).public_key().public_bytes_raw())


def _ed25519(named: NamedKey, version: Version, context: bytes) -> ed25519.Ed25519PrivateKey:
    return ed25519_key(derive(version, context, _SEED_BYTES) if named.key.derived else version.key)


def _ed25519_public(named: NamedKey, version: Version, context: bytes) -> ed25519.Ed25519PublicKey:
    if named.key.derived:
        return _ed25519(named, version, context).public_key()
    return ed25519.Ed25519PublicKey.from_public_bytes(version.public)


# ---- ECDSA
def _prehashed(digest: bytes) -> utils.Prehashed:
    """ECDSA signs the number that the digest is: of its algorithm only the size matters."""
    found = _BY_SIZE.get(len(digest))
    if found is None:
        raise Refusal(400, "the input is not as long as the digest of any hash algorithm")
    return utils.Prehashed(found)


def _marshal(signature: bytes, scheme: Scheme, bits: int) -> bytes:
    if scheme.marshaling == _ASN1:
        return signature
    r, s = utils.decode_dss_signature(signature)
    size = (bits + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _unmarshal(raw: bytes, scheme: Scheme, bits: int) -> bytes:
    """The signature in ASN.1. Raises Refusal, or InvalidSignature for halves of another curve."""
    if scheme.marshaling == _ASN1:
        try:
            utils.decode_dss_signature(raw)
        except ValueError:
            raise Refusal(400, "supplied signature is invalid") from None
        return raw
    size = (bits + 7) // 8
    if len(raw) != 2 * size:
        raise InvalidSignature
    return utils.encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))


# ---- RSA
def _sign_rsa(key: rsa.RSAPrivateKey, digest: bytes, scheme: Scheme) -> bytes:
    _check_algorithm(scheme)
    try:
        if scheme.algorithm == _PKCS1:
            return key.sign(digest, padding.PKCS1v15(), _pkcs1_hash(digest, scheme))
        pss = _pss(key.key_size, scheme, longest=padding.PSS.MAX_LENGTH)
        return key.sign(digest, pss, _rsa_hash(digest, scheme))
    except ValueError:
        raise Refusal(400, "crypto/rsa: message too long for RSA key size") from None


def _verify_rsa(key: rsa.RSAPublicKey, raw: bytes, digest: bytes, scheme: Scheme) -> None:
    """Raises InvalidSignature or Refusal."""
    _check_algorithm(scheme)
    if scheme.algorithm == _PKCS1:
        key.verify(raw, digest, padding.PKCS1v15(), cast("utils.Prehashed", _pkcs1_hash(digest, scheme)))
    else:
        key.verify(raw, digest, _pss(key.key_size, scheme, longest=padding.PSS.AUTO), _rsa_hash(digest, scheme))


def _check_algorithm(scheme: Scheme) -> None:
    if scheme.algorithm not in {_PSS, _PKCS1}:
        raise Refusal(400, f"unsupported rsa signature algorithm {shown(scheme.algorithm)}")


def _rsa_hash(digest: bytes, scheme: Scheme) -> utils.Prehashed:
    algorithm = _CLASSES[scheme.hash]
    if len(digest) != algorithm.digest_size:
        raise Refusal(400, "crypto/rsa: input must be hashed message")
    return utils.Prehashed(algorithm)


def _pkcs1_hash(digest: bytes, scheme: Scheme) -> utils.Prehashed | utils.NoDigestInfo:
    return utils.NoDigestInfo() if scheme.hash == NONE else _rsa_hash(digest, scheme)


def _pss(bits: int, scheme: Scheme, *, longest: object) -> padding.PSS:
    algorithm = _CLASSES[scheme.hash]
    salt_max = (bits - 1 + 7) // 8 - 2 - algorithm.digest_size
    if scheme.salt_length > salt_max:
        raise Refusal(400, f"requested salt length {scheme.salt_length} is invalid")
    length: object = scheme.salt_length or longest
    if scheme.salt_length == _SALT_HASH:
        length = algorithm.digest_size
    return padding.PSS(padding.MGF1(algorithm), cast("int", length))


# ---- the scheme's parts
def _salt_length(text: str) -> int:
    match text.lower():
        case "" | "auto":
            return 0
        case "hash":
            return _SALT_HASH
        case number if number.lstrip("+-").isdecimal() and number.isascii() and len(number) <= _NUMBER_DIGITS_MAX:
            length = int(number) if number.count("-") + number.count("+") <= 1 else _SALT_HASH - 1
            if length < _SALT_HASH:
                raise Refusal(400, "salt length is invalid")
            return length
        case _:
            raise Refusal(400, "salt length neither 'auto', 'hash', nor an int")


def _digest(message: bytes, scheme: Scheme) -> bytes:
    return message if scheme.prehashed else hashlib.new(HASHES[scheme.hash], message).digest()


def _decoded(text: str, scheme: Scheme) -> bytes:
    raw: bytes | None
    if scheme.marshaling == _JWS:
        raw = decode_url_safe(text)
    else:
        try:
            raw = decode(text)
        except Refusal:
            raw = None
    if raw is None:
        raise Refusal(400, "invalid base64 signature value")
    return raw
