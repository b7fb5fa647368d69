"""Work in threads before a decision: who may ask for it, what is refused, and what happens if the state moved on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cluster import Draft, OverloadedError
from node import labour
from node.engines.base import Context, Errand, Plan
from node.engines.kv2 import KvV2
from node.labour import Kind, Labourers, kind_of
from node.request import Answer, RawRequest, Refusal, StaleLabour
from tests.node.flow_site import Server, running, uuid7

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


async def test_a_repetition_gets_its_first_answer_though_the_work_is_refused_by_now(tmp_path: Path) -> None:
    """The id is looked up first; a new request is refused."""
    async with running(tmp_path) as site:
        engine = working(site.leader)
        headers = [("X-Strongroom-Write-Id", uuid7(site.leader.node.member.now_ns() / 1e9))]
        first = await site.ask("POST", "secret/data/a", {"data": {}}, headers=headers)
        engine.refuses = True
        again = await site.ask("POST", "secret/data/a", {"data": {}}, headers=headers)
        other = await site.ask("POST", "secret/data/a", {"data": {}})

        assert (first.status, again.status, again.data, other.status) == (200, 200, first.data, 400)


@pytest.mark.parametrize("how", ["waiting", "raising", "stale"])
async def test_work_that_cannot_be_done_is_audited(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever became of it, both records are there."""
    async with running(tmp_path, audited=True) as site:
        engine = working(site.leader)
        if how == "waiting":
            monkeypatch.setattr(labour, "WAITING_MAX", 0)
        elif how == "raising":
            monkeypatch.setattr(engine, "labour", lambda *_: lambda: {}["planted"])
        else:
            engine.stale = 10
        reply = await site.ask("POST", "secret/data/a", {"data": {}})

        assert reply.status == (500 if how == "raising" else 503)
        assert [line["type"] for line in site.leader.audit_lines(reply.request_id)] == ["request", "response"]


async def test_an_engine_that_meets_what_nobody_foresaw_is_audited_and_changes_nothing(tmp_path: Path) -> None:
    """Reading and deciding alike; the next request is answered."""
    async with running(tmp_path, audited=True) as site:
        engine = working(site.leader)
        before = site.leader.node.member.view.applied_index
        engine.decide = engine.read = lambda *_: {}["planted"]  # type: ignore[method-assign]
        replies = [await site.ask("POST", "secret/data/a", {"data": {}}), await site.ask("GET", "secret/data/a")]

        assert [reply.status for reply in replies] == [500, 500]
        for reply in replies:
            assert b"planted" not in reply.body
            assert [line["type"] for line in site.leader.audit_lines(reply.request_id)] == ["request", "response"]
        assert (await site.ask("GET", "kv1/nothing")).status == 404
        assert site.leader.node.member.view.applied_index - before <= 1  # a fact of the audit chain at most


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


@pytest.mark.parametrize(("busy", "free"), [(Kind.ENGINE, Kind.LOGIN), (Kind.LOGIN, Kind.ENGINE)])
async def test_one_kind_of_work_does_not_wait_for_another(
    monkeypatch: pytest.MonkeyPatch, busy: Kind, free: Kind
) -> None:
    """Neither for its threads, nor for room: whoever has keys made keeps nobody from logging in."""
    monkeypatch.setattr(labour, "WAITING_MAX", 8)
    labourers, gate = Labourers(), threading.Event()
    waiting = [asyncio.create_task(labourers.run(gate.wait, busy)) for _ in range(8)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(OverloadedError, match=f"too many {busy} are"):
            await labourers.run(lambda: 7, busy)
        async with asyncio.timeout(10):
            done = await labourers.run(lambda: threading.current_thread().name, free)
    finally:
        gate.set()

    assert done.startswith(f"labour-{free}")
    assert await asyncio.gather(*waiting) == [True] * 8
    labourers.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("auth/userpass/login/bob", Kind.LOGIN), ("auth/userpass/users/bob", Kind.LOGIN),
        ("pki/issue/web", Kind.ENGINE), ("transit/keys/auth/", Kind.ENGINE), ("authority/issue/web", Kind.ENGINE),
    ],
)  # fmt: skip
def test_the_path_says_whose_work_it_is(path: str, kind: Kind) -> None:
    """Auth methods stand below auth/, and nothing else does."""
    assert kind_of(path) is kind


async def test_what_waits_for_others_holds_up_no_work() -> None:
    """Errands that never come back have threads, and places to wait, of their own."""
    labourers, release = Labourers(), threading.Event()
    try:
        waiting = [asyncio.ensure_future(labourers.run(Errand(release.wait))) for _ in range(labour.WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await labourers.run(Errand(release.wait))
        assert (await labourers.run(lambda: threading.current_thread().name)).startswith("labour")
        release.set()
        assert all(await asyncio.gather(*waiting))
    finally:
        release.set()
        labourers.close()


async def test_whoever_never_answers_keeps_nobody_from_asking_others() -> None:
    """Neither for their threads, nor for room; but all of them together have a bound."""
    labourers, release = Labourers(), threading.Event()
    many = labour.WAITING_MAX
    try:
        waiting = [asyncio.ensure_future(labourers.run(Errand(release.wait, b"slow"))) for _ in range(many)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="wait for another server"):
            await labourers.run(Errand(release.wait, b"slow"))
        async with asyncio.timeout(10):
            assert (await labourers.run(Errand(lambda: threading.current_thread().name, b"fast"))).startswith("errand")

        for whom in (b"2", b"3", b"4"):
            waiting += [asyncio.ensure_future(labourers.run(Errand(release.wait, whom))) for _ in range(many)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await labourers.run(Errand(lambda: 7, b"fast"))
        release.set()
        assert all(await asyncio.gather(*waiting))
        assert await labourers.run(Errand(lambda: 7, b"fast")) == 7
    finally:
        release.set()
        labourers.close()


async def test_only_so_many_wait_for_one_server_at_once() -> None:
    """The others take their turn, and each is told what came of its own errand."""
    labourers, release, begun = Labourers(), threading.Event(), threading.Semaphore(0)

    def ask() -> bool:
        begun.release()
        return release.wait()

    try:
        waiting = [asyncio.ensure_future(labourers.run(Errand(ask, b"slow"))) for _ in range(labour.ERRANDS)]
        await asyncio.sleep(0)
        for _ in range(labour.ERRANDS_EACH):
            assert await asyncio.to_thread(begun.acquire, timeout=10)
        await labourers.run(Errand(lambda: None, b"fast"))
        assert not begun.acquire(blocking=False)
        release.set()
        assert await asyncio.gather(*waiting) == [True] * labour.ERRANDS
    finally:
        release.set()
        labourers.close()


async def test_whose_turn_comes_after_the_end_begins_nothing() -> None:
    """What runs is not waited for, and what waited behind it is told to go elsewhere."""
    labourers, release, begun = Labourers(), threading.Event(), threading.Semaphore(0)

    def ask() -> bool:
        begun.release()
        return release.wait()

    more = labour.ERRANDS_EACH + 2
    waiting = [asyncio.ensure_future(labourers.run(Errand(ask, b"slow"))) for _ in range(more)]
    await asyncio.sleep(0)
    for _ in range(labour.ERRANDS_EACH):
        assert await asyncio.to_thread(begun.acquire, timeout=10)
    labourers.close()
    release.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert done[: labour.ERRANDS_EACH] == [True] * labour.ERRANDS_EACH
    assert [type(one) for one in done[labour.ERRANDS_EACH :]] == [OverloadedError] * 2
    assert not begun.acquire(blocking=False)
