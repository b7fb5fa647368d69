"""The simulator's event loop and its calls: simulated time, pauses, ends of lives, links that break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.sim.options import expand
from chaos.sim.workload.bulk import SimLinks
from chaos.sim.workload.loop import SimLoop
from chaos.sim.world import World
from cluster.errors import StrongroomError, UnavailableError
from cluster.links.calls import NotSentError


class StubMember:
    """A member without anything below it."""

    def __init__(self) -> None:
        self.alive = True
        self.life = 1
        self.paused_until_s = 0.0
        self.inside = False

    def guard(self, call: Callable[..., None], *arguments: object) -> None:
        call(*arguments)


class Stage:
    """A world, one member, its loop, and what happened when."""

    def __init__(self) -> None:
        self.world = World(expand(1))
        self.member = StubMember()
        self.happened: list[tuple[float, Any]] = []
        self.mistakes: list[str] = []
        self.loop = SimLoop(self.world, self.member)  # type: ignore[arg-type]
        self.loop.on_mistake = self.mistakes.append

    def note(self, what: Any) -> None:
        self.happened.append((round(self.world.now_s, 3), what))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_time_is_the_worlds(stage: Stage) -> None:
    """Sleeping costs no time but that of the world; a bound on a wait ends it."""

    async def work() -> None:
        await asyncio.sleep(1.5)
        stage.note("slept")
        try:
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            stage.note("given up")

    stage.loop.create_task(work())
    stage.world.run(5.0)

    assert stage.happened == [(1.5, "slept"), (2.0, "given up")]


def test_what_became_ready_runs_in_that_order(stage: Stage) -> None:
    """Within one moment, what it makes ready included."""

    def first() -> None:
        stage.loop.call_soon(stage.note, 3)
        stage.note(1)

    stage.loop.call_soon(first)
    stage.loop.call_soon(stage.note, 2)
    stage.world.run(1.0)

    assert stage.happened == [(0.0, 1), (0.0, 2), (0.0, 3)]


@pytest.mark.parametrize(("paused_s", "at"), [(0.0, 1.0), (2.5, 2.5)])
def test_a_paused_member_runs_nothing_until_it_goes_on(stage: Stage, paused_s: float, at: float) -> None:
    """Its timers run out meanwhile."""
    stage.member.paused_until_s = paused_s
    stage.loop.call_later(1.0, stage.note, "ran")
    stage.world.run(5.0)

    assert stage.happened == [(at, "ran")]


@pytest.mark.parametrize(("dies", "happened"), [(False, [(1.0, "ran")]), (True, [])])
def test_a_life_that_is_over_runs_nothing_ever_again(stage: Stage, dies: bool, happened: list[Any]) -> None:
    """Nor does the next life run what this one left."""
    stage.loop.call_later(1.0, stage.note, "ran")
    stage.world.run(0.5)
    if dies:
        stage.member.life += 1
    stage.loop.call_soon(lambda: None)
    stage.world.run(5.0)

    assert stage.happened == happened


def test_a_cancelled_timer_does_nothing(stage: Stage) -> None:
    """It stays in the world's heap."""
    stage.loop.call_later(1.0, stage.note, "ran").cancel()
    stage.world.run(5.0)

    assert stage.happened == []


def test_a_mistake_in_a_callback_is_told(stage: Stage) -> None:
    """By the name of its type; a future of a dead life that nobody asked is none."""

    def mistake() -> None:
        raise KeyError

    stage.loop.call_soon(mistake)
    stage.loop.create_future().set_exception(ValueError())
    stage.world.run(1.0)

    assert stage.mistakes == ["KeyError"]


def test_the_loop_runs_only_while_it_runs(stage: Stage) -> None:
    """Whoever asks outside of it finds no loop, or the one that was there."""
    seen: list[Any] = []
    stage.loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    stage.world.run(1.0)

    assert seen == [stage.loop]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


