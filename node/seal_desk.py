"""Init, unseal and seal as operations of one node: shares are collected here, and nowhere else.

A shell around cluster's init protocol and unsealers. Shares, root key and root token are in no log and no error.
Invariants
  D1  init is accepted from loopback, or with the one-time secret of <data_dir>/init-secret; never twice
  D2  a share counts once, however it is written; wrong shares at the threshold cost all progress
  D3  sealing by an operator is durable: nothing but a threshold of shares opens the node again
Source: Vault API, sys/init, sys/unseal, sys/seal.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import (
    AlreadyInitialisedError,
    Draft,
    InvalidShareError,
    Member,
    ShamirUnsealer,
    StrongroomError,
    Table,
    ValueSealing,
    View,
    WrongKeyError,
    init_problem,
    run_init,
)

from .auth.tokens import new_raw_token, root_token_records
from .engines.system.mounts import bootstrap_records
from .request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .request import RawRequest

INIT_SECRET = "init-secret"


class SealDesk:
    """One node's desk."""

    def __init__(self, member: Member, *, seal_type: str, peers: bool, dev_mounts: bool) -> None:
        self._member = member
        self.seal_type = seal_type
        self._peers = peers
        self._dev_mounts = dev_mounts
        self._unsealer: ShamirUnsealer | None = None
        self._busy = False
        self.active_since_ns = 0
        self.audit_status: Callable[[], list[dict[str, Any]]] = list

    @property
    def progress(self) -> int:
        """Shares accepted towards unsealing."""
        return 0 if self._unsealer is None else self._unsealer.progress.progress

    @property
    def nonce(self) -> str:
        """Names the collection under way."""
        return "" if self._unsealer is None else self._unsealer.progress.nonce

    # ---- init
    def write_init_secret(self) -> None:
        """D1: a fresh secret stands in the data folder of a node that is not initialised."""
        path = self._member.settings.data_dir / INIT_SECRET
        if self._member.initialised:
            path.unlink(missing_ok=True)
            return
        if not path.exists():
            _write_private(path, self._member.random.bytes(32).hex())

    def check_may_init(self, request: RawRequest) -> None:
        """D1. Raises Refusal(403)."""
        try:
            if ipaddress.ip_address(request.remote_address).is_loopback:
                return
        except ValueError:
            pass
        given = request.headers.get("x-strongroom-init-secret", "")
        path = self._member.settings.data_dir / INIT_SECRET
        known = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if not known or not hmac.compare_digest(given.encode(), known.encode()):
            raise Refusal(403, "init from beyond this machine needs X-Strongroom-Init-Secret")

    async def init(self, body: dict[str, Any]) -> dict[str, Any]:
        """Keys, shares and root token, once. Raises Refusal."""
        if self._member.initialised:
            raise Refusal(400, "Vault is already initialized")
        shares, threshold = _count(body, "secret_shares"), _count(body, "secret_threshold")
        problem = init_problem(
            self.seal_type,
            secret_shares=shares,
            secret_threshold=threshold,
            pgp_keys=len(body.get("pgp_keys") or ()),
            recovery_shares=_count(body, "recovery_shares"),
            recovery_threshold=_count(body, "recovery_threshold"),
            recovery_pgp_keys=len(body.get("recovery_pgp_keys") or ()),
        )
        if problem is not None:
            raise Refusal(400, problem)
        if body.get("pgp_keys") or body.get("root_token_pgp_key") or body.get("recovery_pgp_keys"):
            raise Refusal(400, "PGP keys are not supported")
        if self._busy:
            raise Refusal(503, "init is under way", retry_after_s=1)
        self._busy = True
        try:
            return await self._init(shares, threshold)
        finally:
            self._busy = False

    async def _init(self, shares: int, threshold: int) -> dict[str, Any]:
        member = self._member
        root_token = new_raw_token(member.random.bytes)

        def seed(sealing: ValueSealing, _view: View, draft: Draft, now_ns: int) -> None:
            records = bootstrap_records(now_ns, member.random.bytes, dev=self._dev_mounts)
            records += root_token_records(root_token, sealing, now_ns, member.random.bytes)
            for table, key, record in records:
                draft.put(Table(table), key, record)

        try:
            new_seal = await run_init(
                member, seal_type=self.seal_type, shares=shares, threshold=threshold, peers=self._peers, seed=seed
            )
        except AlreadyInitialisedError:
            raise Refusal(400, "Vault is already initialized") from None
        except StrongroomError as error:
            raise Refusal(503, str(error), retry_after_s=1) from error
        keys = [bytes(share) for share in new_seal.shares]
        new_seal.wipe()
        (member.settings.data_dir / INIT_SECRET).unlink(missing_ok=True)
        return {
            "keys": [key.hex() for key in keys],
            "keys_base64": [base64.b64encode(key).decode() for key in keys],
            "root_token": root_token,
        }

    # ---- unseal
    async def unseal(self, body: dict[str, Any]) -> None:
        """One share, or a reset. Raises Refusal."""
        member = self._member
        lowered = {name.lower(): value for name, value in body.items()}
        reset, key = lowered.get("reset") is True, lowered.get("key")
        if not reset and (not isinstance(key, str) or not key):
            raise Refusal(400, "'key' must be specified in request body as JSON, or 'reset' set to true")
        if reset:
            if not member.sealed:
                raise Refusal(400, "vault is unsealed")
            if self._unsealer is not None:
                self._unsealer.reset()
            return
        if not member.initialised:
            raise Refusal(400, "Vault is not initialized")
        if not member.sealed or member.starting:
            return
        if self._unsealer is None:
            self._unsealer = ShamirUnsealer(member.envelope, member.random)
        assert isinstance(key, str)
        try:
            unsealed = self._unsealer.offer(key)
        except (InvalidShareError, WrongKeyError) as error:
            raise Refusal(400, str(error)) from error
        if unsealed is not None:
            self._unsealer = None
            await member.open_with(unsealed)

    async def seal(self) -> None:
        """D3."""
        self._unsealer = None
        await self._member.seal(by_operator=True)


def _count(body: dict[str, Any], name: str) -> int:
    value = body.get(name) or 0
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Refusal(400, f"failed to decode JSON input: {name} must be a number") from None


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text)
