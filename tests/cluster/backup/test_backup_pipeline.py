"""One sink's pipeline: what is sent, in which order, and what happens when the sink is away, wrong or another's."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from cluster.backup import retry
from cluster.backup.format import Kind
from cluster.backup.retry import delay_s
from cluster.backup.sinks.base import (
    Claim,
    FencedError,
    Position,
    SinkError,
    SinkRefusedError,
    UnknownStoreError,
)
from cluster.backup.sinks.memory import MemorySink
from tests.cluster.backup.backing import (
    GENERATION,
    POLICY,
    History,
    WiredSource,
    pipeline_of,
    reached,
    run_until,
)


class Broken(MemorySink):
    """A memory sink that fails as told: `before` loses the call, `after` loses the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.calls: list[str] = []
        self.hang = False

    async def claim(self, claim: Claim) -> Position | None:
        self.calls.append("claim")
        return await super().claim(claim)

    async def store(self, claim: Claim, data: bytes, parsed: Any) -> None:
        self.calls.append(f"store {parsed.header.kind} {parsed.header.first}-{parsed.header.last}")
        if self.hang:
            await asyncio.sleep(3600)
        if self.before:
            raise self.before.pop(0)
        await super().store(claim, data, parsed)
        if self.after:
            raise self.after.pop(0)


async def stored(sink: MemorySink) -> list[Any]:
    return [one async for one in sink.objects(GENERATION)]


async def batches(sink: MemorySink) -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in await stored(sink) if one.kind == Kind.BATCH]


