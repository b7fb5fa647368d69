"""From sealed chunks to a state: a snapshot that was received, or the newest one on the disk at the start.

Invariant: a state comes out only if every chunk opened, in its place, to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DamagedError
from ..state.machine import State
from ..state.snapshot import Loader
from .store import newest_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..keyring.sealing import Sealer
    from ..seams import Disk
    from .store import Stored


def load(
    loader: Loader, chunks: Iterator[bytes], sealer: Sealer, snapshot_id: bytes, index: int, term: int
) -> Iterator[None]:
    """Feed sealed chunks to the loader, one a step. Raises DamagedError if one is missing, moved or does not open."""
    final = False
    for expected, chunk in enumerate(chunks):
        number, final_here, payload = sealer.open_chunk(snapshot_id=snapshot_id, index=index, term=term, chunk=chunk)
        if number != expected or final:
            raise DamagedError("chunks of the snapshot are out of order")
        final = final_here
        loader.feed(payload)
        yield
    if not final:
        raise DamagedError("the snapshot has no end")


def load_newest(disk: Disk, sealer: Sealer) -> tuple[State, tuple[int, int] | None, set[bytes]]:
    """State and (index, term) of the newest snapshot that opens, and the ids of newer ones that do not. Blocking.

    An empty state and None if there is none.
    """
    damaged: set[bytes] = set()
    for stored in newest_first(disk):
        try:
            return _load(stored, sealer), (stored.index, stored.term), damaged
        except DamagedError:
            damaged.add(stored.snapshot_id)
        finally:
            stored.close()
    return State(sealer.keyring.digest_key), None, damaged


def _load(stored: Stored, sealer: Sealer) -> State:
    loader = Loader(sealer.keyring.digest_key)
    for _ in load(loader, stored.chunks(), sealer, stored.snapshot_id, stored.index, stored.term):
        pass
    return loader.finish()
