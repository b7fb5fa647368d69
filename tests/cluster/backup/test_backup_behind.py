"""A pipeline far behind, in a life that has just begun, beside a long base, or over something nobody foresaw."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cluster.backup import retry
from cluster.backup.chain import runs
from cluster.backup.format import Kind
from cluster.backup.gather import GapError, gather
from cluster.backup.sinks.memory import MemorySink
from cluster.errors import DamagedError
from cluster.raft import applying
from cluster.state import records, transaction
from cluster.state.snapshot import Loader, Pin, Snapshot, discard
from cluster.state.tables import Table
from tests.cluster.backup.backing import GENERATION, POLICY, History, WiredSource, pipeline_of, reached, run_until


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt follows the one before at once."""
    monkeypatch.setattr(retry, "delay_s", lambda *_args, **_options: 0.0)


async def every(sink: MemorySink) -> list[Any]:
    return [one async for one in sink.objects(GENERATION)]


def forget_digests(history: History) -> None:
    """As after a start: digests are known behind what this life applied only."""
    history.node.replica._digests.clear()
    history.node.replica._marks.clear()


def test_entries_whose_digest_is_far_away_are_no_batch() -> None:
    """After a start, with a sink behind the newest snapshot: a base is needed, not one batch of everything."""
    history = History()
    history.write(600)
    forget_digests(history)
    history.write(2)
    with pytest.raises(GapError, match="digest"):
        gather(history.node.replica, 2, entries_max=8, bytes_max=1 << 20)

    last = history.node.replica.applied_index
    found = gather(history.node.replica, last - 20, entries_max=8, bytes_max=1 << 20)
    assert found is not None
    assert found.last == last - 1


