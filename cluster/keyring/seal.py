"""The seal: what init may ask for, how shares are collected, and how a root key comes to be and is replaced.

Pure but for what `UnsealProgress` remembers. Sentences that a client sees are Vault's, to the letter.
Invariants
  L1  a share counts once, however it is written; wrong shares at the threshold cost all progress
  L2  `rekey` makes a new root key, the next seal epoch and a new key term: old shares open only old envelopes
  L3  the new root key is sealed under nothing that the old one opens
  L4  `reseal` keeps root key and shares: what were unseal keys are recovery keys, and the other way round
Source: Vault API, sys/init, sys/unseal, sys/rekey; docs/threat-model.md, keys.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.errors import DamagedError, StrongroomError, WrongKeyError

from . import shamir
from .envelope import SealConfig, key_check, open_keyring, read_seal, seal_keyring
from .keyring import Keyring
from .purposes import KEY_BYTES, NONCE_BYTES
from .secrecy import Secret, wipe

if TYPE_CHECKING:
    from cluster.seams import Random

SHARE_BYTES_MIN = 16
SHARE_BYTES_MAX = KEY_BYTES + shamir.OVERHEAD_BYTES

# (root key, its key check, seal epoch) → the root key under the key of an unsealer that wraps it
Wrap = Callable[[bytearray, bytes, int], bytes]


class InvalidShareError(StrongroomError):
    """What was given as a share cannot be one. The message is Vault's sentence for the client."""


class WrongSharesError(WrongKeyError):
    """The threshold is reached and the shares do not give the root key; progress is 0 again."""

    def __init__(self) -> None:
        super().__init__(
            "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: "
            "cipher: message authentication failed"
        )


def init_problem(
    seal_type: str,
    *,
    secret_shares: int = 0,
    secret_threshold: int = 0,
    pgp_keys: int = 0,
    recovery_shares: int = 0,
    recovery_threshold: int = 0,
    recovery_pgp_keys: int = 0,
) -> str | None:
    """Vault's sentence for the first thing that is wrong with the numbers of an init, or None.

    `shamir` takes the secret parameters only; every other type the recovery parameters only, or no shares at all.
    """
    secret = {"secret_shares": secret_shares, "secret_threshold": secret_threshold, "pgp_keys": pgp_keys}
    recovery = {
        "recovery_shares": recovery_shares,
        "recovery_threshold": recovery_threshold,
        "recovery_pgp_keys": recovery_pgp_keys,
    }
    foreign = [name for name, number in (recovery if seal_type == "shamir" else secret).items() if number]
    if foreign:
        return f"parameters {','.join(foreign)} not applicable to seal type {seal_type}"
    if seal_type == "shamir":
        problem = shares_problem(secret_shares, secret_threshold, pgp_keys)
        return problem and f"invalid seal configuration: {problem}"
    if not any(recovery.values()):
        return None
    problem = shares_problem(recovery_shares, recovery_threshold, recovery_pgp_keys)
    return problem and f"invalid recovery configuration: {problem}"


def shares_problem(shares: int, threshold: int, pgp_keys: int = 0) -> str | None:
    """Vault's sentence, without its beginning, for numbers of shares that cannot be; None for those that can."""
    rules = (
        (shares < 1, "shares must be at least one"),
        (threshold < 1, "threshold must be at least one"),
        (shares > 1 and threshold == 1, "threshold must be greater than one for multiple shares"),
        (shares > shamir.SHARES_MAX, "shares must be less than 256"),
        (threshold > shamir.SHARES_MAX, "threshold must be less than 256"),
        (threshold > shares, "threshold cannot be larger than shares"),
        (pgp_keys not in {0, shares}, "count mismatch between number of provided PGP keys and number of shares"),
    )
    return next((sentence for broken, sentence in rules if broken), None)


def parse_share(text: str) -> bytearray:
    """The share that a client wrote in hex or base64. Raises InvalidShareError with Vault's sentence.

    Hex first; text that is hex of an impossible length is read as base64 (base64 may consist of hex digits).
    """
    share = _hex(text)
    if share is None or not SHARE_BYTES_MIN <= len(share) <= SHARE_BYTES_MAX:
        try:
            share = bytearray(base64.b64decode(text, validate=True))
        except ValueError:  # binascii.Error is one, and so is text that is not ASCII
            raise InvalidShareError("'key' must be a valid hex or base64 string") from None
    if len(share) < SHARE_BYTES_MIN:
        raise InvalidShareError(f"invalid key: key is shorter than minimum {SHARE_BYTES_MIN} bytes")
    if len(share) > SHARE_BYTES_MAX:
        wipe(share)
        raise InvalidShareError(f"invalid key: key is longer than maximum {SHARE_BYTES_MAX} bytes")
    return share


