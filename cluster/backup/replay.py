"""From objects to a state: each is checked against the plan, opened, and applied; the digest says whether it is right.

Pure but for the state it builds. Invariants
  R1  an object that is not the planned one (hash, header, place in the chain), does not open, or does not follow,
      raises DamagedError with a sentence that says which; nothing of it is applied
  R2  behind each batch the state has the digest that the cluster had there; else DamagedError
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..errors import DamagedError
from ..state import transaction
from ..state.digest import DIGEST_BYTES
from ..state.snapshot import Loader, verify_digest
from .format import Kind, decode_entries, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..state.machine import State
    from .format import Parsed
    from .sealed import BackupSealer
    from .sinks.base import Stored


class Replay:
    """Builds the state of a run; feed it the base's parts and then the batches, in the plan's order."""

    def __init__(self, generation: bytes, sealer: BackupSealer, digest_key: bytes) -> None:
        self._generation = generation
        self._sealer = sealer
        self._loader: Loader | None = Loader(digest_key)
        self._state: State | None = None
        self._tip = b""
        self._part_hash = b""
        self.stopped = False  # the point asked for is reached: feed no more

    @property
    def state(self) -> State:
        """The state so far. Raises DamagedError before the base is whole."""
        if self._state is None:
            raise DamagedError("the base is not complete")
        return self._state

    def part(self, stored: Stored, data: bytes) -> None:
        """One part of the base."""
        loader = self._loader
        if loader is None:
            raise DamagedError(f"{_name(stored)} follows a base that is complete")
        parsed = self._checked(stored, data)
        header = parsed.header
        if header.part == 0:
            self._tip = parsed.hash if header.fresh else header.previous
        elif header.previous != self._part_hash:
            raise DamagedError(f"{_name(stored)} does not follow the part before it")
        self._part_hash = parsed.hash
        loader.feed(self._opened(stored, parsed))
        if header.final:
            self._state, self._loader = loader.finish(), None
            if header.fresh:
                self._tip = parsed.hash
            if self._state.applied_index != header.last:
                raise DamagedError(f"{_name(stored)} holds the state at another index")

    def verify(self) -> Iterator[None]:
        """The base's records have the digest it names: in short steps. Raises DamagedError."""
        for right in verify_digest(self.state):
            if right is False:
                raise DamagedError("the base does not have the digest it was stored with")
            yield

    def batch(self, stored: Stored, data: bytes, *, to_index: int | None = None, to_time_ns: int | None = None) -> None:
        """One batch, up to the point asked for."""
        state = self.state
        parsed = self._checked(stored, data)
        header = parsed.header
        if header.first != state.applied_index + 1 or header.previous != self._tip:
            raise DamagedError(f"{_name(stored)} does not follow what was restored up to {state.applied_index}")
        found = decode_entries(self._opened(stored, parsed), header)
        for index, (term, payload) in enumerate(found.entries, header.first):
            facts = self._facts(stored, payload)
            late = facts is not None and to_time_ns is not None and facts.time_ns > to_time_ns
            if late or (to_index is not None and index > to_index):
                self.stopped = True
                return
            if facts is None:
                state.apply_nothing(index, term)
            else:
                state.apply(index, term, facts)
        if state.digest.to_bytes(DIGEST_BYTES, "little") != found.digest:
            raise DamagedError(f"{_name(stored)} leads to another state than the cluster had")
        self._tip = parsed.hash

    @staticmethod
    def _facts(stored: Stored, payload: bytes) -> transaction.Transaction | None:
        if not payload:
            return None
        try:
            return transaction.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DamagedError(f"{_name(stored)} holds an entry that does not decode") from None

    def _checked(self, stored: Stored, data: bytes) -> Parsed:
        parsed = parse(data)
        header = parsed.header
        if header.generation != self._generation:
            raise DamagedError(f"{_name(stored)} belongs to another generation")
        said = (header.kind, header.first, header.last, header.base, header.part, header.final, header.fresh)
        if parsed.hash != stored.hash or said != (
            stored.kind, stored.first, stored.last, stored.base, stored.part, stored.final, stored.fresh,
        ):  # fmt: skip
            raise DamagedError(f"{_name(stored)} is another object than the sink says")
        return parsed

    def _opened(self, stored: Stored, parsed: Parsed) -> bytes:
        try:
            return self._sealer.open(parsed)
        except DamagedError as error:
            raise DamagedError(f"{_name(stored)}: {error}") from None


def _name(stored: Stored) -> str:
    if stored.kind == Kind.BASE:
        return f"part {stored.part} of the base at {stored.last}"
    return f"the batch {stored.first} to {stored.last}"
