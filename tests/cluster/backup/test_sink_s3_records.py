"""What a log in a bucket means: its summary says what all of its records say, in whatever order they came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.backup.format import Kind
from cluster.backup.sinks.base import Claim, FencedError, Stored, reach, stored_of
from cluster.backup.sinks.s3_records import (
    Added,
    Begun,
    Claimed,
    Dropped,
    Dropping,
    Record,
    Segment,
    Summary,
    after,
    check_claim,
    check_may_claim,
    decode,
    decode_segment,
    encode,
    mended,
    name_of,
    objects_in,
)
from cluster.errors import DamagedError
from tests.cluster.backup.crafting import chain

GOLDEN = Path(__file__).parents[2] / "golden" / "formats" / "s3_log.json"
NONE = b"\x00" * 32


@st.composite
def objects(draw: st.DrawFn) -> Stored:
    kind = draw(st.sampled_from(Kind))
    last = draw(st.integers(1, 8))
    first = last if kind == Kind.BASE else draw(st.integers(1, last))
    base = draw(st.sampled_from([b"base-one", b"base-two"])) if kind == Kind.BASE else b""
    number = draw(st.integers(0, 1)) if kind == Kind.BASE else 0
    final = kind == Kind.BATCH or draw(st.booleans())
    fresh = kind == Kind.BASE and draw(st.booleans())
    mark = bytes([draw(st.integers(0, 3))])
    name = f"base/{first:020}-{base.hex()}/{number:08}" if kind == Kind.BASE else f"batch/{first}-{last}-{mark.hex()}"
    return Stored(
        int(kind), first, last, 3, last, base, number, final, fresh, 9, NONE, mark * 32, False, name
    )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records as a sink writes them: nothing in a place that is taken, and only what is there is dropped."""
    found: list[Record] = []
    for _ in range(draw(st.integers(0, 12))):
        there = objects_in(found)
        one = draw(objects())
        if there and draw(st.integers(0, 3)) == 0:
            names = [stored.name for stored in draw(st.lists(st.sampled_from(list(there.values())), max_size=3))]
            found += [Dropping(names), Dropped(names)]
        elif one.order in there:
            found.append(Added(there[one.order]))  # it was sent twice
        else:
            found.append(Added(one))
    return found


def folded(found: list[Record]) -> Summary:
    """As a log does it: what was dropped is looked for in all that is left."""
    summary = Summary()
    for number, record in enumerate(found, 1):
        summary = after(summary, record)
        if summary.is_torn:
            summary = mended(summary, objects_in(found[:number]).values())
    return summary


@settings(deadline=None)
@given(histories())
def test_a_summary_says_how_far_all_objects_reach(found: list[Record]) -> None:
    """Though it has seen each of them once, and forgotten it."""
    summary = folded(found)
    expected = reach(list(objects_in(found).values()))
    position = summary.position()

    assert summary.last == len(found)
    assert (position is None) == (expected is None)
    if position is not None and expected is not None:
        assert (position.last, position.fresh) == (expected.last, expected.fresh)
        assert (position.base_index, position.base_time_ns) == (expected.base_index, expected.base_time_ns)
        assert summary.tip in objects_in(found).values()


@settings(deadline=None)
@given(histories())
def test_records_and_segments_survive_being_written(found: list[Record]) -> None:
    """Whatever they say."""
    assert [decode(encode(record)) for record in found] == found
    if found:
        segment = Segment(1, found, folded(found))
        assert decode_segment(encode(segment)) == segment


def test_what_was_written_once_can_be_read_for_ever() -> None:
    """Each kind of record, and a segment of them."""
    written = json.loads(GOLDEN.read_text())
    base, one = chain(1)
    stored = [stored_of(parsed, len(data), name_of(parsed)) for data, parsed in (base, one)]
    names = ["batch/0"]
    records = [Claimed(3, "n1"), *(Added(each) for each in stored), Dropping(names), Dropped(names)]

    begun = Begun(b"generation-tests", b"", 0, 1)
    assert [decode(bytes.fromhex(data)) for data in written["records"]] == [begun, *records]
    assert decode_segment(bytes.fromhex(written["segment"])) == Segment(1, records, folded(records))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_record_are_damaged(data: bytes) -> None:
    """No other error comes out."""
    for read in (decode, decode_segment):
        try:
            read(data)
        except DamagedError:
            continue


@pytest.mark.parametrize("name", ["../claim", "batch/../../x", "batch/0/../1", "log/1", "", "batch/", "base/0/x"])
def test_a_name_that_leads_elsewhere_is_damaged(name: str) -> None:
    """It would be read, or deleted."""
    for record in (Dropping([name]), Dropped(["batch/0", name])):
        with pytest.raises(DamagedError):
            decode(encode(record))
    assert decode(encode(Dropping(["batch/0"]))) == Dropping(["batch/0"])


def test_a_segment_that_counts_wrongly_is_damaged() -> None:
    """Its records would get the numbers of others."""
    for segment in (Segment(1, [Claimed(1, "n1")], Summary(2)), Segment(0, [], Summary(-1))):
        with pytest.raises(DamagedError):
            decode_segment(encode(segment))
    torn = Segment(1, [Claimed(1, "n1")], Summary(1, is_torn=True))
    with pytest.raises(DamagedError):
        decode_segment(encode(torn))


@pytest.mark.parametrize(
    ("term", "node_id", "may"), [(2, "n1", False), (3, "n2", False), (3, "n1", True), (4, "n2", True)]
)
def test_a_claim_replaces_lower_terms_only(term: int, node_id: str, *, may: bool) -> None:
    """And itself."""
    summary = after(Summary(), Claimed(3, "n1"))
    claim = Claim(b"", term, node_id)

    if may:
        check_may_claim(summary, claim)
        check_claim(after(summary, Claimed(term, node_id)), claim)
    else:
        with pytest.raises(FencedError):
            check_may_claim(summary, claim)
        with pytest.raises(FencedError):
            check_claim(summary, claim)


def test_a_beginning_says_nothing_of_a_generations_objects() -> None:
    """It stands in a log of its own."""
    assert after(Summary(), Begun(b"g", b"", 0, 1)) == Summary(1)