def test_a_batch_to_the_next_known_digest_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object may not be larger than a reader takes."""
    monkeypatch.setattr("cluster.backup.gather.BATCH_BYTES_MAX", 40_000)
    history = History()
    draft = transaction.Draft()
    draft.put(Table.ENTRY, b"m" * 16 + b"large", records.Entry(salt_id=1, box=b"x" * 2_000))
    first = history.node.replica.applied_index + 1
    history.write(50, draft)
    forget_digests(history)
    history.write(1)

    with pytest.raises(GapError, match="digest"):
        gather(history.node.replica, first, entries_max=8, bytes_max=1 << 20)


@pytest.mark.parametrize("error", [DamagedError("an entry does not open"), KeyError("nobody foresaw this")])
async def test_no_failure_ends_a_pipeline(error: Exception) -> None:
    """It is said, and tried again for ever."""
    history = History()
    history.write(5)

    class Failing(WiredSource):
        failures = 3

        def gather(self, *args: Any, **options: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise error
            return super().gather(*args, **options)

    pipeline = pipeline_of(Failing(history.node))
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(5)
    await run_until(pipeline, lambda: bool(pipeline.standing.error))
    assert "foresaw" not in pipeline.standing.error
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert pipeline.standing.retries == 3


async def test_a_node_that_has_not_applied_its_log_yet_waits_before_it_judges_its_sink() -> None:
    """A sink of its own may reach further than the newest snapshot: that is no other history."""
    history = History()
    history.write(5)
    sink = MemorySink()
    first = pipeline_of(WiredSource(history.node), sink)
    await run_until(first, reached(first, history.state.applied_index))

    class Starting(WiredSource):
        turns = 100

        def applied_index(self) -> int:
            self.turns -= 1
            return super().applied_index() if self.turns < 0 else 1

    again = pipeline_of(Starting(history.node), sink)
    await run_until(again, reached(again, history.state.applied_index))

    assert (again.standing.retries, again.standing.error, again.standing.bases) == (0, "", 0)


async def test_batches_do_not_wait_for_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base of many parts takes long; what is written meanwhile arrives between its parts, on one chain."""
    monkeypatch.setattr("cluster.state.snapshot.PART_RECORDS", 1)
    history = History()
    history.write(40)

    class Noting(MemorySink):
        kinds = ""

        async def store(self, claim: Any, data: bytes, parsed: Any) -> None:
            await super().store(claim, data, parsed)
            self.kinds += "p" if parsed.header.kind == Kind.BASE else "b"
            if parsed.header.kind == Kind.BASE and not parsed.header.fresh:
                history.write(1)

    sink = Noting()
    source = WiredSource(history.node)
    pipeline = pipeline_of(source, sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(3)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    pipeline.base_wanted = True
    await run_until(pipeline, lambda: pipeline.standing.bases == 2)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert "pbpb" in sink.kinds
    found = runs(await every(sink))
    assert [run.last for run in found] == [history.state.applied_index] * 2
    assert pipeline.standing.confirmed is not None
    assert pipeline.standing.confirmed.base_index == found[-1].first
    assert pipeline.standing.retries == 0


async def test_a_base_that_its_batches_have_passed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing could follow it: with few bases kept, it would take the chain with it."""
    monkeypatch.setattr(applying, "DIGESTS_KEPT", 8)
    history = History()
    history.node.replica._digests = type(history.node.replica._digests)(maxlen=8)
    history.write(5)
    sink = MemorySink()
    source = WiredSource(history.node)
    policy = replace(POLICY, keep_bases=1, keep_days=0, base_entries=100)
    pipeline = pipeline_of(source, sink, policy)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    history.write(120)

    class Busy(MemorySink):
        """Many entries are applied whenever something is stored."""

    stored = sink.store
    bursts = [40] * 4

    async def store(claim: Any, data: bytes, parsed: Any) -> None:
        await stored(claim, data, parsed)
        if bursts:
            history.write(bursts.pop())

    monkeypatch.setattr(sink, "store", store)
    await run_until(pipeline, lambda: pipeline.standing.bases == 2)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))

    assert runs(await every(sink))[-1].last == history.state.applied_index
    assert pipeline.standing.retries == 0


def test_a_pinned_state_stays_what_it_was_while_it_is_emptied() -> None:
    """A base is sent from a state that a snapshot has replaced meanwhile: it is whole, or there is none."""
    history = History()
    history.write(60)
    snapshot = Snapshot(history.state)
    wanted = dict(history.state.counts)
    chunks = snapshot.chunks()
    for _ in discard(history.state):
        pass
    loader = Loader(history.state.digest_key)
    for chunk in chunks:
        loader.feed(chunk)

    assert loader.finish().counts == wanted
    assert isinstance(Pin(history.state), Pin)


async def test_a_fenced_pipeline_does_not_hammer_its_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is applied meanwhile, it pauses as after any failure."""
    pauses: list[int] = []
    monkeypatch.setattr(retry, "delay_s", lambda attempt, *_args, **_options: pauses.append(attempt) or 0.0)
    history = History()
    sink = MemorySink()
    higher = WiredSource(history.node, node_id="n2")
    higher.lives = higher.lives._replace(term=9, node_id="n2") if higher.lives else None
    other = pipeline_of(higher, sink)
    await run_until(other, reached(other, history.state.applied_index))
    pipeline = pipeline_of(WiredSource(history.node), sink)
    await run_until(pipeline, lambda: pipeline.standing.retries >= 4)

    assert pauses[:3] == [1, 2, 3]
    await asyncio.sleep(0)


async def test_a_deposed_leader_says_nothing_of_a_sink_that_others_write() -> None:
    """What was wrong in its time would stand in its status for ever, and count as lag when it leads again."""
    history = History()
    sink = MemorySink()
    source = WiredSource(history.node)
    pipeline = pipeline_of(source, sink)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    pipeline.standing.error, pipeline.standing.behind_since_s = "down", 1.0
    source.lives = None
    turns = iter(range(50))
    await run_until(pipeline, lambda: next(turns) == 49)

    assert (pipeline.standing.error, pipeline.standing.behind_since_s) == ("", None)


async def test_a_sink_that_is_far_behind_gets_fewer_and_larger_batches() -> None:
    """A busy loop sends a few batches a second: of the usual size they would never make a backlog good."""
    history = History()
    pipeline = pipeline_of(WiredSource(history.node))
    await run_until(pipeline, reached(pipeline, history.node.replica.applied_index))
    history.write(POLICY.entries_max * 10)
    last = history.node.replica.applied_index
    await run_until(pipeline, reached(pipeline, last))
    history.write(POLICY.entries_max * 2)
    await run_until(pipeline, reached(pipeline, history.node.replica.applied_index))
    sizes = [one.last - one.first + 1 for one in await every(pipeline.sink) if one.kind == Kind.BATCH]
    large = [size for size in sizes if size > POLICY.entries_max]

    assert large == [POLICY.entries_max * 8]
    assert sizes[-2:] == [POLICY.entries_max] * 2
