"""A runner that stood still says so."""

from __future__ import annotations

import asyncio
import threading
import time

from chaos.pulse import STALL_NS, Pulse


def test_a_late_beat_is_a_stall_and_others_are_numbers() -> None:
    """From when it was due until it came."""
    pulse = Pulse(lambda: 0)
    for late_ns in (0, 1_000_000, -5, STALL_NS, 3 * STALL_NS):
        pulse.beat(1_000_000_000, 1_000_000_000 + late_ns)

    facts = pulse.facts()
    assert facts["stalls"] == [[1_000_000_000, 1_000_000_000 + STALL_NS], [1_000_000_000, 1_000_000_000 + 3 * STALL_NS]]
    assert (facts["beats"], facts["p50_ms"], facts["p100_ms"]) == (5, 1.0, 150.0)


def test_a_run_without_a_beat_has_none() -> None:
    """And no stall."""
    assert Pulse(lambda: 0).facts() == {"beats": 0, "p50_ms": 0.0, "p99_ms": 0.0, "p100_ms": 0.0, "stalls": []}


async def test_a_loop_that_is_blocked_is_a_stall() -> None:
    """As long as it was."""
    began_ns = time.monotonic_ns()
    pulse = Pulse(lambda: time.monotonic_ns() - began_ns)
    task = asyncio.create_task(pulse.run())
    await asyncio.sleep(0.05)
    threading.Event().wait(0.3)  # nothing else runs meanwhile
    await asyncio.sleep(0.05)
    task.cancel()

    longest = max(to - since for since, to in pulse.facts()["stalls"])
    assert 0.2e9 < longest < 1e9
