"""What was acknowledged is there in the end: the last reads of every key on every node, after everything healed.

A version that was acknowledged is the one read last, or was superseded by a later one; versions have no holes that
nobody can have made, and none was made twice; what surely failed is never read; all nodes read the same. A write of
unknown outcome may still come between two last reads, and only such a write may. Nor is there a version in the nodes'
journals that nobody can have made, or one that was answered and is in none (persisted.py).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Verdict, held, unknown
from .persisted import settled, was_unknown
from .words import Impossible, by_key, is_final, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

MAKERS: Final = frozenset({"write", "cas", "append"})
KINDS: Final = MAKERS | {"read", "list"}


class Acked:
    """See the module's paragraph."""

    name: ClassVar[str] = "acked"
    verified: ClassVar[str] = (
        "no acknowledged write of a key that was read at the end is lost; versions are dense and made once; what "
        "surely failed was never seen, and is in no journal; the last reads are equal on all nodes"
    )
    not_verified: ClassVar[str] = "the end of keys that were not read at the end; the order in between (witness, wgl)"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        known = settled(run)
        keys = by_key(known.operations, KINDS)
        whole = set(run.facts.get("whole", run.nodes))
        found: list[Impossible] = list(known.wrong)
        acknowledged, read_last, unread = 0, 0, []
        for key, operations in keys.items():
            made = [one for one in operations if one.f in MAKERS and one.outcome == "ok"]
            last = [one for one in operations if is_final(one)]
            answered = [one for one in last if one.outcome == "ok"]
            acknowledged += sum(not was_unknown(one) for one in made)
            read_last += bool(answered)
            if last and (not answered or whole - {one.node for one in answered}):
                unread.append(key)
            found += _versions(operations, made)
            found += _failures(operations)
            found += _last_reads(operations, made, sorted(answered, key=lambda one: one.called_ns))
        numbers: dict[str, Any] = {"keys": len(keys), "acknowledged": acknowledged, "keys_read_last": read_last}
        numbers |= known.numbers
        if found:
            return refuted(self, f"{len(found)} things that cannot be", found, numbers)
        if not acknowledged:
            return unknown(self, "no write was acknowledged", **numbers)
        if not run.facts.get("read") or not read_last:
            return unknown(self, "there are no last reads: the run was cut short", **numbers)
        if unread:
            return unknown(self, f"{len(unread)} keys could not be read at the end on every node", **numbers)
        what = f"the last reads of {read_last} of {len(keys)} keys hold {acknowledged} acknowledged writes"
        return held(self, what, **numbers)


def _versions(operations: Sequence[Operation], made: Sequence[Operation]) -> Iterable[Impossible]:
    by_version: dict[int, Operation] = {}
    for one in made:
        if one.version is None:
            continue
        if one.version in by_version:
            yield Impossible(f"version {one.version} was made twice", (by_version[one.version], one))
        by_version[one.version] = one
    newest = max((one for one in operations if one.outcome == "ok" and one.version), key=_version, default=None)
    if newest is None:
        return
    unsure = sum(one.f in MAKERS and (one.outcome == "info" or _unversioned(one)) for one in operations)
    holes = _version(newest) - len(by_version)
    if holes > unsure:
        why = f"{holes} versions that nobody acknowledged, and {unsure} writes that may have made them"
        yield Impossible(why, (newest,))


def _version(one: Operation) -> int:
    return one.version or 0


def _unversioned(one: Operation) -> bool:
    return one.outcome == "ok" and one.version is None


def _failures(operations: Sequence[Operation]) -> Iterable[Impossible]:
    """What was answered "not done" must never be seen."""
    failed = {repr(left_by(one)): one for one in operations if one.f in MAKERS and one.outcome == "fail"}
    if not failed:
        return
    for one in operations:
        if one.outcome != "ok" or one.f in MAKERS:
            continue
        for value in one.result if isinstance(one.result, list) else [one.result]:
            if repr(value) in failed:
                yield Impossible("a write that surely failed was read", (failed[repr(value)], one))
                return


def left_by(one: Operation) -> Any:
    """The marker that a write, cas or append leaves."""
    return one.argument if one.f == "write" else one.argument[1]


def _last_reads(
    operations: Sequence[Operation], made: Sequence[Operation], last: Sequence[Operation]
) -> Iterable[Impossible]:
    if not last:
        return
    newest = max((one for one in made if one.returned_ns < last[0].called_ns), key=_version, default=None)
    if newest is not None and _version(newest) > _version(last[0]):
        yield Impossible("an acknowledged write is lost", (newest, last[0]))
        return
    made_at = {one.version: one for one in made}
    for one in last:
        maker = made_at.get(one.version)
        if maker is not None and left_by(maker) != _newest_of(one):
            yield Impossible(f"another value than that of version {one.version} was read at the end", (maker, one))
            return
    unsure = {repr(left_by(one)) for one in operations if one.f in MAKERS and was_unknown(one)}
    for earlier, later in pairwise(last):
        same = (earlier.version, earlier.result) == (later.version, later.result)
        came_late = _version(later) > _version(earlier) and repr(_newest_of(later)) in unsure
        if not same and not came_late:
            yield Impossible("nodes read different things at the end", (earlier, later))
            return


def _newest_of(read: Operation) -> Any:
    if isinstance(read.result, list):
        return read.result[-1] if read.result else None
    return read.result
