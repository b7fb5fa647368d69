"""Copies and pruning: objects as they are, in an order that a restore can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster.backup.copying import copy, prune
from cluster.backup.restore import Point, Restore
from cluster.backup.sinks.base import Claim, ConflictError, FencedError, Generation, SinkError
from cluster.backup.sinks.memory import MemorySink
from cluster.errors import DamagedError
from tests.cluster.backup.backing import SystemLikeRandom
from tests.cluster.backup.story import GENERATION, FixedClock, Story, only, opener

if TYPE_CHECKING:
    from cluster.backup.sinks.base import Sink, Stored


async def copied(source: Any, target: MemorySink) -> Any:
    [done] = await copy(source, target, FixedClock(), SystemLikeRandom(3), lambda _progress: None)
    return done


async def digest_of(sink: MemorySink, story: Story) -> int:
    [generation] = await sink.generations()
    restore = Restore(sink, generation, opener(story.shares), SystemLikeRandom(4))
    await restore.open()
    state = await restore.replay(Point())
    return state.digest


async def test_a_copy_is_what_was_there() -> None:
    """Bytes, chain and all; a second run sends nothing."""
    story, target = await Story().told(3, 4), MemorySink()
    first = await copied(story.sink, target)
    second = await copied(story.sink, target)
    pairs = zip(await only(story.sink, GENERATION), await only(target, GENERATION), strict=True)

    assert (second.sent, second.there) == (0, first.sent)
    for one, other in pairs:
        assert await story.sink.read(GENERATION, one) == await target.read(GENERATION, other)
    assert await digest_of(target, story) == story.state.digest


async def test_two_bases_and_the_batches_between_them_are_copied() -> None:
    """The second base begins a chain of its own."""
    story, target = await Story().told(3), MemorySink()
    story.write()
    await story.base()
    for _ in range(2):
        story.write()
        await story.send()
    done = await copied(story.sink, target)

    assert done.left_out == 0
    assert await digest_of(target, story) == story.state.digest


class BreakingSink(MemorySink):
    """Takes so many objects and no more."""

    left = 4

    async def store(self, claim: Any, data: bytes, parsed: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise SinkError("gone")
        await super().store(claim, data, parsed)


async def test_an_interrupted_copy_goes_on() -> None:
    """What is there is not sent again."""
    story, target = await Story().told(3, 3), BreakingSink()
    with pytest.raises(SinkError):
        await copied(story.sink, target)
    target.left = 10**6
    done = await copied(story.sink, target)

    assert done.there == 4
    assert await digest_of(target, story) == story.state.digest


async def test_a_changed_object_is_not_copied() -> None:
    """It does not have the hash that the source shows."""
    story = await Story().told(3)
    objects = story.sink._objects[GENERATION]
    place = list(objects)[-1]
    objects[place] = objects[place][0], objects[place][1][:-1] + b"?"

    with pytest.raises(DamagedError, match="not what the sink says"):
        await copied(story.sink, MemorySink())


async def test_a_copy_gives_way_to_whoever_writes_the_target() -> None:
    """A leader has claimed it; and another history is not mixed with ours."""
    story, led, strange = await Story().told(3), MemorySink(), MemorySink()
    await copied(story.sink, led)
    await led.claim(story.claim)
    with pytest.raises(FencedError):
        await copied(story.sink, led)
    await copied((await Story(seed=5).told(4)).sink, strange)
    with pytest.raises(ConflictError):
        await copied(story.sink, strange)


async def test_pruning_keeps_the_newest_state_whole() -> None:
    """And a dry run removes nothing."""
    story = await Story().told(3)
    story.write()
    await story.base()
    story.write()
    await story.send()
    claim = await story.sink.claimant(GENERATION)
    assert claim == story.claim
    before = await only(story.sink, GENERATION)

    async def pruned(*, dry: bool) -> list[Stored]:
        return await prune(story.sink, claim, 10**18, keep_bases=1, keep_days=1, dry=dry)

    would = await pruned(dry=True)
    assert len(await only(story.sink, GENERATION)) == len(before)
    done = await pruned(dry=False)

    assert [one.name for one in would] == [one.name for one in done] != []
    assert len(await only(story.sink, GENERATION)) == len(before) - len(done)
    assert await digest_of(story.sink, story) == story.state.digest


async def test_nobody_but_the_claimant_prunes() -> None:
    """Who claimed the generation meanwhile fences it."""
    story = await Story().told(3)
    await story.base()
    await story.sink.claim(story.claim._replace(term=9))

    with pytest.raises(FencedError):
        await prune(story.sink, story.claim, 10**18, keep_bases=1, keep_days=1, dry=False)


async def test_every_sink_says_whose_claim_stands(sink: Sink) -> None:
    """Nobody's, then the newest; a generation that has not begun is nobody's either."""
    first = Claim(GENERATION, -(1 << 60), "restore-1")
    assert await sink.claimant(GENERATION) is None
    await sink.begin(Generation(GENERATION, b"", 0, 1))
    assert await sink.claimant(GENERATION) is None
    await sink.claim(first)
    assert await sink.claimant(GENERATION) == first
    await sink.claim(first._replace(term=1, node_id="n1"))

    assert await sink.claimant(GENERATION) == Claim(GENERATION, 1, "n1")
    with pytest.raises(FencedError):
        await sink.claim(first._replace(term=first.term + 5))
