"""Clients: what is in the history when, whose number it is, at which rate they ask, and what is read at the end."""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from chaos import load as module
from chaos.api import NoAnswer, Reply, Session
from chaos.history import Recorder, operations
from chaos.load import BEHIND_MAX, SILENT_MAX, Load, judged
from chaos.workload.base import Call, Client, Completion
from tests.chaos.raw_http import CLOSE, NEVER, RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WHOLE_S = 10.0


class Words:
    """A workload of one kind of call; its outcomes are what `say` makes of the status."""

    name: ClassVar[str] = "words"
    about: ClassVar[str] = "words"
    checks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, finals: int = 0) -> None:
        self.mount = ""
        self.asked: list[tuple[str, bool, str]] = []
        self.finals = finals
        self.breaks: type[Exception] | None = None

    def prepare(self, admin: Any, run_id: str) -> None:
        """Nothing is needed."""

    def next(self, client: Client) -> Call | None:
        self.asked.append((client.node, client.roaming, client.role))
        return Call("write", "k", f"v{len(self.asked)}", "POST", "x", {"a": 1})

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:
        del call, client
        if self.breaks is not None:
            raise self.breaks("odd")
        if isinstance(reply, NoAnswer):
            return Completion("fail" if reply.never_sent else "info", error=reply.why)
        outcomes: dict[int, Any] = {200: "ok", 400: "fail", 403: "fail"}
        more = {"refused": True} if reply.status == 403 else {}
        return Completion(outcomes.get(reply.status, "info"), error=str(reply.status), more=more)

    def final(self) -> Iterator[Call]:
        for number in range(self.finals):
            yield Call("read", f"k{number}", None, "GET", f"x/{number}")


class Stage:
    """A load against these URLs."""

    def __init__(self, urls: Mapping[str, str], workload: Words | None = None, rate_per_s: float = 100.0) -> None:
        self.recorder = Recorder(io.StringIO())
        self.workload = workload or Words()
        self.load = Load(
            urls=urls, token="root", ca_file=None, recorder=self.recorder, workloads=[(self.workload, 1.0)],
            rate_per_s=rate_per_s, seed=1, timeout_s=0.2,
        )  # fmt: skip

    async def one(self, who: Client) -> Completion:
        """One operation of that client."""
        session = Session(None, 0.2)
        try:
            return await self.load.perform(session, self.workload, who, Call("write", "k", "v", "POST", "x"))
        finally:
            session.close()

    async def for_s(self, seconds: float) -> None:
        """The load runs so long, and has ended."""
        running = asyncio.create_task(self.load.run())
        await asyncio.sleep(seconds)
        self.load.stop()
        async with asyncio.timeout(WHOLE_S):
            await running


# ---- the history
async def test_an_operation_is_there_before_it_is_sent_and_done_after_its_answer() -> None:
    """L1: in the time that the history says, the server heard it and answered."""
    recorders: list[Recorder] = []
    heard: list[tuple[str, int]] = []

    def say(_number: int, _head: str) -> bytes:
        heard.append((recorders[0].events[-1].type, recorders[0].now_ns()))
        return answer(200)

    async with RawServer(say) as server:
        stage = Stage({"n1": server.url})
        recorders.append(stage.recorder)
        await stage.one(client())

    (operation,) = operations(stage.recorder.events)
    ((kind, time_ns),) = heard
    assert kind == "invoke"
    assert operation.called_ns < time_ns < operation.returned_ns
    assert operation.outcome == "ok"


def client(*, roaming: bool = False, node: str = "n1") -> Client:
    return Client(7, node, roaming=roaming, role="writer", rng=random.Random(1))


@pytest.mark.parametrize(
    ("raw", "outcome", "retired"),
    [(answer(200), "ok", False), (answer(400), "fail", False), (answer(500), "info", True), (CLOSE, "info", True),
     (NEVER, "info", True)],
)  # fmt: skip
async def test_a_process_of_unknown_outcome_is_retired(raw: bytes | None, outcome: str, retired: bool) -> None:
    """Its operation may take effect at any later time; others go on under their number."""
    async with RawServer(lambda *_: raw) as server:
        stage, who = Stage({"n1": server.url}), client()
        for _ in range(2):
            await stage.one(who)

    processes = [event.process for event in stage.recorder.events]
    assert [event.type for event in stage.recorder.events] == ["invoke", outcome] * 2
    assert processes[0] == processes[1] == 7
    assert (processes[2] == processes[0]) is not retired
    assert (len(operations(stage.recorder.events)), processes[2]) == (2, processes[3])


async def test_no_number_is_used_by_two_clients() -> None:
    """Whatever fails, and at the last reads."""
    async with RawServer(lambda number, _: answer(500 if number % 3 else 200)) as server:
        stage = Stage({"n1": server.url, "n2": server.url}, Words(finals=3))
        await stage.for_s(0.4)
        await stage.load.final_reads(["n1", "n2"], 0.2)

    open_now: set[int | str] = set()
    spent: set[int | str] = set()
    for event in stage.recorder.events:
        if event.type == "invoke":
            assert event.process not in open_now | spent
            open_now.add(event.process)
        else:
            open_now.remove(event.process)
            spent |= {event.process} if event.type == "info" else set()
    assert not open_now
    assert spent


@pytest.mark.parametrize("error", [KeyError, TypeError, ValueError, AttributeError, IndexError])
async def test_an_answer_that_makes_no_sense_ends_no_client(error: type[Exception]) -> None:
    """L2: its outcome is unknown, and the history says why."""
    async with RawServer(lambda *_: answer(200, b"[]")) as server:
        stage = Stage({"n1": server.url})
        stage.workload.breaks = error
        completion = await stage.one(client())

    assert (completion.outcome, completion.error) == ("info", f"not understood: {error.__name__}")
    assert completion.more["not_understood"] is True


