"""What writes wait for: nothing, a bounded lag, or the sinks that were named."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cluster.backup.backup import Backup, BackupSettings, SinkSettings
from cluster.backup.ports import Policy
from cluster.backup.sinks.base import Position
from cluster.backup.sinks.memory import MemorySink
from cluster.errors import UnavailableError, UnknownOutcomeError


class Clock:
    def boot(self) -> float:
        return time.monotonic()

    def wall_ns(self) -> int:
        return 1


class Replica:
    applied_index = 0
    recovering = False


class FakeMember:
    """What a Backup looks at before it runs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.random: Any = None
        self.settings = type("Settings", (), {"node_id": "n1"})()
        self.replica = Replica()
        self.state_listeners: list[Any] = []


def made(mode: str, *, required: tuple[bool, ...] = (True,), max_lag_s: float = 1.0) -> tuple[Backup, FakeMember]:
    member: Any = FakeMember()
    sinks = [SinkSettings(f"s{number}", MemorySink(), required=one) for number, one in enumerate(required)]
    backup = Backup(member, BackupSettings(mode, Policy(), max_lag_s, timeout_s=0.05), sinks)
    backup._tasks = [asyncio.get_running_loop().create_task(asyncio.sleep(0))]
    return backup, member


def confirm(backup: Backup, name: str, index: int) -> None:
    position = Position(index, b"h" * 32, 1)
    backup.pipelines[name].standing.confirmed = position
    backup._confirmed(position)


async def test_async_waits_for_nothing() -> None:
    """Whatever the sinks do."""
    backup, _ = made("async")
    backup.pipelines["s0"].standing.error = "down"

    await backup.before()
    await backup.after(10**9)


@pytest.mark.parametrize(("error", "confirmed"), [("down", True), ("", False)])
async def test_write_through_refuses_before_anything_is_proposed_while_a_sink_is_down(
    error: str, confirmed: bool
) -> None:
    """Or has never been reached; and takes writes once it is there."""
    backup, _ = made("write_through")
    if confirmed:
        confirm(backup, "s0", 5)
    backup.pipelines["s0"].standing.error = error

    with pytest.raises(UnavailableError, match="s0 is down"):
        await backup.before()
    confirm(backup, "s0", 5)
    backup.pipelines["s0"].standing.error = ""
    await backup.before()


async def test_write_through_answers_once_every_required_sink_has_the_entry() -> None:
    """Not before, and without regard to the others."""
    backup, _ = made("write_through", required=(True, True, False))
    waiting = asyncio.create_task(backup.after(7))
    for name, index in (("s0", 7), ("s1", 6)):
        confirm(backup, name, index)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not waiting.done()
    confirm(backup, "s1", 9)

    await waiting


async def test_write_through_past_its_time_is_an_unknown_outcome() -> None:
    """The entry is committed and visible; nobody may call that a failure."""
    backup, _ = made("write_through")
    confirm(backup, "s0", 3)

    with pytest.raises(UnknownOutcomeError, match="applied at 4"):
        await backup.after(4)


async def test_max_lag_holds_writes_back_only_as_long_as_a_sink_is_behind() -> None:
    """Then refuses them: nothing was proposed."""
    backup, member = made("max_lag", max_lag_s=1.0)
    pipeline = backup.pipelines["s0"]
    await backup.before()
    pipeline.standing.behind_since_s = member.clock.boot() - 0.5
    await backup.before()
    pipeline.standing.behind_since_s = member.clock.boot() - 5.0
    with pytest.raises(UnavailableError, match="more than 1 s behind"):
        await backup.before()

    waiting = asyncio.create_task(backup.before())
    await asyncio.sleep(0)
    pipeline.standing.behind_since_s = None
    confirm(backup, "s0", 1)
    await waiting


async def test_a_sink_that_is_not_required_holds_nothing_back() -> None:
    """In any mode."""
    for mode in ("max_lag", "write_through"):
        backup, member = made(mode, required=(False,))
        backup.pipelines["s0"].standing.error = "down"
        backup.pipelines["s0"].standing.behind_since_s = member.clock.boot() - 100.0
        await backup.before()
        await backup.after(5)


async def test_lag_is_said_in_entries_and_seconds() -> None:
    """Nothing is behind where nothing was applied."""
    backup, member = made("async")
    pipeline = backup.pipelines["s0"]
    member.replica.applied_index = 12
    confirm(backup, "s0", 5)
    pipeline.standing.behind_since_s = member.clock.boot() - 2.0

    [(standing, entries, lag_s)] = backup.standings()
    assert (standing.name, entries) == ("s0", 7)
    assert 2.0 <= lag_s < 3.0
    pipeline.standing.behind_since_s = None
    assert backup.lag_s(pipeline) == 0.0
