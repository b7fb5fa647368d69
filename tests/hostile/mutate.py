"""Inputs out of inputs: bytes changed at random, and msgpack values changed where they have a meaning.

Everything is drawn from one `random.Random`, so that a seed names a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

INPUT_BYTES_MAX = 1 << 16
EDGES = (0, 1, 2, 4, 16, 127, 128, 255, 256, 4095, 4096, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32)
WIDE = (*EDGES, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -1, -(1 << 31), -(1 << 63))
NAMED = (
    b"\xdd\xff\xff\xff\xff",  # an array of 2^32 - 1
    b"\xdf\xff\xff\xff\xff",  # a map
    b"\xc6\xff\xff\xff\xff",  # bytes
    b"\xdb\xff\xff\xff\xff",  # text
    b"\xc9\xff\xff\xff\xff\x05",  # an extension
    b"\xd7\xff" + b"\xff" * 8,  # a time
    b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\xca\x7f\xc0\x00\x00",  # not a number
    b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7),
    b"\xa2\xff\xfe",  # text that is none
    b"\x81\x81\xc0\xc0\xc0",  # a map that is a key
    b"\x81\x91\xc0\xc0",
    b"\xc0",
    b"\xc1",
)
_plain = msgspec.msgpack.Decoder()


def mutated(source: Random, corpus: Sequence[bytes], packed_at: int | None) -> bytes:
    """Another input, made of one or two of the corpus; `packed_at`: where its msgpack begins, if it has any."""
    data = source.choice(corpus)
    if packed_at is not None and source.random() < 0.5:
        data = data[:packed_at] + repacked(source, data[packed_at:])
        if source.random() < 0.7:
            return data[:INPUT_BYTES_MAX]
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 4, 8))):
        source.choice(STEPS)(source, changed, corpus)
    return bytes(changed[:INPUT_BYTES_MAX])


# ---- bytes
def _place(source: Random, data: bytearray) -> tuple[int, int]:
    start = source.randrange(len(data) + 1)
    return start, min(len(data), start + source.choice((1, 2, 4, 8, 16, 64, 4096)))


def _flip(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    if data:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _set(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    if data:
        data[source.randrange(len(data))] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))


def _number(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    size = source.choice((1, 2, 4, 8))
    at = source.randrange(len(data) + 1)
    data[at : at + size] = (source.choice(WIDE) % (1 << 8 * size)).to_bytes(size)


def _cut(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    start, end = _place(source, data)
    del data[start:end]


def _truncate(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    del data[source.randrange(len(data) + 1) :]


def _repeat(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    start, end = _place(source, data)
    data[end:end] = bytes(data[start:end]) * source.choice((1, 2, 16, 300))
    del data[INPUT_BYTES_MAX:]


def _insert(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    at = source.randrange(len(data) + 1)
    data[at:at] = source.choice((*NAMED, source.randbytes(source.choice((1, 2, 8, 32)))))


def _nest(source: Random, data: bytearray, _corpus: Sequence[bytes]) -> None:
    at = source.randrange(len(data) + 1)
    data[at:at] = source.choice((b"\x91", b"\x81\xa0", b"\x92\xc0")) * source.choice((8, 100, 2000, 20_000))


def _splice(source: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    other = source.choice(corpus)
    start = source.randrange(len(other) + 1)
    at = source.randrange(len(data) + 1)
    data[at : at + source.choice((0, 8, 1 << 20))] = other[start : start + source.choice((4, 32, 1 << 20))]


STEPS = (_flip, _flip, _set, _number, _number, _cut, _truncate, _repeat, _insert, _nest, _splice)


# ---- msgpack
def repacked(source: Random, data: bytes) -> bytes:
    """The value with one of its parts replaced, or the bytes as they are where they are no value."""
    try:
        value = _plain.decode(data)
        return msgspec.msgpack.encode(_changed(source, value))
    except Exception:  # noqa: BLE001 - this is the fuzzer's own codec, not what is tested
        return data


def _changed(source: Random, value: Any) -> Any:
    if isinstance(value, list) and value and source.random() < 0.85:
        how = source.random()
        at = source.randrange(len(value))
        if how < 0.75:
            value[at] = _changed(source, value[at])
        elif how < 0.85:
            del value[at]
        elif how < 0.95:
            value.insert(at, _odd(source))
        else:
            value[at:at] = [value[at]] * source.choice((1, 10, 5000))
        return value
    if isinstance(value, dict) and value and source.random() < 0.85:
        key = source.choice(list(value))
        if source.random() < 0.7:
            value[key] = _changed(source, value[key])
        else:
            value[_odd_key(source)] = value.pop(key)
        return value
    if isinstance(value, (bytes, str)) and source.random() < 0.5:
        cut = value[: source.randrange(len(value) + 1)]
        return cut * source.choice((0, 1, 2, 100))
    if isinstance(value, int) and source.random() < 0.5:
        return value + source.choice((-1, 1, 256))
    return _odd(source)


def _odd(source: Random) -> Any:
    return source.choice(
        (
            None, True, False, "", "x", "\0", "é" * 40, b"", b"\0", b"\xff" * 300, [], [[]], {}, {"": None}, 0.5,
            float("nan"), msgspec.msgpack.Ext(5, b"x"), source.choice(WIDE), source.choice(WIDE), source.randbytes(16),
        )
    )  # fmt: skip


def _odd_key(source: Random) -> Any:
    return source.choice(("", b"", 0, None, source.choice(WIDE), "x" * 300, True))
