"""What a leader does by itself: expire, sweep, forget write ids. Every step is a transaction decided from state.

What was to become mounts and is written to by nobody any more is swept like unmounted ones (`held`: by this process).

A shell with a timer. Steps are small and one is in flight at a time, so nothing here can crowd out clients.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from cluster import Draft, Member, StrongroomError, sweeps, write_ids

if TYPE_CHECKING:
    from collections.abc import Collection

    from cluster import View

PERIOD_S = 0.25
NS = 1_000_000_000


class Maintenance:
    """Runs on every node, acts on the leader only."""

    def __init__(self, member: Member, *, window_s: int, entries_max: int, held: Collection[bytes] = ()) -> None:
        self._member = member
        self._held = held
        self._window_ns = window_s * NS
        self._entries_max = entries_max

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(PERIOD_S)
            while self._member.is_leader:
                with contextlib.suppress(StrongroomError):
                    if await self.step():
                        continue
                break

    async def step(self) -> bool:
        """One transaction, if something is due. Raises StrongroomError as `Member.write`."""
        member = self._member
        state = member.view
        now_ns = member.now_ns()
        if (
            sweeps.next_expiry(state, now_ns) is None
            and sweeps.next_sweep(state) is None
            and sweeps.next_abandoned(state, self._held) is None
            and self._forget(now_ns) is None
        ):
            return False

        def decide(view: View, decided_ns: int) -> tuple[Draft, bool]:
            draft = (
                sweeps.next_expiry(state, decided_ns, view=view)
                or sweeps.next_sweep(state, view=view)
                or sweeps.next_abandoned(state, self._held, view=view)
                or self._forget(decided_ns, view)
            )
            return draft or Draft(), draft is not None

        _, did = await member.propose(decide)
        return did

    def _forget(self, now_ns: int, view: View | None = None) -> Draft | None:
        return write_ids.next_sweep(
            self._member.view, now_ns=now_ns, window_ns=self._window_ns, entries_max=self._entries_max, view=view
        )
