"""A rekey: a threshold of the present shares makes new ones, and a new root key. Its progress is in this node's memory.

A shell: the leader's, and lost with its leadership. Shares are in no log, event or error. Invariants
  K1  nothing changes before a threshold of the present shares is given, and, if that was asked for, before a threshold
      of the new ones came back
  K2  a share counts once; wrong shares at the threshold cost all that were given, and the operation goes on
  K3  cancelled, finished or lost, nothing of it is left in memory
  K4  shares count for the seal that is in force: one that is changed ends what was begun before
  K5  new shares that may be in force are told, also with an outcome that nobody knows: they may be all there is
Where a key file opens the nodes, the shares are called recovery keys; they are shares of the root key all the same.
Source: Vault API, "sys/rekey", "sys/rekey-recovery-key".
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import uuid
from typing import TYPE_CHECKING, Any

from cluster import (
    InvalidShareError,
    NewSeal,
    StrongroomError,
    UnavailableError,
    UnknownOutcomeError,
    UnsealProgress,
    WrongSharesError,
    rekey,
    shares_problem,
    wipe,
)

from .http.render import json_bytes
from .request import Refusal
from .seal_bodies import typed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cluster import Member, Rekeying, SealConfig, Unsealed, Wrap

BARRIER, RECOVERY = "barrier", "recovery"

INIT_FIELDS: Mapping[str, tuple[str, Any]] = {
    "secret_shares": ("RekeyRequest.secret_shares", 0),
    "secret_threshold": ("RekeyRequest.secret_threshold", 0),
    "pgp_keys": ("RekeyRequest.pgp_keys", []),
    "backup": ("RekeyRequest.backup", False),
    "require_verification": ("RekeyRequest.require_verification", False),
}
UPDATE_FIELDS: Mapping[str, tuple[str, Any]] = {
    "key": ("RekeyUpdateRequest.Key", ""),
    "nonce": ("RekeyUpdateRequest.Nonce", ""),
}
WRONG = "failed to read root key: failed to decrypt keys from storage: cipher: message authentication failed"
NO_KEY = "'key' must be specified in request body as JSON"
NOBODY_KNOWS = (
    "nobody knows whether the new keys are in force: keep them and the old ones, and see which of them open a node"
)


class RekeyDesk:
    """One node's."""

    def __init__(self, member: Member, rekeying: Rekeying, wrap: Callable[[], Awaitable[Wrap | None]]) -> None:
        self._member = member
        self._rekeying = rekeying
        self._wrap = wrap
        self._asked: dict[str, Any] | None = None
        self._epoch = 0  # of the seal that the given shares are of
        self._nonce = ""
        self._given: UnsealProgress | None = None
        self._made: NewSeal | None = None  # shares are out, and are to come back
        self._back: UnsealProgress | None = None
        self._verification_nonce = ""
        self._busy = False
        self.on_event: Callable[..., None] = lambda _event, **_details: None

    def __repr__(self) -> str:
        return "<RekeyDesk>"

    def forget(self) -> None:
        """K3: this node does not lead any more, or the operation is over."""
        for progress in (self._given, self._back):
            if progress is not None:
                progress.reset()
        if self._made is not None and not self._busy:  # else whoever is busy with it wipes it
            self._made.wipe()
        self._asked = self._given = self._made = self._back = None
        self._nonce = self._verification_nonce = ""

    def check_kind(self, kind: str) -> None:
        """Raises Refusal for what the cluster's seal does not have; what was begun under another one is over (K4)."""
        seal = self._member.seal_config
        if self._asked is not None and not self._busy and seal.epoch != self._epoch:
            self.on_event("rekey cancelled", why="the seal was changed")
            self.forget()
        if kind == RECOVERY and seal.type == "shamir":
            raise Refusal(400, "recovery rekeying not supported")
        if kind == BARRIER and seal.type != "shamir":
            raise Refusal(400, f"with seal type {seal.type} the recovery keys are what is rekeyed")
        if not seal.shares:
            raise Refusal(400, "no recovery keys were made at init, so none can authorise this")

    # ---- init
    def status(self, kind: str) -> dict[str, Any]:
        """How far it is. Raises Refusal."""
        self.check_kind(kind)
        asked = self._asked
        body = {
            "nonce": self._nonce,
            "started": asked is not None,
            "t": 0 if asked is None else asked["secret_threshold"],
            "n": 0 if asked is None else asked["secret_shares"],
            "progress": 0 if self._given is None else self._given.progress,
            "required": self._member.seal_config.threshold,
            "pgp_fingerprints": None,
            "backup": False,
            "verification_required": asked is not None and asked["require_verification"],
        }
        return body | ({"verification_nonce": self._verification_nonce} if self._verification_nonce else {})

    def begin(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Shares may be given from now on. Raises Refusal."""
        self.check_kind(kind)
        self._check_idle()
        asked = typed(body, INIT_FIELDS)
        if asked["pgp_keys"]:
            raise Refusal(400, "PGP keys are not supported")
        if asked["backup"]:
            raise Refusal(
                400, "cannot request a backup of the new keys without providing PGP keys for encryption"
            )
        problem = shares_problem(asked["secret_shares"], asked["secret_threshold"])
        if problem is not None:
            raise Refusal(400, f"invalid rekey seal configuration: {problem}")
        if self._asked is not None:
            raise Refusal(400, "rekey already in progress")
        self._asked, self._nonce = asked, self._new_nonce()
        seal = self._member.seal_config
        self._given, self._epoch = UnsealProgress(seal, self._member.random), seal.epoch
        self.on_event("rekey started", shares=asked["secret_shares"], threshold=asked["secret_threshold"])
        return self.status(kind)

    def cancel(self, kind: str) -> None:
        """Nothing is under way. Raises Refusal while it is being applied."""
        self.check_kind(kind)
        if self._busy:
            raise Refusal(503, "the rekey is being applied", retry_after_s=1)
        if self._asked is not None:
            self.on_event("rekey cancelled")
        self.forget()

    # ---- update
    async def update(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One of the present shares. Raises Refusal, StrongroomError."""
        self.check_kind(kind)
        asked = typed(body, UPDATE_FIELDS)
        if not asked["key"]:
            raise Refusal(400, NO_KEY)
        if self._asked is None or self._given is None:
            raise Refusal(400, f"no {kind} rekey in progress")
        if self._made is not None:
            raise Refusal(400, f'{FINISHED}; nonce for the verification operation is "{self._verification_nonce}"')
        self._check_idle()
        check_nonce(asked["nonce"], self._nonce, "rekey")
        root_key = offer(self._given, asked["key"], "generation", WRONG, self._heard)
        if root_key is None:
            return self.status(kind)
        wipe(root_key)
        made = await self._make()
        if self._asked["require_verification"]:
            self._made, self._verification_nonce = made, self._new_nonce()
            self._back = UnsealProgress(made.seal, self._member.random)
            self.on_event("rekey waits for the new shares to come back")
            answer = self._keys(made) | {"verification_nonce": self._verification_nonce}
            made.wipe_shares()  # from now on the root key says which shares come back
            return answer
        answer = self._keys(made)
        try:
            index = await self._apply(made)
        except UnavailableError:
            raise  # nothing happened: the shares can be given again
        except UnknownOutcomeError:  # K5
            self.forget()
            data = json_bytes(answer | {"complete": False})
            raise Refusal(504, NOBODY_KNOWS, data=data, applied="unknown") from None
        except BaseException:
            self.forget()
            raise
        finally:
            made.wipe()
        self.forget()
        return answer | {"old_keys_open_backups_before_index": index}

    async def _make(self) -> NewSeal:
        """A new seal for the one that is in force. Raises UnavailableError, K4 among its reasons."""
        member, asked, seal = self._member, self._asked, self._member.seal_config
        assert asked is not None
        self._busy = True
        try:
            wrap = await self._wrap()
            keyring = self._in_force(asked, seal).keyring.copy()  # its own: the one in use may be wiped meanwhile
            try:  # in a thread: many shares take longer than the others wait for a leader
                made = await asyncio.to_thread(
                    rekey, keyring, seal, member.random, member.now_ns(),
                    shares=asked["secret_shares"], threshold=asked["secret_threshold"], wrap=wrap,
                )  # fmt: skip
            finally:
                keyring.wipe()
        finally:
            self._busy = False
        try:
            self._in_force(asked, seal)
        except UnavailableError:
            made.wipe()
            raise
        return made

    def _in_force(self, asked: dict[str, Any], seal: SealConfig) -> Unsealed:
        """The keys in use, if nothing has changed since. Raises UnavailableError."""
        unsealed = self._member.unsealed
        if unsealed is None or self._asked is not asked:
            raise UnavailableError("this node was sealed meanwhile, or does not lead any more")
        if self._member.seal_config != seal:
            raise UnavailableError("the seal was changed meanwhile: begin again")  # K4
        return unsealed

    async def _apply(self, made: NewSeal) -> int:
        self._busy = True
        try:
            index = await self._rekeying.rekey(made)
        except StrongroomError as error:
            self.on_event("rekey failed", why=type(error).__name__)
            raise
        finally:
            self._busy = False
        self.on_event("rekey", index=index, epoch=made.seal.epoch)
        return index

    def _keys(self, made: NewSeal) -> dict[str, Any]:
        return {
            "nonce": self._nonce,
            "complete": True,
            "keys": [share.hex() for share in made.shares],
            "keys_base64": [base64.b64encode(share).decode() for share in made.shares],
            "pgp_fingerprints": None,
            "backup": False,
            "verification_required": bool(self._asked and self._asked["require_verification"]),
        }

    # ---- verify
    def verify_status(self, kind: str) -> dict[str, Any]:
        """How many of the new shares came back. Raises Refusal."""
        self.check_kind(kind)
        made, back = self._made, self._back
        if made is None or back is None:
            raise Refusal(400, "no rekey configuration found" if self._asked is None else NO_VERIFICATION)
        return {
            "nonce": self._verification_nonce,
            "started": True,
            "t": made.seal.threshold,
            "n": made.seal.shares,
            "progress": back.progress,
        }

    def restart_verify(self, kind: str) -> dict[str, Any]:
        """The new shares are to be given from the first one on, under a fresh nonce. Raises Refusal."""
        self.verify_status(kind)
        self._check_idle()
        assert self._back is not None
        self._back.reset()
        self._verification_nonce = self._new_nonce()
        return self.verify_status(kind)

    async def verify(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One of the new shares. Raises Refusal, StrongroomError."""
        self.check_kind(kind)
        asked = typed(body, UPDATE_FIELDS)
        if not asked["key"]:
            raise Refusal(400, NO_KEY)
        made, back = self._made, self._back
        if made is None or back is None:
            raise Refusal(400, "no rekey in progress" if self._asked is None else NO_VERIFICATION)
        self._check_idle()
        check_nonce(asked["nonce"], self._verification_nonce, "verify")
        wrong = "rekey verification failed; incorrect key shares supplied"
        root_key = offer(back, asked["key"], "verify", wrong, self._heard)
        if root_key is None:
            return self.verify_status(kind)
        wipe(root_key)
        nonce = self._verification_nonce
        try:
            index = await self._apply(made)
        except UnavailableError:
            if self._made is not made:  # leadership was lost meanwhile, and with it what waited here
                made.wipe()
            raise  # nothing happened: the shares can be given again
        except BaseException:
            made.wipe()
            self.forget()
            raise
        made.wipe()
        self.forget()
        return {"nonce": nonce, "complete": True, "old_keys_open_backups_before_index": index}

    # ----
    def _check_idle(self) -> None:
        if self._busy:
            raise Refusal(503, "the rekey is being applied", retry_after_s=1)

    def _heard(self, *, accepted: bool) -> None:
        self.on_event("rekey attempt", accepted=accepted)

    def _new_nonce(self) -> str:
        return str(uuid.UUID(bytes=self._member.random.bytes(16), version=4))


NO_VERIFICATION = "no rekey verification in progress"
FINISHED = "rekey operation already finished; verification must be performed"


def check_nonce(given: str, nonce: str, what: str) -> None:
    """Raises Refusal for the nonce of another operation."""
    if not hmac.compare_digest(given.encode(), nonce.encode()):
        raise Refusal(400, f'incorrect nonce supplied; nonce for this {what} operation is "{nonce}"')


def offer(
    progress: UnsealProgress, key: str, what: str, wrong: str, heard: Callable[..., None]
) -> bytearray | None:
    """The root key when this share completes the threshold, which the caller wipes. Raises Refusal."""
    before = progress.progress
    try:
        root_key = progress.offer(key)
    except WrongSharesError:
        heard(accepted=False)
        raise Refusal(400, wrong) from None
    except InvalidShareError as error:
        heard(accepted=False)
        raise Refusal(400, str(error)) from None
    if root_key is None and progress.progress == before:
        raise Refusal(400, f"given key has already been provided during this {what} operation")
    heard(accepted=True)
    return root_key


__all__ = ["BARRIER", "RECOVERY", "RekeyDesk", "check_nonce", "offer"]
