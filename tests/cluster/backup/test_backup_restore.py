"""From a sink back to a state: every index of a history, and every way in which a sink can be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.backup.chain import RestoreError
from cluster.backup.restore import Point, Restore, survey
from cluster.backup.sinks.memory import MemorySink
from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring.keyring import Keyring
from cluster.state.tables import Table
from tests.cluster.backup.backing import (
    GENERATION,
    History,
    SystemLikeRandom,
    WiredSource,
    keys,
    opens,
    pipeline_of,
    reached,
    run_until,
)


class Opened:
    """Keys as an unsealer gives them."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def wipe(self) -> None:
        pass


async def backed(writes: tuple[int, ...] = (40, 30), seed: int = 1) -> tuple[History, Any]:
    """A history and its pipeline; a base is begun behind each part of it."""
    history = History(seed)
    source = WiredSource(history.node)
    source.sealed_keyring = keys().envelope
    pipeline = pipeline_of(source)
    for number, count in enumerate(writes, 1):
        history.write(count)
        pipeline.base_wanted = True
        await run_until(pipeline, lambda number=number: pipeline.standing.bases >= number)
        history.write(11)
        await run_until(pipeline, reached(pipeline, history.state.applied_index))
    return history, pipeline


async def restoring(history: History, pipeline: Any, keyring: Keyring | None = None) -> Restore:
    [generation] = await pipeline.sink.generations()
    unsealed: Any = Opened(keyring or history.node.sealer.keyring)
    restore = Restore(pipeline.sink, generation, opens(unsealed), SystemLikeRandom(5))
    await restore.open()
    return restore


async def test_every_index_from_the_first_base_on_comes_back_as_it_was() -> None:
    """By its digest; and nothing before it."""
    history, pipeline = await backed()
    restore = await restoring(history, pipeline)
    first = (await survey(pipeline.sink))[0].runs[0].first
    wrong = [
        index
        for index in history.digests
        if index >= first and (await restore.replay(Point(to_index=index))).digest != history.digests[index]
    ]

    assert wrong == []
    assert len([index for index in history.digests if index >= first]) > 40
    with pytest.raises(RestoreError, match=f"what can be restored is {first} to"):
        await restore.replay(Point(to_index=first - 1))


async def test_a_time_is_the_last_entry_until_then() -> None:
    """A nanosecond before an entry, it is not there yet."""
    history, pipeline = await backed()
    restore = await restoring(history, pipeline)
    index = history.state.applied_index - 7

    assert (await restore.replay(Point(to_time_ns=history.times[index]))).applied_index == index
    assert (await restore.replay(Point(to_time_ns=history.times[index] - 1))).applied_index == index - 1
    assert (await restore.replay(Point(to_time_ns=history.times[index] + 10**15))).digest == history.state.digest


def tamper(sink: MemorySink, number: int, change: Any) -> None:
    """The `number`-th object of the sink is changed: (stored, data) → (stored, data) or None."""
    objects = sink._objects[GENERATION]
    place = sorted(objects, key=lambda one: objects[one][0].order)[number]
    changed = change(*objects[place])
    if changed is None:
        del objects[place]
    else:
        objects[place] = changed


def flipped(stored: Any, data: bytes) -> Any:
    return stored, data[:-1] + bytes([data[-1] ^ 1])


async def test_a_changed_bit_is_said_to_be_where_it_is() -> None:
    """Also if the sink's column was changed along with it: then the box does not open."""
    history, pipeline = await backed((20,))
    tamper(pipeline.sink, -2, flipped)
    restore = await restoring(history, pipeline)
    with pytest.raises(DamagedError, match=r"the batch \d+ to \d+ is another object"):
        await restore.replay(Point())

    tamper(pipeline.sink, -2, lambda stored, data: (stored._replace(hash=_hash(data)), data))
    tamper(pipeline.sink, -1, lambda stored, data: (stored._replace(previous=_hash(_at(pipeline, -2))), data))
    restore = await restoring(history, pipeline)
    with pytest.raises(DamagedError, match="does not open"):
        await restore.replay(Point())


