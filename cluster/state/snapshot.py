"""Snapshots: the state as it was at one index, written while it goes on changing, and loaded again.

Pure: payloads go out and come in as bytes; sealing, numbering and files are the caller's. A payload is
format (u16) | kind (u8) | table (u8) | msgpack body:
  RECORDS  key → index (8) | record, of one table
  SLOTS    key → [number (4) | index (8) | record …], of the secrets
  MORE     as SLOTS; the elements follow those that came before under the same key
  END      [index, term, time_ns, digest (16), {table: count}]; the last one

Invariants
  N1  a snapshot equals the state at its index, however the state changes meanwhile: a shard that is about to change
      is copied first, unless it has been written; a table that was born later is not in it
  N2  one step of `chunks` is short: a part is at most PART_BYTES and PART_RECORDS, or one record if that is larger
  N3  a shard number never leaves the process: the loader shards again
Source: Raft thesis 5.1, "memory-based state machines".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import DamagedError
from .digest import DIGEST_BYTES
from .indexes import INDEXED
from .machine import State
from .slots import INDEX_BYTES, METADATA, SECRET, SHARDS, VERSION, Slot, logical, shard_of, split

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
RECORDS, SLOTS, MORE, END = range(4)
PART_BYTES = 1_000_000
PART_RECORDS = 4096
VERIFY_BYTES = 200_000  # hashed in one step of `verify_digest`

_HEAD = struct.Struct(">HBB")
_encode = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(dict[bytes, bytes]).decode
_decode_slots = msgspec.msgpack.Decoder(dict[bytes, tuple[bytes, ...]]).decode


class End(msgspec.Struct, array_like=True, frozen=True):
    """What the whole must be."""

    index: int
    term: int
    time_ns: int
    digest: bytes
    counts: dict[int, int]


_decode_end = msgspec.msgpack.Decoder(End).decode


def _end_of(state: State) -> End:
    counts = {int(table): count for table, count in state.counts.items() if count}
    digest = state.digest.to_bytes(DIGEST_BYTES, "little")
    return End(state.applied_index, state.applied_term, state.time_ns, digest, counts)


class Pin:
    """The shards of a state as they were when it was made. Must be released."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.end = _end_of(state)
        tables = [table for table in state.tables if state.counts.get(table)]  # one that is empty now gives nothing
        self._waiting = {table: bytearray(b"\x01") * SHARDS for table in (SECRET, *tables)}
        self._kept: dict[tuple[int, int], dict[bytes, Any]] = {}
        state.pins.append(self)

    def __repr__(self) -> str:
        return f"<Pin at {self.end.index}>"

    def keep(self, table: int, number: int, shard: dict[bytes, Any]) -> None:
        """The shard is about to change: if it was not taken yet, it is copied."""
        waiting = self._waiting.get(table)
        if waiting is not None and waiting[number] and (table, number) not in self._kept:
            self._kept[table, number] = shard.copy()

    def shards(self) -> Iterator[tuple[int, list[tuple[bytes, Any]]]]:
        """(table, its items) of each shard that held something. Once; what is taken is copied no more."""
        for table, waiting in self._waiting.items():
            shards = self.state.shards(table)
            for number in range(SHARDS):
                shard = self._kept.pop((table, number), None) if self._kept else None
                items = list((shards[number] if shard is None else shard).items())
                waiting[number] = 0
                if items:
                    yield table, items

    @property
    def copies(self) -> int:
        """Shards that were copied and not taken yet."""
        return len(self._kept)

    def release(self) -> None:
        """Nothing is kept any more; may be said twice."""
        self._kept.clear()
        self._waiting.clear()
        if self in self.state.pins:
            self.state.pins.remove(self)


