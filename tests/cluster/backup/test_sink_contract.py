"""What every sink promises, S1 to S6, each with what it refuses: one test for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from cluster.backup.chain import plan
from cluster.backup.sinks import postgres, s3_log, sqlite
from cluster.backup.sinks.base import (
    Claim,
    ConflictError,
    FencedError,
    Generation,
    Position,
    Sink,
    SinkError,
    SinkRefusedError,
    Stored,
    stored_of,
)
from tests.cluster.backup.crafting import CLAIM, GENERATION, LINE, Object, batch, chain, part

if TYPE_CHECKING:
    from collections.abc import Callable

    Place = Callable[[], Sink]

CHILD = Generation(b"generation-child", GENERATION, 50, 2)


async def begun(sink: Sink, claim: Claim = CLAIM) -> Sink:
    await sink.begin(LINE)
    await sink.claim(claim)
    return sink


async def stored(sink: Sink, *objects: Object, claim: Claim = CLAIM) -> None:
    for data, parsed in objects:
        await sink.store(claim, data, parsed)


async def listed(sink: Sink, generation: bytes = GENERATION) -> list[Stored]:
    return [one async for one in sink.objects(generation)]


async def hashes(sink: Sink) -> list[bytes]:
    return [one.hash for one in await listed(sink)]


def position_of(tip: Object, base: Object | None) -> Position:
    header = tip[1].header
    index = 0 if base is None else base[1].header.last
    return Position(header.last, tip[1].hash, header.time_ns, index, index, header.fresh)


# ---- S1
async def test_batches_follow_a_fresh_base_and_each_other(sink: Sink) -> None:
    """Position, hash and stamp are those of the newest one."""
    await begun(sink)
    base, one, two = chain(2)

    await stored(sink, base, one, two)

    assert await sink.claim(CLAIM) == position_of(two, base)
    assert await hashes(sink) == [base[1].hash, one[1].hash, two[1].hash]


async def test_a_batch_behind_a_gap_is_refused(sink: Sink) -> None:
    """The one before it is missing."""
    await begun(sink)
    base, _, two = chain(2)
    await stored(sink, base)

    with pytest.raises(ConflictError):
        await stored(sink, two)

    assert await hashes(sink) == [base[1].hash]


async def test_a_batch_that_overlaps_is_refused(sink: Sink) -> None:
    """It begins before what is stored ends."""
    await begun(sink)
    base, one = chain(1)
    await stored(sink, base, one)

    with pytest.raises(ConflictError):
        await stored(sink, batch(9, 15, one))


async def test_a_batch_of_another_history_is_refused(sink: Sink) -> None:
    """It fits by index and names another predecessor: a fork."""
    await begun(sink)
    base, one = chain(1)
    await stored(sink, base, one)
    other = batch(2, 11, base, box=b"another box")

    with pytest.raises(ConflictError):
        await stored(sink, batch(12, 20, other))

    assert await sink.claim(CLAIM) == position_of(one, base)


async def test_a_batch_that_follows_nothing_is_refused(sink: Sink) -> None:
    """There is no base yet."""
    await begun(sink)

    with pytest.raises(ConflictError):
        await stored(sink, batch(1, 5))

    assert await listed(sink) == []


async def test_a_batch_behind_a_partial_base_is_refused(sink: Sink) -> None:
    """Its final part was never stored: no position rests on it."""
    await begun(sink)
    first = part(7, 0, final=False)
    await stored(sink, first)

    with pytest.raises(ConflictError):
        await stored(sink, batch(8, 9, first))

    assert await sink.claim(CLAIM) is None


async def test_a_base_counts_once_its_final_part_is_stored(sink: Sink) -> None:
    """Then batches follow it."""
    await begun(sink)
    first = part(7, 0, final=False)
    final = part(7, 1, follows=first)
    after = batch(8, 9, final)

    await stored(sink, first, final, after)

    assert await sink.claim(CLAIM) == position_of(after, final)


async def test_a_fresh_base_goes_before_batches_as_high_as_it(sink: Sink) -> None:
    """The next batch follows the base, not the batch that ends where the base stands."""
    await begun(sink)
    base, one = chain(1)
    fresh = part(11, name=b"base-two")
    await stored(sink, base, one, fresh)

    with pytest.raises(ConflictError):
        await stored(sink, batch(12, 13, one))
    await stored(sink, batch(12, 13, fresh))

    assert [run.last for run in (plan(await listed(sink)),)] == [13]


async def test_a_base_that_continues_a_chain_does_not_cut_it(sink: Sink) -> None:
    """The next batch still follows the batch before the base."""
    await begun(sink)
    base, one = chain(1)
    beside = part(11, name=b"base-two", fresh=False, follows=one)
    after = batch(12, 13, one)

    await stored(sink, base, one, beside, after)

    assert await sink.claim(CLAIM) == position_of(after, beside)


async def test_an_old_base_does_not_move_the_position_back(sink: Sink) -> None:
    """A fresh base below the newest batch is kept and followed by nothing."""
    await begun(sink)
    base, one, two = chain(2)
    late = part(5, name=b"base-two")

    await stored(sink, base, one, two, late)

    assert await sink.claim(CLAIM) == position_of(two, late)


# ---- S2
async def test_a_higher_term_replaces_a_claim(place: Place) -> None:
    """And learns how far the one before it came."""
    old, new = place(), place()
    await old.open()
    await new.open()
    await begun(old)
    base, one, two = chain(2)
    await stored(old, base, one)
    later = Claim(GENERATION, 4, "n2")

    assert await new.claim(later) == position_of(one, base)
    await stored(new, two, claim=later)

    assert await new.claim(later) == position_of(two, base)


async def test_a_lower_term_does_not_replace_a_claim(sink: Sink) -> None:
    """It is fenced, and the claim stands."""
    await begun(sink)

    with pytest.raises(FencedError):
        await sink.claim(Claim(GENERATION, 2, "n2"))

    await stored(sink, *chain(1))


async def test_another_node_of_the_same_term_is_fenced(sink: Sink) -> None:
    """A term has one leader; whoever else says so is wrong."""
    await begun(sink)

    with pytest.raises(FencedError):
        await sink.claim(CLAIM._replace(node_id="n2"))


async def test_the_claimant_may_claim_again(sink: Sink) -> None:
    """Nothing changes."""
    await begun(sink)
    base, one = chain(1)
    await stored(sink, base, one)

    assert await sink.claim(CLAIM) == position_of(one, base)


async def test_whoever_lost_the_claim_stores_nothing(place: Place) -> None:
    """Not even what would follow: the claim is checked where the object is stored."""
    old, new = place(), place()
    await old.open()
    await new.open()
    await begun(old)
    base, one, two = chain(2)
    await stored(old, base, one)
    await new.claim(Claim(GENERATION, 4, "n2"))

    with pytest.raises(FencedError):
        await stored(old, two)

    assert await hashes(new) == [base[1].hash, one[1].hash]


async def test_whoever_lost_the_claim_removes_nothing(place: Place) -> None:
    """A deposed leader does not prune."""
    old, new = place(), place()
    await old.open()
    await new.open()
    await begun(old)
    await stored(old, *chain(1))
    await new.claim(Claim(GENERATION, 4, "n2"))

    with pytest.raises(FencedError):
        await old.remove(CLAIM, await listed(old))

    assert len(await listed(new)) == 2


async def test_nothing_is_stored_without_a_claim(sink: Sink) -> None:
    """To have begun the generation is not enough."""
    await sink.begin(LINE)

    with pytest.raises(FencedError):
        await stored(sink, part(1))


async def test_of_two_claims_at_once_the_higher_term_stands(place: Place) -> None:
    """Whatever their order was, only it stores afterwards."""
    low, high = place(), place()
    await low.open()
    await high.open()
    await low.begin(LINE)
    higher = Claim(GENERATION, 4, "n2")

    await asyncio.gather(low.claim(CLAIM), high.claim(higher), return_exceptions=True)

    with pytest.raises(FencedError):
        await stored(low, part(1))
    await stored(high, part(1), claim=higher)


async def test_of_two_batches_at_once_one_is_stored(place: Place) -> None:
    """The same claim twice, by a node that does not know what it sent: no fork."""
    one, two = place(), place()
    await one.open()
    await two.open()
    await begun(one)
    await stored(one, part(1))
    left, right = batch(2, 9, part(1), box=b"left"), batch(2, 9, part(1), box=b"right")

    answers = await asyncio.gather(stored(one, left), stored(two, right), return_exceptions=True)

    assert sorted(type(answer) for answer in answers if answer is not None) == [ConflictError]
    assert len(await listed(one)) == 2


# ---- S3
async def test_the_same_object_twice_is_stored_once(sink: Sink) -> None:
    """An answer that was lost may be asked for again."""
    await begun(sink)
    base, one = chain(1)

    await stored(sink, base, base, one, one, base)

    assert await hashes(sink) == [base[1].hash, one[1].hash]


async def test_the_same_batch_is_accepted_again_when_others_follow_it(sink: Sink) -> None:
    """It is there: that it would not follow the newest one does not matter."""
    await begun(sink)
    base, one, two = chain(2)
    await stored(sink, base, one, two)

    await stored(sink, one)

    assert len(await listed(sink)) == 3


@pytest.mark.parametrize(
    "other",
    [batch(2, 11, part(1), box=b"other"), batch(2, 7, part(1)), part(1, box=b"other")],
    ids=["batch", "shorter batch", "part of a base"],
)
async def test_another_object_in_the_same_place_is_refused(sink: Sink, other: Object) -> None:
    """What is stored is never replaced."""
    await begun(sink)
    base, one = chain(1)
    await stored(sink, base, one)

    with pytest.raises(ConflictError):
        await stored(sink, other)

    assert await hashes(sink) == [base[1].hash, one[1].hash]


# ---- S4
async def test_a_generation_begins_once(sink: Sink) -> None:
    """Beginning it again changes nothing, not even its date."""
    await sink.begin(LINE)
    await sink.begin(LINE._replace(began_ns=99))

    assert await sink.generations() == [LINE]


async def test_a_generation_has_one_parent(sink: Sink) -> None:
    """The same id from somewhere else is another history."""
    await sink.begin(LINE)
    await sink.begin(CHILD)

    with pytest.raises(ConflictError):
        await sink.begin(CHILD._replace(parent_index=51))


async def test_a_second_child_needs_to_be_asked_for(sink: Sink) -> None:
    """Two restored clusters would both think that they continue the first."""
    second = CHILD._replace(generation=b"generation-twins", began_ns=3)
    await sink.begin(LINE)
    await sink.begin(CHILD)

    with pytest.raises(FencedError):
        await sink.begin(second)
    await sink.begin(second, fork=True)

    assert await sink.generations() == [LINE, CHILD, second]


async def test_of_two_children_at_once_one_begins(place: Place) -> None:
    """Whichever came first."""
    one, two = place(), place()
    await one.open()
    await two.open()
    await one.begin(LINE)
    twin = CHILD._replace(generation=b"generation-twins")

    answers = await asyncio.gather(one.begin(CHILD), two.begin(twin), return_exceptions=True)

    assert [type(answer) for answer in answers if answer is not None] == [FencedError]
    assert len(await one.generations()) == 2


async def test_generations_without_a_parent_are_no_siblings(sink: Sink) -> None:
    """Two clusters may share a sink."""
    await sink.begin(LINE)
    await sink.begin(LINE._replace(generation=b"generation-other"))

    assert len(await sink.generations()) == 2


async def test_a_generation_is_claimed_only_after_it_began(sink: Sink) -> None:
    """A claim names what it writes."""
    with pytest.raises(ConflictError):
        await sink.claim(CLAIM)


async def test_generations_do_not_see_each_other(sink: Sink) -> None:
    """Neither their claims nor their objects."""
    await begun(sink)
    await stored(sink, *chain(2))
    await sink.begin(CHILD)
    child = Claim(CHILD.generation, 1, "n9")

    assert await sink.claim(child) is None
    fresh = part(50, generation=CHILD.generation)
    await stored(sink, fresh, claim=child)

    assert [one.hash for one in await listed(sink, CHILD.generation)] == [fresh[1].hash]
    assert len(await listed(sink)) == 3


# ---- S5, and what is shown
async def test_what_was_answered_is_there_for_the_next_one(place: Place) -> None:
    """After closing, another connection reads the same bytes."""
    writer = place()
    await writer.open()
    await begun(writer)
    objects = chain(3, size=70_000)
    await stored(writer, *objects)
    await writer.close()
    reader = place()
    await reader.open()

    found = [await reader.read(GENERATION, one) for one in await listed(reader)]

    assert found == [data for data, _ in objects]


async def test_a_sink_can_be_opened_again(sink: Sink) -> None:
    """Opening twice is opening once, and so is closing."""
    await begun(sink)
    await stored(sink, *chain(1))
    await sink.open()
    await sink.close()
    await sink.close()
    await sink.open()

    assert len(await listed(sink)) == 2


async def test_objects_come_in_the_order_of_a_restore(sink: Sink) -> None:
    """By index, a base before the batch that begins at it, its parts by number."""
    await begun(sink)
    base, one = chain(1)
    parts = [part(2, number, name=b"base-two", final=number == 10) for number in range(11)]
    await stored(sink, base, one, *reversed(parts))

    found = await listed(sink)

    assert [entry.order for entry in found] == sorted(entry.order for entry in found)
    assert [entry.part for entry in found if entry.base == b"base-two"] == list(range(11))


async def test_what_stands_beside_an_object_is_what_its_header_says(sink: Sink) -> None:
    """Every field of it."""
    await begun(sink)
    objects = [part(1, 0, final=False, envelope=b"sealed keyring"), *chain(1)]
    objects[1] = part(1, 1, follows=objects[0])
    objects[2] = batch(2, 11, objects[1])
    await stored(sink, *objects)

    found = await listed(sink)

    assert [one._replace(name="") for one in found] == [stored_of(parsed, len(data)) for data, parsed in objects]


@pytest.mark.parametrize("count", [11, 12])
async def test_a_generation_of_several_pages_is_listed_whole(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also where the last page is full."""
    for module in (postgres, sqlite):
        monkeypatch.setattr(module, "PAGE_ROWS", 4)
    monkeypatch.setattr(s3_log, "SEGMENT_RECORDS", 4)
    await begun(sink)
    parts = [part(5, number, final=number == count - 1, box=b"") for number in range(count)]
    await stored(sink, *parts)

    assert await hashes(sink) == [parsed.hash for _, parsed in parts]


