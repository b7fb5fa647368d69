"""What a fault says of its effect was seen from outside (N1): nothing that was only asked for counts."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from chaos import registry
from chaos.nemesis import clock
from chaos.nemesis.base import Scene, grown
from chaos.net.network import Network
from chaos.net.shape import Shape as Line
from chaos.targets.base import TargetError
from chaos.targets.keys import wait_until
from tests.chaos.raw_http import CLOSE, NEVER, RawServer, answer
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.targets.base import Shape


class Counting(FakeTarget):
    """Counts what `kept` says while a grudge or shape holds."""

    def __init__(self, kept: dict[str, int]) -> None:
        super().__init__()
        self.kept = kept
        self.counted = dict.fromkeys(kept, 5)

    def _held(self) -> None:
        for name, count in self.kept.items():
            self.counted[name] += count

    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        super().grudge(grudge)
        self._held()

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        super().shape(source, sink, shape)
        self._held()

    def counts(self) -> dict[str, int]:
        return dict(self.counted)


def played(name: str, target: FakeTarget, nodes: Sequence[str] = ("n1",)) -> dict[str, Any]:
    """What the history says of one such fault."""
    nemesis, scene = registry.nemesis(name), Scene(target, random.Random(1), "n1")
    return {**nemesis.inject(scene, nodes), **nemesis.heal(scene)}


# ---- links
CUTS = ["isolate", "mute", "deaf", "halves", "bridge", "ring", "swizzle"]
SHAPES = ["slow-links", "narrow-links", "loss"]


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("count", ["held_bytes", "dropped", "dropped_packets"])
@pytest.mark.parametrize(("kept", "took_effect"), [(3, True), (0, False)])
def test_a_cut_took_effect_if_it_kept_something_back(
    name: str, count: str, kept: int, took_effect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, frames or packets, as the target counts them; that it was asked for is no effect."""
    monkeypatch.setattr("chaos.nemesis.partition.SWIZZLE_S", 0.0)

    assert played(name, Counting({count: kept, "carried_bytes": 9}))["took_effect"] is took_effect


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", ["late_bytes", "late", "lost"])
@pytest.mark.parametrize(("kept", "took_effect"), [(3, True), (0, False)])
def test_a_shape_took_effect_if_it_changed_something(name: str, count: str, kept: int, took_effect: bool) -> None:
    """The same of long, narrow and bad links."""
    found = played(name, Counting({count: kept, "carried_bytes": 9}))

    assert found["took_effect"] is took_effect
    assert found["carried_bytes"] > 0


@pytest.mark.parametrize("name", [*CUTS, *SHAPES])
def test_a_target_that_cannot_count_is_healed_all_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """N2: a count that fails keeps nothing cut."""
    monkeypatch.setattr("chaos.nemesis.partition.SWIZZLE_S", 0.0)

    class Mute(FakeTarget):
        def counts(self) -> dict[str, int]:
            raise TargetError("it has ended")

    target = Mute()
    found = played(name, target)

    assert (target.cut, found["took_effect"]) == ({}, True)
    shapes = {call[1:3]: call[3] for call in target.calls if call[0] == "shape"}
    assert all(shape == type(shape)() for shape in shapes.values())


def test_what_was_counted_before_is_nobodys_effect() -> None:
    """Only what came since."""
    scene = Scene(Counting({"dropped": 0}), random.Random(1), "n1")

    assert grown(scene, ("dropped",)) == {"dropped": 5}  # nothing is known of before
    scene.notes["before"] = {"dropped": 5}
    assert grown(scene, ("dropped",)) == {"took_effect": False}
    scene.notes["before"] = {"dropped": 4}
    assert grown(scene, ("dropped",)) == {"dropped": 1, "took_effect": True}
    assert grown(scene, ("other",)) == {"dropped": 1}


def test_a_line_counts_what_it_keeps_back() -> None:
    """By its cause; nothing while it is as it was."""
    line = Line()
    line.due_s(0.0, 100)
    assert (line.held_bytes, line.late_bytes) == (0, 0)
    line.cut = True
    line.due_s(0.0, 10)
    line.cut, line.delay_s = False, 0.1
    line.due_s(0.0, 20)
    line.delay_s, line.bytes_per_s = 0.0, 1000.0
    line.due_s(0.0, 30)

    assert (line.held_bytes, line.late_bytes) == (10, 50)


def test_a_network_tells_what_its_lines_count() -> None:
    """Over all directions."""
    network = Network()
    network.cut("n1", "n2")
    network.cut("n2", "n3")
    for pair, size in ((("n1", "n2"), 4), (("n2", "n3"), 5), (("n3", "n1"), 6)):
        network._shape(*pair).due_s(0.0, size)
    counts = network.answer({"do": "counts"})

    assert (counts["held_bytes"], counts["late_bytes"], counts["cuts"]) == (9, 0, 2)


# ---- processes
class Slow(FakeTarget):
    """Two processes a node; the second stands still only when it was looked at `looks` times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def pids(self, node: str) -> list[int]:
        return [] if node in self.down else [1, 2]

    def stopped(self, node: str) -> int:
        self.looks -= 1
        return super().stopped(node) * (2 if self.looks < 0 else 1)


@pytest.mark.parametrize(("looks", "stopped"), [(0, 2), (5, 2), (10_000, 1)])
def test_a_pause_waits_for_every_process(looks: int, stopped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose journal writes on does not stand still; it is said how many do."""
    monkeypatch.setattr("chaos.nemesis.process.ARRIVES_S", 0.2)

    assert played("pause", Slow(looks))["stopped"] == stopped


