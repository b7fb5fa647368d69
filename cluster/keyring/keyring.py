"""The keyring: the cluster's key terms and its fixed MAC keys.

Pure. Kept as a record, sealed under the root key (envelope.py) and under nothing else.
Invariants
  K1  terms are ordered oldest first; the newest is the active one; a term is never removed or changed
  K2  each term keeps the cluster id under which it was made: restore and recover keep the pair
  K3  MAC keys are made once and are the same in every keyring that descends from it by `rotate`
  K4  after `wipe` nothing can be derived, looked up or hashed: SealedError, never a result under a zero key
  K5  MAC keys that this program does not know survive decode, rotate and encode
Source: Vault, "key rotation" (key terms); docs/threat-model.md, keys.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import TYPE_CHECKING

from cluster.errors import DamagedError, SealedError

from . import purposes
from .purposes import CLUSTER_ID_BYTES, KEY_BYTES, KEY_TERM_ID_BYTES, MacKey, Purpose
from .secrecy import Secret, wipe

if TYPE_CHECKING:
    from cluster.seams import Random

HASH_BYTES = 8

# format u16 | terms u16 | terms: id 8, cluster id 16, installed u64 ns, key 32 | MAC keys u16 | number u8, key 32
_HEAD = struct.Struct(">HH")
_TERM = struct.Struct(">8s16sQ")
_COUNT = struct.Struct(">H")
_TERM_BYTES = _TERM.size + KEY_BYTES
_MAC_BYTES = 1 + KEY_BYTES

# Zero touches everything, ones is read by no request: neither may be the hash of a key.
_RESERVED_HASHES = frozenset((b"\x00" * HASH_BYTES, b"\xff" * HASH_BYTES))


class UnknownKeyTermError(DamagedError):
    """A key term is named that the keyring does not hold: damage, or a rotation that is not applied here yet."""


class KeyTerm(Secret):
    """One data key, its random id, the cluster id it was made under and when it was made (ns since the epoch)."""

    __slots__ = ("cluster_id", "installed_ns", "key", "term_id")

    def __init__(self, term_id: bytes, cluster_id: bytes, installed_ns: int, key: bytearray) -> None:
        self.term_id = term_id
        self.cluster_id = cluster_id
        self.installed_ns = installed_ns
        self.key = key


class Keyring(Secret):
    """See the module's paragraph. A keyring is replaced whole, never changed: `rotate` returns another."""

    __slots__ = ("_conflict", "_macs", "_terms", "_token")

    def __init__(self, terms: list[KeyTerm], macs: dict[int, bytearray]) -> None:
        self._terms = {term.term_id: term for term in terms}
        self._macs = macs
        # Keyed once and copied per call: 0.4 us instead of 1.
        self._token: hashlib.blake2b | None = hashlib.blake2b(digest_size=32, key=macs[MacKey.TOKEN])
        self._conflict: hashlib.blake2b | None = hashlib.blake2b(digest_size=HASH_BYTES, key=macs[MacKey.CONFLICT])

    @classmethod
    def create(cls, random: Random, cluster_id: bytes, now_ns: int) -> Keyring:
        """A keyring with one key term and new MAC keys. `cluster_id` is 16 bytes."""
        macs = {int(number): bytearray(random.bytes(KEY_BYTES)) for number in MacKey}
        return cls([_new_term(random, cluster_id, now_ns)], macs)

    def rotate(self, random: Random, now_ns: int, *, cluster_id: bytes | None = None) -> Keyring:
        """A second keyring with one more term, which is its active one. This one is unchanged and still to be wiped.

        The caller goes on with this one until the rotation is applied. `cluster_id` names a new cluster (restore,
        recover); without it the new term belongs to the present one.
        """
        new = _new_term(random, cluster_id or self.cluster_id, now_ns)
        assert new.term_id not in self._terms, "a random id came twice"
        rotated = self.copy()
        rotated._terms[new.term_id] = new
        return rotated

    def copy(self) -> Keyring:
        """A second keyring with the same keys: each is wiped by itself. Raises SealedError after `wipe`."""
        self._term(self.active_term_id)
        terms = [KeyTerm(t.term_id, t.cluster_id, t.installed_ns, bytearray(t.key)) for t in self._terms.values()]
        return Keyring(terms, {number: bytearray(key) for number, key in self._macs.items()})

    @property
    def active_term_id(self) -> bytes:
        """Id (8 bytes) of the term that new data is sealed with. Raises SealedError after `wipe`."""
        if not self._terms:
            raise SealedError("the keyring is wiped")
        return next(reversed(self._terms))

    @property
    def cluster_id(self) -> bytes:
        """The cluster id (16 bytes) of the active term. Raises SealedError after `wipe`."""
        return self._terms[self.active_term_id].cluster_id

    @property
    def term_ids(self) -> list[bytes]:
        """Ids of all terms, oldest first; none after `wipe`."""
        return list(self._terms)

    def extends(self, other: Keyring) -> bool:
        """Whether this one descends from `other` by a rotation or more: its terms in their order, and newer ones."""
        mine, theirs = self.term_ids, other.term_ids
        return len(mine) > len(theirs) > 0 and mine[: len(theirs)] == theirs

    def installed_ns(self, term_id: bytes) -> int:
        """When the term was made, ns since the epoch. Raises UnknownKeyTermError."""
        return self._term(term_id).installed_ns

    def term_cluster_id(self, term_id: bytes) -> bytes:
        """The cluster id under which the term was made. Raises UnknownKeyTermError."""
        return self._term(term_id).cluster_id

    def purpose_key(self, term_id: bytes, purpose: Purpose) -> bytearray:
        """The term's key for one purpose, in a buffer that the caller wipes.

        Raises UnknownKeyTermError, and SealedError after `wipe`.
        """
        return purposes.derive(self._term(term_id).key, purpose)

    def token_hash(self, raw_token: bytes) -> bytes:
        """Keyed BLAKE2b-256 by which a token, secret-id or wrapping token is looked up."""
        if self._token is None:
            raise SealedError("the keyring is wiped")
        state = self._token.copy()
        state.update(raw_token)
        return state.digest()

    def conflict_hash(self, key: bytes) -> bytes:
        """Keyed BLAKE2b of a record's key, 8 bytes; neither all zeros nor all ones, which mean something else."""
        if self._conflict is None:
            raise SealedError("the keyring is wiped")
        state = self._conflict.copy()
        state.update(key)
        return unreserved(state.digest())

    def index_mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 for the X-Vault-Index header."""
        return hmac.digest(self._mac(MacKey.INDEX), message, "sha256")

    def link_mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 by which two members prove to each other that they hold the keyring."""
        return hmac.digest(self._mac(MacKey.LINK), message, "sha256")

    def audit_chain_mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 that chains the lines of an audit device."""
        return hmac.digest(self._mac(MacKey.AUDIT_CHAIN), message, "sha256")

    @property
    def digest_key(self) -> bytes:
        """Key of the state's digest (32 bytes). A copy that cannot be wiped: ask once, drop it at seal."""
        return bytes(self._mac(MacKey.DIGEST))

    def encode(self) -> bytearray:
        """The plaintext form, only ever sealed under the root key. The caller wipes it."""
        self._term(self.active_term_id)
        data = bytearray(_HEAD.size + len(self._terms) * _TERM_BYTES + _COUNT.size + len(self._macs) * _MAC_BYTES)
        _HEAD.pack_into(data, 0, purposes.FORMAT, len(self._terms))
        at = _HEAD.size
        for term in self._terms.values():
            _TERM.pack_into(data, at, term.term_id, term.cluster_id, term.installed_ns)
            data[at + _TERM.size : at + _TERM_BYTES] = term.key
            at += _TERM_BYTES
        _COUNT.pack_into(data, at, len(self._macs))
        at += _COUNT.size
        for number, key in sorted(self._macs.items()):
            data[at] = number
            data[at + 1 : at + _MAC_BYTES] = key
            at += _MAC_BYTES
        return data

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Keyring:
        """The keyring that `encode` wrote. Raises DamagedError for any other bytes."""
        view = memoryview(data)
        try:
            kind, count = _HEAD.unpack_from(view)
            macs_at = _HEAD.size + count * _TERM_BYTES
            (macs_count,) = _COUNT.unpack_from(view, macs_at)
        except struct.error:
            raise DamagedError("a keyring is cut short") from None
        macs_at += _COUNT.size
        if kind != purposes.FORMAT or count == 0 or len(view) != macs_at + macs_count * _MAC_BYTES:
            raise DamagedError("a keyring has an unknown format or a wrong length")
        terms = []
        for at in range(_HEAD.size, _HEAD.size + count * _TERM_BYTES, _TERM_BYTES):
            term_id, cluster_id, installed_ns = _TERM.unpack_from(view, at)
            key = bytearray(view[at + _TERM.size : at + _TERM_BYTES])
            terms.append(KeyTerm(term_id, cluster_id, installed_ns, key))
        macs = {
            view[at]: bytearray(view[at + 1 : at + _MAC_BYTES])
            for at in range(macs_at, macs_at + macs_count * _MAC_BYTES, _MAC_BYTES)
        }
        if len({term.term_id for term in terms}) != count or len(macs) != macs_count or not set(MacKey) <= set(macs):
            raise DamagedError("a keyring lacks a key or names one twice")
        return cls(terms, macs)

    def wipe(self) -> None:
        """No key is in memory and none can be derived. May be called twice."""
        for term in self._terms.values():
            wipe(term.key)
        for key in self._macs.values():
            wipe(key)
        self._terms = {}
        self._macs = {}
        self._token = self._conflict = None  # the library's own copies go with their last reference

    def _term(self, term_id: bytes) -> KeyTerm:
        term = self._terms.get(term_id)
        if term is not None:
            return term
        if not self._terms:
            raise SealedError("the keyring is wiped")
        raise UnknownKeyTermError("a key term is named that the keyring does not hold")

    def _mac(self, number: MacKey) -> bytearray:
        key = self._macs.get(number)
        if key is None:
            raise SealedError("the keyring is wiped")
        return key


def unreserved(digest: bytes) -> bytes:
    """The digest, or a neighbour of it where it would be one of the two reserved conflict hashes."""
    return digest[:-1] + b"\x01" if digest in _RESERVED_HASHES else digest


def _new_term(random: Random, cluster_id: bytes, now_ns: int) -> KeyTerm:
    if len(cluster_id) != CLUSTER_ID_BYTES:
        raise ValueError("a cluster id has 16 bytes")
    return KeyTerm(random.bytes(KEY_TERM_ID_BYTES), cluster_id, now_ns, bytearray(random.bytes(KEY_BYTES)))
