"""A wrap, or a token of one use, is good once: never twice, and not never.

Two good uses are a violation. So is a denial that nobody's good use explains: none was answered good and none is of
unknown outcome. So is a good use that began after a denial had returned: what was spent came back.
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


class SingleUse:
    """See the module's paragraph."""

    name: ClassVar[str] = "single_use"
    verified: ClassVar[str] = (
        "no wrap and no token of one use was good twice, or again after it had been denied; none was denied that "
        "nobody can have used"
    )
    not_verified: ClassVar[str] = "whether a use of unknown outcome was the good one"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        lives = Lives(run.operations, run.faults)
        chosen = lives.of("wrap", "once")
        found = [wrong for life in chosen for wrong in _wrong(lives, life)]
        uses = [one for life in chosen for one in life.uses]
        numbers: dict[str, Any] = {
            "issued": sum(life.acknowledged is not None for life in chosen),
            "uses": len(uses),
            "good": sum(one.outcome == "ok" for one in uses),
            "denied": sum(map(is_denied, uses)),
            "contended": sum(len(life.uses) > 1 for life in chosen),
        }
        if found:
            return refuted(self, f"{len(found)} uses that cannot be", found, numbers)
        if not numbers["good"]:
            return unknown(self, "nothing of a single use was ever good", **numbers)
        if not numbers["contended"]:
            return unknown(self, "nothing of a single use was used twice", **numbers)
        what = f"{numbers['good']} of {numbers['issued']} were good, each once, in {len(uses)} uses"
        return held(self, what, **numbers)


def _wrong(lives: Lives, life: Life) -> Iterable[Impossible]:
    good = [one for one in life.uses if one.outcome == "ok"]
    denied = [one for one in life.uses if is_denied(one)]
    unsure = [one for one in life.uses if one.outcome == "info"]
    if len(good) > 1:
        yield Impossible("it was good twice", (good[0], good[1]))
    issue = life.acknowledged
    if issue is None or not denied:
        return
    first = min(denied, key=lambda one: one.returned_ns)
    if first.called_ns <= issue.returned_ns or lives.excuse(life, first):
        return
    if not good and not unsure:
        yield Impossible("it was denied, and nobody can have used it", (issue, first))
    for one in good:
        if one.called_ns > first.returned_ns:
            yield Impossible("it was good after it had been denied", (first, one))
