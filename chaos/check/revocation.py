"""What was revoked is good for nothing from the moment the answer is there; what was not revoked stays good.

On every node, across leader changes and restarts, with no grace: reads are strong. A revocation of a tree ends the
children, too. A denial without any revocation begun is as wrong as a use after one: access that vanishes is a failure.
Source: docs/threat-model.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .base import Verdict, held, unknown
from .lives import Lives, is_denied
from .words import Impossible, refuted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.folder import RunFolder

    from .lives import Life


class Revocation:
    """See the module's paragraph."""

    name: ClassVar[str] = "revocation"
    verified: ClassVar[str] = (
        "no token or lease was good, and issued nothing, in a request that began after its revocation, or that of a "
        "parent with its tree, had returned; none was denied before anybody began to revoke it"
    )
    not_verified: ClassVar[str] = "uses that overlap a revocation; revocations of unknown outcome; expiry at its time"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        lives = Lives(run.operations, run.faults)
        found: list[Impossible] = []
        numbers: dict[str, Any] = {"issued": 0, "revoked": 0, "uses": 0, "uses_after": 0, "children_after": 0}
        soonest_ns = float("inf")
        for life in lives.of("token", "lease"):
            dead = lives.dead(life)
            numbers["issued"] += life.acknowledged is not None
            numbers["revoked"] += dead is not None
            numbers["uses"] += len(life.uses)
            after = [one for one in life.uses if dead is not None and one.called_ns > dead.returned_ns]
            told = [one for one in after if one.outcome != "info"]
            numbers["uses_after"] += len(told)
            if dead is not None and dead.key != life.key:
                numbers["children_after"] += len(told)
            if dead is not None:
                soonest_ns = min([soonest_ns, *(one.called_ns - dead.returned_ns for one in told)])
            found += _good_after(lives, life)
            found += _denied_before(lives, life)
        if numbers["uses_after"]:
            numbers["soonest_s"] = round(soonest_ns / 1e9, 6)
        if found:
            return refuted(self, f"{len(found)} uses that cannot be", found, numbers)
        if not numbers["uses_after"]:
            return unknown(self, "nothing was used after its revocation had returned", **numbers)
        what = f"{numbers['revoked']} revoked, {numbers['uses_after']} uses after it and none good"
        return held(self, what, **numbers)


def _good_after(lives: Lives, life: Life) -> Iterable[Impossible]:
    dead = lives.dead(life)
    if dead is not None:
        for use in life.uses:
            if use.outcome == "ok" and use.called_ns > dead.returned_ns:
                yield Impossible("it was good after its revocation had returned", (dead, use))
    parent = lives.all.get(life.parent)
    ended = lives.dead(parent) if parent is not None else None
    issue = life.acknowledged
    if ended is not None and issue is not None and issue.called_ns > ended.returned_ns:
        yield Impossible("its parent issued it after the parent's revocation had returned", (ended, issue))


def _denied_before(lives: Lives, life: Life) -> Iterable[Impossible]:
    issue = life.acknowledged
    if issue is None:
        return
    for use in life.uses:
        if is_denied(use) and issue.returned_ns < use.called_ns and not lives.excuse(life, use):
            yield Impossible("it was denied, and nobody had begun to revoke it", (issue, use))