class UnsealProgress(Secret):
    """Shares collected so far for one seal configuration (unseal, rekey, generate-root)."""

    __slots__ = ("_random", "_seal", "_shares", "nonce")

    def __init__(self, seal: SealConfig, random: Random) -> None:
        self._seal = seal
        self._random = random
        self._shares: list[bytearray] = []
        self.nonce = ""  # a UUID while shares are being collected

    @property
    def progress(self) -> int:
        """How many different shares were given."""
        return len(self._shares)

    @property
    def threshold(self) -> int:
        """How many are needed; at least 1."""
        return max(1, self._seal.threshold)

    def offer(self, text: str) -> bytearray | None:
        """The root key when this share completes the threshold (progress is 0 again; the caller wipes it), else None.

        A share that was given before changes nothing. Raises InvalidShareError (nothing changed), and WrongSharesError
        when the threshold is reached with shares that do not give the root key.
        """
        share = parse_share(text)
        if any(hmac.compare_digest(share, known) for known in self._shares):
            wipe(share)
            return None
        self._shares.append(share)
        self.nonce = self.nonce or str(uuid.UUID(bytes=self._random.bytes(16), version=4))
        if len(self._shares) < self.threshold:
            return None
        try:
            return _checked(self._shares, self._seal)
        finally:
            self.reset()

    def reset(self) -> None:
        """No share is remembered, and the next one begins a new attempt under a new nonce."""
        for share in self._shares:
            wipe(share)
        self._shares = []
        self.nonce = ""


class Unsealed(Secret):
    """What an unsealer yields: the root key and the keyring that it opens."""

    __slots__ = ("keyring", "root_key")

    def __init__(self, root_key: bytearray, keyring: Keyring) -> None:
        self.root_key = root_key
        self.keyring = keyring

    def is_key_of(self, envelope: bytes) -> bool:
        """Whether the envelope's key check, which stands in the clear, names this root key. Raises DamagedError."""
        return hmac.compare_digest(key_check(self.root_key), read_seal(envelope)[1].key_check)

    def opens(self, envelope: bytes) -> bool:
        """Whether this very envelope gives these keys: a migration keeps the key check, and so may a forger."""
        try:
            if not self.is_key_of(envelope):
                return False
            found = open_envelope(bytearray(self.root_key), envelope)
        except DamagedError:
            return False
        same = found.keyring.term_ids == self.keyring.term_ids
        found.wipe()
        return same

    def wipe(self) -> None:
        """Neither is in memory any more."""
        wipe(self.root_key)
        self.keyring.wipe()


class NewSeal(Secret):
    """What init and rekey make. `shares` is empty where none were asked for; they are shown once and kept nowhere."""

    __slots__ = ("envelope", "keyring", "root_key", "seal", "shares")

    def __init__(
        self, root_key: bytearray, keyring: Keyring, seal: SealConfig, envelope: bytes, shares: list[bytearray]
    ) -> None:
        self.root_key = root_key
        self.keyring = keyring
        self.seal = seal
        self.envelope = envelope
        self.shares = shares

    def renew(self, keyring: Keyring, random: Random, now_ns: int) -> None:
        """Root key and shares stay; the envelope holds another term on top of `keyring`, the one in force now.

        For a rekey whose shares were handed out first: the keyring may have been rotated meanwhile.
        """
        rotated = keyring.rotate(random, now_ns)
        self.envelope = seal_keyring(self.root_key, rotated, self.seal, random.bytes(NONCE_BYTES))
        self.keyring.wipe()
        self.keyring = rotated

    def wipe_shares(self) -> None:
        """The shares are in memory no more: after they were answered, or when the operation was given up."""
        for share in self.shares:
            wipe(share)
        self.shares = []

    def wipe(self) -> None:
        """Nothing of it is in memory but the envelope, which is ciphertext."""
        self.wipe_shares()
        wipe(self.root_key)
        self.keyring.wipe()


def open_envelope(root_key: bytearray, envelope: bytes) -> Unsealed:
    """The keyring and the key that opened it, which it now owns. Raises WrongKeyError, DamagedError: key wiped."""
    try:
        return Unsealed(root_key, open_keyring(root_key, envelope))
    except StrongroomError:
        wipe(root_key)
        raise