async def test_while_it_is_listed_its_objects_can_be_read(sink: Sink) -> None:
    """A restore reads each object as it comes."""
    await begun(sink)
    objects = chain(3)
    await stored(sink, *objects)

    found = [await sink.read(GENERATION, one) async for one in sink.objects(GENERATION)]

    assert found == [data for data, _ in objects]


async def test_an_empty_generation_shows_nothing(sink: Sink) -> None:
    """Nor does one that nobody has heard of."""
    await sink.begin(LINE)

    assert await listed(sink) == []
    assert await listed(sink, b"never-heard-of-1") == []


async def test_the_claimant_removes(sink: Sink) -> None:
    """Only what was named; twice is once."""
    await begun(sink)
    base, one, two = chain(2)
    await stored(sink, base, one, two)
    found = await listed(sink)

    await sink.remove(CLAIM, found[:1])
    await sink.remove(CLAIM, found[:1])

    assert await hashes(sink) == [one[1].hash, two[1].hash]
    assert await sink.claim(CLAIM) == position_of(two, None)


async def test_a_removed_object_cannot_be_read(sink: Sink) -> None:
    """Its name is not given to another one."""
    await begun(sink)
    base, one = chain(1)
    await stored(sink, base, one)
    gone = (await listed(sink))[1]
    await sink.remove(CLAIM, [gone])
    await stored(sink, batch(2, 3, base))

    with pytest.raises(SinkError):
        await sink.read(GENERATION, gone)


