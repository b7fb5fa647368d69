"""Backup objects: what is sealed opens as exactly that, and as nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.backup.format import (
    FORMAT,
    MAGIC,
    NO_HASH,
    OBJECT_BYTES_MAX,
    Header,
    Kind,
    decode_entries,
    encode_entries,
    head_of,
    parse,
)
from cluster.backup.sealed import BackupSealer
from cluster.errors import DamagedError
from cluster.keyring.keyring import Keyring, UnknownKeyTermError
from tests.cluster.backup.backing import SystemLikeRandom

KEYRING = Keyring.create(SystemLikeRandom(1), b"cluster-id-tests", 1)
DIGEST = b"d" * 16


def batch(first: int = 5, last: int = 6, **changes: object) -> Header:
    header = Header(
        generation=b"generation-tests", kind=Kind.BATCH, first=first, last=last, term=3, from_ns=10, time_ns=20,
        previous=b"p" * 32, base=b"", part=0, final=True, fresh=False, place=b"", node_id="n1",
    )  # fmt: skip
    return msgspec.structs.replace(header, **changes)


def base(**changes: object) -> Header:
    header = batch(9, 9, kind=Kind.BASE, base=b"b" * 8, part=1, final=False, envelope=b"the envelope")
    return msgspec.structs.replace(header, **changes)


def sealed(header: Header, payload: bytes = b"payload") -> bytes:
    sealer = BackupSealer(KEYRING, SystemLikeRandom(2))
    return sealer.seal(msgspec.structs.replace(header, place=sealer.place()), payload)


def opener() -> BackupSealer:
    return BackupSealer(KEYRING, SystemLikeRandom(3))


@pytest.mark.parametrize("header", [batch(), base(), base(part=0, fresh=True, previous=NO_HASH, final=True)])
@given(payload=st.binary(max_size=200))
def test_what_is_sealed_opens(header: Header, payload: bytes) -> None:
    """In another process, too, by what its header says alone."""
    parsed = parse(sealed(header, payload))

    assert opener().open(parsed) == payload
    assert msgspec.structs.replace(parsed.header, place=b"") == header


MOVES = {
    "generation": b"another-generatn",
    "kind": Kind.BASE,
    "first": 6,
    "last": 7,
    "term": 4,
    "from_ns": 11,
    "time_ns": 21,
    "previous": b"q" * 32,
    "base": b"c" * 8,
    "part": 1,
    "final": False,
    "fresh": True,
    "place": None,
    "node_id": "n2",
    "envelope": b"another",
}


def test_every_field_of_a_header_is_moved_below() -> None:
    """A field that is added later must be authenticated, too."""
    assert set(Header.__struct_fields__) == set(MOVES)


@pytest.mark.parametrize("field", sorted(MOVES))
def test_an_object_does_not_open_under_another_header(field: str) -> None:
    """Along no dimension: the header is what the box was sealed with."""
    parsed = parse(sealed(batch()))
    value = MOVES[field]
    if field == "place":
        value = parsed.header.place[:8] + b"s" * 16
    moved = msgspec.structs.replace(parsed.header, **{field: value})

    with pytest.raises(DamagedError):
        opener().open(msgspec.structs.replace(parsed, header=moved, head=head_of(moved)))


def test_an_object_of_another_key_term_or_keyring_does_not_open() -> None:
    """Nor one of the same term id with other keys."""
    parsed = parse(sealed(batch()))
    stranger = Keyring.create(SystemLikeRandom(9), b"cluster-id-tests", 1)

    with pytest.raises(UnknownKeyTermError):
        BackupSealer(stranger, SystemLikeRandom(3)).open(parsed)


def test_an_object_of_an_older_term_opens_after_a_rotation() -> None:
    """And the new term seals what comes next."""
    sealer = opener()
    old = parse(sealed(batch()))
    rotated = KEYRING.rotate(SystemLikeRandom(4), 2)
    sealer.use(rotated)
    new = parse(sealer.seal(batch(place=sealer.place()), b"new"))

    assert (sealer.open(old), sealer.open(new)) == (b"payload", b"new")
    assert old.header.place[:8] != new.header.place[:8]


@given(st.binary(max_size=300))
def test_bytes_that_are_no_object_are_refused(data: bytes) -> None:
    """With the one error there is."""
    with pytest.raises(DamagedError):
        parse(data)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, bit: int) -> None:
    """In the header as in the box."""
    data = bytearray(sealed(batch(), b"x" * 40))
    data[at % len(data)] ^= bit

    with pytest.raises(DamagedError):
        opener().open(parse(bytes(data)))


@pytest.mark.parametrize(
    "header",
    [
        batch(0, 3),
        batch(5, 4),
        batch(part=1),
        batch(final=False),
        batch(fresh=True),
        batch(base=b"b" * 8),
        batch(kind=3),
        batch(generation=b"short"),
        batch(previous=b"short"),
        base(first=8),
        base(base=b"short"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(header: Header) -> None:
    """Though it was sealed with the right keys."""
    with pytest.raises(DamagedError, match="contradicts itself"):
        parse(sealed(header))


def test_sizes_and_formats_have_bounds() -> None:
    """A sink cannot make a restore take gigabytes, and a later format is named."""
    data = sealed(batch())
    with pytest.raises(DamagedError, match="larger"):
        parse(data + bytes(OBJECT_BYTES_MAX))
    with pytest.raises(DamagedError, match=f"format {FORMAT + 1}"):
        parse(data.replace(MAGIC + FORMAT.to_bytes(2), MAGIC + (FORMAT + 1).to_bytes(2), 1))
    for length in range(len(data) - 1):
        with pytest.raises(DamagedError):
            opener().open(parse(data[:length]))


entries = st.lists(st.tuples(st.integers(0, 2**40), st.binary(max_size=30)), min_size=1, max_size=9)


@given(st.integers(1, 2**40), entries)
def test_entries_come_out_as_they_went_in(first: int, said: list[tuple[int, bytes]]) -> None:
    """With the digest behind them."""
    header = batch(first, first + len(said) - 1)
    found = decode_entries(encode_entries(first, said, DIGEST), header)

    assert (found.first, found.entries, found.digest) == (first, said, DIGEST)


@pytest.mark.parametrize(
    "payload",
    [
        encode_entries(4, [(1, b"a"), (1, b"b")], DIGEST),
        encode_entries(5, [(1, b"a")], DIGEST),
        encode_entries(5, [(1, b"a"), (1, b"b"), (1, b"c")], DIGEST),
        encode_entries(5, [(1, b"a"), (1, b"b")], b"short"),
        b"nonsense",
        b"",
    ],
)
def test_entries_that_are_not_those_announced_are_refused(payload: bytes) -> None:
    """One more, one less, others, or none."""
    with pytest.raises(DamagedError):
        decode_entries(payload, batch())


def test_nothing_shows_what_is_inside() -> None:
    """Not in a repr."""
    assert "payload" not in repr(parse(sealed(batch())))
    assert "cluster" not in repr(opener())
