"""What one process saw, it never sees undone: monotonic reads and its own writes, by version and by log index.

A process has one operation at a time, so its operations stand in an order that nobody can dispute, on whichever nodes
it asked. Reads that chose to be stale (more.local) say nothing.
Source: Terry et al., Session Guarantees for Weakly Consistent Replicated Data (1994).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Verdict, held, unknown
from .words import Impossible, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

MAKERS: Final = frozenset({"write", "cas", "append"})


class Session:
    """See the module's paragraph."""

    name: ClassVar[str] = "session"
    verified: ClassVar[str] = (
        "no process read an older version, or got an answer of an older log index, than it had seen or made before"
    )
    not_verified: ClassVar[str] = "what one process learns from another (witness, wgl)"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        processes: dict[int | str, list[Operation]] = {}
        for one in run.operations:
            if one.outcome == "ok" and not one.more.get("local"):
                processes.setdefault(one.process, []).append(one)
        found: list[Impossible] = []
        compared = 0
        for operations in processes.values():
            found += [*_by_version(operations), *_by_index(operations)]
            compared += max(0, sum(one.raft_index is not None for one in operations) - 1)
            versioned = [one.key for one in operations if one.version is not None]
            compared += len(versioned) - len(set(versioned))
        numbers: dict[str, Any] = {"processes": len(processes), "compared": compared}
        if found:
            return refuted(self, f"{len(found)} answers are older than what their process had seen", found, numbers)
        if not compared:
            return unknown(self, "no process got two answers that can be compared", **numbers)
        return held(self, f"{compared} answers were not older than the one before them", **numbers)


def _by_version(operations: Sequence[Operation]) -> Iterable[Impossible]:
    seen: dict[str, Operation] = {}
    for one in operations:
        if one.version is None:
            continue
        before = seen.get(one.key)
        if before is not None and before.version is not None:
            if one.f in MAKERS and one.version <= before.version:
                yield Impossible("a process made a version that is not newer than what it had seen", (before, one))
            elif one.version < before.version:
                what = "its own write" if before.f in MAKERS else "what it had read"
                yield Impossible(f"a process no longer sees {what}", (before, one))
        if before is None or before.version is None or one.version >= before.version:
            seen[one.key] = one


def _by_index(operations: Sequence[Operation]) -> Iterable[Impossible]:
    before: Operation | None = None
    for one in operations:
        if one.raft_index is None:
            continue
        if before is not None and before.raft_index is not None and one.raft_index < before.raft_index:
            why = f"an answer reflects index {one.raft_index}, and the one before it {before.raft_index}"
            yield Impossible(why, (before, one))
        else:
            before = one