def _hash(data: bytes) -> bytes:
    from cluster.backup.format import hash_of

    return hash_of(data)


def _at(pipeline: Any, number: int) -> bytes:
    objects = pipeline.sink._objects[GENERATION]
    place = sorted(objects, key=lambda one: objects[one][0].order)[number]
    data: bytes = objects[place][1]
    return data


async def test_a_missing_batch_ends_what_can_be_restored() -> None:
    """What lies behind it is refused, what lies before is not."""
    history, pipeline = await backed((20,))
    tamper(pipeline.sink, -2, lambda _stored, _data: None)
    restore = await restoring(history, pipeline)

    with pytest.raises(RestoreError, match="what can be restored"):
        await restore.replay(Point(to_index=history.state.applied_index))
    state = await restore.replay(Point())
    assert state.digest == history.digests[state.applied_index]
    assert (await survey(pipeline.sink))[0].gap == (state.applied_index, history.state.applied_index)


async def test_an_object_in_anothers_place_is_refused() -> None:
    """Reordered, replayed or of another generation: what the header says is what counts."""
    history, pipeline = await backed((20,))
    other, stranger = await backed((20,), seed=9)
    stolen = _at(stranger, -1)
    tamper(pipeline.sink, -1, lambda stored, _data: (stored, _at(pipeline, -2)))
    restore = await restoring(history, pipeline)
    with pytest.raises(DamagedError, match="another object"):
        await restore.replay(Point())

    tamper(pipeline.sink, -1, lambda stored, _data: (stored._replace(hash=_hash(stolen)), stolen))
    restore = await restoring(history, pipeline)
    with pytest.raises(DamagedError):
        await restore.replay(Point())
    assert other.state.digest != history.state.digest


async def test_a_base_with_a_part_too_few_is_no_base() -> None:
    """The one before it serves."""
    history, pipeline = await backed()
    found = (await survey(pipeline.sink))[0].runs
    at = next(
        number
        for number, one in enumerate([one async for one in pipeline.sink.objects(GENERATION)])
        if one.last == found[1].first and one.kind == 1
    )
    tamper(pipeline.sink, at, lambda _stored, _data: None)
    restore = await restoring(history, pipeline)

    assert (await restore.replay(Point())).digest == history.state.digest
    assert len((await survey(pipeline.sink))[0].runs) == 1


async def test_other_keys_open_nothing() -> None:
    """A keyring of another cluster, and shares that are none of this one's."""
    history, pipeline = await backed((5,))
    stranger = Keyring.create(SystemLikeRandom(99), b"cluster-id-tests", 1)
    restore = await restoring(history, pipeline, stranger)
    with pytest.raises(DamagedError):
        await restore.replay(Point())

    def refuses(_envelope: bytes) -> Any:
        raise WrongKeyError("no")

    [generation] = await pipeline.sink.generations()
    with pytest.raises(WrongKeyError, match="no keyring that is stored"):
        await Restore(pipeline.sink, generation, refuses, SystemLikeRandom(5)).open()


async def test_a_state_that_does_not_have_its_digest_is_refused() -> None:
    """Though every object opened: a leader with another state wrote it."""
    history, pipeline = await backed((5,))
    state = history.state
    state.digest ^= 1
    history.write(3)
    await run_until(pipeline, reached(pipeline, history.state.applied_index))
    restore = await restoring(history, pipeline)

    with pytest.raises(DamagedError, match="another state than the cluster had"):
        await restore.replay(Point())


async def test_a_base_whose_records_do_not_have_its_digest_is_refused() -> None:
    """Verified before anything is applied to it."""
    history = History()
    history.write(5)
    shards = history.state.shards(Table.ENTRY)
    shard = next(shard for shard in shards if shard)
    key = next(iter(shard))
    shard[key] = shard[key][:-1] + b"?"
    source = WiredSource(history.node)
    source.sealed_keyring = keys().envelope
    pipeline = pipeline_of(source)
    await run_until(pipeline, lambda: pipeline.standing.bases == 1)
    restore = await restoring(history, pipeline)

    with pytest.raises(DamagedError, match="digest it was stored with"):
        await restore.replay(Point())