async def bases(sink: MemorySink) -> list[Any]:
    """Their final parts."""
    return [one for one in await stored(sink) if one.kind == Kind.BASE and one.final]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt follows the one before at once."""
    monkeypatch.setattr(retry, "delay_s", lambda *_args, **_options: 0.0)


@pytest.fixture
def history() -> History:
    made = History()
    made.write(20)
    return made


async def test_a_first_backup_is_a_base_and_what_comes_next_are_batches(history: History) -> None:
    """Without a gap, none larger than the policy says."""
    pipeline = pipeline_of(WiredSource(history.node))
    begun = history.state.applied_index
    await run_until(pipeline, reached(pipeline, begun))
    history.write(20)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    found = await batches(pipeline.sink)

    assert [(one.first, one.fresh) for one in await bases(pipeline.sink)] == [(begun, True)]
    assert found[0][0] == begun + 1
    assert found[-1][1] == history.state.applied_index
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(found))
    assert max(last - first + 1 for first, last in found) == POLICY.entries_max


async def test_a_batch_is_closed_by_bytes_too(history: History) -> None:
    """One entry larger than that is a batch of its own."""
    pipeline = pipeline_of(WiredSource(history.node), policy=replace(POLICY, bytes_max=1))
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(5)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert {last - first for first, last in await batches(pipeline.sink)} == {0}


async def test_a_sink_that_is_away_costs_nothing_and_is_caught_up_with(history: History) -> None:
    """However often it fails, nothing is lost, doubled or left half."""
    sink = Broken()
    pipeline = pipeline_of(WiredSource(history.node), sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    sink.before = [SinkError("down")] * 30
    history.write(40)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    found = await batches(sink)

    assert pipeline.standing.retries == 30
    assert pipeline.standing.error == ""
    assert [first for first, _ in found] == [found[0][0], *(last + 1 for _, last in found[:-1])]


async def test_an_answer_that_was_lost_is_read_back_before_anything_is_sent(history: History) -> None:
    """The object is there once; the claim and its position come first."""
    sink = Broken()
    pipeline = pipeline_of(WiredSource(history.node), sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    sink.after = [UnknownStoreError("the connection was lost at COMMIT")]
    sink.calls.clear()
    history.write(3)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    first, last = (await batches(sink))[0]
    assert sink.calls == ["claim", f"store 2 {first}-{last}", "claim"]


async def test_a_call_without_an_answer_ends_in_time_and_is_an_unknown_one(history: History) -> None:
    """The pipeline asks for the position, and goes on."""
    sink = Broken()
    pipeline = pipeline_of(WiredSource(history.node), sink, replace(POLICY, timeout_s=0.01))
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    sink.hang = True
    history.write(3)
    await run_until(pipeline, lambda: pipeline.standing.retries > 0, turns=10**6)
    assert "no answer within" in pipeline.standing.error
    sink.hang = False
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert len(await batches(sink)) == 1


async def test_a_part_of_a_base_is_tried_again_without_beginning_anew(history: History) -> None:
    """A base of many parts would never be done over a link that fails now and then."""
    sink = Broken()
    sink.before = [SinkError("reset")] * 4
    pipeline = pipeline_of(WiredSource(history.node), sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert len({one.base for one in await stored(sink)}) == 1


async def test_a_refusal_is_shouted_once_and_not_hammered(
    history: History, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sentence is said once; the pause is the long one."""
    asked: list[bool] = []
    monkeypatch.setattr(retry, "delay_s", lambda *_args, refused=False: asked.append(refused) or 0.0)
    sink = Broken()
    sink.before = [SinkRefusedError("the password is wrong")] * 5
    pipeline = pipeline_of(WiredSource(history.node), sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert [record.levelname for record in caplog.records if "password is wrong" in record.message] == ["ERROR"]
    assert asked == [True] * 5


def refusing(history: History, monkeypatch: pytest.MonkeyPatch) -> tuple[WiredSource, Broken, Any]:
    """A pipeline whose first attempt is refused, and whose next one is a long time away."""
    monkeypatch.setattr(retry, "delay_s", lambda *_args, **_options: 3600.0)
    source, sink = WiredSource(history.node), Broken()
    sink.before = [SinkRefusedError("the role may not write")]
    return source, sink, pipeline_of(source, sink)


async def test_a_refused_sink_is_looked_at_again_when_somebody_asks(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before; whoever mended a grant need not wait for the pause to end."""
    _, sink, pipeline = refusing(history, monkeypatch)
    asked: list[int] = []

    def done() -> bool:
        if pipeline.standing.retry_s is not None and not asked:
            asked.append(len(sink.calls))
            pipeline.ask_base()
        return bool(asked) and pipeline.standing.confirmed is not None

    await run_until(pipeline, done)
    assert asked == [2]  # a claim and one store
    assert (pipeline.standing.error, pipeline.standing.retry_s) == ("", None)
    assert await pipeline.is_written(0.0)


async def test_a_refused_sink_is_not_looked_at_again_when_nobody_asks(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: turns go by, and the pause goes on."""
    _, sink, pipeline = refusing(history, monkeypatch)
    turns = iter(range(500))
    await run_until(pipeline, lambda: next(turns) == 499)

    assert (len(sink.calls), pipeline.standing.error) == (2, "the role may not write")
    assert not await pipeline.is_written(0.0)


async def test_a_pause_ends_with_the_claim_and_the_error_with_it(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes no longer has no error to tell of."""
    from cluster.backup import pipeline as room

    monkeypatch.setattr(room, "IDLE_S", 0.0)
    source, _, pipeline = refusing(history, monkeypatch)
    seen: list[str] = []

    def done() -> bool:
        if pipeline.standing.error and not seen:
            seen.append(pipeline.standing.error)
            source.lives = None
        return bool(seen) and not pipeline.standing.error

    await run_until(pipeline, done)
    assert seen == ["the role may not write"]


async def test_nothing_is_sent_without_a_claim(history: History) -> None:
    """A follower waits."""
    source = WiredSource(history.node)
    source.lives = None
    sink = Broken()
    pipeline = pipeline_of(source, sink)
    turns = iter(range(50))
    await run_until(pipeline, lambda: next(turns) == 49)

    assert sink.calls == []


async def test_a_deposed_leader_stores_nothing_more_and_the_next_one_goes_on_behind_it(history: History) -> None:
    """The chain is one; the new leader needs no base."""
    sink = Broken()
    old = WiredSource(history.node)
    first = pipeline_of(old, sink)
    await run_until(first, reached(first, history.state.applied_index))
    history.write(10)
    new = WiredSource(history.node, node_id="n2")
    new.lives = Claim(GENERATION, 2, "n2")
    second = pipeline_of(new, sink)
    await run_until(second, reached(second, history.state.applied_index))
    history.write(10)
    await run_until(first, lambda: first.standing.retries > 0)
    assert "claimed" in first.standing.error
    await run_until(second, reached(second, history.state.applied_index))

    found = await batches(sink)
    assert [one for one, _ in found[1:]] == [last + 1 for _, last in found[:-1]]
    assert (first.standing.bases, second.standing.bases) == (1, 0)


async def test_a_leader_that_is_deposed_in_mid_batch_stops_there(history: History) -> None:
    """It notices by its own role, before the sink tells it."""
    source = WiredSource(history.node)
    sink = Broken()
    pipeline = pipeline_of(source, sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(30)
    source.lives = None
    before = len(await stored(sink))
    turns = iter(range(50))
    await run_until(pipeline, lambda: next(turns) == 49)

    assert len(await stored(sink)) == before


async def test_entries_that_left_the_log_are_made_good_by_a_fresh_base(history: History) -> None:
    """Said loudly, and what comes behind it follows it."""
    pipeline = pipeline_of(WiredSource(history.node))
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(40)
    history.node.log.trim(history.state.applied_index - 5)
    history.write(2)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(3)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    found = await bases(pipeline.sink)
    assert [one.fresh for one in found] == [True, True]
    assert "the log begins behind" in pipeline.standing.alarms[-1]
    assert (await batches(pipeline.sink))[-1][0] == found[-1].last + 1


@pytest.mark.parametrize("known", ["rolled back", "another hash"])
async def test_a_sink_that_disagrees_with_the_cluster_is_not_followed(history: History, known: str) -> None:
    """It lost its end, or shows another batch: an alarm, and a fresh base."""
    source = WiredSource(history.node)
    sink = Broken()
    pipeline = pipeline_of(source, sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(10)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    confirmed = pipeline.standing.confirmed
    assert confirmed is not None
    if known == "rolled back":
        objects = sink._objects[GENERATION]
        del objects[max(objects)]
        source.held["main"] = confirmed
    else:
        source.held["main"] = confirmed._replace(hash=b"o" * 32)
    again = pipeline_of(source, sink)
    await run_until(again, lambda: again.standing.bases == 1)
    history.write(4)
    await run_until(again, reached(again, history.state.applied_index))

    assert len(again.standing.alarms) == 1
    assert [one.fresh for one in await bases(sink)] == [True, True]


async def test_a_sink_that_agrees_is_followed_without_a_base(history: History) -> None:
    """The twin: a node that starts again, with the fact in its state."""
    source = WiredSource(history.node)
    sink = Broken()
    pipeline = pipeline_of(source, sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    assert pipeline.standing.confirmed is not None
    source.held["main"] = pipeline.standing.confirmed
    again = pipeline_of(source, sink)
    history.write(5)
    await run_until(again, reached(again, history.state.applied_index))

    assert (again.standing.bases, again.standing.alarms) == (0, [])


async def test_a_sink_beyond_the_cluster_is_refused(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else wrote it, or this cluster lost its end: an operator must look."""
    monkeypatch.setattr("cluster.backup.pipeline.CATCH_UP_S", 0.0)
    sink = Broken()
    pipeline = pipeline_of(WiredSource(history.node), sink)
    history.write(20)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    other = History(seed=5)
    behind = pipeline_of(WiredSource(other.node), sink)
    await run_until(behind, lambda: behind.standing.retries > 0)

    assert "beyond anything this cluster has" in behind.standing.error
    assert (behind.standing.bases, behind.standing.batches) == (0, 0)


async def test_a_generation_that_is_not_ours_to_begin_is_fenced(history: History) -> None:
    """A second child of one parent."""
    sink = Broken()
    first = WiredSource(history.node)
    first.line = first.line._replace(generation=b"child-one-------", parent=b"p" * 16, parent_index=5)
    second = WiredSource(history.node)
    second.line = first.line._replace(generation=b"child-two-------")
    await sink.begin(first.line)
    second.lives = Claim(second.line.generation, 1, "n1")
    pipeline = pipeline_of(second, sink)
    await run_until(pipeline, lambda: pipeline.standing.retries > 0)

    assert "same parent" in pipeline.standing.error
    with pytest.raises(FencedError):
        await sink.begin(second.line)


@pytest.mark.parametrize(
    ("entries", "period_s", "wanted"), [(30, 1e9, True), (10**9, 0.001, True), (10**9, 1e9, False)]
)
async def test_a_base_begins_by_entries_and_by_time(
    history: History, entries: int, period_s: float, wanted: bool
) -> None:
    """It follows the batch that ends at its index, and the batches go on behind that."""
    policy = replace(POLICY, base_entries=entries, base_period_s=period_s)
    pipeline = pipeline_of(WiredSource(history.node), policy=policy)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    for _ in range(4):
        history.write(10)
        await run_until(pipeline, reached(pipeline, history.state.applied_index))
    turns = iter(range(200))
    await run_until(pipeline, lambda: next(turns) == 199)
    later = (await bases(pipeline.sink))[1:]
    found = await batches(pipeline.sink)

    assert (later != []) is wanted
    assert not any(one.fresh for one in later)
    assert [one for one, _ in found[1:]] == [last + 1 for _, last in found[:-1]]


async def test_lag_grows_while_the_sink_is_away_and_returns_to_nothing(history: History) -> None:
    """`behind_since_s` is when the oldest entry that is not confirmed was seen."""
    sink = Broken()
    pipeline = pipeline_of(WiredSource(history.node), sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    sink.before = [SinkError("down")] * 3
    history.write(1)
    await run_until(pipeline, lambda: bool(pipeline.standing.error))
    assert pipeline.standing.behind_since_s is not None
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert pipeline.standing.behind_since_s is None


@pytest.mark.parametrize("attempt", [1, 2, 8, 40, 10**6])
@pytest.mark.parametrize("uniform", [0.0, 0.5, 0.999])
def test_pauses_are_jittered_and_capped(attempt: int, uniform: float) -> None:
    """Between nothing and the cap, for ever; after a refusal at least half of the long one."""
    assert 0 <= delay_s(attempt, uniform) <= min(retry.CAP_S, 0.1 * 2 ** min(attempt - 1, 30))
    assert retry.REFUSED_S / 2 <= delay_s(attempt, uniform, refused=True) <= retry.REFUSED_S


class Careful(Broken):
    """A sink whose role may not delete."""

    async def remove(self, claim: Claim, stored: list[Any]) -> None:
        raise SinkRefusedError("this role may not delete")


@pytest.mark.parametrize(("sink", "kept"), [(Broken(), 2), (Careful(), 5)])
async def test_bases_beyond_those_kept_go_where_they_may(history: History, sink: MemorySink, kept: int) -> None:
    """A role that may not delete goes on as before."""
    policy = replace(POLICY, base_entries=10, keep_bases=2, keep_days=0)
    pipeline = pipeline_of(WiredSource(history.node), sink, policy)
    await run_until(pipeline, lambda: pipeline.standing.bases == 1)
    for number in range(2, 6):
        history.write(12)
        await run_until(pipeline, lambda number=number: pipeline.standing.bases == number)
    history.write(3)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert len(await bases(sink)) == kept
    assert pipeline.standing.error == ""