class Snapshot:
    """The state at its applied index (N1). Ends with its last chunk, or by `abort`."""

    def __init__(self, state: State) -> None:
        self._pin = Pin(state)
        self.index = state.applied_index
        self.term = state.applied_term

    def __repr__(self) -> str:
        return f"<Snapshot at {self.index}>"

    def chunks(self) -> Iterator[bytes]:
        """The payloads, in order, to be read once; the last one is END. One step is short (N2)."""
        try:
            for kind, table, part in self._parts():
                yield _HEAD.pack(FORMAT, kind, table) + _encode(part)
            yield _HEAD.pack(FORMAT, END, 0) + _encode(self._pin.end)
        finally:
            self._pin.release()

    def _parts(self) -> Iterator[tuple[int, int, dict[bytes, Any]]]:
        part: dict[bytes, Any] = {}
        part_table, part_bytes = SECRET, 0
        for table, items in self._pin.shards():
            if part and table != part_table:
                yield _kind(part_table), part_table, part
                part, part_bytes = {}, 0
            part_table = table
            for key, held in items:
                held_bytes = len(key) + (sum(map(len, held)) if table == SECRET else len(held))
                if part and (part_bytes + held_bytes > PART_BYTES or len(part) >= PART_RECORDS):
                    yield _kind(table), table, part
                    part, part_bytes = {}, 0
                if table == SECRET and held_bytes > PART_BYTES:
                    for kind, piece in _pieces(held):
                        yield kind, SECRET, {key: piece}
                    continue
                part[key] = held
                part_bytes += held_bytes
        if part:
            yield _kind(part_table), part_table, part

    def abort(self) -> None:
        """The snapshot is not wanted; `chunks` must not be read further."""
        self._pin.release()


def _kind(table: int) -> int:
    return SLOTS if table == SECRET else RECORDS


def _pieces(slot: Slot) -> Iterator[tuple[int, Slot]]:
    """A slot larger than a part, cut between its elements."""
    kind, start, piece_bytes = SLOTS, 0, 0
    for place, element in enumerate(slot):
        if place > start and piece_bytes + len(element) > PART_BYTES:
            yield kind, slot[start:place]
            kind, start, piece_bytes = MORE, place, 0
        piece_bytes += len(element)
    yield kind, slot[start:]


class Loader:
    """Builds a state from the payloads of a snapshot, in their order. Each call is as short as its payload."""

    def __init__(self, digest_key: bytes) -> None:
        self._state: State | None = State(digest_key)
        self._end: End | None = None

    def __repr__(self) -> str:
        return "<Loader>"

    def feed(self, payload: bytes | memoryview) -> None:
        """What the payload says is in the state. Raises DamagedError if it is none, or follows the end."""
        state = self._open()
        if self._end is not None:
            raise DamagedError("the snapshot goes on behind its end")
        try:
            number, kind, table = _HEAD.unpack_from(payload)
            body = memoryview(payload)[_HEAD.size :]
            if number != FORMAT:
                raise DamagedError(f"a snapshot of format {number}; this program reads {FORMAT}")
            if kind == RECORDS and table > VERSION:
                _load_records(state, table, _decode_records(body))
            elif kind == SLOTS and table == SECRET:
                _load_slots(state, _decode_slots(body))
            elif kind == MORE and table == SECRET:
                _load_more(state, _decode_slots(body))
            elif kind == END:
                self._end = _decode_end(body)
            else:
                raise DamagedError("a part of no known kind")
        except (msgspec.MsgspecError, struct.error, UnicodeDecodeError, RecursionError) as error:
            raise DamagedError("a part of the snapshot does not decode") from error

    def finish(self) -> State:
        """The state at the snapshot's index. Raises DamagedError if parts are missing.

        The counts are verified here, the digest is not: that takes long, see `verify_digest`.
        """
        state, end = self._open(), self._end
        if end is None:
            raise DamagedError("the snapshot has no end")
        if end.counts != state.counts or len(end.digest) != DIGEST_BYTES or end.index < 0:
            raise DamagedError("the snapshot is not complete")
        state.applied_index, state.applied_term, state.time_ns = end.index, end.term, end.time_ns
        state.digest = int.from_bytes(end.digest, "little")
        self._state = None
        return state

    def abort(self) -> None:
        """What was loaded is forgotten; nothing more can be fed."""
        self._state = None

    def _open(self) -> State:
        if self._state is None:
            raise DamagedError("this loader has ended")
        return self._state


