"""Rotation of the key terms: on demand, and by the leader itself when their time is over.

A shell over cluster's Rekeying. Invariants
  R1  an answered rotation is committed, and in use on the node that answers unless its disk does not take the keyring:
      the log says that
  R2  the leader alone rotates by itself, and asks the state when; a failure is tried again, not at once
Source: Vault API, "sys/rotate".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cluster import StrongroomError, TooManyTermsError

from .engines.system.keys import KeyStatus, rotate_config
from .request import Answer, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member, Rekeying

log = logging.getLogger("strongroom.seal")

PERIOD_S = 60.0


class KeyRotation:
    """One node's."""

    def __init__(self, member: Member, rekeying: Rekeying) -> None:
        self._member = member
        self._rekeying = rekeying
        self.on_event: Callable[..., None] = lambda _event, **_details: None

    def status(self) -> KeyStatus:
        """See engines/system/keys.py. Raises SealedError."""
        sealer = self._member.running.sealer
        keyring = sealer.keyring
        return KeyStatus(len(keyring.term_ids), keyring.installed_ns(keyring.active_term_id), sealer.encryptions)

    async def rotate(self) -> Answer:
        """R1. Raises StrongroomError, Refusal."""
        try:
            index = await self._rekeying.rotate()
        except TooManyTermsError as error:
            raise Refusal(400, str(error)) from None
        self.on_event("rotate", term=self.status().term, index=index)
        return Answer()

    async def step(self) -> None:
        """R2."""
        member = self._member
        if not member.is_leader:
            return
        _, config = rotate_config(member.view)
        if not config.is_due(self.status(), member.now_ns()):
            return
        try:
            await self.rotate()
        except (StrongroomError, Refusal) as error:
            log.warning("the keys were due to rotate, and did not: %s", type(error).__name__)
        else:
            log.info("the keys were rotated: their time was over")
