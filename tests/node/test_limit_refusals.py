"""Refusals by limits: told at once, then counted; however many come, an event a minute for each limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node import limit_refusals
from node.http.limits import Limited
from node.limit_refusals import AGAIN_S, LimitRefusals


class Clock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)


class Told:
    """What was recorded."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        self.refusals = LimitRefusals(self.clock, lambda event, **details: self.events.append({"": event, **details}))

    @property
    def counts(self) -> list[tuple[str, int, str]]:
        return [(event["limit"], event["count"], event["address"]) for event in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_first_is_told_at_once_and_the_rest_as_a_number(told):
    """With the address of the first that came since; ten thousand refusals are two events."""
    for number in range(10_000):
        told.refusals.count(Limited.CONNECTIONS, f"10.0.0.{min(number, 9)}")
        told.refusals.tell()
    assert told.counts == [("connections", 1, "10.0.0.0")]

    told.clock.now += AGAIN_S
    told.refusals.tell()
    assert told.counts == [("connections", 1, "10.0.0.0"), ("connections", 9_999, "10.0.0.1")]
    assert {event[""] for event in told.events} == {"refused by a limit"}


def test_one_limit_does_not_hide_another(told):
    """Each has its own count and its own minute."""
    told.refusals.count(Limited.BODY, "10.0.0.1")
    told.refusals.count(Limited.RATE_QUOTA, "10.0.0.2")
    told.refusals.count(Limited.BODY, "10.0.0.3")

    assert told.counts == [("size of a body", 1, "10.0.0.1"), ("rate quota", 1, "10.0.0.2")]


def test_a_flood_that_goes_on_is_an_event_a_minute(told):
    """Whether it is looked at each five seconds or each second."""
    for _ in range(600):
        told.refusals.count(Limited.IN_FLIGHT, "10.0.0.1")
        told.clock.now += 1.0
        told.refusals.tell()
    assert [count for _, count, _ in told.counts] == [1, 59, *[60] * 9]
    assert sum(count for _, count, _ in told.counts) == 600


def test_after_a_quiet_minute_the_next_one_is_told_at_once(told):
    """And nothing is told of the quiet."""
    told.refusals.count(Limited.HEAD, "10.0.0.1")
    told.clock.now += AGAIN_S
    told.refusals.tell()
    told.refusals.tell()
    assert len(told.events) == 1

    told.refusals.count(Limited.HEAD, "10.0.0.2")
    assert told.counts == [("size of a head", 1, "10.0.0.1"), ("size of a head", 1, "10.0.0.2")]


def test_a_stop_loses_no_count(told):
    """What was counted and not told is told then, and once."""
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        told.refusals.count(Limited.TIME, address)
    told.refusals.tell(everything=True)
    told.refusals.tell(everything=True)

    assert told.counts == [("time", 1, "10.0.0.1"), ("time", 2, "10.0.0.2")]


async def test_what_was_counted_is_told_without_another_refusal(told, monkeypatch):
    """A flood that ends is told of, too."""
    monkeypatch.setattr(limit_refusals, "TICK_S", 0.0)
    told.refusals.count(Limited.TIME, "10.0.0.1")
    told.refusals.count(Limited.TIME, "10.0.0.2")
    told.clock.now += AGAIN_S
    task = asyncio.get_running_loop().create_task(told.refusals.run())
    async with asyncio.timeout(10):
        while len(told.events) < 2:  # noqa: ASYNC110 - turns of the loop, until its own has come
            await asyncio.sleep(0)
    task.cancel()

    assert told.counts == [("time", 1, "10.0.0.1"), ("time", 1, "10.0.0.2")]
