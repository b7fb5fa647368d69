"""What the nodes' journals say of writes whose outcome nobody was told: some are known after all. Pure.

A write of unknown outcome may have taken effect at any time, or never; every such write is a hole through which a
violation escapes. At the end of a run the journals hold which versions of each path there are (chaos/journals.py): a
write that can have made none of them surely was not done, and one that alone can have made a version surely made it.

Invariants
  P1  a history that can be, and the journals of the run that it is of, is never made one that cannot be: a write is
      changed only where it is the only possibility, by versions, by values that were read, and by real time
  P2  what became known so is marked (`was_unknown`): nobody was told, and it may have come late
  P3  a write that surely made a version returned, for whoever orders it, when the first operation returned that had
      that version or a later one; never, if none had
Source: etcd, tests/robustness/validate/patch_history.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .words import Impossible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

MAKERS: Final = frozenset({"write", "cas", "append"})
MARK: Final = "journal"  # in `more`: the index, or None for what is in no journal
KEPT: Final = "persisted"


class Evidence(NamedTuple):
    """Of one path. `sure`: version → index, of those that took effect; `maybe`: others that stand in some log.

    `complete`: what took effect for anybody is in one of them.
    """

    sure: dict[int, int]
    maybe: frozenset[int]
    complete: bool


@dataclass
class Settled:
    """A run's operations with what the journals say, and what cannot be."""

    operations: list[Operation] = field(default_factory=list)
    wrong: list[Impossible] = field(default_factory=list)
    made: int = 0  # of unknown writes: they made a version
    never: int = 0  # they were surely not done
    asked: bool = False  # whether there were journals

    @property
    def numbers(self) -> dict[str, Any]:
        """For verdicts; nothing without journals."""
        return {"settled": self.made + self.never} if self.asked else {}


def was_unknown(one: Operation) -> bool:
    """Nobody was told its outcome (P2)."""
    return one.outcome == "info" or MARK in one.more


def settled(run: RunFolder) -> Settled:
    """P1, for all paths of which the journals say something; found once for each run."""
    found = run.kept.get(KEPT)
    if found is None:
        found = run.kept[KEPT] = _settled(run.operations, run.facts.get("journal"))
    assert isinstance(found, Settled)
    return found


def _settled(operations: Sequence[Operation], journal: dict[str, Any] | None) -> Settled:
    if not journal or not journal.get("sure"):
        return Settled(list(operations))
    found = Settled(asked=True)
    groups: dict[str, list[Operation]] = {}
    for one in operations:
        groups.setdefault(one.key, []).append(one)
    changed: dict[int, Operation] = {}
    for key, group in groups.items():
        evidence = evidence_of(journal, key)
        if evidence is None or not any(one.f in MAKERS for one in group):
            continue
        of_key = patched(group, evidence)
        found.wrong += of_key.wrong
        found.made += of_key.made
        found.never += of_key.never
        changed |= {one.index: one for one in of_key.operations if MARK in one.more}
    found.operations = [changed.get(one.index, one) for one in operations]
    return found


def evidence_of(journal: dict[str, Any], key: str) -> Evidence | None:
    """What facts.journal says of a path, None if nothing."""
    sure = journal["sure"].get(key)
    if sure is None:
        return None
    maybe = frozenset(int(version) for version in journal.get("maybe", {}).get(key, ()))
    return Evidence({int(version): index for version, index in sure.items()}, maybe, journal.get("complete") is True)


def patched(operations: Sequence[Operation], evidence: Evidence) -> Settled:
    """The operations of one key in their order (P1, P3)."""
    return _Patch(operations, evidence).run()


