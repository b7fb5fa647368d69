"""Key terms in a sink: whoever holds a threshold of shares finds the keyring's envelope before what it opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster.backup import retry
from cluster.backup.format import Kind, key_term_of, parse
from cluster.backup.sinks.base import SinkError
from cluster.backup.sinks.memory import MemorySink
from tests.cluster.backup.backing import (
    GENERATION,
    History,
    SystemLikeRandom,
    WiredSource,
    pipeline_of,
    reached,
    run_until,
)

if TYPE_CHECKING:
    from cluster.backup.pipeline import Pipeline


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt follows the one before at once."""
    monkeypatch.setattr(retry, "delay_s", lambda *_args, **_options: 0.0)


class Keys:
    """A source whose keyring rotates when the test says so."""

    def __init__(self) -> None:
        self.history = History()
        self.history.write(3)
        self.source = WiredSource(self.history.node)
        self.source.sealed_keyring = b"envelope 1"
        self.pipeline = pipeline_of(self.source)
        self.rotations = 1

    def rotate(self) -> None:
        """The keyring has a further term, as after a rotation that is applied and lies ahead of what was sent."""
        self.rotations += 1
        rotated = self.source.keys._keyring.rotate(SystemLikeRandom(40 + self.rotations), 1)
        self.source.keys.use(rotated)
        self.source.sealed_keyring = b"envelope %d" % self.rotations

    async def caught_up(self, pipeline: Pipeline | None = None) -> None:
        chosen = pipeline or self.pipeline
        await run_until(chosen, reached(chosen, self.history.state.applied_index))

    async def headers(self, kind: Kind) -> list[Any]:
        sink = self.pipeline.sink
        found = [parse(await sink.read(GENERATION, one)).header async for one in sink.objects(GENERATION)]
        return [one for one in found if one.kind == kind]


async def test_the_first_batch_under_a_key_term_carries_the_envelope_that_opens_it() -> None:
    """Also where the entry that rotated is not in it: a batch may end before."""
    keys = Keys()
    await keys.caught_up()
    for _ in range(2):
        keys.rotate()
        keys.history.write(20)
        await keys.caught_up()
    batches = await keys.headers(Kind.BATCH)
    first_of = {key_term_of(one.place): one for one in reversed(batches)}

    assert sorted(one.envelope for one in first_of.values()) == [b"envelope 2", b"envelope 3"]
    assert len([one for one in batches if one.envelope]) == 2 < len(batches)


async def test_another_process_says_it_again_and_the_same_one_does_not() -> None:
    """Whatever failed between: a sink that comes and goes is not filled with envelopes."""
    keys = Keys()
    await keys.caught_up()
    keys.history.write(4)
    await keys.caught_up()
    assert [one.envelope for one in await keys.headers(Kind.BATCH)] == [b""]

    keys.pipeline._failed(SinkError("away"))
    keys.history.write(4)
    await keys.caught_up()
    assert [one.envelope for one in await keys.headers(Kind.BATCH)] == [b"", b""]

    other = pipeline_of(keys.source, keys.pipeline.sink)
    keys.history.write(4)
    await keys.caught_up(other)
    assert [one.envelope for one in await keys.headers(Kind.BATCH)] == [b"", b"", b"envelope 1"]


class Rotating(MemorySink):
    """Keys rotate while the first part of a base is stored."""

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self.keys = keys

    async def store(self, claim: Any, data: bytes, parsed: Any) -> None:
        await super().store(claim, data, parsed)
        if parsed.header.kind == Kind.BASE and self.keys.rotations == 1:
            self.keys.rotate()


async def test_a_base_is_sealed_with_one_key_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old shares open all of it or nothing: one that keys rotated through is given up, and another one begins."""
    keys = Keys()
    keys.pipeline = pipeline_of(keys.source, Rotating(keys))
    monkeypatch.setattr(keys.source, "base", lambda: _InParts(keys.history))
    await keys.caught_up()
    parts = await keys.headers(Kind.BASE)
    (last,) = [one for one in parts if one.final]
    whole = [one for one in parts if one.base == last.base]

    assert [one.part for one in parts if one.base != last.base] == [0]
    assert [one.part for one in whole] == [0, 1, 2]
    assert {one.envelope for one in whole} == {b"envelope 2"}
    assert len({key_term_of(one.place) for one in whole}) == 1


class _InParts:
    """A base of three parts."""

    def __init__(self, history: History) -> None:
        self.index, self.term, self.time_ns = history.state.applied_index, 1, history.state.time_ns

    def chunks(self) -> Any:
        return iter([b"a", b"b", b"c"])

    def abort(self) -> None:
        pass
