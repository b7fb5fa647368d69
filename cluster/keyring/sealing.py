"""Sealing: how values, log entries, snapshot chunks and batch tokens are encrypted and opened in one process.

Pure but for what it remembers (salts, counters, ciphers); nonces come in as arguments, from the operating system.
Invariants
  S1  what does not open under exactly the place it was written for raises DamagedError, whatever is wrong with it;
      UnknownKeyTermError, which is one, where a rotation may simply not be applied here yet
  S2  `seal_value` seals under the salt that `value_salt` returned last, so the salt id in a record always names it
  S3  type, conflict hashes and sequence of an entry are readable without keys, and authenticated
Layouts (big-endian)
  value  nonce 12 | ciphertext | tag 16
  entry  type u8 | hashes u8 | sequence u64 | hash 8 * hashes | key term id 8 | salt 16 | nonce 12 | ciphertext | tag 16
  chunk  number u32 | final u8 | key term id 8 | salt 16 | nonce 12 | ciphertext | tag 16
  token  key term id 8 | salt 16 | nonce 12 | ciphertext | tag 16
Source: NIST SP 800-38D (AES-GCM); docs/threat-model.md, keys and nonces.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from cluster.errors import DamagedError, SealedError

from . import purposes
from .cipher import PLACE_BYTES, SEALS_MAX, Cipher, PurposeCiphers
from .keyring import HASH_BYTES, Keyring
from .purposes import KEY_TERM_ID_BYTES, NONCE_BYTES, SALT_BYTES, TAG_BYTES, Purpose
from .secrecy import Secret

if TYPE_CHECKING:
    from cluster.seams import Random

HASHES_MAX = 4
MOUNT_UUID_BYTES = 16

_ENTRY = struct.Struct(">BBQ")
_CHUNK = struct.Struct(">IB")
_CHUNK_AAD = struct.Struct(">QQIB")
_VALUE_AAD = struct.Struct(">BHHHH")
_BOX_BYTES_MIN = NONCE_BYTES + TAG_BYTES


class Sealer(Secret):
    """One process's sealing state. `generation` names the line of history that entries and snapshots belong to."""

    __slots__ = ("_chunks", "_entries", "_keyring", "_random", "_salts", "_tokens", "_values")

    def __init__(self, keyring: Keyring, random: Random, generation: bytes) -> None:
        rest = purposes.pack(generation)
        self._keyring: Keyring | None = keyring
        self._random = random
        self._values = PurposeCiphers(Purpose.VALUE, b"")
        self._entries = PurposeCiphers(Purpose.ENTRY, rest)
        self._chunks = PurposeCiphers(Purpose.SNAPSHOT, rest)
        self._tokens = PurposeCiphers(Purpose.BATCH_TOKEN, rest)
        self._salts: dict[int, bytes] = {}  # salt id → key term id | salt

    @property
    def keyring(self) -> Keyring:
        """The keyring in use. Raises SealedError after `wipe`."""
        if self._keyring is None:
            raise SealedError("the node is sealed")
        return self._keyring

    @property
    def _all(self) -> tuple[PurposeCiphers, ...]:
        return self._values, self._entries, self._chunks, self._tokens

    @property
    def encryptions(self) -> int:
        """How often this process sealed anything with the active key term."""
        key_term_id = self.keyring.active_term_id
        return sum(ciphers.seals(key_term_id) for ciphers in self._all)

    def use(self, keyring: Keyring) -> None:
        """From now on the new keyring's active term seals; the caller wipes the old keyring when nobody else holds it.

        Call it when the rotation or rekey is applied. Salt ids that were learned stay.
        """
        self._keyring = keyring
        for ciphers in self._all:
            ciphers.use(keyring)

    def wipe(self) -> None:
        """This process can neither seal nor open: every derived key and the keyring itself are wiped."""
        for ciphers in self._all:
            ciphers.forget()
        if self._keyring is not None:
            self._keyring.wipe()
        self._keyring = None

    # --- values

    def value_salt(self) -> tuple[bytes, bytes]:
        """(key term id, salt) that `seal_value` seals with until this is called again.

        Ask in the same turn of the loop in which the value is sealed and its salt id is written: a rotation or 2^30
        seals bring another salt, and this call is where it appears.
        """
        place = self._values.sealing(self.keyring, self._random).place
        return place[:KEY_TERM_ID_BYTES], place[KEY_TERM_ID_BYTES:]

    def learn_salt(self, salt_id: int, key_term_id: bytes, salt: bytes) -> None:
        """Boxes with this salt id open from now on. The newest word wins: an id can be proposed, lost and given anew.

        Raises DamagedError for ids and salts of another length.
        """
        if len(key_term_id) != KEY_TERM_ID_BYTES or len(salt) != SALT_BYTES:
            raise DamagedError("a salt record has a key term id or a salt of a wrong length")
        self._salts[salt_id] = key_term_id + salt

    def seal_value(
        self, nonce: bytes, plaintext: bytes, *, table: int, key: bytes, field: bytes, record_id: bytes
    ) -> bytes:
        """The box (nonce | ciphertext | tag) that opens only for this table, key, field and record id.

        `key` is the full table key (mount uuid 16 + path); `record_id` is drawn by us when the record is created.
        """
        own = self._values.own
        assert own is not None, "value_salt comes before seal_value"
        if own.seals >= 2 * SEALS_MAX:
            raise OverflowError("value_salt was not asked for 2^31 seals")
        own.seals += 1
        aad = _value_aad(own.aad, table, key, field, record_id)
        return _nonce(nonce) + own.aead.encrypt(nonce, plaintext, aad)

    def open_value(self, salt_id: int, box: bytes, *, table: int, key: bytes, field: bytes, record_id: bytes) -> bytes:
        """The plaintext. Raises DamagedError for an unknown salt id, another place, or any changed bit."""
        place = self._salts.get(salt_id)
        if place is None:
            raise DamagedError("a value names a salt that is not known")
        known = self._values.known(place)
        cipher = known or self._values.make(self.keyring, place)
        plaintext = _open(cipher, box, _value_aad(cipher.aad, table, key, field, record_id), "a value")
        if known is None:
            self._values.keep(cipher)
        return plaintext

    # --- log entries

    def seal_entry(
        self, *, kind: int, term: int, sequence: int, hashes: tuple[bytes, ...], payload: bytes, nonce: bytes
    ) -> bytes:
        """A log entry. `term` is the Raft term of the proposer, `sequence` its own; at most four conflict hashes."""
        assert len(hashes) <= HASHES_MAX, "an entry has at most four conflict hashes"
        assert all(len(one) == HASH_BYTES for one in hashes), "a conflict hash has eight bytes"
        cipher = self._entries.sealing(self.keyring, self._random)
        cipher.seals += 1
        head = _ENTRY.pack(kind, len(hashes), sequence) + b"".join(hashes)
        box = cipher.aead.encrypt(nonce, payload, _entry_aad(cipher.aad, term, head))
        return b"%b%b%b%b" % (head, cipher.place, _nonce(nonce), box)

    def open_entry(self, term: int, entry: bytes) -> bytes:
        """The payload of an entry that was proposed in `term`. Raises DamagedError, among them UnknownKeyTermError."""
        start = _hashes_end(entry)
        box_at = start + PLACE_BYTES
        cipher = self._entries.opening(self.keyring, entry[start:box_at])
        payload = _open(cipher, entry[box_at:], _entry_aad(cipher.aad, term, entry[:start]), "an entry")
        self._entries.keep(cipher)
        return payload

    # --- snapshot chunks

    def seal_chunk(
        self, *, snapshot_id: bytes, index: int, term: int, number: int, final: bool, payload: bytes, nonce: bytes
    ) -> bytes:
        """Chunk `number` of a snapshot of the state at (`index`, `term`); `final` is true of its last one only."""
        cipher = self._chunks.sealing(self.keyring, self._random)
        cipher.seals += 1
        aad = _chunk_aad(cipher.aad, snapshot_id, index, term, number, final)
        return _CHUNK.pack(number, final) + cipher.place + _nonce(nonce) + cipher.aead.encrypt(nonce, payload, aad)

    def open_chunk(self, *, snapshot_id: bytes, index: int, term: int, chunk: bytes) -> tuple[int, bool, bytes]:
        """(number, final, payload). Raises DamagedError. That no chunk is missing is the reader's to check."""
        box_at = _CHUNK.size + PLACE_BYTES
        if len(chunk) < box_at + _BOX_BYTES_MIN:
            raise DamagedError("a snapshot chunk is cut short")
        number, final = _CHUNK.unpack_from(chunk)
        cipher = self._chunks.opening(self.keyring, chunk[_CHUNK.size : box_at])
        aad = _chunk_aad(cipher.aad, snapshot_id, index, term, number, final)
        payload = _open(cipher, chunk[box_at:], aad, "a snapshot chunk")
        self._chunks.keep(cipher)
        return number, bool(final), payload

    # --- batch tokens

    def seal_token(self, nonce: bytes, payload: bytes) -> bytes:
        """What a batch token carries, readable by whoever holds the keyring in this generation."""
        cipher = self._tokens.sealing(self.keyring, self._random)
        cipher.seals += 1
        return cipher.place + _nonce(nonce) + cipher.aead.encrypt(nonce, payload, cipher.aad)

    def open_token(self, sealed: bytes) -> bytes:
        """The payload of a batch token of this cluster and generation. Raises DamagedError, also for a made-up one."""
        if len(sealed) < PLACE_BYTES + _BOX_BYTES_MIN:
            raise DamagedError("a batch token is cut short")
        cipher = self._tokens.opening(self.keyring, sealed[:PLACE_BYTES])
        payload = _open(cipher, sealed[PLACE_BYTES:], cipher.aad, "a batch token")
        self._tokens.keep(cipher)
        return payload