class Site:
    """Two members with nothing but their calls; the network is the simulator's."""

    def __init__(self) -> None:
        self.world = World(replace(expand(1), datagram=False, spike_chance=0.0, delay_s=0.01, nodes=2))
        self.world.healed = True
        self.members = [SimpleNamespace(**vars(StubMember()), number=n, node_id=f"n{n + 1}") for n in range(2)]
        self.reach = [True]
        self.epoch = {(0, 1): 0}
        self.served: list[bytes] = []
        self.answers: list[Any] = []
        self.hold: asyncio.Future[None] | None = None
        for member in self.members:
            member.guard = lambda call, *arguments: call(*arguments)
            member.network = SimpleNamespace(_epoch=self.epoch, reachable=lambda *_: self.reach[0])
            self.begin(member)

    def begin(self, member: Any) -> None:
        """A life."""
        loop = SimLoop(self.world, member)
        half = SimpleNamespace(world=self.world, owner=member, others=self.members, loop=loop, spawn=loop.create_task)
        half.answer_call = self._answer
        member.half = half
        half.links = SimLinks(half, self.members)  # type: ignore[arg-type]

    def connect(self) -> None:
        self.epoch[0, 1] += 1
        self.members[0].half.links.connected("n2")
        self.members[1].half.links.connected("n1")

    def restart(self, member: Any) -> None:
        self.members[1 - member.number].half.links.disconnected(member.node_id)
        member.life += 1
        self.begin(member)
        self.connect()

    async def _answer(self, _peer: str, _proven: bool, call: Any, _certificate: bytes) -> bytes:
        self.served.append(call.body)
        if self.hold is not None:
            await self.hold
        return call.body + b"!"

    def ask(self, body: bytes, timeout_s: float = 2.0) -> None:
        async def ask() -> None:
            try:
                self.answers.append(await self.members[0].half.links.call("n2", "forward", body, timeout_s))
            except StrongroomError as error:
                self.answers.append(type(error))

        self.members[0].half.loop.create_task(ask())


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_call_is_answered_over_a_link_that_stands(site: Site) -> None:
    """Without one nothing leaves, and the caller knows."""
    site.ask(b"a")
    site.world.run(0.1)
    site.connect()
    site.ask(b"b")
    site.world.run(1.0)

    assert site.answers == [NotSentError, b"b!"]


@pytest.mark.parametrize(("heals_s", "answers"), [(1.0, [b"a!"]), (5.0, [UnavailableError])])
def test_what_is_sent_into_a_cut_arrives_when_it_ends(site: Site, heals_s: float, answers: list[Any]) -> None:
    """Late: the caller has given up by then, and must call the outcome unknown."""
    site.connect()
    site.reach[0] = False
    site.ask(b"a")
    site.world.at(heals_s, site.reach.__setitem__, 0, True)
    site.world.run(9.0)

    assert (site.answers, site.served) == (answers, [b"a"])


def test_who_waits_is_told_when_the_link_breaks(site: Site) -> None:
    """At once, not at the deadline."""
    site.connect()
    site.members[1].paused_until_s = 50.0
    site.ask(b"a", 30.0)
    site.world.run(1.0)
    site.members[0].half.links.disconnected("n2")
    site.world.run(1.1)

    assert site.answers == [UnavailableError]


def test_an_answer_to_an_earlier_life_never_reaches_the_next(site: Site) -> None:
    """Both count their questions from one: the answer would be taken for that to another question."""
    site.connect()
    site.hold = site.members[1].half.loop.create_future()
    site.ask(b"first")
    site.world.run(1.0)
    site.restart(site.members[0])
    site.answers.clear()
    held, site.hold = site.hold, None
    site.members[1].paused_until_s = 1.5
    site.ask(b"second", 5.0)
    held.set_result(None)
    site.world.run(9.0)

    assert (site.served, site.answers) == ([b"first", b"second"], [b"second!"])
