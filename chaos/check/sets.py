"""Sets only grow: what was acknowledged, or seen once, is in every listing that began later.

An element is lost if no later listing has it again, stale if one has; both are violations. What may be in a listing is
what somebody began to add before the listing returned, and did not surely fail.
Source: Jepsen, checker.clj (set-full).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Verdict, held, unknown
from .words import Impossible, by_key, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

KINDS: Final = frozenset({"add", "members"})


class Sets:
    """See the module's paragraph."""

    name: ClassVar[str] = "sets"
    verified: ClassVar[str] = (
        "every listing has all elements that were acknowledged or listed before it began, and none that nobody added"
    )
    not_verified: ClassVar[str] = "elements that no listing began after (counted: they make the verdict unknown)"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        keys = by_key(run.operations, KINDS)
        found: list[Impossible] = []
        acknowledged, listings, unseen = 0, 0, 0
        for operations in keys.values():
            adds = [one for one in operations if one.f == "add"]
            lists = [one for one in operations if one.f == "members" and one.outcome == "ok"]
            done = [one for one in adds if one.outcome == "ok"]
            acknowledged += len(done)
            listings += len(lists)
            latest_ns = max((one.called_ns for one in lists), default=-1)
            unseen += sum(one.returned_ns >= latest_ns for one in done)
            found += _foreign(adds, lists)
            found += _missing(done, lists)
        numbers: dict[str, Any] = {
            "sets": len(keys), "acknowledged": acknowledged, "listings": listings, "never_listed": unseen,
        }  # fmt: skip
        if found:
            return refuted(self, f"{len(found)} listings that cannot be", found, numbers)
        if not acknowledged or not listings:
            return unknown(self, "no element was acknowledged, or no set was listed", **numbers)
        if unseen:
            return unknown(self, f"no listing began after {unseen} elements had been acknowledged", **numbers)
        what = f"{listings} listings have what they must have of {acknowledged} acknowledged elements"
        return held(self, what, **numbers)


def _foreign(adds: Sequence[Operation], lists: Sequence[Operation]) -> Iterable[Impossible]:
    """What nobody added, what surely failed, what was added only later, and what is listed twice."""
    began: dict[Any, Operation] = {}
    for one in adds:
        known = began.get(one.argument)
        if known is None or (known.outcome == "fail" and one.outcome != "fail"):
            began[one.argument] = one
    for one in lists:
        if len(set(one.result)) != len(one.result):
            yield Impossible("an element is listed twice", (one,))
        for element in one.result:
            add = began.get(element)
            if add is None:
                yield Impossible(f"nobody added {element}", (one,))
            elif add.outcome == "fail":
                yield Impossible(f"{element} was listed, and adding it had surely failed", (add, one))
            elif add.called_ns > one.returned_ns:
                yield Impossible(f"{element} was listed before anybody began to add it", (one, add))


def _missing(done: Sequence[Operation], lists: Sequence[Operation]) -> Iterable[Impossible]:
    """An element is known from the first return of its add, or of a listing that has it."""
    known: dict[Any, Operation] = {}
    for one in done:
        known[one.argument] = one
    for one in lists:
        for element in one.result:
            first = known.get(element)
            if first is None or one.returned_ns < first.returned_ns:
                known[element] = one
    order = sorted(known.items(), key=lambda pair: pair[1].returned_ns)
    due: set[Any] = set()
    place = 0
    seen_last = {element: one.called_ns for one in sorted(lists, key=_called) for element in one.result}
    for one in sorted(lists, key=_called):
        while place < len(order) and order[place][1].returned_ns < one.called_ns:
            due.add(order[place][0])
            place += 1
        absent = due.difference(one.result)
        if absent:
            element = min(absent, key=str)
            how = "stale" if seen_last.get(element, -1) > one.called_ns else "lost"
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            yield Impossible(f"{element}{more} is missing ({how})", (known[element], one))


def _called(one: Operation) -> int:
    return one.called_ns
