"""What opens a node without people: a key file, or the transit engine of another vault.

A shell: reads the key file, and asks the other vault in a thread. Invariants
  A1  a node that an operator sealed is left alone, also one that is sealed while the other vault is asked
  A2  an outage of the other vault is waited for, for ever, each time a little longer; meanwhile the node says why
  A3  what would not open the node at its next start is found while it is open, and said: recovery keys may be all that
      is left then
  A4  neither key nor token is in a log or a sentence, and no address is in what is said without a token
Source: Vault, "auto unseal"; docs/runbook.md, "The other vault".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cluster import StrongroomError, Transit, TransitSettings, UnavailableError, static_seal

if TYPE_CHECKING:
    from cluster import Member, Unsealed, Wrap

    from .config import Config

log = logging.getLogger("strongroom.seal")

PERIOD_S = 0.5
PAUSE_S_MAX = 30.0
DOUBLINGS_MAX = 10
RENEW_S_MIN, RENEW_S_MAX = 60.0, 3600.0
TRANSIT, STATIC, SHAMIR = "transit", "static", "shamir"


class AutoSeal:
    """One node's."""

    def __init__(
        self, member: Member, seal_type: str, *, key_file: str = "", key_text: str = "", transit: Transit | None = None
    ) -> None:
        self._member = member
        self._seal_type = seal_type
        self._key_file = key_file
        self._key_text = key_text
        self._transit = transit
        self._attempts = 0
        self._renew_at_s = 0.0
        self._said = ""
        self.why = ""  # what a sealed node waits for, or what an open one would wait for after its next start

    def __repr__(self) -> str:
        return "<AutoSeal>"

    # ---- a new root key
    async def wrapping(self, seal_type: str) -> Wrap | None:
        """What a root key is wrapped with under such a seal, once; None where people hold shares instead.

        Raises StrongroomError: the other vault does not do its part, or this node is not told of it.
        """
        if seal_type == SHAMIR:
            return None
        if seal_type == STATIC:
            return self._wrap
        if self._transit is None:
            raise UnavailableError("this node's configuration does not say where the other vault of the seal is")
        try:
            return await asyncio.to_thread(self._transit.prepare, self._member.random)
        except StrongroomError as error:
            raise UnavailableError(f"the other vault of the seal: {error}") from None

    def _wrap(self, root_key: bytearray, check: bytes, epoch: int) -> bytes:
        return static_seal.wrap(self._static_key(), root_key, check, epoch, self._member.random.bytes(12))

    def _static_key(self) -> bytearray:
        if self._key_text:
            return static_seal.parse_key(self._key_text.encode())
        return static_seal.read_key(self._key_file, static_seal.SystemKeyFile())

    # ---- opening
    async def run(self) -> None:
        """For ever, if there is anything to do at all."""
        while self._seal_type in {STATIC, TRANSIT}:
            pause_s = await self.step()
            await asyncio.sleep(pause_s)

    async def step(self) -> float:
        """One attempt, if one is due; seconds until the next."""
        try:
            if not self._may_open():
                self._attempts = 0
                await self._look_after()
                return PERIOD_S
            return await self._attempt()
        except StrongroomError as error:
            self._member.keyrings.doubt()
            return self._failed(str(error))
        except OSError as error:  # A2 holds for the node's own disk, too
            return self._failed(f"this node's disk: {error.strerror}")

    async def _attempt(self) -> float:
        """The node is open, or there is nothing to be tried, or it raises."""
        member = self._member
        await member.keyrings.look_around()
        if member.seal_config.type != self._seal_type:
            self._attempts, self.why = 0, ""
            return PERIOD_S  # a migration is to come: only people open this node
        unsealed = await self._unsealed(member.envelope)
        if not self._may_open():
            unsealed.wipe()  # A1
            return PERIOD_S
        await member.open_with(unsealed)
        self._attempts, self.why, self._said = 0, "", ""
        return PERIOD_S

    def _may_open(self) -> bool:
        member = self._member
        return member.sealed and member.initialised and not member.starting and not member.sealed_by_operator

    async def _unsealed(self, envelope: bytes) -> Unsealed:
        if self._seal_type == TRANSIT:
            assert self._transit is not None
            return await asyncio.to_thread(self._transit.unseal, envelope)
        return static_seal.unseal(self._static_key(), envelope)

    def _failed(self, error: str) -> float:
        """A2: the pause before the next attempt."""
        self._attempts += 1
        by = "the other vault" if self._seal_type == TRANSIT else "the key file"
        if error != self._said:
            self._said = error
            log.error("%s does not open this node: %s", by, error)
        self.why = f"{by} does not open this node ({error}); attempt {self._attempts}, it is tried again"
        if self._seal_type == STATIC:
            return PERIOD_S
        pause_s = min(PAUSE_S_MAX, PERIOD_S * 2.0 ** min(self._attempts - 1, DOUBLINGS_MAX))
        return pause_s * (0.5 + self._member.random.uniform() / 2)

    # ---- while the node is open
    async def _look_after(self) -> None:
        """The token for the other vault lives on while the node does, if it can be renewed; and A3."""
        if self._member.sealed:
            self.why = ""
            return
        now_s = self._member.clock.boot()
        if self._transit is None or now_s < self._renew_at_s:
            return
        self._renew_at_s = now_s + RENEW_S_MIN
        left_s = await self._renewed(self._transit)
        if await self._would_open(self._transit) and left_s is not None:
            self._renew_at_s = now_s + min(max(left_s / 3, RENEW_S_MIN), RENEW_S_MAX)

    async def _renewed(self, transit: Transit) -> float | None:
        """So long the token lives on; None if that did not succeed."""
        try:
            return await asyncio.to_thread(transit.renew) or 3 * RENEW_S_MAX
        except StrongroomError as error:
            log.warning("the token for the other vault of the seal was not renewed: %s", error)
            return None

    async def _would_open(self, transit: Transit) -> bool:
        member, why = self._member, ""
        try:
            if member.seal_config.type == TRANSIT:
                await asyncio.to_thread(transit.check, member.envelope)
        except (StrongroomError, OSError) as error:
            said = str(error) if isinstance(error, StrongroomError) else "this node's keyring cannot be read"
            why = f"the other vault would not open this node at its next start ({said}): see to it before"
        if member.sealed:
            return False
        if why and why != self.why:
            log.error("%s", why)
        self.why = why
        return not why


def auto_seal_of(member: Member, config: Config) -> AutoSeal:
    """As the configuration says."""
    seal = config.seal
    transit = transit_of(config)
    key_text = seal.key.reveal() if config.profile == "dev" else ""
    return AutoSeal(member, seal.type, key_file=seal.key_file, key_text=key_text, transit=transit)


def transit_of(config: Config) -> Transit | None:
    """The other vault that the configuration names; None if it names none."""
    seal = config.seal
    if seal.type != TRANSIT:
        return None
    return Transit(
        TransitSettings(
            seal.transit_address, seal.transit_token_file, seal.transit_key_name, seal.transit_mount_path,
            seal.transit_tls_ca_file,
        )
    )  # fmt: skip


__all__ = ["AutoSeal", "auto_seal_of", "transit_of"]
