"""Frames: messages in, the same messages out, whatever the cuts; nonsense is damage (W1, W2)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError
from cluster.links.wire import (
    FRAME_BYTES_MAX,
    HEAD_BYTES,
    MESSAGE_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    OversizeError,
    Reader,
    frames,
)

SIZES = st.sampled_from([0, 1, 100, PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1, 200_000])


def head(length: int, flags: int) -> bytes:
    return struct.pack(">IB", length, flags)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SIZES, st.booleans()), max_size=4), st.lists(st.integers(1, 70_000), min_size=1, max_size=20))
def test_messages_survive_any_cuts(messages: list[tuple[int, bool]], cuts: list[int]) -> None:
    """In order, each lane."""
    sent = [(bytes([at]) * size, lane) for at, (size, lane) in enumerate(messages)]
    stream = b"".join(b"".join(frames(message, data_lane=lane)) for message, lane in sent)
    reader, heard, at, turn = Reader(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        heard += list(reader.feed(stream[at : at + size]))
        at, turn = at + size, turn + 1

    assert heard == [message for message, _ in sent]


@pytest.mark.parametrize("size", [0, 1, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1, 5 * PAYLOAD_BYTES_MAX])
def test_no_frame_is_longer_than_its_bound(size: int) -> None:
    """A heartbeat waits for one frame at most."""
    assert max(len(frame) for frame in frames(b"x" * size, data_lane=True)) <= FRAME_BYTES_MAX


def test_the_control_lane_overtakes_a_long_message() -> None:
    """W2: an unfinished message of one lane does not disturb the other."""
    long = frames(b"d" * 150_000, data_lane=True)
    stream = long[0] + b"".join(frames(b"heartbeat", data_lane=False)) + b"".join(long[1:])

    assert [len(message) for message in Reader().feed(stream)] == [9, 150_000]


NONSENSE = [
    ("length 0", head(0, 0)),
    ("a frame over its bound", head(PAYLOAD_BYTES_MAX + 2, 0)),
    ("two gigabytes", head(1 << 31, 0)),
    ("an unknown flag", head(5, 4) + b"abcd"),
    ("plain HTTP", b"GET / HTTP/1.1\r\n\r\n"),
    ("a TLS record", b"\x16\x03\x01\x02\x00\x01\x00"),
]


@pytest.mark.parametrize(("why", "data"), NONSENSE, ids=[why for why, _ in NONSENSE])
def test_a_head_that_cannot_be_is_damage(why: str, data: bytes) -> None:
    """Nothing is allocated for it."""
    with pytest.raises(DamagedError):
        list(Reader().feed(data)), why


def test_a_message_of_too_many_frames_is_damage() -> None:
    """W1: whatever the sender says; its twin: exactly the bound is read."""
    frame = head(PAYLOAD_BYTES_MAX + 1, 3) + b"x" * PAYLOAD_BYTES_MAX
    reader = Reader()
    for _ in range(MESSAGE_BYTES_MAX // PAYLOAD_BYTES_MAX):
        assert list(reader.feed(frame)) == []

    with pytest.raises(DamagedError):
        list(reader.feed(frame))


def test_a_message_at_the_bound_passes_and_one_beyond_is_not_sent() -> None:
    """Both ends keep the same bound."""
    longest = b"x" * MESSAGE_BYTES_MAX
    heard = list(Reader().feed(b"".join(frames(longest, data_lane=True))))

    assert heard == [longest]
    with pytest.raises(OversizeError):
        frames(longest + b"x", data_lane=True)


def test_a_frame_that_is_not_whole_waits() -> None:
    """Not even its head."""
    reader = Reader()
    stream = frames(b"hello", data_lane=False)[0]

    heard = [list(reader.feed(stream[at : at + 1])) for at in range(len(stream))]

    assert heard == [[]] * (len(stream) - 1) + [[b"hello"]]
    assert len(stream) == HEAD_BYTES + 5
