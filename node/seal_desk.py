"""Init, unseal and seal as operations of one node: shares are collected here, and nowhere else.

A shell around cluster's init protocol and unsealers. Shares, root key and root token are in no log and no error.
Invariants
  D1  init is accepted from loopback, or over TLS with the one-time secret of <data_dir>/init-secret; never twice
  D2  a share counts once, however it is written; wrong shares at the threshold cost all progress
  D3  sealing by an operator is durable: nothing but a threshold of shares opens the node again
Source: Vault API, sys/init, sys/unseal, sys/seal.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import ipaddress
import logging
import os
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
from .seal_bodies import INIT_FIELDS, UNSEAL_FIELDS, typed
from .seal_migration import SealMigration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cluster import Wrap

    from .auto_seal import AutoSeal
    from .request import RawRequest

log = logging.getLogger("strongroom.seal")

INIT_SECRET = "init-secret"  # noqa: S105 - the name of a file
SERVES_S = 3.0
LINKED_S = 0.5
POLL_S = 0.02


class SealDesk:
    """One node's desk."""

    def __init__(
        self,
        member: Member,
        *,
        seal_type: str,
        peers: bool,
        dev_mounts: bool,
        secure: bool,
        auto: AutoSeal,
    ) -> None:
        self._member = member
        self.auto = auto
        self.migration = SealMigration(member, seal_type, auto)
        self.seal_type = seal_type
        self._peers = peers
        self._dev_mounts = dev_mounts
        self._secure = secure  # the listeners speak TLS
        self._unsealer: ShamirUnsealer | None = None
        self._busy = False
        self.by_shares = False  # while a threshold of shares opens the node
        self.on_event: Callable[..., None] = lambda _event, **_details: None
        self.before_seal: Callable[[], Awaitable[None]] = _at_once
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
        if not self._secure:
            raise Refusal(403, "init from beyond this machine needs TLS")
        given = request.headers.get("x-strongroom-init-secret", "")
        path = self._member.settings.data_dir / INIT_SECRET
        known = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if not known or not hmac.compare_digest(given.encode(), known.encode()):
            raise Refusal(403, "init from beyond this machine needs X-Strongroom-Init-Secret")

    async def init(self, body: dict[str, Any]) -> dict[str, Any]:
        """Keys, shares and root token, once. Raises Refusal."""
        asked = typed(body, INIT_FIELDS)
        if self._member.initialised:
            raise Refusal(400, "Vault is already initialized")
        shares, threshold = asked["secret_shares"], asked["secret_threshold"]
        problem = init_problem(
            self.seal_type,
            secret_shares=shares,
            secret_threshold=threshold,
            pgp_keys=len(asked["pgp_keys"]),
            recovery_shares=asked["recovery_shares"],
            recovery_threshold=asked["recovery_threshold"],
            recovery_pgp_keys=len(asked["recovery_pgp_keys"]),
        )
        if problem is not None:
            raise Refusal(400, problem)
        if asked["pgp_keys"] or asked["root_token_pgp_key"] or asked["recovery_pgp_keys"]:
            raise Refusal(400, "PGP keys are not supported")
        if self._busy:
            raise Refusal(503, "init is under way", retry_after_s=1)
        self._busy = True
        try:
            if self.seal_type != "shamir":
                return await self._init(asked["recovery_shares"], asked["recovery_threshold"])
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
                member,
                seal_type=self.seal_type,
                shares=shares,
                threshold=threshold,
                peers=self._peers,
                seed=seed,
                wrap=await self.auto.wrapping(self.seal_type),
            )
        except AlreadyInitialisedError:
            raise Refusal(400, "Vault is already initialized") from None
        except StrongroomError as error:
            raise Refusal(503, str(error), retry_after_s=1) from error
        self.on_event("init", shares=shares, threshold=threshold, seal=self.seal_type)
        keys = [bytes(share) for share in new_seal.shares]
        new_seal.wipe()
        (member.settings.data_dir / INIT_SECRET).unlink(missing_ok=True)
        name = "keys" if self.seal_type == "shamir" else "recovery_keys"
        answer: dict[str, Any] = {"keys": [], "keys_base64": [], "root_token": root_token}
        answer[name] = [key.hex() for key in keys]
        answer[f"{name}_base64"] = [base64.b64encode(key).decode() for key in keys]
        return answer

    async def wrapping(self) -> Wrap | None:
        """What a new root key is wrapped with; None where people hold shares instead. Raises StrongroomError."""
        return await self.auto.wrapping(self._member.seal_config.type)

    # ---- unseal
    async def unseal(self, body: dict[str, Any]) -> None:
        """One share, or a reset. Raises Refusal."""
        member = self._member
        asked = typed(body, UNSEAL_FIELDS)
        reset, key = asked["reset"], asked["key"]
        if not reset and not key:
            raise Refusal(400, "'key' must be specified in request body as JSON, or 'reset' set to true")
        if reset:
            if not member.sealed:
                raise Refusal(400, "vault is unsealed")
            if self._unsealer is not None:
                self._unsealer.reset()
            return
        if not member.initialised:
            raise Refusal(400, "Vault is not initialized")
        await member.keyrings.look_around()  # the cluster may have been rekeyed while this node was down
        if not member.sealed or member.starting:
            if asked["migrate"] and not member.starting:
                self.migration.check_open()
            return
        if not member.seal_config.shares:
            raise Refusal(400, "no recovery keys were made at init: this node opens itself, or not at all")
        if self._unsealer is None or not self._unsealer.is_of(member.envelope):
            self._unsealer = ShamirUnsealer(member.envelope, member.random)
        if asked["migrate"]:
            self.migration.check()
        before = self.progress
        try:
            unsealed = self._unsealer.offer(key)
        except (InvalidShareError, WrongKeyError) as error:
            self.on_event("unseal attempt", accepted=False)
            raise Refusal(400, str(error)) from error
        self.on_event("unseal attempt", accepted=True, progress=0 if unsealed is not None else self.progress)
        if unsealed is not None or self.progress > before:  # one that was given before says nothing new
            self.migration.said(migrate=asked["migrate"], first=not before)
        if unsealed is not None:
            self._unsealer = None
            self.by_shares = True
            try:
                await member.open_with(unsealed)
            finally:
                self.by_shares = False
            self.migration.opened()
            await self._until_it_serves()

    async def _until_it_serves(self) -> None:
        """Clients read and write right after the last share: its answer leaves after the election, if there can be one.

        Bounded, and by much less while no majority is linked: the node is open in any case.
        """
        member = self._member
        begun = member.clock.boot()
        while not member.sealed and (waited_s := member.clock.boot() - begun) < SERVES_S:
            if member.leader_id is not None:
                with contextlib.suppress(StrongroomError):
                    await member.read_barrier()
                    return
            replica = member.replica
            if replica is None:  # sealed again meanwhile
                return
            linked = sum(replica.connected(name) for name in replica.peers)
            if waited_s > LINKED_S and 1 + linked < replica.quorum:
                return
            await asyncio.sleep(POLL_S)

    async def seal(self) -> None:
        """D3."""
        self._unsealer = None
        self.on_event("seal")
        await self.before_seal()
        await self._member.seal(by_operator=True)


async def _at_once() -> None:
    return


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text)