def test_a_fault_of_ours_is_not_hidden_as_an_answer() -> None:
    """The twin: what is no answer's doing ends the run."""
    words = Words()
    words.breaks = RuntimeError
    with pytest.raises(RuntimeError):
        judged(words, Call("write", "k", "v", "POST", "x"), Reply(200, {}, None), client())


# ---- who asks whom
async def test_every_node_has_a_reader_and_a_writer_that_stay() -> None:
    """Also while their node answers nobody: who would flee would never see that it is stale."""
    async with RawServer(lambda *_: answer(200)) as alive, RawServer(lambda *_: CLOSE) as dead:
        stage = Stage({"n1": alive.url, "n2": dead.url}, rate_per_s=400)
        await stage.for_s(0.5)

    pinned = Counter((node, role) for node, roaming, role in stage.workload.asked if not roaming)
    assert set(pinned) == {(node, role) for node in ("n1", "n2") for role in ("reader", "writer")}
    assert min(pinned.values()) > 3


@pytest.mark.parametrize(
    ("raw", "roaming", "moves"),
    [(answer(500), True, True), (CLOSE, True, True), (answer(400), True, True), (answer(200), True, False),
     (answer(403), True, False), (answer(500), False, False)],
)  # fmt: skip
async def test_who_roams_leaves_a_node_that_fails_it(raw: bytes, roaming: bool, moves: bool) -> None:
    """Not one that refused what deserves it; and nobody else moves."""
    async with RawServer(lambda *_: raw) as server:
        stage, who = Stage({"n1": server.url, "n2": server.url}), client(roaming=roaming)
        await stage.one(who)

    assert who.node == ("n2" if moves else "n1")


# ---- the rate
async def test_the_rate_is_what_was_asked_for() -> None:
    """Of all clients together; nothing is left out while nobody waits."""
    async with RawServer(lambda *_: answer(200)) as server:
        stage = Stage({"n1": server.url, "n2": server.url}, rate_per_s=200)
        await stage.for_s(1.0)

    assert 120 < stage.load.begun < 280
    assert stage.load.facts() == {"rate_per_s": 200, "begun": stage.load.begun, "left_out": stage.load.left_out}
    assert stage.load.acknowledged == stage.load.begun
    assert stage.load.left_out < 20


async def test_what_a_silent_node_keeps_from_being_asked_is_counted() -> None:
    """The rate is open no further than that, and says so."""
    async with RawServer(lambda *_: NEVER) as server:
        stage = Stage({"n1": server.url}, rate_per_s=200)
        await stage.for_s(1.0)

    assert stage.load.begun < 40
    assert stage.load.left_out > 100


def test_a_client_that_waited_makes_up_for_a_little() -> None:
    """And for no more: a burst is nobody's load."""
    load = Stage({"n1": "http://x"}).load
    assert load._next_due_s(9.9, 10.0, 0.1) == 9.9
    assert load._next_due_s(11.0, 10.0, 0.1) == 11.0
    assert load.left_out == 0
    assert load._next_due_s(5.0, 10.0, 0.1) == pytest.approx(10.0 - BEHIND_MAX * 0.1)
    assert load.left_out == 50 - BEHIND_MAX


async def test_a_load_that_was_stopped_has_no_open_operation() -> None:
    """Each has its completion, also one that nobody answered."""
    async with RawServer(lambda *_: NEVER) as server:
        stage = Stage({"n1": server.url}, rate_per_s=400)
        await stage.for_s(0.05)

    kinds = Counter(event.type for event in stage.recorder.events)
    assert kinds["invoke"] == kinds["info"] > 0


# ---- the end
async def test_every_node_is_asked_for_everything_at_the_end() -> None:
    """In operations that say so."""
    async with RawServer(lambda *_: answer(200)) as one, RawServer(lambda *_: answer(200)) as two:
        stage = Stage({"n1": one.url, "n2": two.url}, Words(finals=4))
        left_out = await stage.load.final_reads(["n1", "n2"], 0.2)

    found = operations(stage.recorder.events)
    assert left_out == {}
    assert [(one.node, one.key) for one in found] == [(node, f"k{n}") for node in ("n1", "n2") for n in range(4)]
    assert all(one.more["final"] for one in found)


async def test_a_last_read_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try is an operation; what was refused is not asked twice."""
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    says = [500, 200, 403, 500, 500, 500, 200]
    async with RawServer(lambda number, _: answer(says[number - 1])) as server:
        stage = Stage({"n1": server.url}, Words(finals=4))
        await stage.load.final_reads(["n1"], 0.2)

    found = [(one.key, one.outcome) for one in operations(stage.recorder.events)]
    assert found == [("k0", "info"), ("k0", "ok"), ("k1", "fail"), *[("k2", "info")] * 3, ("k3", "ok")]


async def test_a_node_that_is_silent_at_the_end_is_given_up_and_named() -> None:
    """Else a dead node would cost every key its time; the next node is asked all the same."""
    async with RawServer(lambda *_: NEVER) as dead, RawServer(lambda *_: answer(200)) as alive:
        stage = Stage({"n1": dead.url, "n2": alive.url}, Words(finals=SILENT_MAX + 3))
        left_out = await stage.load.final_reads(["n1", "n2"], 0.02)

    asked = Counter(one.node for one in operations(stage.recorder.events))
    assert left_out == {"n1": 3}
    assert asked == {"n1": SILENT_MAX, "n2": SILENT_MAX + 3}
