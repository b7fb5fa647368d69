"""The `static` unsealer: a key in a file wraps the root key, so that compose files and tests start unattended.

Touches one file, through `KeyFile`. Invariants
  T1  the key is 32 random bytes in hex or base64, in a regular file of our own uid that nobody else may read
  T2  the key wraps the root key and never is it: rekey replaces the root key, and one key file serves no other use
  T3  no error holds a byte of the file
Wrapped root key: format u16 | nonce 12 | ciphertext 32 | tag 16; authenticated: purpose, key check, seal epoch.
Source: docs/threat-model.md, unsealers.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import struct
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster.errors import DamagedError, StrongroomError, WrongKeyError
from cluster.keyring import purposes
from cluster.keyring.envelope import read_seal
from cluster.keyring.purposes import FORMAT, KEY_BYTES, NONCE_BYTES, TAG_BYTES, Purpose
from cluster.keyring.seal import Unsealed, open_envelope
from cluster.keyring.secrecy import wipe

_FORMAT = struct.Struct(">H")
_EPOCH = struct.Struct(">Q")
_FILE_BYTES_MAX = 256
_MODES = frozenset((0o600, 0o400))
_DIFFERENT_BYTES_MIN = 16  # of 32 random bytes, 30 differ on average; fewer than 16 never happens (1 in 10^12)


class KeyFileError(StrongroomError):
    """The key file is not one. The sentence says what to do and nothing of what is in it."""


class FileContent(NamedTuple):
    """What the system says of an open file: full mode, uid of its owner, uid of this process, and its bytes."""

    mode: int
    owner: int
    process_owner: int
    data: bytearray

    def __repr__(self) -> str:
        return "<FileContent>"


class KeyFile(Protocol):
    """Reads one small file, so that tests need no files with odd owners."""

    def read(self, path: str, bytes_max: int) -> FileContent:
        """Mode, owner and at most `bytes_max` bytes of the very file that was opened. Raises OSError."""
        ...


class SystemKeyFile:
    """The file system's."""

    def read(self, path: str, bytes_max: int) -> FileContent:
        """See KeyFile. Symlinks are not followed, and a pipe in the file's place does not block."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            data = bytearray(bytes_max)
            count = os.readv(fd, [data]) if stat.S_ISREG(status.st_mode) else 0
            del data[count:]
            return FileContent(status.st_mode, status.st_uid, os.geteuid(), data)
        finally:
            os.close(fd)


def read_key(path: str, files: KeyFile) -> bytearray:
    """The 32-byte key in the file, in a buffer that the caller wipes. Raises KeyFileError."""
    data = read_private(path, files, "key_file", _FILE_BYTES_MAX)
    try:
        return parse_key(data)
    finally:
        wipe(data)


def read_private(path: str, files: KeyFile, name: str, bytes_max: int) -> bytearray:
    """What stands in a file that nobody else may read (T1), to be wiped. `name` is its key in the configuration.

    Raises KeyFileError.
    """
    try:
        content = files.read(path, bytes_max)
    except OSError as error:
        raise KeyFileError(f"seal: {name} cannot be read: {error.strerror}") from None
    rules = (
        (not stat.S_ISREG(content.mode), "is not a regular file"),
        (content.owner != content.process_owner, "must belong to the user that runs the server"),
        (stat.S_IMODE(content.mode) not in _MODES, "must have mode 0600"),
    )
    for broken, sentence in rules:
        if broken:
            wipe(content.data)
            raise KeyFileError(f"seal: {name} {sentence}")
    return content.data


def parse_key(text: bytes | bytearray) -> bytearray:
    """32 random bytes from their hex or base64 form, a newline behind it allowed. Raises KeyFileError."""
    stripped = text.strip()
    key = _decoded(stripped)
    if key is None:
        raise KeyFileError("seal: key_file must hold exactly 32 random bytes in hex or base64")
    if len(set(key)) < _DIFFERENT_BYTES_MIN or all(0x20 <= byte < 0x7F for byte in key):
        wipe(key)
        raise KeyFileError("seal: key_file holds a passphrase or a pattern, not 32 random bytes")
    return key


def wrap(static_key: bytes | bytearray, root_key: bytes | bytearray, check: bytes, epoch: int, nonce: bytes) -> bytes:
    """The root key under the static key, bound to its key check and seal epoch."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    key = purposes.derive(static_key, Purpose.STATIC_WRAP)
    try:
        return _FORMAT.pack(FORMAT) + nonce + AESGCM(key).encrypt(nonce, root_key, _aad(check, epoch))
    finally:
        wipe(key)


def unwrap(static_key: bytes | bytearray, wrapped: bytes, check: bytes, epoch: int) -> bytearray:
    """The root key, in a buffer that the caller wipes.

    Raises DamagedError for bytes that are no wrapped key, WrongKeyError if they do not open with this key.
    """
    nonce_at = _FORMAT.size
    box_at = nonce_at + NONCE_BYTES
    if len(wrapped) != box_at + KEY_BYTES + TAG_BYTES or wrapped[:nonce_at] != _FORMAT.pack(FORMAT):
        raise DamagedError("a wrapped root key has an unknown format or a wrong length")
    root_key = bytearray(KEY_BYTES)
    key = purposes.derive(static_key, Purpose.STATIC_WRAP)
    try:
        AESGCM(key).decrypt_into(wrapped[nonce_at:box_at], wrapped[box_at:], _aad(check, epoch), root_key)
    except InvalidTag:
        raise WrongKeyError("the key in key_file does not open this cluster's root key") from None
    finally:
        wipe(key)
    return root_key


def unseal(static_key: bytes | bytearray, envelope: bytes) -> Unsealed:
    """Root key and keyring. Raises WrongKeyError or DamagedError."""
    _, seal = read_seal(envelope)
    if seal.type != "static":
        raise WrongKeyError("this cluster is not sealed with a key file")
    return open_envelope(unwrap(static_key, seal.wrapped_root, seal.key_check, seal.epoch), envelope)


def _aad(check: bytes, epoch: int) -> bytes:
    # The key check stands for the cluster: it names the one root key that may come out.
    return purposes.aad_start(Purpose.STATIC_WRAP, b"", b"") + purposes.pack(check, _EPOCH.pack(epoch))


def _decoded(text: bytes | bytearray) -> bytearray | None:
    for decode in (binascii.unhexlify, lambda data: base64.b64decode(data, validate=True)):
        try:
            key = bytearray(decode(text))
        except ValueError:
            continue
        if len(key) == KEY_BYTES:
            return key
    return None
