"""Work in a thread is not left behind by who is cancelled: what was begun is known before it is healed."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from chaos.history import Recorder
from chaos.plan import expand, parse
from chaos.schedule import Schedule
from chaos.threads import together, whole
from tests.chaos.test_schedule import FakeWatch
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.nemesis.base import Scene


async def test_what_work_returns_or_raises_is_passed_on() -> None:
    """As without a thread."""
    assert await whole(lambda number: number + 1, 1) == 2
    with pytest.raises(ZeroDivisionError):
        await whole(lambda: 1 // 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_waits_for_its_end(*, fails: bool) -> None:
    """And is cancelled, whatever the work came to."""
    began, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go.wait(10)
        ended.set()
        if fails:
            raise OSError("half done")

    task = asyncio.create_task(whole(work))
    await asyncio.to_thread(began.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


class Slow:
    """A nemesis whose inject takes until it may go on."""

    name: ClassVar[str] = "slow"
    about: ClassVar[str] = "slow"
    needs: ClassVar[frozenset[str]] = frozenset()
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#000000"

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self.said: list[str] = []

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        self.began.set()
        self.go.wait(10)
        self.said.append("injected")
        return {"took_effect": True}

    def heal(self, scene: Scene) -> dict[str, Any]:
        self.said.append("healed")
        return {}


async def test_a_fault_that_is_being_injected_is_healed_afterwards() -> None:
    """S1, when a run is cancelled in the middle of it: else it would take effect after its healing."""
    nemesis = Slow()
    plan = expand(parse('name = "s"\n[[faults]]\nnemesis = "slow"\nhold_s = 0\nquiet_s = 0\n'), 1)
    schedule = Schedule(plan, FakeTarget(), {"slow": nemesis}, FakeWatch(), Recorder(io.StringIO()))
    running = asyncio.create_task(schedule.run())
    await asyncio.to_thread(nemesis.began.wait, 10)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, nemesis.go.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    schedule.heal_now()

    assert nemesis.said == ["injected", "healed"]


async def test_of_two_lanes_both_have_ended_before_anything_is_healed() -> None:
    """S1: the one that waits for its time is cancelled at once, the one that injects is waited for."""
    nemesis = Slow()
    text = '[[faults]]\nnemesis = "slow"\nselect = "none"\n'
    plan = expand(parse(f'name = "s"\nat_once = 2\norder = "given"\n{text}quiet_s = 0\n{text}quiet_s = 60\n'), 1)
    schedule = Schedule(plan, FakeTarget(), {"slow": nemesis}, FakeWatch(), Recorder(io.StringIO()))
    running = asyncio.create_task(schedule.run())
    await asyncio.to_thread(nemesis.began.wait, 10)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, nemesis.go.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    schedule.heal_now()

    assert nemesis.said == ["injected", "healed"]


async def test_one_that_raises_ends_the_others_first() -> None:
    """Nothing goes on behind the back of who hears of it."""
    ended: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("long")

    async def bad() -> None:
        await asyncio.sleep(0)
        raise OSError("bad")

    async with asyncio.timeout(10):
        with pytest.raises(OSError, match="bad"):
            await together(long(), bad(), long())
    assert ended == ["long", "long"]


async def test_nothing_together_is_done() -> None:
    """And all of it waits for the slowest."""
    await together()
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(number / 1000)
        done.append(number)

    await together(work(5), work(0))
    assert done == [0, 5]