def records_of(payload: bytes | memoryview) -> End | list[tuple[int, bytes, bytes]]:
    """(table, key, record) of everything that one payload says, or the end; without a state. Raises DamagedError.

    Of one secret the metadata come first, and what follows in a later payload follows at once.
    """
    try:
        number, kind, table = _HEAD.unpack_from(payload)
        body = memoryview(payload)[_HEAD.size :]
        if number == FORMAT and kind == RECORDS and table > VERSION:
            return [(table, key, split(stored)[1]) for key, stored in _decode_records(body).items()]
        if number == FORMAT and kind in {SLOTS, MORE} and table == SECRET:
            slots = _decode_slots(body).items()
            return [(named, name, record) for key, slot in slots for named, name, _, record in logical(key, slot)]
        if number == FORMAT and kind == END:
            return _decode_end(body)
    except (msgspec.MsgspecError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError("a part of the snapshot does not decode") from error
    raise DamagedError("a part of no known kind or format")


def _load_records(state: State, table: int, part: dict[bytes, bytes]) -> None:
    shards = state.shards(table)
    state.counts[table] = state.counts.get(table, 0) + len(part)
    for key, stored in part.items():
        shards[shard_of(key)][key] = stored
    if table in INDEXED:
        for key, stored in part.items():
            state.indexes.change(table, key, None, stored[INDEX_BYTES:])


def _load_slots(state: State, part: dict[bytes, Slot]) -> None:
    shards, add = state.secrets, state.indexes.secrets.add
    for key, slot in part.items():
        _count(state, slot)
        shards[hash(key) >> 40 & 1023][key] = slot
        add(key)


def _load_more(state: State, part: dict[bytes, Slot]) -> None:
    for key, elements in part.items():
        shard = state.secrets[shard_of(key)]
        if key not in shard:
            raise DamagedError("a part of the snapshot is out of order")
        _count(state, elements)
        shard[key] += elements


def _count(state: State, elements: Slot) -> None:
    if not elements:
        raise DamagedError("a part of the snapshot holds nothing under a key")
    metadata = 1 if elements[0].startswith(METADATA) else 0
    if metadata:
        state.counts[SECRET] = state.counts.get(SECRET, 0) + 1
    if len(elements) > metadata:
        state.counts[VERSION] = state.counts.get(VERSION, 0) + len(elements) - metadata


def verify_digest(state: State) -> Iterator[bool | None]:
    """None after each short step; at last whether the records have the digest the state had at the first step.

    The state may change meanwhile: its shards are pinned, as for a snapshot.
    """
    pin = Pin(state)
    digest = 0
    hashed_bytes = 0
    try:
        for table, items in pin.shards():
            for key, held in items:
                for name_table, name, record in _named(table, key, held):
                    digest ^= state.fingerprint(name_table, name, record)
                    hashed_bytes += len(record) + 200  # what hashing a small record costs beside its bytes
                if hashed_bytes >= VERIFY_BYTES:
                    hashed_bytes = 0
                    yield None
        yield digest.to_bytes(DIGEST_BYTES, "little") == pin.end.digest
    finally:
        pin.release()


def _named(table: int, key: bytes, held: Any) -> Iterator[tuple[int, bytes, bytes]]:
    if table != SECRET:
        yield table, key, split(held)[1]
        return
    for name_table, name, _, record in logical(key, held):
        yield name_table, name, record


def discard(state: State) -> Iterator[None]:
    """Empties a state that nobody looks at any more, in short steps: freeing a gigabyte at once stops the loop.

    Whoever has pinned it still has what it was.
    """
    for table in (SECRET, *state.tables):
        for number, shard in enumerate(state.shards(table)):
            if shard:
                for pin in state.pins:
                    pin.keep(table, number, shard)
                shard.clear()
                yield