async def test_an_object_is_read_in_its_own_generation_only(sink: Sink) -> None:
    """A name alone is not enough."""
    await begun(sink)
    await stored(sink, *chain(1))

    with pytest.raises(SinkError):
        await sink.read(CHILD.generation, (await listed(sink))[0])


async def test_its_url_names_no_user_and_no_option(sink: Sink) -> None:
    """It is shown in logs and metrics."""
    assert not any(mark in sink.url for mark in "@?=")


async def test_a_cancelled_call_leaves_the_sink_usable(sink: Sink) -> None:
    """Stored or not, whole or not at all; the position says which."""
    await begun(sink)
    base, one = chain(1, size=300_000)
    await stored(sink, base)
    for turns in range(12):
        sending = asyncio.ensure_future(stored(sink, one))
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

        assert await sink.claim(CLAIM) in {position_of(base, base), position_of(one, base)}
    await stored(sink, one)

    assert await hashes(sink) == [base[1].hash, one[1].hash]


# ---- S6
async def test_whoever_looks_sees_what_is_stored(place: Place) -> None:
    """All that a restore reads; and may write once it opened the sink."""
    writer, reader = place(), place()
    await writer.open()
    await begun(writer)
    base, one, two = chain(2)
    await stored(writer, base, one)

    await reader.look()

    assert await reader.generations() == [LINE]
    assert await hashes(reader) == [base[1].hash, one[1].hash]
    assert [await reader.read(GENERATION, found) for found in await listed(reader)] == [base[0], one[0]]
    assert await reader.claimant(GENERATION) == CLAIM
    await reader.open()
    await stored(reader, two)
    assert await hashes(writer) == [base[1].hash, one[1].hash, two[1].hash]


async def test_a_place_where_nothing_is_yet_shows_nothing(place: Place) -> None:
    """Or it is said that there is no such place; either way the first to open it finds it new."""
    reader, writer = place(), place()
    try:
        await reader.look()
    except SinkRefusedError as error:
        assert "cannot be opened" in str(error)  # noqa: PT017 - one of two answers
    else:
        assert await reader.generations() == []
        assert await listed(reader) == []
        assert await reader.claimant(GENERATION) is None
    await writer.open()
    await begun(writer)
    await reader.look()

    assert await reader.generations() == [LINE]
