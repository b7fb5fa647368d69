"""Lists only grow at their end: all that were read are beginnings of the longest, in the order of real time.

Nothing is twice in a list, what was acknowledged is in every list that was read later, what surely failed or nobody
appended is in none, and an append that returned before another began stands before it.
Source: Jepsen, Elle (list-append: the order of versions is read off the lists).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Verdict, held, unknown
from .persisted import settled, was_unknown
from .words import Impossible, by_key, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

KINDS: Final = frozenset({"append", "list", "read"})


class Appends:
    """See the module's paragraph."""

    name: ClassVar[str] = "appends"
    verified: ClassVar[str] = (
        "all lists of a key are beginnings of one another, grow with versions and real time, hold every acknowledged "
        "element once and in the order of real time, and nothing that failed or was never appended"
    )
    not_verified: ClassVar[str] = "elements that no list was read after (counted: they make the verdict unknown)"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        known = settled(run)
        groups = by_key(known.operations, KINDS)
        keys = {key: group for key, group in groups.items() if any(one.f != "read" for one in group)}
        found: list[Impossible] = []
        acknowledged, read, unseen = 0, 0, 0
        for operations in keys.values():
            appends = [one for one in operations if one.f == "append"]
            lists = [one for one in operations if one.f != "append" and one.outcome == "ok"]
            done = [one for one in appends if one.outcome == "ok"]
            told = [one for one in done if not was_unknown(one)]
            acknowledged += len(told)
            read += len(lists)
            latest_ns = max((one.called_ns for one in lists), default=-1)
            unseen += sum(one.returned_ns >= latest_ns for one in told)
            wrong = next(iter(_wrong(appends, done, lists)), None)
            if wrong is not None:
                found.append(wrong)
        numbers: dict[str, Any] = {
            "lists": len(keys), "acknowledged": acknowledged, "reads": read, "never_read": unseen,
        }  # fmt: skip
        numbers |= known.numbers
        if found:
            return refuted(self, f"{len(found)} of {len(keys)} lists cannot be", found, numbers)
        if not acknowledged or not read:
            return unknown(self, "nothing was appended, or no list was read", **numbers)
        if unseen:
            return unknown(self, f"no list was read after {unseen} elements had been acknowledged", **numbers)
        what = f"{read} reads are beginnings of {len(keys)} lists with {acknowledged} acknowledged elements"
        return held(self, what, **numbers)


def elements_of(one: Operation) -> list[Any]:
    """What a read of a list saw."""
    return one.result if isinstance(one.result, list) else []


def _wrong(
    appends: Sequence[Operation], done: Sequence[Operation], lists: Sequence[Operation]
) -> Iterable[Impossible]:
    yield from _contents(appends, lists)
    by_length = sorted(lists, key=lambda one: len(elements_of(one)))
    for shorter, longer in pairwise(by_length):
        if elements_of(longer)[: len(elements_of(shorter))] != elements_of(shorter):
            yield Impossible("neither list is the beginning of the other", (shorter, longer))
    yield from _versions([one for one in lists if one.version is not None])
    if by_length:
        yield from _real_time(appends, done, lists, by_length[-1])


def _contents(appends: Sequence[Operation], lists: Sequence[Operation]) -> Iterable[Impossible]:
    began: dict[Any, Operation] = {}
    for one in appends:
        known = began.get(one.argument[1])
        if known is None or (known.outcome == "fail" and one.outcome != "fail"):
            began[one.argument[1]] = one
    for one in lists:
        elements = elements_of(one)
        if len(set(elements)) != len(elements):
            yield Impossible("an element is twice in a list", (one,))
        for element in elements:
            append = began.get(element)
            if append is None:
                yield Impossible(f"nobody appended {element}", (one,))
            elif append.outcome == "fail":
                yield Impossible(f"{element} was read, and appending it had surely failed", (append, one))
            elif append.called_ns > one.returned_ns:
                yield Impossible(f"{element} was read before anybody began to append it", (one, append))


def _versions(lists: Sequence[Operation]) -> Iterable[Impossible]:
    """A later version is a longer list, and one version is one list."""
    order = sorted(lists, key=lambda one: (one.version, len(elements_of(one))))
    for older, newer in pairwise(order):
        longer = len(elements_of(newer)) - len(elements_of(older))
        if (newer.version == older.version) != (longer == 0) or longer < 0:
            yield Impossible("lists do not grow with their versions", (older, newer))


def _real_time(
    appends: Sequence[Operation], done: Sequence[Operation], lists: Sequence[Operation], longest: Operation
) -> Iterable[Impossible]:
    """Every element has its place in the longest list; what is known when a read begins, it must have."""
    places = {element: place for place, element in enumerate(elements_of(longest))}
    far = len(places)
    known: list[tuple[float, int, Operation]] = [
        (one.returned_ns, places.get(one.argument[1], far) + 1, one) for one in done
    ]
    known += [(one.returned_ns, len(elements_of(one)), one) for one in lists]
    known.sort(key=lambda one: (one[0], one[1]))
    asked = [(one.called_ns, len(elements_of(one)), one) for one in lists]
    # An append stands behind all that was known when it began: its own place is how long the list was before it.
    asked += [(one.called_ns, places[one.argument[1]], one) for one in appends if one.argument[1] in places]
    asked.sort(key=lambda one: one[0])
    most, witness, at = 0, None, 0
    for called_ns, length, one in asked:
        while at < len(known) and known[at][0] < called_ns:
            if known[at][1] > most:
                most, witness = known[at][1], known[at][2]
            at += 1
        if length < most and witness is not None:
            yield Impossible("what had been acknowledged or read before is missing, or stands behind", (witness, one))
