"""What an engine or auth method stores under names of its own: sealed, listed, changed only as it was read.

Pure. A name is text with "/" between folders ("role/app"); what is stored is a msgspec struct of the engine's own,
array-like, whose later fields have defaults: old entries open for ever.
Invariants
  N1  a box opens only under its name, in its mount, as the put wrote it that is in the state: no earlier one does
  N2  a change says at which index it read what it changes; so two that were decided on one state are not both applied
  N3  whatever a mount stores is out of reach once the mount is gone, and swept
Source: docs/threat-model.md, keys; Vault, "storage" of a backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

from cluster import DamagedError, Draft, Entry, Table, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Context

T = TypeVar("T", bound=msgspec.Struct)

FIELD = b"e"
_NONCE_BYTES = 12
_RID_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Any], msgspec.msgpack.Decoder[Any]] = {}


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
    sealing = context.sealing
    plaintext = sealing.open(
        entry.salt_id, entry.box, table=Table.ENTRY, key=key, field=FIELD, record_id=entry.rid
    )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return Found(index, decoder.decode(plaintext))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("an entry of an engine has another shape") from None


def put(context: Context, draft: Draft, name: str, value: msgspec.Struct, before: Found[Any] | None) -> None:
    """The draft stores the value. `before` is what `find` gave for the name in this very view; None: nothing."""
    key = _key(context, name)
    fresh = context.random(_NONCE_BYTES + _RID_BYTES)
    rid = fresh[_NONCE_BYTES:]
    salt_id, box = context.sealing.seal(
        context.view, draft, _encode(value), table=Table.ENTRY, key=key, field=FIELD, record_id=rid,
        nonce=fresh[:_NONCE_BYTES],
    )  # fmt: skip
    draft.expect(Table.ENTRY, key, 0 if before is None else before.read_index)
    draft.put(Table.ENTRY, key, Entry(salt_id=salt_id, box=box, rid=rid))


def drop(context: Context, draft: Draft, name: str, before: Found[Any]) -> None:
    """The draft removes what `find` gave for the name in this very view."""
    key = _key(context, name)
    draft.expect(Table.ENTRY, key, before.read_index)
    draft.drop(Table.ENTRY, key)


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


def _key(context: Context, name: str) -> bytes:
    assert context.mount is not None  # the flow gives every engine its mount
    return context.mount.uuid + name.encode()
