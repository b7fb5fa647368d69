"""Work in threads before a decision: who may ask for it, what is refused, and what happens if the state moved on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cluster import Draft, OverloadedError
from node import labour
from node.engines.base import Context, Plan
from node.engines.kv2 import KvV2
from node.labour import Labourers
from node.request import Answer, RawRequest, Refusal, StaleLabour
from tests.node.flow_site import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Working(KvV2):
    """Its writes need work: which thread did it is what they answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.stale = 0
        self.refuses = False

    def labour(self, context: Context, _request: RawRequest, _path: str) -> Callable[[], Any] | None:
        assert context.mount is not None
        self.asked += 1
        if self.refuses:
            raise Refusal(400, "no such work")
        return lambda: threading.current_thread().name

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        if self.stale:
            self.stale -= 1
            raise StaleLabour
        return Plan(Answer(data={"by": request.labour}), Draft())


def working(server: Server) -> Working:
    engine = Working()
    server.node._engines["kv2"] = engine
    server.node.registry.forget()
    return engine


async def test_labour_runs_in_a_thread_and_its_result_reaches_the_decision(tmp_path: Path) -> None:
    """Once for each request, for who may make it; not at all for who may not."""
    async with running(tmp_path) as site:
        engine = working(site.leader)
        token, _ = await site.new_token(("secret/data/a", "create"))
        allowed = await site.ask("POST", "secret/data/a", {"data": {}}, token=token)
        denied = await site.ask("POST", "secret/data/b", {"data": {}}, token=token)

        assert allowed.data["by"].startswith("labour")
        assert (denied.status, engine.asked) == (403, 1)


async def test_stale_labour_is_done_again_and_not_for_ever(tmp_path: Path) -> None:
    """Whoever is overtaken each time is told to come again."""
    async with running(tmp_path) as site:
        engine = working(site.leader)
        engine.stale = 2
        late = await site.ask("POST", "secret/data/a", {"data": {}})
        asked, engine.stale = engine.asked, 10
        never = await site.ask("POST", "secret/data/a", {"data": {}})

        assert (late.status, asked) == (200, 3)
        assert (never.status, never.json["applied"], never.headers["Retry-After"]) == (503, "no", "1")


async def test_what_labour_refuses_is_refused(tmp_path: Path) -> None:
    """As if the decision had."""
    async with running(tmp_path, audited=True) as site:
        working(site.leader).refuses = True
        refused = await site.ask("POST", "secret/data/a", {"data": {}})

        assert (refused.status, refused.errors) == (400, ["no such work"])
        assert [line["type"] for line in site.leader.audit_lines(refused.request_id)] == ["request", "response"]


async def test_only_so_much_work_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes then is sent away at once."""
    monkeypatch.setattr(labour, "WAITING_MAX", 2)
    labourers, gate = Labourers(), threading.Event()
    waiting = [asyncio.create_task(labourers.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await labourers.run(gate.wait)
    gate.set()

    assert await asyncio.gather(*waiting) == [True, True]
    assert await labourers.run(lambda: 7) == 7
    labourers.close()
