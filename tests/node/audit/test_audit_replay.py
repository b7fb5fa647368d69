"""Audit devices of a node that starts: those of a state that is current, and what waits for them meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Self

import pytest

from cluster import SealedError, UnavailableError
from node import audit_desk
from node.audit import AuditError
from node.audit_desk import AuditDesk, FollowingBroker


class Starting:
    """A desk of a node that replays its log until `caught_up`; what devices it had, each time they were made equal."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()
        self.raises: Exception | None = None
        self.devices = "old"
        self.synced: list[str] = []
        self.asked = 0
        desk: Any = object.__new__(AuditDesk)
        desk._member = SimpleNamespace(read_barrier=self._barrier)
        desk._changed, desk._synced, desk._replays = asyncio.Event(), asyncio.Event(), True
        desk.sync = self._sync
        self.desk = desk

    async def _barrier(self) -> int:
        self.asked += 1
        if self.raises is not None:
            raise self.raises
        await self.caught_up.wait()
        return 1

    async def _sync(self) -> None:
        self.desk._changed.clear()
        self.synced.append(self.devices)
        self.desk._synced.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.desk._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_devices_of_the_past_are_not_followed() -> None:
    """However often they change while the log is replayed; afterwards each change is followed at once."""
    async with Starting() as node:
        node.desk.forget(anew=True)
        await turns()
        node.desk.forget()
        await turns()
        while_replaying = list(node.synced)
        node.devices = "now"
        node.caught_up.set()
        await turns()
        after = list(node.synced)
        node.devices = "changed"
        node.caught_up.clear()
        node.desk.forget()
        await turns()

        assert while_replaying == []
        assert after == ["now"]
        assert (node.synced, node.asked) == (["now", "changed"], 1)


async def test_a_state_that_was_replaced_may_be_an_old_one() -> None:
    """It is asked about again."""
    async with Starting() as node:
        node.caught_up.set()
        node.desk.forget(anew=True)
        await turns()
        node.desk.forget(anew=True)
        await turns()

        assert node.asked == 2


@pytest.mark.parametrize("why", ["nobody confirms", "sealed"])
async def test_a_node_alone_follows_what_it_has_after_a_while(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Its refusals are audited, too. One that was sealed meanwhile waits for nothing."""
    monkeypatch.setattr(audit_desk, "CURRENT_S", 0.05 if why == "nobody confirms" else 60.0)
    monkeypatch.setattr(audit_desk, "CURRENT_RETRY_S", 0.001)
    async with Starting() as node:
        node.raises = UnavailableError("no leader") if why == "nobody confirms" else SealedError()
        node.desk.forget(anew=True)
        async with asyncio.timeout(5.0):
            await node.desk._synced.wait()

        assert node.synced == ["old"]
        assert (node.asked > 1) == (why == "nobody confirms")


async def test_an_event_waits_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is refused at the deadline; an unseal is told to the devices once they stand."""
    monkeypatch.setattr(audit_desk, "CURRENT_S", 60.0)
    broker: Any = object.__new__(FollowingBroker)
    broker._deadline_s, broker._devices, broker.followed = 0.01, {}, asyncio.Event()
    event = asyncio.create_task(broker.event("unseal attempt", {}))
    with pytest.raises(AuditError):
        await broker.record(None, None)
    is_waiting = not event.done()
    broker.followed.set()
    await event

    assert is_waiting
