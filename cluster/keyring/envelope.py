"""The envelope: the keyring sealed under the root key, with what a sealed node must know in the clear.

Pure. Invariants
  E1  everything before the box is authenticated by it, in the bytes as they stand, unknown later fields included
  E2  no envelope is sealed with a root key that its own key check does not name
  E3  the key check is an HMAC under a key that is made for nothing else: it reveals nothing about any other key
Layout (big-endian): "SRKR" | format u16 | cluster id 16 | length u16 | seal (msgpack array) | nonce 12 | box
Source: Vault, "seal/unseal" (root key, keyring); docs/threat-model.md, keys.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster.errors import DamagedError, WrongKeyError

from . import purposes
from .keyring import Keyring
from .purposes import CLUSTER_ID_BYTES, FORMAT, KEY_BYTES, NONCE_BYTES, TAG_BYTES, Purpose
from .secrecy import wipe

MAGIC = b"SRKR"
_HEAD = struct.Struct(">4sH16sH")
_EPOCH = struct.Struct(">Q")


Natural = Annotated[int, msgspec.Meta(ge=0)]


class SealConfig(msgspec.Struct, array_like=True, frozen=True):
    """How a cluster is unsealed. Nothing in it is secret. New fields go at the end, with a default.

    `shares` and `threshold` are 0 where no shares were made. `epoch` counts rekeys, from 1. `wrapped_root` is the
    root key under the key of an unsealer that wraps it (`static`), empty for `shamir`.
    """

    type: str
    shares: Natural
    threshold: Natural
    key_check: bytes
    peers: bool
    epoch: Natural
    wrapped_root: bytes = b""


_encode_seal = msgspec.msgpack.Encoder().encode
_decode_seal = msgspec.msgpack.Decoder(SealConfig).decode


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of an envelope. `seal_bytes` is `seal` as it was written, `box` is nonce | ciphertext | tag."""

    cluster_id: bytes
    seal: SealConfig
    seal_bytes: bytes
    box: bytes

    def head(self) -> bytes:
        """Everything before the box."""
        return _HEAD.pack(MAGIC, FORMAT, self.cluster_id, len(self.seal_bytes)) + self.seal_bytes

    def encode(self) -> bytes:
        """The bytes that `decode` reads."""
        return self.head() + self.box

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """The parts, nothing of them verified. Raises DamagedError for bytes that are no envelope."""
        try:
            magic, kind, cluster_id, seal_length = _HEAD.unpack_from(data)
        except struct.error:
            raise DamagedError("a keyring envelope is cut short") from None
        box_at = _HEAD.size + seal_length
        if magic != MAGIC or kind != FORMAT or len(data) < box_at + NONCE_BYTES + TAG_BYTES:
            raise DamagedError("not a keyring envelope, or of an unknown format, or cut short")
        seal_bytes = data[_HEAD.size : box_at]
        try:
            seal = _decode_seal(seal_bytes)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DamagedError("a keyring envelope has no readable seal configuration") from None
        return cls(cluster_id, seal, seal_bytes, data[box_at:])


def key_check(root_key: bytes | bytearray) -> bytes:
    """32 bytes that tell the right root key from a wrong one."""
    key = purposes.derive(root_key, Purpose.KEY_CHECK)
    check = hmac.digest(key, b"strongroom root key", "sha256")
    wipe(key)
    return check


def seal_keyring(root_key: bytes | bytearray, keyring: Keyring, seal: SealConfig, nonce: bytes) -> bytes:
    """The envelope of the keyring. Raises WrongKeyError if `seal.key_check` is not that of the root key (E2)."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    _check(root_key, seal)
    draft = Envelope(keyring.cluster_id, seal, _encode_seal(seal), b"")
    plaintext = keyring.encode()
    key = purposes.derive(root_key, Purpose.KEYRING)
    try:
        head = draft.head()
        return head + nonce + AESGCM(key).encrypt(nonce, plaintext, _aad(draft, head))
    finally:
        wipe(key)
        wipe(plaintext)


def open_keyring(root_key: bytes | bytearray, envelope: bytes) -> Keyring:
    """The keyring inside.

    Raises WrongKeyError if the key is not the one that the envelope's key check names, DamagedError if it is and the
    envelope still does not open.
    """
    parts = Envelope.decode(envelope)
    _check(root_key, parts.seal)
    nonce, box = parts.box[:NONCE_BYTES], parts.box[NONCE_BYTES:]
    plaintext = bytearray(len(box) - TAG_BYTES)
    key = purposes.derive(root_key, Purpose.KEYRING)
    try:
        AESGCM(key).decrypt_into(nonce, box, _aad(parts, parts.head()), plaintext)
        keyring = Keyring.decode(plaintext)
    except InvalidTag:
        raise DamagedError("a keyring envelope does not open with the right root key") from None
    finally:
        wipe(key)
        wipe(plaintext)
    return keyring


def read_seal(envelope: bytes) -> tuple[bytes, SealConfig]:
    """(cluster id, seal configuration), readable while sealed and not verified. Raises DamagedError."""
    parts = Envelope.decode(envelope)
    return parts.cluster_id, parts.seal


def _check(root_key: bytes | bytearray, seal: SealConfig) -> None:
    if len(root_key) != KEY_BYTES or not hmac.compare_digest(key_check(root_key), seal.key_check):
        raise WrongKeyError("this is not the root key that the keyring is sealed under")


def _aad(parts: Envelope, head: bytes) -> bytes:
    # No key term: the root key is none, and the seal epoch stands for which root key it is.
    return purposes.aad_start(Purpose.KEYRING, b"", parts.cluster_id) + purposes.pack(
        _EPOCH.pack(parts.seal.epoch), head
    )


assert _HEAD.size == len(MAGIC) + 2 + CLUSTER_ID_BYTES + 2, "the layout above"
