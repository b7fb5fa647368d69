"""A process collects garbage when its node has been sealed and the last request has ended, and not while it serves."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from node import garbage

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeNode:
    """Sealed, with one request under way."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.member = SimpleNamespace(sealed=True, clock=SimpleNamespace(boot=lambda: self.now_s))
        self.metrics = SimpleNamespace(in_flight=1)
        self.done: list[str] = []
        self.on_opened: Any = None

    async def on_closed(self) -> None:
        """What the node does first."""
        self.done.append("closed")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """Its collector is told, and does nothing."""
    made = FakeNode()
    for name in ("freeze", "unfreeze", "collect", "set_threshold"):
        monkeypatch.setattr(gc, name, lambda *_, name=name: made.done.append(name))
    monkeypatch.setattr(garbage, "POLL_S", 0.0)
    garbage.keep(made)  # type: ignore[arg-type]
    yield made
    monkeypatch.undo()


async def turns(count: int = 10) -> None:
    """So many of the loop have passed."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_was_loaded_is_looked_at_by_no_collection(node: FakeNode) -> None:
    """It is frozen when the node opens; before, the thresholds are set."""
    assert node.done == ["set_threshold"]

    node.on_opened()

    assert node.done == ["set_threshold", "freeze"]


async def test_a_sealed_node_is_collected_when_its_last_request_has_ended(node: FakeNode) -> None:
    """Not before: what a request still holds would never be looked at again."""
    task = asyncio.create_task(node.on_closed())
    await turns()

    assert node.done == ["set_threshold", "closed"]

    node.metrics.in_flight = 0
    await task

    assert node.done == ["set_threshold", "closed", "unfreeze", "collect"]


async def test_a_node_that_was_opened_meanwhile_is_not_stopped(node: FakeNode) -> None:
    """A full collection stops the loop: it is for nodes that serve nothing."""
    task = asyncio.create_task(node.on_closed())
    await turns()
    node.member.sealed = False
    await task

    assert node.done == ["set_threshold", "closed"]


async def test_a_request_that_never_ends_is_not_waited_for(node: FakeNode) -> None:
    """Everything else is collected."""
    task = asyncio.create_task(node.on_closed())
    await turns()
    node.now_s = garbage.WAIT_S + 1
    await task

    assert node.done[-2:] == ["unfreeze", "collect"]
