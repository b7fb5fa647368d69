"""The `peers` unsealer: a live member hands the root key to a restarted one. Protocol objects and rules, no sockets.

Decides and computes; reads no clock and no file. One hand-out, between a giver (unsealed) and an asker (restarted):
  1  asker → giver   (over a link whose certificates both sides checked) "I ask"
  2  giver → asker   a challenge, good once and for half a minute, for that certificate
  3  asker → giver   a Request: id, fingerprint, incarnation, envelope it holds, the challenge, a fresh X25519 key
  4  giver           `may_propose`, then the HandOut is committed as a fact (or audited here, without a majority)
  5  giver → asker   `grant`, which asks `may_hand_out` again: the root key, sealed to the Request
Invariants
  R1  the root key leaves only for an id and a fingerprint that stand together in the member record, over a link with
      that very certificate
  R2  once per start: no second grant for an incarnation, or for one before the last that was served
  R3  what is marked "sealed by an operator" neither hands out nor is handed anything
  R4  a grant opens only with the key in the Request it answers, and only for that Request
Threat: with `peers` on, one member's private key plus reach to a live member is everything (docs/threat-model.md).
Source: RFC 7748 (X25519), RFC 5869 (HKDF).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster.errors import DamagedError, StrongroomError
from cluster.keyring import purposes
from cluster.keyring.purposes import CLUSTER_ID_BYTES, FORMAT, KEY_BYTES, NONCE_BYTES, TAG_BYTES, Purpose
from cluster.keyring.secrecy import Secret, wipe

if TYPE_CHECKING:
    from cluster.seams import Random

CHALLENGE_BYTES = 32
CHALLENGE_AGE_MAX_S = 30.0
CHALLENGES_MAX = 64
SPKI_BYTES = 32
PUBLIC_KEY_BYTES = 32
ABSENCE_MAX_WITHOUT_MAJORITY_S = 900.0

Natural = Annotated[int, msgspec.Meta(ge=0)]

_REQUEST_MAGIC = b"SRHR"
_GRANT_MAGIC = b"SRHG"
_HEAD = struct.Struct(">4sH")
_EPOCH = struct.Struct(">Q")
_GRANT_BYTES = _HEAD.size + PUBLIC_KEY_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES


class HandOutRefusedError(StrongroomError):
    """The giver says no. The sentence is for its log and audit; the asker learns that it was refused."""


class Request(msgspec.Struct, array_like=True, frozen=True):
    """What the asker says. Another field would need another format number.

    `spki` is the SHA-256 of its certificate's public key; `public_key` (X25519) is drawn for this request.
    """

    node_id: str
    spki: bytes
    incarnation: Natural
    cluster_id: bytes
    epoch: Natural
    challenge: bytes
    public_key: bytes

    def encode(self) -> bytes:
        """The bytes that `decode` reads."""
        return _HEAD.pack(_REQUEST_MAGIC, FORMAT) + _encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Request:
        """A request of well-formed parts, none of them believed. Raises DamagedError."""
        if data[: _HEAD.size] != _HEAD.pack(_REQUEST_MAGIC, FORMAT):
            raise DamagedError("not a request for the root key, or of an unknown format")
        try:
            request = _decode(data[_HEAD.size :])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DamagedError("a request for the root key is not readable") from None
        lengths = (request.spki, request.cluster_id, request.challenge, request.public_key)
        if tuple(map(len, lengths)) != (SPKI_BYTES, CLUSTER_ID_BYTES, CHALLENGE_BYTES, PUBLIC_KEY_BYTES):
            raise DamagedError("a request for the root key has a part of a wrong length")
        return request


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Request).decode


class HandOut(msgspec.Struct, array_like=True, frozen=True):
    """The fact that is committed (or audited) before a grant: who got it, from whom, and for which request."""

    node_id: str
    spki: bytes
    address: str
    incarnation: int
    giver_id: str
    request_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the giver knows when it decides; nothing in it is the asker's word.

    `absence_s`: since the asker was last known to be unsealed, None if it never was. `challenge_fresh`: what
    `Challenges.take` said. `committed` and `local` are the hand-outs of the asker's id, as facts and in the giver's own
    audit; `link_spki` and `address` are those of the link that the request came over.
    """

    peers: bool
    giver_id: str
    giver_marked: bool
    asker_marked: bool
    cluster_id: bytes
    epoch: int
    member_spki: bytes | None
    link_spki: bytes
    address: str
    absence_s: float | None
    absence_max_s: float
    challenge_fresh: bool
    majority: bool
    committed: tuple[HandOut, ...] = ()
    local: tuple[HandOut, ...] = ()


