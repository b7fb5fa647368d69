"""Linearizability by witness: every version says where it stands in the order, so only real time is left to check.

An acknowledged write names the version it made, a read the version it saw. The order of versions is then the only
possible linearization, and it is one if each version can begin after all that was invoked for it and for older ones,
and before anything that made or saw it, or a newer one, returned. Writes of unknown outcome fill versions that nobody
acknowledged. O(n log n), about a million operations a second.

Invariants
  W1  whatever is rejected cannot be (proved against wgl.py in selftest.py); wgl finds the little that is missed
  W2  two instants that are equal may have come in either order
Source: Jepsen, jepsen.etcd register.clj; Gibbons and Korach, Testing Shared Memories (1997), "read-mapping".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from .base import Verdict, held, unknown
from .persisted import settled
from .words import Impossible, by_key, is_mismatch, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

KINDS: Final = frozenset({"write", "cas", "read"})
BEFORE: Final = -1.0  # every instant of a run


class Witness:
    """See the module's paragraph."""

    name: ClassVar[str] = "witness"
    verified: ClassVar[str] = (
        "every key's writes, compare-and-sets and reads fit one order of versions that keeps real time, with every "
        "value that was read written by the write of its version, and no write of known failure seen"
    )
    not_verified: ClassVar[str] = (
        "which of several writes of unknown outcome made a version nobody read, unless journals leave only one; keys "
        "against each other; list values"
    )

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        known = settled(run)
        keys = registers(known.operations)
        count, unversioned = 0, 0
        found: list[Impossible] = []
        for operations in keys.values():
            count += len(operations)
            unversioned += sum(one.outcome == "ok" and one.version is None for one in operations)
            wrong = impossible(operations)
            if wrong is not None:
                found.append(wrong)
        numbers: dict[str, Any] = {"keys": len(keys), "operations": count, "unknown": sum(map(_unknown, keys.values()))}
        numbers |= known.numbers
        if found:
            return refuted(self, f"{len(found)} of {len(keys)} keys are not linearizable", found, numbers)
        if not any(one.outcome == "ok" for operations in keys.values() for one in operations):
            return unknown(self, "no write, cas or read was acknowledged", **numbers)
        if unversioned:
            return unknown(self, f"{unversioned} acknowledged operations name no version", **numbers)
        return held(self, f"{count} operations on {len(keys)} keys fit the order of their versions", **numbers)


