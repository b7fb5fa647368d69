"""From the seal that the cluster has to the one that this node's configuration names, on the word of a threshold.

A shell. A threshold of shares, each given with `migrate`, opens a sealed node and lets it migrate the cluster when it
leads; the answer to the last share does not wait for that. Shares stay what they are: unseal keys become recovery
keys, or recovery keys unseal keys. Invariants
  X1  nothing migrates without a threshold of shares that were all given for it, in this life of the node
  X2  until the migration is committed the old seal is in force, everywhere; afterwards the new one is
  X3  a seal is never left for one that nobody could open: shamir needs recovery keys, another vault must answer first
Source: Vault, "seal migration"; Vault API, "sys/unseal".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cluster import StrongroomError, UnknownOutcomeError, migrate_seal

from .auto_seal import SHAMIR
from .request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member

    from .auto_seal import AutoSeal

log = logging.getLogger("strongroom.security")

PERIOD_S = 0.25
AGAIN_S = 2.0
NOTHING = "can't perform a seal migration, no migration seal found"
IS_OPEN = (
    "this node is open, and not all keys that opened it were given to migrate: seal it (`strongroom operator seal`), "
    "and give a threshold of them again"
)


class SealMigration:
    """One node's part."""

    def __init__(self, member: Member, seal_type: str, auto: AutoSeal) -> None:
        self._member = member
        self._seal_type = seal_type
        self._auto = auto
        self._all_said = False
        self._wanted = False
        self._problem = ""
        self.on_event: Callable[..., None] = lambda _event, **_details: None

    @property
    def pending(self) -> bool:
        """The configuration names another seal than the cluster has."""
        return self._member.initialised and self._member.seal_config.type != self._seal_type

    @property
    def why(self) -> str:
        """What is to be done about that; empty if nothing is."""
        if not self.pending:
            return ""
        types = f"the cluster's seal is of type {self._member.seal_config.type}, seal.type says {self._seal_type}"
        if not self._wanted:
            give = "give a threshold of keys with `strongroom operator unseal -migrate` to this node while it is sealed"
            return f"{types}: {give} to change the cluster's, or correct seal.type"
        waits = self._problem or "it waits until this node leads"
        return f"{types}: the migration is wanted, and {waits}"

    # ---- shares
    def check(self) -> None:
        """A share is given to migrate. Raises Refusal."""
        if not self.pending:
            raise Refusal(400, NOTHING)
        if self._seal_type == SHAMIR and not self._member.seal_config.shares:  # X3
            raise Refusal(400, "no recovery keys were made at init: there is nothing that shamir could use")

    def check_open(self) -> None:
        """The same while the node is open: it is late for that. Raises Refusal unless a threshold said it in time."""
        if self.pending and not self._wanted:
            raise Refusal(400, IS_OPEN)

    def said(self, *, migrate: bool, first: bool) -> None:
        """A share was accepted, with or without `migrate` (X1). What is no share has no say."""
        self._all_said = migrate and (first or self._all_said)

    def opened(self) -> None:
        """The threshold is reached, and the node is open."""
        self._wanted, self._all_said = self._all_said, False
        self._problem = ""

    # ---- the migration
    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if self._wanted and not await self.step():
                await asyncio.sleep(AGAIN_S)

    async def step(self) -> bool:
        """One attempt, if this node leads. False: it failed, and is worth another one a little later."""
        member = self._member
        if not self._is_due():
            return True
        former = member.seal_config.type
        try:
            wrap = await self._auto.wrapping(self._seal_type)
            if not self._is_due():  # the node may have been sealed meanwhile, and opened without the word
                return True
            index = await migrate_seal(member, self._seal_type, wrap)
        except StrongroomError as error:
            self._failed(error)
            return False
        self._wanted = False
        self.on_event("seal migrated", former=former, seal=self._seal_type, index=index)
        log.warning("the seal is of type %s now, and was of type %s", self._seal_type, former)
        return True

    def _is_due(self) -> bool:
        """X1, and this node leads."""
        self._wanted = self._wanted and self.pending and not self._member.sealed
        return self._wanted and self._member.is_leader

    def _failed(self, error: StrongroomError) -> None:
        if isinstance(error, UnknownOutcomeError):  # it may be in force: no other event would tell of it
            self.on_event("seal migration of unknown outcome", seal=self._seal_type)
        problem = f"not possible yet: {error}"
        if problem != self._problem:
            log.warning("the seal was not migrated yet: %s", error)
        self._problem = problem


__all__ = ["SealMigration"]