class Challenges:
    """The giver's open challenges, one for each certificate that asked; bounded, the oldest goes first."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[bytes, float]] = {}

    def issue(self, link_spki: bytes, random: Random, now_s: float) -> bytes:
        """A fresh challenge for that certificate; an earlier one of it is void. `now_s` is Clock.boot."""
        self._open.pop(link_spki, None)
        while len(self._open) >= CHALLENGES_MAX:
            del self._open[next(iter(self._open))]
        challenge = random.bytes(CHALLENGE_BYTES)
        self._open[link_spki] = (challenge, now_s)
        return challenge

    def take(self, link_spki: bytes, challenge: bytes, now_s: float) -> bool:
        """Whether this is that certificate's open challenge, not older than 30 s. Used up either way."""
        known, issued_s = self._open.pop(link_spki, (b"", 0.0))
        return bool(known) and hmac.compare_digest(known, challenge) and 0 <= now_s - issued_s <= CHALLENGE_AGE_MAX_S


def hand_out(request: Request, standing: Standing) -> HandOut:
    """The fact that must be committed before this request is granted."""
    digest = hashlib.sha256(request.encode()).digest()
    return HandOut(request.node_id, request.spki, standing.address, request.incarnation, standing.giver_id, digest)


def may_propose(request: Request, standing: Standing) -> str | None:
    """None if the hand-out may be written down; else the sentence that says why not. Everything but R2's commitment."""
    same_spki = standing.member_spki is not None and hmac.compare_digest(standing.member_spki, request.spki)
    absence_max_s = (
        standing.absence_max_s if standing.majority else min(standing.absence_max_s, ABSENCE_MAX_WITHOUT_MAJORITY_S)
    )
    mine = hand_out(request, standing)
    rules = (
        (not standing.peers, "seal.peers is false"),
        (standing.giver_marked, "this node is sealed by an operator"),
        (standing.asker_marked, "the asking node is sealed by an operator"),
        (standing.member_spki is None, "the asking node is not a member"),
        (not same_spki or len(request.spki) != SPKI_BYTES, "the fingerprint is not the one in the member record"),
        (
            not hmac.compare_digest(standing.link_spki, request.spki),
            "the fingerprint is not that of the link's certificate",
        ),
        (not standing.challenge_fresh, "the challenge is not the one that was given, or too old"),
        (
            (request.cluster_id, request.epoch) != (standing.cluster_id, standing.epoch),
            "the asking node holds another keyring envelope and must fetch the present one first",
        ),
        (standing.absence_s is None, "the asking node was never unsealed"),
        (
            standing.absence_s is not None and not 0 <= standing.absence_s <= absence_max_s,
            f"the asking node was unsealed last more than {absence_max_s:.0f} s ago",
        ),
        (
            any(
                one.node_id == request.node_id and one.incarnation >= request.incarnation and one != mine
                for one in standing.committed + standing.local
            ),
            "the root key was already handed out for this start of the asking node, or a later one",
        ),
    )
    return next((sentence for broken, sentence in rules if broken), None)


