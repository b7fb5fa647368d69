"""Work on a state that may wait: whether a loaded one is what its snapshot says, and the emptying of a replaced one.

Pure but for the clock and what it is told to call. Each is an iterator of short steps, True where there is nothing to
do in this turn; the replica runs one slice a tick, when no snapshot is taken or loaded.
Invariant: the state may change meanwhile; what is compared is one state, that of the first step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..state.snapshot import discard, verify_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..seams import Clock
    from ..state.machine import State

EMPTY_AFTER_S = 10.0  # a request that began on the old state has ended by then


def checked(state: State, on_wrong: Callable[[str], None]) -> Iterator[bool]:
    """Every record is hashed; `on_wrong` hears it if they have not the digest that the snapshot said."""
    for right in verify_digest(state):
        if right is False:
            on_wrong("a state that was loaded has not the digest of its snapshot")
        yield False


def emptied(state: State, clock: Clock) -> Iterator[bool]:
    """The replaced state is freed piece by piece: all at once would stop the loop."""
    due_s = clock.boot() + EMPTY_AFTER_S
    while clock.boot() < due_s:
        yield True
    for _ in discard(state):
        yield False
