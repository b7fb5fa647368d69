"""The format of segments: what is written is read back verbatim, at its own place only."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError
from cluster.journal import wal
from cluster.journal.recovery import recover
from cluster.journal.scan import scan_segment
from cluster.journal.segments import create_segment
from cluster.journal.writer import LogWriter

GOLDEN = Path(__file__).parents[2] / "golden" / "formats" / "journal_segment.json"
U64 = st.integers(0, (1 << 64) - 1)
RECORD = st.one_of(
    st.builds(lambda s, i, t, e: (wal.append_record(s, i, t, e), (wal.APPEND, s, i, t, e)), U64, U64, U64, st.binary()),
    st.builds(lambda s, i: (wal.truncate_record(s, i), (wal.TRUNCATE, s, i, 0, b"")), U64, U64),
    st.builds(lambda s, i, t: (wal.trim_record(s, i, t), (wal.TRIM, s, i, t, b"")), U64, U64, U64),
    st.builds(lambda s, i, t: (wal.reset_record(s, i, t), (wal.RESET, s, i, t, b"")), U64, U64, U64),
)


def read(payload: bytes) -> list[tuple[int, int, int, int, bytes]]:
    return [
        (r.kind, r.sequence, r.index, r.term, wal.entry_of(payload, r) if r.kind == wal.APPEND else b"")
        for r in wal.records(payload)
    ]


@given(st.lists(RECORD, max_size=8))
def test_records_come_back_as_they_were_written(pairs: list) -> None:
    """Kind, sequence, index, term and the sealed bytes, for any row of records."""
    payload = b"".join(raw for raw, _ in pairs)

    assert read(payload) == [what for _, what in pairs]


@given(st.lists(RECORD, min_size=1, max_size=4), st.data())
def test_a_payload_that_ends_inside_a_record_is_refused(pairs: list, data: st.DataObject) -> None:
    """A cut anywhere but between two records is damage, never a shorter operation."""
    payload = b"".join(raw for raw, _ in pairs)
    ends = {sum(len(raw) for raw, _ in pairs[:count]) for count in range(len(pairs) + 1)}
    cut = data.draw(st.integers(0, len(payload)).filter(lambda at: at not in ends))

    with pytest.raises(DamagedError):
        list(wal.records(payload[:cut]))


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">IBQ", 0, 0, 1),  # kind 0
        struct.pack(">IBQ", 0, 7, 1),  # a kind of the future
        struct.pack(">IBQ", 8, wal.APPEND, 1) + bytes(8),  # an entry without a term
        struct.pack(">IBQ", 8, wal.TRIM, 1) + bytes(8),  # a base without a term
        struct.pack(">IBQ", 16, wal.TRUNCATE, 1) + bytes(16),
        struct.pack(">IBQ", 1, wal.REWRITE_END, 1) + bytes(1),
    ],
)
def test_a_record_of_an_unknown_kind_or_a_wrong_length_is_refused(raw: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(DamagedError):
        list(wal.records(raw))


HEADER = {"previous": 7, "last": 9, "mark": 5}


def test_a_batch_header_is_read_at_its_own_place() -> None:
    """Length, CRC of all parts together, and the three sequences."""
    parts = [b"one", bytearray(b"two"), memoryview(b"three")]
    header = wal.read_batch_header(wal.batch_header(3, 8192, parts, **HEADER), 3, 8192)

    assert header == wal.BatchHeader(11, zlib.crc32(b"onetwothree"), 7, 9, 5)


@pytest.mark.parametrize(("number", "offset"), [(4, 8192), (3, 4096), (2, 8192), (3, 12288)])
def test_a_batch_header_is_not_believed_at_another_place(number: int, offset: int) -> None:
    """Bytes of another segment or offset, however they came here, are no batch."""
    assert wal.read_batch_header(wal.batch_header(3, 8192, [b"x"], **HEADER), number, offset) is None


@given(st.integers(0, wal.BATCH_HEADER_BYTES * 8 - 1))
@settings(max_examples=80)
def test_no_flipped_bit_of_a_batch_header_is_believed(bit: int) -> None:
    """Except for the two unused bytes, which say nothing."""
    raw = bytearray(wal.batch_header(3, 8192, [b"x"], **HEADER))
    raw[bit // 8] ^= 1 << bit % 8
    unused = bit // 8 in {6, 7}

    assert (wal.read_batch_header(bytes(raw), 3, 8192) is None) is not unused


def test_a_segment_header_names_its_number() -> None:
    """And nothing else is a segment header."""
    header = wal.segment_header(77)

    assert wal.read_segment_header(header + bytes(100)) == 77
    for at in range(len(header)):
        broken = bytearray(header)
        broken[at] ^= 1
        assert wal.read_segment_header(bytes(broken)) is None
    assert wal.read_segment_header(b"") is None


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("00000000000000ff.segment", 255),
        ("ff.segment", None),
        ("00000000000000FF.segment", None),
        ("00000000000000ff.segment.tmp", None),
        ("00000000000000ff", None),
        ("x.segment", None),
        ("", None),
    ],
)
def test_only_names_of_segments_are_segments(name: str, number: int | None) -> None:
    """Sixteen lower-case hexadecimal digits and the suffix."""
    assert wal.segment_number(name) == number


def test_readable_batches_behind_unreadable_blocks_are_found() -> None:
    """A scan goes on behind a hole: what stands there is evidence."""
    disk = SimDisk()
    disk.make_folder(wal.FOLDER)
    payloads = [wal.append_record(1, 1, 1, b"a" * 5000), wal.append_record(2, 2, 1, b"b"), b""]
    file = create_segment(disk, 1, 64 * 4096)
    offsets = [4096, 3 * 4096, 20 * 4096]
    for offset, payload in zip(offsets, payloads, strict=True):
        file.write_at(offset, [wal.batch_header(1, offset, [payload], **HEADER), payload])

    assert [(batch.offset, batch.payload) for batch in scan_segment(file, 1)] == list(
        zip(offsets, payloads, strict=True)
    )
    file.write_at(4096 + 100, [b"!"])
    assert [batch.offset for batch in scan_segment(file, 1)] == offsets[1:]


@pytest.mark.parametrize(
    "payload",
    [
        b"not a record",
        wal.rewrite_payload(1, 2, [])[:-13],  # without its end
        wal.rewrite_payload(1, 2, [])[21:],  # without its beginning
        wal.append_record(1, 1, 1, b"") + wal.rewrite_payload(1, 2, []),
        wal.rewrite_payload(1, 2, []) + wal.append_record(3, 1, 1, b""),
    ],
)
def test_a_batch_that_is_not_what_it_should_be_is_unreadable(payload: bytes) -> None:
    """Its CRC may be right: a batch that no writer of ours makes is not half believed."""
    disk = SimDisk()
    disk.make_folder(wal.FOLDER)
    file = create_segment(disk, 1, 8 * 4096, [wal.batch_header(1, 4096, [payload], **HEADER), payload])

    assert scan_segment(file, 1) == []


def test_a_length_beyond_the_end_of_the_file_is_unreadable() -> None:
    """A header that survived without its file's new length."""
    disk = SimDisk()
    disk.make_folder(wal.FOLDER)
    payload = wal.append_record(1, 1, 1, b"a" * 9000)
    file = create_segment(disk, 1, 8 * 4096, [wal.batch_header(1, 4096, [payload], **HEADER), payload])
    file.truncate(8192)

    assert scan_segment(file, 1) == []