def registers(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Operations of plain registers by key: what is appended to is a list, and appends.py's."""
    groups = by_key(operations, KINDS | {"append"})
    return {key: group for key, group in groups.items() if not any(one.f == "append" for one in group)}


def _unknown(operations: Sequence[Operation]) -> int:
    return sum(one.outcome == "info" and one.f != "read" for one in operations)


def value_of(write: Operation) -> Any:
    """What a write or cas leaves."""
    return write.argument if write.f == "write" else write.argument[1]


@dataclass(slots=True)
class _Sorted:
    """One key's operations by what they say."""

    writes: dict[int, Operation] = field(default_factory=dict)  # acknowledged, by version
    reads: dict[int, list[Operation]] = field(default_factory=dict)
    unknown: list[Operation] = field(default_factory=list)  # writes and cas that may have made any version
    refused: list[Operation] = field(default_factory=list)


class _Maker(NamedTuple):
    """Of a version that nobody acknowledged: the value that was read, "" if none was, and who may have written it."""

    value: Any
    operation: Operation


def impossible(operations: Sequence[Operation]) -> Impossible | None:
    """What cannot be in these operations of one key, None if nothing was found (W1)."""
    found = _Sorted()
    wrong = _sort(operations, found)
    if wrong is not None:
        return wrong
    top = max([0, *found.writes, *found.reads])
    missing = top - len(found.writes)
    if missing > len(found.unknown):
        return _too_many(found, top)
    gaps = _Gaps(found, top) if missing else None
    if gaps is not None and gaps.wrong is not None:
        return gaps.wrong
    begins: list[float] = []  # by version, the earliest instant
    ends: list[tuple[float, Operation | None]] = []  # by version, the first return of what made or saw it
    wrong = _walk(found, top, gaps, begins, ends)
    if wrong is None and found.refused:
        free = found.unknown if gaps is None else [one for one in found.unknown if one.index not in gaps.spent]
        wrong = _refusals(found, free, top, begins, ends)
    return wrong


def _sort(operations: Sequence[Operation], found: _Sorted) -> Impossible | None:
    writes, reads = found.writes, found.reads
    for one in operations:
        version = one.version
        if one.f == "read":
            if one.outcome == "ok" and version is not None:
                group = reads.get(version)
                if group is None:
                    reads[version] = [one]
                else:
                    group.append(one)
        elif one.outcome == "ok":
            if version is None:
                found.unknown.append(one)
            elif version in writes:
                return Impossible(f"version {version} was made twice", (writes[version], one))
            elif version < 1 or (one.f == "cas" and one.argument[0] != version - 1):
                return Impossible(f"version {version} was made by a write that cannot make it", (one,))
            else:
                writes[version] = one
        elif one.outcome == "info":
            found.unknown.append(one)
        elif is_mismatch(one):
            found.refused.append(one)
    return None


def _too_many(found: _Sorted, top: int) -> Impossible:
    """There are more versions than writes: the first that a read saw, or else the newest, has nobody who wrote it."""
    seen = min((v for v in found.reads if v and v not in found.writes), default=top)
    witness = found.reads[seen][0] if seen in found.reads else found.writes[seen]
    return Impossible(f"there are {top} versions, and fewer writes that may have made them", (witness,))


class _Gaps:
    """Who can have made the versions that nobody acknowledged."""

    def __init__(self, found: _Sorted, top: int) -> None:
        self.wrong: Impossible | None = None
        self.makers: dict[int, _Maker] = {}
        self.spent: set[int] = set()  # indexes of writes that surely made a version that was read
        by_value: dict[str, list[Operation]] = {}
        for one in sorted(found.unknown, key=lambda one: one.called_ns):
            by_value.setdefault(repr(value_of(one)), []).append(one)
        unseen = []
        for version in (v for v in range(1, top + 1) if v not in found.writes):
            seen = found.reads.get(version)
            if seen is None:
                unseen.append(version)
                continue
            group = by_value.get(repr(seen[0].result), [])
            able = [one for one in group if one.f == "write" or one.argument[0] == version - 1]
            if not able:
                self.wrong = Impossible(f"nobody can have written version {version}", (seen[0],))
                return
            self.makers[version] = _Maker(seen[0].result, able[0])
            if len(group) == 1:  # of twins nobody knows which it was: both stay (W1)
                self.spent.add(group.pop().index)
        self._fill(unseen, [one for group in by_value.values() for one in group])

    def _fill(self, versions: Sequence[int], free: Iterable[Operation]) -> None:
        """A cas fits one version; any write fits any, and the k-th version needs k of them to have been invoked."""
        cas: dict[int, Operation] = {}
        writes = []
        for one in sorted(free, key=lambda one: one.called_ns):
            if one.f == "write":
                writes.append(one)
            else:
                cas.setdefault(one.argument[0] + 1, one)
        used = 0
        for version in versions:
            able = [one for one in (cas.get(version), *writes[used : used + 1]) if one is not None]
            if not able:
                self.wrong = Impossible(f"no write is left that can have made version {version}", ())
                return
            first = min(able, key=lambda one: one.called_ns)
            self.makers[version] = _Maker("", first)
            used += version not in cas


def _walk(
    found: _Sorted, top: int, gaps: _Gaps | None, begins: list[float], ends: list[tuple[float, Operation | None]]
) -> Impossible | None:
    """Versions in their order: each begins when its write and everything of older versions had been invoked."""
    writes, reads = found.writes, found.reads
    low: float = BEFORE
    low_op: Operation | None = None
    for version in range(top + 1):
        maker: Operation | None = writes.get(version)
        end, end_op = math.inf, maker
        value = None
        if maker is not None:
            value = maker.argument if maker.f == "write" else maker.argument[1]
            end = maker.returned_ns
        elif version and gaps is not None:
            value, maker = gaps.makers[version]
        if maker is not None and maker.called_ns > low:
            low, low_op = maker.called_ns, maker
        seen = reads.get(version, ())
        for one in seen:
            if one.result != value:
                return Impossible(f"another value than that of version {version} was read", _both(maker, one))
            if one.returned_ns < end:
                end, end_op = one.returned_ns, one
        if low > end:
            why = f"version {version} was there before what must come before it began"
            return Impossible(why, _both(end_op, low_op))
        begins.append(low)
        ends.append((end, end_op))
        for one in seen:
            if one.called_ns > low:
                low, low_op = one.called_ns, one
    return None


def _refusals(
    found: _Sorted, free: Sequence[Operation], top: int, begins: Sequence[float],
    ends: Sequence[tuple[float, Operation | None]],
) -> Impossible | None:  # fmt: skip
    """A cas may be refused unless the version it expects surely stood during the whole call."""
    for one in found.refused:
        expected = one.argument[0]
        if not 0 <= expected <= top:
            continue
        since, since_op = ends[expected] if expected else (BEFORE, None)  # it was there then, at the latest
        if expected < top:
            until = begins[expected + 1]
        else:
            able = (w.called_ns for w in free if w.f == "write" or w.argument[0] == expected)
            until = max(begins[top], min(able, default=math.inf))
        if since < one.called_ns and one.returned_ns < until:
            return Impossible(f"a cas was refused while version {expected} stood", _both(since_op, one))
    return None


def _both(*operations: Operation | None) -> tuple[Operation, ...]:
    return tuple(one for one in operations if one is not None)
