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
from cluster.state import records
from cluster.state.machine import State
from cluster.state.tables import Table
from cluster.state.transaction import Transaction


class Clock:
    def boot(self) -> float:
        return time.monotonic()

    def wall_ns(self) -> int:
        return 1


class Replica:
    applied_index = 0
    recovering = False
    is_leader = noop_applied = True
    term = 1


class FakeMember:
    """What a Backup looks at before it runs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.random: Any = None
        self.settings = type("Settings", (), {"node_id": "n1"})()
        self.replica = Replica()
        self.state_listeners: list[Any] = []
        self.generation = b"g" * 16
        self.view = State(b"k" * 32)


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


def apply(backup: Backup, member: FakeMember, index: int) -> None:
    """An entry is applied at this node."""
    member.replica.applied_index = index
    backup._applied(index, Transaction(1, index, 1, [], [], []))


async def test_max_lag_counts_while_a_sink_cannot_even_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new leader whose sink is down from the first second on: its pipeline has never begun a batch."""
    backup, member = made("max_lag", max_lag_s=1.0)
    now_s = 100.0
    monkeypatch.setattr(Clock, "boot", lambda _clock: now_s)
    apply(backup, member, 7)
    await backup.before()
    now_s = 100.9
    await backup.before()
    now_s = 101.2
    backup._settings = BackupSettings("max_lag", Policy(), 1.0, timeout_s=0.0)
    with pytest.raises(UnavailableError, match="more than 1 s behind"):
        await backup.before()

    confirm(backup, "s0", 7)
    await backup.before()


async def test_max_lag_counts_from_the_oldest_entry_that_a_slow_sink_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from the newest batch it took: it may take one after the other and fall ever further behind."""
    backup, member = made("max_lag", max_lag_s=1.0)
    pipeline = backup.pipelines["s0"]
    now_s = 100.0
    monkeypatch.setattr(Clock, "boot", lambda _clock: now_s)
    assert backup.lag_s(pipeline) == 0.0
    for index in range(1, 31):
        now_s += 0.2
        apply(backup, member, index)
        confirm(backup, "s0", index // 3)

    assert backup.lag_s(pipeline) == pytest.approx(0.2 * 19)


async def test_the_last_entry_of_a_burst_counts_as_long_as_a_sink_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the first of the burst, applied in the same moment, is held; its twin: all are."""
    backup, member = made("max_lag", max_lag_s=1.0)
    pipeline = backup.pipelines["s0"]
    now_s = 100.0
    monkeypatch.setattr(Clock, "boot", lambda _clock: now_s)
    assert backup.lag_s(pipeline) == 0.0
    for index in (1, 2, 3):
        now_s += 0.01
        apply(backup, member, index)
    confirm(backup, "s0", 1)
    now_s += 60.0
    behind = backup.lag_s(pipeline)
    confirm(backup, "s0", 3)

    assert (behind, backup.lag_s(pipeline)) == (pytest.approx(60.0, abs=0.1), 0.0)


async def test_a_node_that_does_not_write_a_sink_says_nothing_of_its_lag() -> None:
    """What another node has stored since the last fact is not known here."""
    backup, member = made("max_lag")
    apply(backup, member, 7)
    backup.pipelines["s0"].standing.behind_since_s = member.clock.boot() - 100.0
    member.replica.is_leader = False

    assert backup.lag_s(backup.pipelines["s0"]) == 0.0


async def test_the_newest_of_many_positions_is_what_the_folder_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that starts hears of them all at once; they are written one after the other, and a full disk is said."""
    written: list[int] = []

    def write(_disk: Any, witness: Any) -> None:
        written.append(witness.last)
        if witness.last == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.backup.backup.write_witness", write)
    backup, member = made("async")
    member.disk = None  # type: ignore[attr-defined]
    for index in range(1, 40):
        record = records.encode(records.BackupPosition(generation=b"g" * 16, last=index, hash=b"h" * 32))
        backup._applied(index, Transaction(1, index, 1, [], [(Table.BACKUP_POSITION, b"s0", record)], []))
        if index == 1:
            assert backup._writing is not None
            await backup._writing
    assert backup._writing is not None
    await backup._writing

    assert written == [1, 39]


async def test_the_log_is_kept_for_a_sink_that_is_away() -> None:
    """What it confirmed stays true, and one that was never reached takes nothing from the others."""
    backup, _ = made("async", required=(True, True, True))
    assert backup.held_index() is None
    confirm(backup, "s0", 40)
    confirm(backup, "s1", 30)
    backup.pipelines["s1"].standing.claimed = False

    assert backup.held_index() == 30
