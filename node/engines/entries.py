"""What an engine or auth method stores under names of its own: sealed, listed, changed only as it was read.

Pure. A name is text with "/" between folders ("role/app"); what is stored is a msgspec struct of the engine's own,
array-like, whose later fields have defaults: old entries open for ever.
Invariants
  N1  a box opens only under its name, in its mount, as the put wrote it that is in the state: no earlier one does
  N2  a change says at which index it read what it changes; so two that were decided on one state are not both applied
  N3  whatever a mount stores is out of reach once the mount is gone, and swept
  N4  a name that is too long for a key of the state is refused, and never proposed
Source: docs/threat-model.md, keys; Vault, "storage" of a backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from cluster import DamagedError, Draft, Entry, Table, look

from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster import ValueSealing, View

    from .base import Context

T = TypeVar("T", bound=msgspec.Struct)
M = TypeVar("M")

_FIELD = b"e"
KEY_BYTES_MAX = 2_048  # of the mount's uuid and the name
_NONCE_BYTES = 12
_RID_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Any], msgspec.msgpack.Decoder[Any]] = {}


class OpenWith(Protocol):
    """ValueSealing.open, or Sealer.open_value with the salts of a snapshot."""

    def __call__(
        self, salt_id: int, box: bytes, /, *, table: Table, key: bytes, field: bytes, record_id: bytes
    ) -> bytes:
        """The plaintext. Raises DamagedError."""
        ...


class Found(NamedTuple, Generic[T]):
    """What is stored under a name, and the index at which it was written."""

    read_index: int
    value: T

    def __repr__(self) -> str:
        return f"<Found at {self.read_index}>"


def find(context: Context, name: str, kind: type[T]) -> Found[T] | None:
    """What is stored under the name; None: nothing. Raises DamagedError if it does not open."""
    key = _key(context, name)
    found = look(context.view, Table.ENTRY, Entry, key)
    if found is None:
        return None
    index, entry = found
    plaintext = open_entry(context.sealing.open, key, entry)
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return Found(index, decoder.decode(plaintext))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("an entry of an engine has another shape") from None


def put(context: Context, draft: Draft, name: str, value: msgspec.Struct, before: Found[Any] | None) -> None:
    """The draft stores the value. `before` is what `find` gave for the name in this very view; None: nothing.

    Raises Refusal for a name that is too long (N4).
    """
    key = _key(context, name)
    if len(key) > KEY_BYTES_MAX:
        raise Refusal(400, f"the name is too long: what is stored under it has at most {KEY_BYTES_MAX} bytes")
    entry = seal_entry(context.sealing, context.random, context.view, draft, key, _encode(value))
    draft.expect(Table.ENTRY, key, 0 if before is None else before.read_index)
    draft.put(Table.ENTRY, key, entry)


def drop(context: Context, draft: Draft, name: str, before: Found[Any]) -> None:
    """The draft removes what `find` gave for the name in this very view."""
    key = _key(context, name)
    draft.expect(Table.ENTRY, key, before.read_index)
    draft.drop(Table.ENTRY, key)


def open_entry(open_with: OpenWith, key: bytes, entry: Entry) -> bytes:
    """What the entry under this key of the state says. Raises DamagedError."""
    return open_with(entry.salt_id, entry.box, table=Table.ENTRY, key=key, field=_FIELD, record_id=entry.rid)


def seal_entry(
    sealing: ValueSealing, random: Callable[[int], bytes], view: View, draft: Draft, key: bytes, plaintext: bytes
) -> Entry:
    """The entry that says so under this key of the state (N1). May add its salt's fact to the draft."""
    fresh = random(_NONCE_BYTES + _RID_BYTES)
    rid = fresh[_NONCE_BYTES:]
    salt_id, box = sealing.seal(
        view, draft, plaintext, table=Table.ENTRY, key=key, field=_FIELD, record_id=rid, nonce=fresh[:_NONCE_BYTES]
    )
    return Entry(salt_id=salt_id, box=box, rid=rid)


def names(context: Context, folder: str, *, after: str = "", limit: int = 0) -> list[str]:
    """Sorted names in the folder ("" or one that ends in "/"), folders with their slash; behind `after`."""
    found = context.view.list_entries(_key(context, folder), after=after.encode(), limit=limit)
    return [name.decode() for name in found]


def walk(context: Context, folder: str, kind: type[T]) -> Iterator[tuple[str, Found[T]]]:
    """(name below the folder, what is stored) of everything directly in it, sorted."""
    for name in names(context, folder):
        found = None if name.endswith("/") else find(context, folder + name, kind)
        if found is not None:
            yield name, found


class Opened(Generic[T, M]):
    """What lies directly in folders that are read as a whole again and again, each entry opened once.

    What was made of an entry is remembered with the very bytes of its record: so it is right in every view, also after
    a proposal that came to nothing. As many folders as `folders_max` are remembered; nothing that holds a secret.
    """

    def __init__(self, kind: type[T], make: Callable[[str, T], M], folders_max: int) -> None:
        """`make` gets the name in the folder, and what is stored."""
        self._kind = kind
        self._make = make
        self._folders_max = folders_max
        self._folders: dict[bytes, dict[bytes, tuple[bytes, M]]] = {}

    def read(self, context: Context, folder: str, *, after: str = "") -> list[M]:
        """What was made of each entry behind `after`, sorted by name."""
        root = _key(context, folder)
        known = self._folders.pop(root, {})
        kept: dict[bytes, tuple[bytes, M]] = {}
        for name in context.view.list_entries(root, after=after.encode()):
            found = context.view.get(Table.ENTRY, root + name)
            assert found is not None, "the name was listed by this very view"
            held = known.get(name)
            if held is None or held[0] != found[1]:
                opened = find(context, folder + name.decode(), self._kind)
                assert opened is not None, "the record was found in this very view"
                held = found[1], self._make(name.decode(), opened.value)
            kept[name] = held
        while len(self._folders) >= self._folders_max:
            del self._folders[next(iter(self._folders))]
        self._folders[root] = kept
        return [made for _, made in kept.values()]


def _key(context: Context, name: str) -> bytes:
    assert context.mount is not None  # the flow gives every engine its mount
    return context.mount.uuid + name.encode()