def golden_disk(content: bytes, name: str) -> SimDisk:
    disk = SimDisk()
    disk.make_folder(wal.FOLDER)
    disk.open(name, create=True).write_at(0, [content])
    return disk


def test_the_golden_segment_opens_for_ever() -> None:
    """A segment written by the first version: a reset, two entries, a truncation, a trim, an idle batch."""
    golden = json.loads(GOLDEN.read_text())
    content = b"".join(bytes.fromhex(block).ljust(4096, b"\0") for block in golden["blocks"])
    recovered = recover(golden_disk(content, golden["name"]), segment_bytes=1 << 16)
    found = {
        "base": list(recovered.base),
        "entries": [[index, term, entry.hex()] for index, term, entry in recovered.entries],
        "last_sequence": recovered.last_sequence,
        "mark": recovered.mark,
        "damaged": recovered.damaged,
    }

    assert found == golden["recovered"]


def test_this_version_still_writes_the_golden_segment() -> None:
    """The same operations give the same bytes: a change of the format needs a new format number."""
    golden = json.loads(GOLDEN.read_text())
    disk = SimDisk()
    disk.make_folder(wal.FOLDER)
    create_segment(disk, 1, 1 << 16).close()
    writer = LogWriter(disk, segment_bytes=1 << 16, start=(1, 4096, 0, [], 0))
    for batch in golden["batches"]:
        frame = bytes.fromhex(batch["records"])
        writer.write([frame], batch["last"])
        writer.sync()
    writer.idle()
    file = disk.open(golden["name"])
    blocks = [file.read_at(at * 4096, 4096).rstrip(b"\0").hex() for at in range(len(golden["blocks"]))]

    assert blocks == [bytes.fromhex(block).rstrip(b"\0").hex() for block in golden["blocks"]]