def may_hand_out(request: Request, standing: Standing) -> str | None:
    """None if the root key may leave now; else the sentence that says why not.

    Besides `may_propose`: exactly this hand-out is committed, or, without a majority, audited on this node.
    """
    refusal = may_propose(request, standing)
    if refusal is not None:
        return refusal
    mine = hand_out(request, standing)
    if mine in standing.committed or (not standing.majority and mine in standing.local):
        return None
    return "the hand-out is not committed" if standing.majority else "the hand-out is not audited on this node"


def grant(root_key: bytes | bytearray, request: Request, standing: Standing, random: Random) -> bytes:
    """The root key, sealed to the key in the request. Raises HandOutRefusedError, and DamagedError for a weak key."""
    refusal = may_hand_out(request, standing)
    if refusal is not None:
        raise HandOutRefusedError(refusal)
    return seal_grant(root_key, request, standing.giver_id, random)


def seal_grant(root_key: bytes | bytearray, request: Request, giver_id: str, random: Random) -> bytes:
    """A root key, sealed to the key in the request. Whether it may leave was asked before. Raises DamagedError."""
    private_key = X25519PrivateKey.from_private_bytes(random.bytes(KEY_BYTES))
    public_key = private_key.public_key().public_bytes_raw()
    nonce = random.bytes(NONCE_BYTES)
    transcript = _transcript(request, giver_id, public_key)
    key = _shared_key(private_key, request.public_key, request)
    try:
        box = AESGCM(key).encrypt(nonce, root_key, transcript)
    finally:
        wipe(key)
    return _HEAD.pack(_GRANT_MAGIC, FORMAT) + public_key + nonce + box


class Asking(Secret):
    """The asker's side of one hand-out; good for one grant."""

    __slots__ = ("_private_key", "request")

    def __init__(
        self,
        random: Random,
        *,
        node_id: str,
        spki: bytes,
        incarnation: int,
        cluster_id: bytes,
        epoch: int,
        challenge: bytes,
    ) -> None:
        self._private_key: X25519PrivateKey | None = X25519PrivateKey.from_private_bytes(random.bytes(KEY_BYTES))
        public_key = self._private_key.public_key().public_bytes_raw()
        self.request = Request(node_id, spki, incarnation, cluster_id, epoch, challenge, public_key)

    def open(self, giver_id: str, data: bytes) -> bytearray:
        """The root key that the grant holds; the caller opens its envelope with it, which proves it right.

        Raises DamagedError for a grant of another giver, of another request, or a second one.
        """
        private_key, self._private_key = self._private_key, None
        if private_key is None:
            raise DamagedError("a second grant came for one request")
        if len(data) != _GRANT_BYTES or data[: _HEAD.size] != _HEAD.pack(_GRANT_MAGIC, FORMAT):
            raise DamagedError("not a grant, or of an unknown format")
        nonce_at = _HEAD.size + PUBLIC_KEY_BYTES
        box_at = nonce_at + NONCE_BYTES
        public_key = data[_HEAD.size : nonce_at]
        key = _shared_key(private_key, public_key, self.request)
        root_key = bytearray(KEY_BYTES)
        transcript = _transcript(self.request, giver_id, public_key)
        try:
            AESGCM(key).decrypt_into(data[nonce_at:box_at], data[box_at:], transcript, root_key)
        except InvalidTag:
            raise DamagedError("a grant does not open: it is not for this request") from None
        finally:
            wipe(key)
        return root_key


def _shared_key(private_key: X25519PrivateKey, public_key: bytes, request: Request) -> bytearray:
    try:
        secret = private_key.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:  # a point of small order: the result would be the same for everyone
        raise DamagedError("a hand-out names a public key that is none") from None
    return purposes.derive(secret, Purpose.HAND_OUT, salt=request.challenge)


def _transcript(request: Request, giver_id: str, giver_public_key: bytes) -> bytes:
    return purposes.aad_start(Purpose.HAND_OUT, b"", request.cluster_id) + purposes.pack(
        _EPOCH.pack(request.epoch), request.encode(), giver_id.encode(), giver_public_key
    )