class _Patch:
    def __init__(self, operations: Sequence[Operation], evidence: Evidence) -> None:
        self._operations = operations
        self._sure = evidence.sure
        self._maybe = evidence.maybe
        self._complete = evidence.complete
        made = {one.version for one in operations if one.f in MAKERS and one.outcome == "ok"}
        self._open = sorted(version for version in evidence.sure if version not in made)
        self._possible = sorted({*evidence.sure, *evidence.maybe} - made)
        self._values = _values_read(operations)
        self._returns = _Returns(operations)
        self._unsure = [
            one
            for one in operations
            if one.f in MAKERS and (one.outcome == "info" or (one.outcome == "ok" and one.version is None))
        ]

    def run(self) -> Settled:
        """See `patched`."""
        found = Settled(asked=True)
        changed: dict[int, Operation] = {}
        found.wrong += self._gone()
        able = {version: [one for one in self._unsure if self._fits(one, version)] for version in self._open}
        for version, one in self._only(able, found).items():
            if one.outcome == "info":
                found.made += 1
                changed[one.index] = replace(
                    one, outcome="ok", version=version, returned_ns=self._returns.of(version),
                    more={**one.more, MARK: self._sure[version]},
                )  # fmt: skip
        for one in self._unsure if self._complete else ():
            free = one.index not in changed and one.outcome == "info"
            if free and not any(self._fits(one, version) for version in self._possible):
                found.never += 1
                changed[one.index] = replace(one, outcome="fail", error="in no journal", more={**one.more, MARK: None})
        found.operations = [changed.get(one.index, one) for one in self._operations]
        return found

    def _gone(self) -> Iterable[Impossible]:
        """The first version that somebody made or saw, and that no journal has."""
        there = {*self._sure, *self._maybe}
        seen = (one for one in self._operations if one.outcome == "ok" and one.version)
        for one in seen if self._complete else ():
            if one.version not in there:
                yield Impossible(f"version {one.version} is in no journal, though a node answered with it", (one,))
                return

    def _fits(self, one: Operation, version: int) -> bool:
        """Whether this write can have made this version: its argument, what was read of it, and real time allow it."""
        if one.f != "write" and one.argument[0] != version - 1:
            return False
        value = one.argument if one.f == "write" else one.argument[1]
        if version in self._values and repr(value) != self._values[version]:
            return False
        return one.called_ns <= self._returns.of(version)

    def _only(self, able: dict[int, list[Operation]], found: Settled) -> dict[int, Operation]:
        """Version → the one write that can have made it, until no more follows; and versions that none can have."""
        chosen: dict[int, Operation] = {}
        taken: set[int] = set()
        while True:
            left = {
                version: [one for one in able[version] if one.index not in taken]
                for version in self._open
                if version not in chosen
            }
            single = next(((version, ones[0]) for version, ones in left.items() if len(ones) == 1), None)
            makers = {one.index for ones in left.values() for one in ones}
            version = next((version for version, ones in left.items() if not ones), None)
            if len(makers) < len(left) or version is not None:
                version = max(left) if version is None else version
                index = self._sure[version]
                why = f"version {version} is in the journals (index {index}), and nobody can have made it"
                found.wrong.append(Impossible(why, tuple(able[version][:2])))
                return {}
            if single is None:
                return chosen
            chosen[single[0]] = single[1]
            taken.add(single[1].index)


def _values_read(operations: Iterable[Operation]) -> dict[int, str]:
    """Version → the marker that stood there, as somebody read it."""
    found: dict[int, str] = {}
    for one in operations:
        if one.f in {"read", "list"} and one.outcome == "ok" and one.version:
            value = one.result
            if isinstance(value, list):
                value = value[-1] if value else None
            found.setdefault(one.version, repr(value))
    return found


class _Returns:
    """When the first operation returned that had made or seen a version, or a later one (P3)."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        known = sorted(
            ((one.version, one.returned_ns) for one in operations if one.outcome == "ok" and one.version is not None),
            reverse=True,
        )
        self._versions: list[int] = []  # falling
        self._firsts: list[float] = []
        first = math.inf
        for version, returned_ns in known:
            first = min(first, returned_ns)
            if self._versions and self._versions[-1] == version:
                self._firsts[-1] = first
            else:
                self._versions.append(version)
                self._firsts.append(first)

    def of(self, version: int) -> float:
        """For this version; for ever, if nobody had it."""
        low, high = 0, len(self._versions)  # how many are not below it
        while low < high:
            middle = (low + high) // 2
            if self._versions[middle] >= version:
                low = middle + 1
            else:
                high = middle
        return self._firsts[low - 1] if low else math.inf