class Deaf(FakeTarget):
    """Its nodes do not stop."""

    def stopped(self, node: str) -> int:
        del node
        return 0


@pytest.mark.parametrize(("target", "took_effect"), [(FakeTarget(), True), (Deaf(), False)])
@pytest.mark.parametrize("name", ["pause", "strobe"])
def test_who_never_stood_still_was_not_stopped(
    name: str, target: FakeTarget, took_effect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it was told to."""
    monkeypatch.setattr("chaos.nemesis.process.ARRIVES_S", 0.05)
    monkeypatch.setattr("chaos.nemesis.process.STROBE_S", (0.001,))
    nemesis, scene = registry.nemesis(name), Scene(target, random.Random(1), "n1")
    said = nemesis.inject(scene, ["n1"])
    if name == "strobe":
        wait_until(lambda: scene.notes["turns"] > 1, "some turns", 10)

    assert {**said, **nemesis.heal(scene)}["took_effect"] is took_effect
    assert target.paused == set()


@pytest.mark.parametrize(("running", "took_effect"), [(True, True), (False, False)])
def test_who_was_dead_was_not_killed(running: bool, took_effect: bool) -> None:
    """It is started again all the same."""
    target = FakeTarget()
    target.down = set() if running else {"n1"}

    assert played("kill", target)["took_effect"] is took_effect
    assert target.down == set()


# ---- clocks
class Clocked(FakeTarget):
    """Each node is this URL."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._at = url

    def url(self, node: str) -> str:
        del node
        return self._at


@pytest.mark.parametrize(
    ("offset_s", "off"), [(0.0, False), (30.0, True), (-30.0, True), (1.0, True), (-1.0, True), (-3600.0, True)]
)
@pytest.mark.parametrize("status", [200, 429, 503])
async def test_a_clock_is_off_if_the_node_says_another_time(offset_s: float, off: bool, status: int) -> None:
    """Whole seconds, whatever else it says of its health."""
    said = lambda *_: answer(status, b'{"server_time_utc": %d}' % int(time.time() + offset_s))  # noqa: E731
    async with RawServer(said) as server:
        assert await asyncio.to_thread(clock.is_off, Clocked(server.url), "n1") is off


@pytest.mark.parametrize("raw", [CLOSE, *(answer(200, said) for said in (b"x", b"[]", b'{"server_time_utc": "1"}'))])
async def test_a_node_that_says_no_time_is_not_off(raw: bytes) -> None:
    """Nothing was seen."""
    async with RawServer(lambda *_: raw) as server:
        assert await asyncio.to_thread(clock.is_off, Clocked(server.url), "n1") is False


async def test_a_node_that_says_nothing_is_not_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it waited for."""
    monkeypatch.setattr(clock, "ASK_S", 0.1)
    async with RawServer(lambda *_: NEVER) as server:
        assert await asyncio.to_thread(clock.is_off, Clocked(server.url), "n1") is False


@pytest.mark.parametrize("name", ["clock-jump", "clock-skew", "clock-strobe"])
@pytest.mark.parametrize("seen", [True, False])
def test_a_clock_was_moved_if_that_was_seen(name: str, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that nobody reads moves no clock; and all of them are set right."""
    looked = threading.Event()

    def is_off(*_: object) -> bool:
        looked.set()
        return seen

    monkeypatch.setattr(clock, "is_off", is_off)
    monkeypatch.setattr(clock, "SEEN_S", 0.1)
    monkeypatch.setattr(clock, "STEP_S", 0.001)
    target, nemesis = FakeTarget(), registry.nemesis(name)
    scene = Scene(target, random.Random(1), "n1")
    said = nemesis.inject(scene, ["n1", "n2"])
    assert looked.wait(10)

    assert {**said, **nemesis.heal(scene)}["took_effect"] is seen
    assert set(target.clocks.values()) == {0.0}


def test_a_jump_is_seen_at_every_victim(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that did not move is named."""
    monkeypatch.setattr(clock, "is_off", lambda _target, node: node == "n1")
    monkeypatch.setattr(clock, "SEEN_S", 0.05)
    found = played("clock-jump", FakeTarget(), ["n1", "n2"])

    assert (found["took_effect"], found["not_seen"]) == (False, ["n2"])


# ---- seals
def test_one_node_that_cannot_be_unsealed_keeps_no_other_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""
    opened: list[str] = []

    def unseal(_url: str, node: str, *_: object) -> None:
        if node == "n1":
            raise TargetError("not within 40 s: n1 has its keys")
        opened.append(node)

    monkeypatch.setattr("chaos.targets.keys.unseal", unseal)
    scene = Scene(FakeTarget(), random.Random(1), "n1", {"nodes": ["n1", "n2", "n3"]})
    found = registry.nemesis("seal").heal(scene)

    assert opened == ["n2", "n3"]
    assert found == {"not_unsealed": ["n1: not within 40 s: n1 has its keys"]}


@pytest.mark.parametrize(("status", "sealed", "took_effect"), [(204, b"true", True), (403, b"false", False)])
async def test_a_seal_that_was_refused_took_no_effect(
    status: int, sealed: bytes, took_effect: bool
) -> None:
    """And one that was taken is waited for."""

    def say(_number: int, head: str) -> bytes:
        return answer(200, b'{"sealed": %s}' % sealed) if "seal-status" in head else answer(status, b"")

    async with RawServer(say) as server:
        scene = Scene(Clocked(server.url), random.Random(1), "n1")
        found = await asyncio.to_thread(registry.nemesis("seal").inject, scene, ["n1"])

    assert found == {"took_effect": took_effect, "sealed": int(took_effect)}
