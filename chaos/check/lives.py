"""Tokens, leases and wraps of a history: when each was issued, used, revoked, and who its parents are. Pure.

Invariant: `dead` names only a revocation after which a use is surely wrong, `excuse` every one that may make a denial
right; where a child may have been cut loose from its parent, it counts as living on, and its denial as right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .words import by_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.history import Fault, Operation

KINDS: Final = frozenset({"issue", "use", "revoke"})
CLOCK: Final = "clock"  # how the faults begin that move a node's clock


@dataclass
class Life:
    """One of them."""

    key: str
    kind: str = ""
    issue: Operation | None = None
    uses: list[Operation] = field(default_factory=list)
    revokes: list[Operation] = field(default_factory=list)

    @property
    def parent(self) -> str:
        """Key of the parent token, "" if it has none."""
        return str((self.issue.more.get("parent") if self.issue is not None else None) or "")

    @property
    def acknowledged(self) -> Operation | None:
        """The issue that was answered ok."""
        return self.issue if self.issue is not None and self.issue.outcome == "ok" else None


class Lives:
    """All of a run."""

    def __init__(self, operations: Iterable[Operation], faults: Iterable[Fault] = ()) -> None:
        self._clocks_moved = any(fault.name.startswith(CLOCK) for fault in faults)
        self.all: dict[str, Life] = {}
        for key, group in by_key(operations, KINDS).items():
            life = self.all[key] = Life(key)
            for one in group:
                if one.f == "issue":
                    life.issue, life.kind = one, str(one.argument)
                elif one.f == "use":
                    life.uses.append(one)
                elif one.outcome != "fail":
                    life.revokes.append(one)

    def of(self, *kinds: str) -> list[Life]:
        """Those of these kinds."""
        return [life for life in self.all.values() if life.kind in kinds]

    def dead(self, life: Life) -> Operation | None:
        """The revocation that returned first of those that surely ended it."""
        own = [one for one in life.revokes if one.outcome == "ok"]
        return min([*own, *self._trees(life.parent, {life.key})], key=_returned, default=None)

    def _trees(self, key: str, passed: set[str]) -> list[Operation]:
        """Revocations that ended this one's children, too; none if one of another kind may have cut them loose."""
        life = self.all.get(key)
        if life is None or key in passed or any(not one.more.get("tree") for one in life.revokes):
            return []
        own = [one for one in life.revokes if one.outcome == "ok"]
        return own + self._trees(life.parent, passed | {key})

    def excuse(self, life: Life, use: Operation) -> bool:
        """Whether a denial of this use may be right: somebody began to revoke it or a parent, or its time was over."""
        passed: set[str] = set()
        at: Life | None = life
        while at is not None and at.key not in passed:
            passed.add(at.key)
            if any(one.called_ns <= use.returned_ns for one in at.revokes) or self._is_over(at, use):
                return True
            at = self.all.get(at.parent)
        return False

    def _is_over(self, life: Life, use: Operation) -> bool:
        ttl_s: Any = life.issue.more.get("ttl_s") if life.issue is not None else None
        if life.issue is None or ttl_s is None:
            return False
        return self._clocks_moved or use.returned_ns - life.issue.called_ns >= ttl_s * 1e9


def is_denied(use: Operation) -> bool:
    """It was refused as no longer good."""
    return use.outcome == "fail" and use.more.get("denied") is True


def _returned(one: Operation) -> float:
    return one.returned_ns
