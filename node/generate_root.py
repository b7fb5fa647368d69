"""Generate-root: a threshold of shares makes a root token, when all others are lost. Its progress is in memory.

A shell: the leader's, and lost with its leadership. The token leaves XORed with a one-time password, so that who reads
the answer alone has nothing. Invariants
  G1  no token exists before a threshold of shares is given; it is committed before its answer leaves
  G2  wrong shares at the threshold cost all that were given
  G3  cancelled, finished or lost, neither the password nor a share is left in memory
  G4  shares count for the seal that is in force: one that is changed ends what was begun before, and a token is decided
      on a state in which it stands
Source: Vault API, "sys/generate-root".
"""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from cluster import Draft, Table, UnavailableError, UnsealProgress, View, WrongSharesError, seal_epoch, wipe

from .auth.tokens import new_raw_token, new_secret, root_token_records
from .rekey import NO_KEY, UPDATE_FIELDS, check_nonce, offer
from .request import Refusal
from .seal_bodies import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster import Member

OTP_LENGTH = 28  # of "hvs." and 24 characters
FIELDS: Mapping[str, tuple[str, Any]] = {
    "otp": ("GenerateRootInitRequest.OTP", ""),
    "pgp_key": ("GenerateRootInitRequest.PGPKey", ""),
}
WRONG = f"root generation aborted: unable to authenticate: {WrongSharesError()}"


class RootDesk:
    """One node's."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._nonce = ""
        self._otp = bytearray()
        self._given: UnsealProgress | None = None
        self._epoch = 0  # of the seal that the shares are of
        self._busy = False
        self.on_event: Callable[..., None] = lambda _event, **_details: None

    def __repr__(self) -> str:
        return "<RootDesk>"

    def forget(self) -> None:
        """G3."""
        if self._given is not None:
            self._given.reset()
        wipe(self._otp)
        self._otp, self._nonce, self._given = bytearray(), "", None

    def status(self, otp: str = "") -> dict[str, Any]:
        """How far it is; `otp` only in the answer that makes it."""
        self._drop_outdated()
        started = self._given is not None
        return {
            "nonce": self._nonce,
            "started": started,
            "progress": 0 if self._given is None else self._given.progress,
            "required": self._member.seal_config.threshold,
            "complete": False,
            "encoded_token": "",
            "encoded_root_token": "",
            "pgp_fingerprint": "",
            "otp": otp,
            "otp_length": OTP_LENGTH,
        }

    def begin(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Shares may be given from now on. Raises Refusal."""
        self._drop_outdated()
        asked, seal = typed(body, FIELDS), self._member.seal_config
        if asked["pgp_key"]:
            raise Refusal(400, "PGP keys are not supported")
        if not seal.shares:
            raise Refusal(400, "no recovery keys were made at init, so none can authorise this")
        otp = asked["otp"]
        if otp and len(otp.encode()) != OTP_LENGTH:
            raise Refusal(400, "OTP string has incorrect length")
        if self._given is not None or self._busy:
            raise Refusal(400, "root generation already in progress")
        random = self._member.random.bytes
        made = "" if otp else (new_secret(random) + new_secret(random))[:OTP_LENGTH]
        self._otp = bytearray((otp or made).encode())
        self._nonce = str(uuid.UUID(bytes=self._member.random.bytes(16), version=4))
        self._given, self._epoch = UnsealProgress(seal, self._member.random), seal.epoch
        self.on_event("generate-root started")
        return self.status(made)

    def _drop_outdated(self) -> None:
        """G4."""
        if self._given is not None and not self._busy and self._member.seal_config.epoch != self._epoch:
            self.on_event("generate-root cancelled", why="the seal was changed")
            self.forget()

    def cancel(self) -> None:
        """Nothing is under way. Raises Refusal while the token is being made."""
        if self._busy:
            raise Refusal(503, "the root token is being made", retry_after_s=1)
        if self._given is not None:
            self.on_event("generate-root cancelled")
        self.forget()

    async def update(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One share; with the last one the encoded token. Raises Refusal, StrongroomError."""
        asked = typed(body, UPDATE_FIELDS)
        if not asked["key"]:
            raise Refusal(400, NO_KEY)
        self._drop_outdated()
        given, epoch = self._given, self._epoch
        if given is None or self._busy:
            raise Refusal(400, "no root generation in progress")
        check_nonce(asked["nonce"], self._nonce, "root generation")
        nonce, otp = self._nonce, bytes(self._otp)
        root_key = offer(given, asked["key"], "generation", WRONG, self._heard)
        body_of = self.status() | {"otp_length": 0}
        if root_key is None:
            return body_of
        wipe(root_key)
        self._busy = True
        try:
            token = await self._make_token(epoch)
        finally:
            self._busy = False
            self.forget()
        encoded = encode(token, otp)
        required = self._member.seal_config.threshold
        return body_of | {
            "nonce": nonce,
            "progress": required,
            "complete": True,
            "encoded_token": encoded,
            "encoded_root_token": encoded,
        }

    async def _make_token(self, epoch: int) -> str:
        """G1, G4. Raises UnavailableError where the seal was changed meanwhile, and as `Member.write`."""
        member = self._member
        sealing = member.value_sealing
        token = new_raw_token(member.random.bytes)

        def decide(view: View, now_ns: int) -> tuple[Draft, None]:
            if seal_epoch(view) != epoch:
                raise UnavailableError("the seal was changed since the shares were given: begin again")
            draft = Draft()
            for table, key, record in root_token_records(token, sealing, now_ns, member.random.bytes):
                draft.expect(Table(table), key, 0)
                draft.put(Table(table), key, record)
            return draft, None

        index, _ = await member.write(decide)
        self.on_event("generate-root", index=index)
        return token

    def _heard(self, *, accepted: bool) -> None:
        self.on_event("generate-root attempt", accepted=accepted)


def encode(token: str, otp: bytes) -> str:
    """The token XORed with the password, in base64 without padding."""
    mixed = bytes(a ^ b for a, b in zip(token.encode(), otp, strict=True))
    return base64.b64encode(mixed).decode().rstrip("=")


__all__ = ["OTP_LENGTH", "RootDesk", "encode"]
