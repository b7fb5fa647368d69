"""The ciphers of one purpose: which salts this process has opened with, and the one it seals with.

Pure but for what it remembers. Invariants
  C1  a process seals with a 16-byte salt that it drew itself, per key term and purpose; after 2^30 seals it draws anew.
      So two lives of one machine (a restored snapshot of it) never share a key and a nonce
  C2  only a cipher that has opened something is remembered, and only so many: a peer cannot fill the memory with salts
  C3  a derived key's buffer lives as long as its cipher and is wiped with it, whether or not the library copied it
Source: docs/threat-model.md, nonces; NIST SP 800-38D 8.3 (bound on random nonces).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import purposes
from .purposes import KEY_TERM_ID_BYTES, SALT_BYTES, Purpose
from .secrecy import Secret, wipe

if TYPE_CHECKING:
    from cluster.seams import Random

    from .keyring import Keyring

SEALS_MAX = 1 << 30
CIPHERS_MAX = 4096
PLACE_BYTES = KEY_TERM_ID_BYTES + SALT_BYTES


class Cipher(Secret):
    """AES-256-GCM under one salt. `place` is key term id | salt; `aad` what its authenticated data begins with."""

    __slots__ = ("_key", "aad", "aead", "place", "seals")

    def __init__(self, keyring: Keyring, purpose: Purpose, place: bytes, aad_rest: bytes) -> None:
        """Raises UnknownKeyTermError for a key term that is not in the keyring, SealedError for a wiped one."""
        key_term_id, salt = place[:KEY_TERM_ID_BYTES], place[KEY_TERM_ID_BYTES:]
        purpose_key = keyring.purpose_key(key_term_id, purpose)
        self._key = purposes.derive_for_salt(purpose_key, purpose, salt)
        wipe(purpose_key)
        self.aead = AESGCM(self._key)
        self.aad = purposes.aad_start(purpose, key_term_id, keyring.term_cluster_id(key_term_id)) + aad_rest
        self.place = place
        self.seals = 0

    def wipe(self) -> None:
        """The derived key's buffer is zero; the cipher must not be used any more."""
        wipe(self._key)


class PurposeCiphers(Secret):
    """All ciphers of one purpose in this process. `aad_rest` stands in all its authenticated data (the generation)."""

    __slots__ = ("_aad_rest", "_known", "_purpose", "_seals_before", "own")

    def __init__(self, purpose: Purpose, aad_rest: bytes) -> None:
        self._purpose = purpose
        self._aad_rest = aad_rest
        self._known: dict[bytes, Cipher] = {}
        self._seals_before = 0
        self.own: Cipher | None = None

    def sealing(self, keyring: Keyring, random: Random) -> Cipher:
        """The cipher to seal with now: of the active key term, with a salt of our own that is not used up."""
        own = self.own
        key_term_id = keyring.active_term_id
        if own is not None and own.seals < SEALS_MAX and own.place.startswith(key_term_id):
            return own
        # The old one stays known: what it sealed is still to be opened.
        if own is not None and own.place.startswith(key_term_id):
            self._seals_before += own.seals
        else:
            self._seals_before = 0
        self.own = self.make(keyring, key_term_id + random.bytes(SALT_BYTES))
        self.keep(self.own)
        return self.own

    def known(self, place: bytes) -> Cipher | None:
        """The cipher for key term id | salt, if it has opened something before."""
        return self._known.get(place)

    def opening(self, keyring: Keyring, place: bytes) -> Cipher:
        """The cipher for key term id | salt; `keep` it once it has opened something. Raises as Cipher does."""
        return self._known.get(place) or self.make(keyring, place)

    def make(self, keyring: Keyring, place: bytes) -> Cipher:
        """A cipher that nothing remembers. Raises as Cipher does."""
        return Cipher(keyring, self._purpose, place, self._aad_rest)

    def keep(self, cipher: Cipher) -> None:
        """The next `opening` of its place costs nothing."""
        if cipher.place in self._known:
            return
        if len(self._known) >= CIPHERS_MAX:
            own = self.own
            for old in self._known.values():
                if old is not own:
                    old.wipe()
            self._known = {} if own is None else {own.place: own}
        self._known[cipher.place] = cipher

    def seals(self, key_term_id: bytes) -> int:
        """How often this process sealed with the key term, as far as it is the one that `own` belongs to."""
        if self.own is None or not self.own.place.startswith(key_term_id):
            return 0
        return self._seals_before + self.own.seals

    def use(self, keyring: Keyring) -> None:
        """Nothing derived from another keyring is remembered; our own salt stays if its term is still there."""
        own = self.own
        self.forget()
        if own is not None and own.place[:KEY_TERM_ID_BYTES] in keyring.term_ids:
            self.own = self.make(keyring, own.place)
            self.own.seals = own.seals
            self.keep(self.own)

    def forget(self) -> None:
        """Every derived key is wiped and forgotten."""
        for cipher in self._known.values():
            cipher.wipe()
        if self.own is not None:
            self.own.wipe()
        self._known = {}
        self.own = None
