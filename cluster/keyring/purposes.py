"""Purposes: one key per use, and the beginning that all authenticated data has in common.

Pure. Invariants
  P1  no key serves two uses: a purpose key is HKDF-SHA256(parent key, "strongroom/v1/" + purpose)
  P2  what a key term seals is sealed with HKDF-SHA256(purpose key, salt of the sealing process), never with the
      purpose key itself
  P3  authenticated data begins (format, purpose, key term id, cluster id of that term); every part carries its length
Source: RFC 5869 (HKDF); docs/threat-model.md, keys.
"""

from __future__ import annotations

import enum
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
KEY_TERM_ID_BYTES = 8
CLUSTER_ID_BYTES = 16
SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
FORMAT = 1

_LENGTH = struct.Struct(">H")


class Purpose(enum.Enum):
    """What a derived key is for. The parent is the key term, except where another is named."""

    VALUE = b"value"
    ENTRY = b"entry"
    SNAPSHOT = b"snapshot"
    BATCH = b"batch"
    BATCH_TOKEN = b"batch-token"
    KEYRING = b"keyring"  # parent: the root key
    KEY_CHECK = b"key-check"  # parent: the root key
    STATIC_WRAP = b"static-wrap"  # parent: a key file's key, or the one that transit gives back
    HAND_OUT = b"hand-out"  # parent: the X25519 secret of a hand-out between members


class MacKey(enum.IntEnum):
    """Keys that are made at create, kept in the keyring and never rotated. Numbers are part of the format."""

    TOKEN = 1
    INDEX = 2
    CONFLICT = 3
    DIGEST = 4
    LINK = 5
    AUDIT_CHAIN = 6


def derive(parent: bytes | bytearray, purpose: Purpose, *, salt: bytes | None = None) -> bytearray:
    """The 32-byte key for `purpose` below `parent`, in a buffer that the caller wipes."""
    return _hkdf(parent, salt, b"strongroom/v1/" + purpose.value)


def derive_for_salt(purpose_key: bytes | bytearray, purpose: Purpose, salt: bytes) -> bytearray:
    """The 32-byte key that the process with this salt seals with, in a buffer that the caller wipes."""
    return _hkdf(purpose_key, salt, b"strongroom/v1/seal/" + purpose.value)


def pack(*parts: bytes) -> bytes:
    """The parts one after another, each behind its length (u16): no two lists of parts give the same bytes.

    Raises struct.error for a part past 65,535 bytes.
    """
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def aad_start(purpose: Purpose, key_term_id: bytes, cluster_id: bytes) -> bytes:
    """What all authenticated data begins with (P3). `key_term_id` is empty where no key term is involved."""
    return pack(_LENGTH.pack(FORMAT), purpose.value, key_term_id, cluster_id)


def _hkdf(parent: bytes | bytearray, salt: bytes | None, info: bytes) -> bytearray:
    key = bytearray(KEY_BYTES)
    HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive_into(parent, key)
    return key
