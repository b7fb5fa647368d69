"""A request shows a policy as it was at some moment of the request: none that was surely replaced, no later one.

A flip may be what a try shows unless another flip surely came between: one that was acknowledged before the try began,
and began after the first had returned. So right after an acknowledged flip only that flip, and those that overlap, may
be seen: a cache that outlives a change shows here. What tries say of each other is wgl's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from .base import Verdict, held, unknown
from .words import Impossible, by_key, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

KINDS: Final = frozenset({"flip", "try"})


class Policies:
    """See the module's paragraph."""

    name: ClassVar[str] = "policies"
    verified: ClassVar[str] = "every try shows a flip that overlaps it or was the newest acknowledged when it began"
    not_verified: ClassVar[str] = "tries against each other (wgl); requests that the policies of a token do not decide"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        found: list[Impossible] = []
        keys = by_key(run.operations, KINDS)
        flips_count, tries_count, decided = 0, 0, 0
        for group in keys.values():
            flips = [one for one in group if one.f == "flip" and one.outcome != "fail"]
            tries = [one for one in group if one.f == "try" and one.outcome == "ok"]
            flips_count += len(flips)
            tries_count += len(tries)
            for one in tries:
                newest = _newest(flips, one)
                decided += newest is not None
                found += _wrong(flips, newest, one)
        numbers: dict[str, Any] = {
            "policies": len(keys), "flips": flips_count, "tries": tries_count, "tries_after_a_flip": decided,
        }  # fmt: skip
        if found:
            return refuted(self, f"{len(found)} of {tries_count} tries show what no policy said then", found, numbers)
        if not decided:
            return unknown(self, "no try began after an acknowledged flip", **numbers)
        return held(self, f"{tries_count} tries show the policy of their time, after {flips_count} flips", **numbers)


def _newest(flips: Sequence[Operation], one: Operation) -> Operation | None:
    """Of the flips that were acknowledged before this try began, the one that was invoked last."""
    before = [flip for flip in flips if flip.returned_ns < one.called_ns]
    return max(before, key=lambda flip: flip.called_ns, default=None)


def _wrong(flips: Sequence[Operation], newest: Operation | None, one: Operation) -> Iterable[Impossible]:
    if newest is None:
        return  # the policy's first state is not in the history
    possible = {
        flip.argument
        for flip in flips
        if flip.called_ns <= one.returned_ns and flip.returned_ns >= newest.called_ns
    }
    if one.result not in possible:
        yield Impossible(f"a try shows {one.result}", (newest, one))