def entry_kind(entry: bytes) -> int:
    """The entry's type, without keys. Raises DamagedError for bytes too short to be an entry."""
    _hashes_end(entry)
    return entry[0]


def entry_sequence(entry: bytes) -> int:
    """The proposer's sequence, without keys. Raises DamagedError for bytes too short to be an entry."""
    _hashes_end(entry)
    return int.from_bytes(entry[2 : _ENTRY.size], "big")


def entry_hashes(entry: bytes) -> tuple[bytes, ...]:
    """The entry's conflict hashes, without keys. Raises DamagedError for bytes too short to be an entry."""
    end = _hashes_end(entry)
    return tuple(entry[at : at + HASH_BYTES] for at in range(_ENTRY.size, end, HASH_BYTES))


def _hashes_end(entry: bytes) -> int:
    if len(entry) < _ENTRY.size or entry[1] > HASHES_MAX:
        raise DamagedError("an entry has no head")
    end = _ENTRY.size + HASH_BYTES * entry[1]
    if len(entry) < end + PLACE_BYTES + _BOX_BYTES_MIN:
        raise DamagedError("an entry is cut short")
    return end


def _open(cipher: Cipher, box: bytes, aad: bytes, what: str) -> bytes:
    if len(box) < _BOX_BYTES_MIN:
        raise DamagedError(f"{what} is cut short")
    try:
        return cipher.aead.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], aad)
    except InvalidTag:
        raise DamagedError(f"{what} does not open: it is damaged or not where it was written") from None


def _nonce(nonce: bytes) -> bytes:
    # The cipher takes other lengths too, and an entry with one could never be opened.
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    return nonce


def _value_aad(start: bytes, table: int, key: bytes, field: bytes, record_id: bytes) -> bytes:
    # The lengths of mount uuid, path, field and record id stand before them: one pack instead of four.
    uuid_bytes = min(len(key), MOUNT_UUID_BYTES)
    lengths = _VALUE_AAD.pack(table, uuid_bytes, len(key) - uuid_bytes, len(field), len(record_id))
    return b"%b%b%b%b%b" % (start, lengths, key, field, record_id)


def _entry_aad(start: bytes, term: int, head: bytes) -> bytes:
    return b"%b%b%b" % (start, term.to_bytes(8, "big"), head)


def _chunk_aad(start: bytes, snapshot_id: bytes, index: int, term: int, number: int, final: bool) -> bytes:
    return start + purposes.pack(snapshot_id) + _CHUNK_AAD.pack(index, term, number, final)
