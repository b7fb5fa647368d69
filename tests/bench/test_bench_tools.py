"""Options, the stop-watch of a loop, the control socket, the gap of a failover."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from bench import control
from bench.failover import gap
from bench.options import GROUPS, QUICK, WHOLE, parse
from bench.processes import BenchError
from bench.turns import Turns


def test_without_options_everything_is_measured_whole():
    """As `make bench` does."""
    given = parse([])

    assert (given.sizes, given.groups) == (WHOLE, GROUPS)


def test_groups_can_be_chosen_and_made_small(tmp_path):
    """In the order of the table, however they were named."""
    given = parse(["--quick", "--only", "gets", "--only", "commits", "--json", str(tmp_path / "x.json")])

    assert (given.sizes, given.groups, given.json) == (QUICK, ("commits", "gets"), tmp_path / "x.json")


def test_an_unknown_group_is_refused(capsys):
    """With a sentence that names those there are."""
    with pytest.raises(SystemExit):
        parse(["--only", "nonsense"])

    assert "commits" in capsys.readouterr().err


async def test_a_long_turn_is_seen():
    """A callback that keeps the loop for 50 ms is the longest turn, not the average."""
    turns = Turns()
    turns.begin()
    await asyncio.sleep(0.01)
    end_s = time.perf_counter() + 0.05
    while time.perf_counter() < end_s:
        pass
    await asyncio.sleep(0.01)
    seen = turns.end()

    assert 45 < seen["late_ms"] < 5_000
    assert seen["turn_ms"] <= seen["late_ms"]


async def test_answers_and_failures_come_over_the_control_socket(tmp_path):
    """A failure is the bench's own error, and the conversation goes on after it."""

    async def handle(asked):
        if asked["do"] == "fail":
            raise ValueError("no")
        return {"got": asked["number"]}

    def converse():
        conversation = control.Control(tmp_path / "s", 5.0)
        conversation.send("fail")
        with pytest.raises(BenchError, match="ValueError: no"):
            conversation.receive()
        conversation.send("work", number=7)
        answer = conversation.receive()
        conversation.close()
        return answer

    server = await control.listen(tmp_path / "s", handle)
    answer = await asyncio.to_thread(converse)
    server.close()

    assert answer == {"got": 7}


def test_a_gap_ends_with_a_write_that_began_after_the_kill():
    """The answer to an earlier one does not end it, nor do failures."""
    dead_until_s = [0.0]
    calls = threading.Event()

    def put():
        calls.set()
        if time.monotonic() < dead_until_s[0]:
            raise OSError
        return True

    def kill():
        assert calls.is_set()
        dead_until_s[0] = time.monotonic() + 0.2

    assert 0.2 <= gap(kill, [put]) < 5.0
