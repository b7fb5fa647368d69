"""Records of a snapshot under another mount uuid: what is sealed is opened and sealed again for its new place.

Pure; runs inside a decision. Invariants
  M1  a plaintext is in memory from its opening to its sealing and nowhere else: within one decision, but for what is
      merged (transit, PKI), of which at most one batch waits for its decision
  M2  a record keeps what this program does not know of it; only what binds it to its place changes
Source: docs/threat-model.md, keys: a value is bound to table, mount uuid, path, field and record id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster import VERSION_BYTES, DamagedError, Draft, Entry, Table, Version, index_of, records

from ..engines.entries import open_entry, seal_entry
from ..engines.kv_values import FIELD as VERSION_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import ValueSealing, View

    from ..engines.entries import OpenWith

NONCE_BYTES = 12


class Moved(NamedTuple):
    """A record of the snapshot and its key here. `rid`: of a version, that of its secret."""

    table: int
    source: bytes
    target: bytes
    record: bytes
    rid: bytes = b""

    def __repr__(self) -> str:
        return f"<Moved of {self.table}>"

    @property
    def size_bytes(self) -> int:
        """What it adds to a transaction, about."""
        return len(self.record) + 3 * len(self.target)


class Settled(NamedTuple):
    """What an engine's entry is to say, under a key here; None: it is not to be there."""

    target: bytes
    plaintext: bytes | None

    def __repr__(self) -> str:
        return "<Settled>"

    @property
    def size_bytes(self) -> int:
        """See Moved."""
        return len(self.plaintext or b"") + 3 * len(self.target)


class Mover:
    """Puts records into drafts."""

    def __init__(self, sealing: ValueSealing, open_then: OpenWith, random: Callable[[int], bytes]) -> None:
        """`open_then` opens what the snapshot sealed."""
        self._sealing = sealing
        self._open_then = open_then
        self._random = random

    def __repr__(self) -> str:
        return "<Mover>"

    def add(self, view: View, draft: Draft, what: Moved | Settled) -> None:
        """The draft has it. Raises DamagedError."""
        if isinstance(what, Settled):
            self._settle(view, draft, what)
        elif what.table == Table.SECRET:
            draft.expect(Table.SECRET, what.target, index_of(view, Table.SECRET, what.target))
            draft.put(Table.SECRET, what.target, what.record)
        elif what.table == Table.VERSION:
            self._version(view, draft, what)
        else:
            assert what.table == Table.ENTRY
            self._put(view, draft, what.target, self.opened_then(what.source, what.record), what.record)

    def opened_then(self, key: bytes, record: bytes) -> bytes:
        """What an engine's entry of the snapshot says. Raises DamagedError."""
        return _opened(self._open_then, key, record)

    def opened_now(self, key: bytes, record: bytes) -> bytes:
        """What an engine's entry says now. Raises DamagedError."""
        return _opened(self._sealing.open, key, record)

    def _version(self, view: View, draft: Draft, what: Moved) -> None:
        version = records.readable(Version, what.record)
        if version is None:
            raise DamagedError("a version of the snapshot does not decode")
        record = what.record
        if version.box:  # of one that was destroyed there is nothing to seal
            number = what.source[-VERSION_BYTES:]
            record_id = what.rid + number
            plaintext = self._open_then(
                version.salt_id, version.box, table=Table.VERSION, key=what.source[:-VERSION_BYTES],
                field=VERSION_FIELD, record_id=record_id,
            )  # fmt: skip
            salt_id, box = self._sealing.seal(
                view, draft, plaintext, table=Table.VERSION, key=what.target[:-VERSION_BYTES], field=VERSION_FIELD,
                record_id=record_id, nonce=self._random(NONCE_BYTES),
            )  # fmt: skip
            record = records.change(Version, record, salt_id=salt_id, box=box)
        draft.put(Table.VERSION, what.target, record)

    def _settle(self, view: View, draft: Draft, what: Settled) -> None:
        if what.plaintext is not None:
            self._put(view, draft, what.target, what.plaintext, None)
            return
        index = index_of(view, Table.ENTRY, what.target)
        if index:
            draft.expect(Table.ENTRY, what.target, index)
            draft.drop(Table.ENTRY, what.target)

    def _put(self, view: View, draft: Draft, key: bytes, plaintext: bytes, like: bytes | None) -> None:
        entry = seal_entry(self._sealing, self._random, view, draft, key, plaintext)
        draft.expect(Table.ENTRY, key, index_of(view, Table.ENTRY, key))
        if like is None:
            draft.put(Table.ENTRY, key, entry)
        else:
            record = records.change(Entry, like, salt_id=entry.salt_id, box=entry.box, rid=entry.rid)
            draft.put(Table.ENTRY, key, record)


def _opened(open_with: OpenWith, key: bytes, record: bytes) -> bytes:
    entry = records.readable(Entry, record)
    if entry is None:
        raise DamagedError("an entry does not decode")
    return open_entry(open_with, key, entry)
