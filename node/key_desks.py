"""What a node does with keys, wired together: rotation, rekey, generate-root, their paths, and what ends them.

A shell. Invariant: an operation with shares lives as long as this node leads, and no longer; a seal or
stop waits for what is being answered, but not for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster import Rekeying

from .generate_root import RootDesk
from .key_paths import Handler, KeyPaths
from .rekey import RekeyDesk
from .rotation import PERIOD_S, KeyRotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster import Member

    from .flow import Flow
    from .seal_desk import SealDesk

ANSWERS_S = 10.0
LEAVES_S = 0.25  # an answer passes through the node that forwarded its request


class KeyDesks:
    """One node's."""

    def __init__(self, member: Member, seal: SealDesk) -> None:
        self._member = member
        self._rekeying = Rekeying(member)
        self.rotation = KeyRotation(member, self._rekeying)
        self._rekey = RekeyDesk(member, self._rekeying, seal.wrapping)
        self._root = RootDesk(member)
        self._paths: KeyPaths | None = None
        seal.before_seal = self.answered

    def hear(self, on_event: Callable[..., None]) -> None:
        """Who is told of what happens."""
        for one in (self._rekeying, self.rotation, self._rekey, self._root):
            one.on_event = on_event

    def paths(self, flow: Flow, *, rekey_is_open: bool) -> Mapping[str, Handler]:
        """The handlers."""
        self._paths = KeyPaths(
            self._member, flow, self.rotation, self._rekey, self._root, rekey_is_open=rekey_is_open
        )
        return self._paths.handlers

    async def answered(self) -> None:
        """Nothing of keys is being answered, or the time for it is over."""
        if self._paths is not None and self._paths.under_way.any:
            await self._paths.under_way.none(ANSWERS_S)
            await asyncio.sleep(LEAVES_S)

    def forget(self) -> None:
        """This node leads from now on, or does not any more: what was begun before is over."""
        self._rekey.forget()
        self._root.forget()

    async def run(self) -> None:
        """For ever: keys rotate when their time is over."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.rotation.step()
