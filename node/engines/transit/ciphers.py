"""Encryption and decryption with one key: AEAD with or without derivation, and RSA-OAEP.

Pure but for OAEP, whose seed the library draws itself: it leaves with the answer and is in no fact. Layout:
`vault:vN:` base64(nonce 12 | ciphertext | tag 16), or the block of RSA-OAEP with SHA-256.

Derivation is HKDF-SHA256 without salt over the version's key, with the request's context as info: the cipher's key, and
where the encryption is convergent 32 bytes more, a MAC key. A convergent nonce is the beginning of HMAC-SHA256(MAC key,
plaintext); with associated data, of HMAC-SHA256(that MAC, associated data): the same nonce never seals two messages.
Invariants: a nonce that is not convergent comes from the operating system, 96 bits for every item; what does not open
says nothing but that.
Source: RFC 5869; NIST SP 800-38D; RFC 8439; RFC 8017, 7.1; Vault API, transit.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ...request import Refusal
from .encoding import decode, encode, tagged, untagged
from .key_types import Kind
from .material import public_key, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from .keys import NamedKey
    from .material import Version

NONCE_BYTES = 12
_TAG_BYTES = 16
_MAC_KEY_BYTES = 32
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_NO_CONTEXT = (
    "missing 'context' for key derivation; the key was created using a derived key, which means additional, "
    "per-request information must be included in order to perform operations with the key"
)


class Sealed(NamedTuple):
    """A ciphertext and the version that made it."""

    ciphertext: str
    key_version: int


def encrypt(
    named: NamedKey, number: int, plaintext: bytes, *, context: bytes, aad: bytes, random: Callable[[int], bytes]
) -> Sealed:
    """The ciphertext under the version that was asked for, 0 being the latest. Raises Refusal."""
    if not named.type.encrypts:
        raise Refusal(400, f"message encryption not supported for key type {named.type}")
    number = named.to_make(number, "encryption")
    version = named.version(number)
    if named.type.kind is Kind.RSA:
        return Sealed(tagged(number, encode(_encrypt_rsa(version, plaintext))), number)
    key, mac_key = _keys(named, version, context)
    nonce = _convergent_nonce(mac_key, plaintext, aad) if mac_key else random(NONCE_BYTES)
    box = nonce + _aead(named, key).encrypt(nonce, plaintext, aad or None)
    return Sealed(tagged(number, encode(box)), number)


def decrypt(named: NamedKey, ciphertext: str, *, context: bytes, aad: bytes) -> bytes:
    """The plaintext. Raises Refusal."""
    if not named.type.encrypts:
        raise Refusal(400, f"message decryption not supported for key type {named.type}")
    given, rest = untagged(ciphertext, "ciphertext")
    number = named.to_open(given or 1, "ciphertext")  # the first version once was number 0
    try:
        box = decode(rest)
    except Refusal:
        raise Refusal(400, "invalid ciphertext: could not decode base64") from None
    version = named.version(number)
    if named.type.kind is Kind.RSA:
        return _decrypt_rsa(version, box)
    if len(box) < NONCE_BYTES + _TAG_BYTES:
        raise Refusal(400, "invalid ciphertext length")
    key, _ = _keys(named, version, context)
    try:
        return _aead(named, key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], aad or None)
    except InvalidTag:
        raise Refusal(400, "cipher: message authentication failed") from None


def derive(version: Version, context: bytes, count: int) -> bytes:
    """So many bytes of the context's own key. Raises Refusal."""
    if not context:
        raise Refusal(400, _NO_CONTEXT)
    return HKDF(hashes.SHA256(), count, None, context).derive(version.key)


def _keys(named: NamedKey, version: Version, context: bytes) -> tuple[bytes, bytes]:
    """(the cipher's key, the MAC key of convergent nonces or b"")."""
    if not named.key.derived:
        return version.key, b""
    count = named.type.bits // 8
    mac_bytes = _MAC_KEY_BYTES if named.key.convergent_encryption else 0
    derived = derive(version, context, count + mac_bytes)
    return derived[:count], derived[count:]


def _convergent_nonce(mac_key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    mac = hmac.digest(mac_key, plaintext, "sha256")
    if aad:
        mac = hmac.digest(mac, aad, "sha256")
    return mac[:NONCE_BYTES]


def _aead(named: NamedKey, key: bytes) -> AESGCM | ChaCha20Poly1305:
    return ChaCha20Poly1305(key) if named.type.name == "chacha20-poly1305" else AESGCM(key)


def _encrypt_rsa(version: Version, plaintext: bytes) -> bytes:
    try:
        return cast("rsa.RSAPublicKey", public_key(version)).encrypt(plaintext, _OAEP)
    except ValueError:
        text = "failed to RSA encrypt the plaintext: crypto/rsa: message too long for RSA key size"
        raise Refusal(400, text) from None


def _decrypt_rsa(version: Version, box: bytes) -> bytes:
    try:
        return rsa_key(version).decrypt(box, _OAEP)
    except ValueError:
        raise Refusal(400, "failed to RSA decrypt the ciphertext: crypto/rsa: decryption error") from None