def initialise(
    random: Random,
    cluster_id: bytes,
    now_ns: int,
    *,
    seal_type: str,
    shares: int,
    threshold: int,
    peers: bool,
    wrap: Wrap | None = None,
) -> NewSeal:
    """A new cluster's root key, keyring and envelope at seal epoch 1. `shares` 0 makes none (a type that wraps)."""
    keyring = Keyring.create(random, cluster_id, now_ns)
    draft = SealConfig(seal_type, shares, threshold, b"", peers, 1)
    return _new_seal(keyring, draft, random, wrap)


def rekey(
    keyring: Keyring,
    seal: SealConfig,
    random: Random,
    now_ns: int,
    *,
    shares: int,
    threshold: int,
    wrap: Wrap | None = None,
) -> NewSeal:
    """The same cluster under a new root key, the next seal epoch and a further key term (L2). The old keyring stays.

    Nothing is in force until the caller has had it committed and applied; then the old keyring and root key are wiped.
    """
    draft = SealConfig(seal.type, shares, threshold, b"", seal.peers, seal.epoch + 1)
    return _new_seal(keyring.rotate(random, now_ns), draft, random, wrap)


def rotate(
    root_key: bytes | bytearray,
    keyring: Keyring,
    seal: SealConfig,
    random: Random,
    now_ns: int,
    *,
    cluster_id: bytes | None = None,
) -> tuple[Keyring, bytes]:
    """(keyring with a further key term, its envelope): root key and seal epoch stay.

    Raises WrongKeyError if the root key is not that of `seal`. `cluster_id` as in `Keyring.rotate`.
    """
    rotated = keyring.rotate(random, now_ns, cluster_id=cluster_id)
    try:
        return rotated, seal_keyring(root_key, rotated, seal, random.bytes(NONCE_BYTES))
    except WrongKeyError:
        rotated.wipe()
        raise


def reseal(
    root_key: bytes | bytearray,
    keyring: Keyring,
    seal: SealConfig,
    random: Random,
    now_ns: int,
    *,
    seal_type: str,
    wrap: Wrap | None,
) -> tuple[Keyring, bytes]:
    """(keyring with a further key term, its envelope under another type of seal): L4. Raises WrongKeyError as `rotate`.

    Raises ValueError where nothing would open the envelope: shamir without shares, another type without `wrap`.
    """
    if (wrap is None) != (seal_type == "shamir") or (seal_type == "shamir" and not seal.shares):
        raise ValueError("shamir needs shares and wraps nothing; every other type wraps the root key")
    epoch = seal.epoch + 1
    copy = bytearray(root_key)
    try:
        wrapped = b"" if wrap is None else wrap(copy, seal.key_check, epoch)
    finally:
        wipe(copy)
    other = SealConfig(seal_type, seal.shares, seal.threshold, seal.key_check, seal.peers, epoch, wrapped)
    return rotate(root_key, keyring, other, random, now_ns)


def _new_seal(keyring: Keyring, draft: SealConfig, random: Random, wrap: Wrap | None) -> NewSeal:
    if (wrap is None) != (draft.type == "shamir") or (draft.type == "shamir" and not draft.shares):
        raise ValueError("shamir makes shares and wraps nothing; every other type wraps the root key")
    root_key = bytearray(random.bytes(KEY_BYTES))
    check = key_check(root_key)
    seal = SealConfig(
        draft.type,
        draft.shares,
        draft.threshold,
        check,
        draft.peers,
        draft.epoch,
        b"" if wrap is None else wrap(root_key, check, draft.epoch),
    )
    envelope = seal_keyring(root_key, keyring, seal, random.bytes(NONCE_BYTES))
    parts = shamir.split(root_key, seal.shares, seal.threshold, random) if seal.shares else []
    return NewSeal(root_key, keyring, seal, envelope, parts)


def _hex(text: str) -> bytearray | None:
    try:
        return bytearray(binascii.unhexlify(text))
    except ValueError:  # binascii.Error is one, and so is text that is not ASCII
        return None


def _checked(shares: list[bytearray], seal: SealConfig) -> bytearray:
    try:
        root_key = shamir.combine(shares)
    except shamir.SharesError:
        raise WrongSharesError from None
    if len(root_key) != KEY_BYTES or not hmac.compare_digest(key_check(root_key), seal.key_check):
        wipe(root_key)
        raise WrongSharesError
    return root_key
