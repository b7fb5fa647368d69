"""Backup objects sealed and opened with the keyring.

Pure but for the ciphers it remembers; nonces come in. Invariants: what does not open under its own header raises
DamagedError; no object is sealed with a key of another purpose.
Source: docs/threat-model.md, keys; NIST SP 800-38D.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from ..errors import DamagedError
from ..keyring.cipher import PLACE_BYTES, PurposeCiphers
from ..keyring.purposes import NONCE_BYTES, TAG_BYTES, Purpose
from ..keyring.secrecy import Secret
from .format import Header, Parsed, head_of

if TYPE_CHECKING:
    from ..keyring.keyring import Keyring
    from ..seams import Random

_LENGTH = struct.Struct(">I")


class BackupSealer(Secret):
    """One process's ciphers for backup objects."""

    __slots__ = ("_ciphers", "_keyring", "_random")

    def __init__(self, keyring: Keyring, random: Random) -> None:
        self._keyring = keyring
        self._random = random
        self._ciphers = PurposeCiphers(Purpose.BATCH, b"")

    def use(self, keyring: Keyring) -> None:
        """From now on the new keyring's active term seals."""
        self._keyring = keyring
        self._ciphers.use(keyring)

    def wipe(self) -> None:
        """Nothing derived is kept."""
        self._ciphers.forget()

    def place(self) -> bytes:
        """Key term and salt that the next object is sealed with: part of its header. Ask in the same turn as `seal`."""
        return self._ciphers.sealing(self._keyring, self._random).place

    def seal(self, header: Header, payload: bytes) -> bytes:
        """The object. `header.place` must be what `place` gave."""
        cipher = self._ciphers.own
        assert cipher is not None
        assert cipher.place == header.place, "place comes before seal"
        cipher.seals += 1
        head = head_of(header)
        nonce = self._random.bytes(NONCE_BYTES)
        return head + nonce + cipher.aead.encrypt(nonce, payload, _aad(cipher.aad, head))

    def open(self, parsed: Parsed) -> bytes:
        """The payload. Raises DamagedError, among them UnknownKeyTermError."""
        box = parsed.box
        if len(parsed.header.place) != PLACE_BYTES or len(box) < NONCE_BYTES + TAG_BYTES:
            raise DamagedError("a backup object is cut short")
        cipher = self._ciphers.opening(self._keyring, parsed.header.place)
        try:
            payload = cipher.aead.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], _aad(cipher.aad, parsed.head))
        except InvalidTag:
            raise DamagedError("a backup object does not open: it is damaged or not what its header says") from None
        self._ciphers.keep(cipher)
        return payload


def _aad(start: bytes, head: bytes) -> bytes:
    return b"%b%b%b" % (start, _LENGTH.pack(len(head)), head)
