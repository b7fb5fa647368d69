"""What Raft talks to when it wants something written: the same face on a child process and on the simulator.

Nothing here waits and nothing answers but through the callbacks. Types only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ballot import Ballot


def _ignore(*_: object) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Called on the loop's thread, never from inside a call of the handle.

    on_synced(sequence): every operation up to it is durable; several completions may be merged, the last counts.
    on_ballot(sequence): the ballot of that sequence, and so every older promise, is durable.
    on_snapshot(id): the snapshot is complete and durable. on_snapshot_refused(id, why): it was given up, nothing is
    left of it, and the journal is well.
    on_space(there): the disk has (no) room for more segments; what was handed over waits.
    on_failed(why): once, and nothing afterwards: the process must end without acknowledging anything more.
    """

    on_synced: Callable[[int], None]
    on_ballot: Callable[[int], None]
    on_failed: Callable[[str], None]
    on_snapshot: Callable[[bytes], None] = _ignore
    on_snapshot_refused: Callable[[bytes, str], None] = _ignore
    on_space: Callable[[bool], None] = _ignore


class WriterHandle(Protocol):
    """Operations of the log are one queue; sequences grow, over restarts too. Ballots and snapshots wait for nobody."""

    @property
    def backlog_bytes(self) -> int:
        """Bytes of operations handed over and not yet durable. Whoever appends bounds it."""
        ...

    @property
    def snapshot_backlog_bytes(self) -> int:
        """Bytes of snapshots that wait in this process. Whoever makes a snapshot bounds it."""
        ...

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:
        """The sealed entry stands at (index, term)."""
        ...

    def truncate(self, sequence: int, first_removed_index: int) -> None:
        """No entry stands there or behind it."""
        ...

    def trim(self, sequence: int, index: int, term: int) -> None:
        """The log begins behind (index, term). A snapshot of it must be durable (on_snapshot) before."""
        ...

    def reset(self, sequence: int, index: int, term: int) -> None:
        """The log is empty and begins behind (index, term). A snapshot of it must be durable before."""
        ...

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        """The ballot replaces every older one; those still waiting are not written."""
        ...

    def snapshot_begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        """An own snapshot begins."""
        ...

    def snapshot_chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        """A sealed chunk follows."""
        ...

    def snapshot_receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> None:
        """Raw bytes of a peer's snapshot; offset 0 begins it."""
        ...

    def snapshot_commit(self, snapshot_id: bytes) -> None:
        """Complete: on_snapshot or on_snapshot_refused follows."""
        ...

    def snapshot_abort(self, snapshot_id: bytes) -> None:
        """Given up; no callback follows."""
        ...

    def snapshot_remove_before(self, index: int) -> None:
        """Older complete snapshots go, some time."""
        ...

    def close(self) -> bool:
        """No callback follows. What was not reported may or may not have been written.

        True: everything that was reported is on stable storage, whatever the mode.
        """
        ...
