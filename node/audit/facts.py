"""When the head of a chain is to become a fact of the cluster: at start and rotation, every 10 s or 10,000 lines.

Pure; the time comes in. Invariant: a head stays due until it is a fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chain import Head

HEAD_LINES = 10_000
HEAD_S = 10.0


class Facts:
    """What the cluster knows of one device on this node."""

    def __init__(self) -> None:
        self._recorded: tuple[Head, float] | None = None  # the newest head that is a fact, and since when

    def due(self, head: Head, now_s: float, *, everything: bool = False) -> Head | None:
        """The head, if it is to become a fact now: after so many lines, after some time, or because it is asked."""
        if head.sequence == 0:
            return None
        if self._recorded is None:
            return head
        last, at_s = self._recorded
        if head == last:
            return None
        due = everything or head.file != last.file
        due = due or head.sequence - last.sequence >= HEAD_LINES or now_s - at_s >= HEAD_S
        return head if due else None

    def recorded(self, head: Head, now_s: float) -> None:
        """The head is a fact."""
        self._recorded = (head, now_s)
