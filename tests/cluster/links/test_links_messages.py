"""Messages: the goldens open for ever, fields grow at the end, nothing else is a message."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.links import messages, wire
from cluster.links.messages import AnyMessage, decode, encode, pack_entries, unpack_entries

GOLDEN = Path(__file__).parents[2] / "golden" / "formats" / "link_messages.json"
KINDS: tuple[type[messages.Message], ...] = AnyMessage.__args__  # type: ignore[attr-defined]
U63 = st.integers(0, (1 << 63) - 1)


def fields_of(kind: type[messages.Message]) -> st.SearchStrategy[messages.Message]:
    by_type = {
        int: U63,
        messages.Natural: U63,
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        str: st.text(max_size=20),
        list[int]: st.lists(st.integers(0, 65535), max_size=3),
        msgspec.Raw: st.lists(st.tuples(U63, st.binary(max_size=20)), max_size=3).map(pack_entries),
    }
    return st.builds(kind, *(by_type[field.type] for field in msgspec.structs.fields(kind)))


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_message_is_read_as_it_was_written(kind: type[messages.Message], data: st.DataObject) -> None:
    """Every field of every kind."""
    message = data.draw(fields_of(kind))

    assert decode(encode(message)) == message


def test_every_kind_has_a_golden() -> None:
    """And there is no golden of a kind that is gone."""
    golden = json.loads(GOLDEN.read_text())["messages"]

    assert sorted(golden) == sorted(kind.__name__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_golden_message_opens_for_ever_and_is_still_written(kind: type[messages.Message]) -> None:
    """A change of the format needs a new format number."""
    golden = json.loads(GOLDEN.read_text())["messages"][kind.__name__]
    message = decode(bytes.fromhex(golden))

    assert type(message) is kind
    assert encode(message).hex() == golden


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_what_an_older_version_wrote_opens_for_ever(kind: type[messages.Message]) -> None:
    """What it did not say is as if nothing were the matter; its twin is the golden of this version, which says more."""
    golden = json.loads(GOLDEN.read_text())
    present = msgspec.msgpack.decode(bytes.fromhex(golden["messages"][kind.__name__]))
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    for old in golden["older"].get(kind.__name__, []):
        values = msgspec.msgpack.decode(bytes.fromhex(old))
        message = decode(bytes.fromhex(old))
        later = list(defaults)[len(values) - 1 :]

        assert values == present[: len(values)]
        assert later != []
        assert {name: getattr(message, name) for name in later} == {name: defaults[name] for name in later}


def test_golden_frames_open_for_ever_and_are_still_written() -> None:
    """A short message, and one of two frames."""
    golden = json.loads(GOLDEN.read_text())["frames"]
    short = wire.frames(b"hello", data_lane=False)
    long = wire.frames(b"a" * (wire.PAYLOAD_BYTES_MAX + 3), data_lane=True)

    assert short[0].hex() == golden["control"]
    assert [frame[:8].hex() for frame in long] == golden["data_heads"]
    assert list(wire.Reader().feed(bytes.fromhex(golden["control"]))) == [b"hello"]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_field_of_a_newer_version_is_ignored(kind: type[messages.Message]) -> None:
    """New fields go at the end: a member of this version reads a newer one's messages."""
    golden = bytes.fromhex(json.loads(GOLDEN.read_text())["messages"][kind.__name__])
    values = [*msgspec.msgpack.decode(golden), "a field of the next version"]

    assert decode(msgspec.msgpack.encode(values)) == decode(golden)


def test_a_message_of_the_previous_version_is_read_with_defaults() -> None:
    """Fields with a default may be missing at the end."""
    old = msgspec.msgpack.encode([5, 3, 1, 1, 1, 0, 7, []])

    assert decode(old) == messages.Append(3, 1, 1, 1, 0, 7, messages.NO_ENTRIES)


NOTHING = [
    ("empty", b""),
    ("not msgpack", b"\xc1"),
    ("a pickle", b"\x80\x04\x95\x0b\x00\x00\x00"),
    ("a dictionary", msgspec.msgpack.encode({"type": "append_entries"})),
    ("an unknown kind", msgspec.msgpack.encode([99, 1, 2])),
    ("a kind that is text", msgspec.msgpack.encode(["request_vote", 1])),
    ("a missing field", msgspec.msgpack.encode([1, 3])),
    ("a field of another type", msgspec.msgpack.encode([2, "three", True])),
    ("a tail", encode(messages.Vote(1, granted=True)) + b"x"),
]


@pytest.mark.parametrize(("why", "data"), NOTHING, ids=[why for why, _ in NOTHING])
def test_nothing_else_is_a_message(why: str, data: bytes) -> None:
    """The link drops."""
    with pytest.raises(msgspec.MsgspecError):
        decode(data), why


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_do_worse(data: bytes) -> None:
    """A message, or MsgspecError, or text that is none."""
    try:
        decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(U63, st.binary(max_size=100)), max_size=10))
def test_entries_are_read_as_they_were_packed(entries: list[tuple[int, bytes]]) -> None:
    """Encoded once for all followers."""
    assert unpack_entries(pack_entries(entries)) == entries
