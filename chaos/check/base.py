"""What a checker is: a pure function of a run's folder, that says what it looked at and what it did not.

Invariants
  C1  a checker that had nothing to look at says `unknown`, or `skipped` with its reason; never `held`
  C2  `violated` is a proof: it names the operations (by the index of their invocation) that cannot be
  C3  a checker never talks to a cluster and never writes: a stored run is checked again years later
Source: Jepsen, checker.clj (valid? true, false, :unknown; merged by priority).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.folder import RunFolder

Valid = Literal["held", "violated", "unknown", "skipped"]
PRIORITY: tuple[Valid, ...] = ("violated", "unknown", "held", "skipped")
DETAILS_MAX = 20


@dataclass(frozen=True)
class Verdict:
    """What one checker found."""

    checker: str
    valid: Valid
    summary: str  # one sentence with its numbers
    details: tuple[str, ...] = ()  # of a violation: the operations that cannot be, at most DETAILS_MAX
    numbers: dict[str, Any] = field(default_factory=dict)  # for reports and docs/verification.md
    operations: tuple[int, ...] = ()  # indexes of the operations of the first violation

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {
            "checker": self.checker, "valid": self.valid, "summary": self.summary, "details": list(self.details),
            "numbers": self.numbers, "operations": list(self.operations),
        }  # fmt: skip


class Checker(Protocol):
    """One question asked of a run. `verified` and `not_verified` are what readers of a report are told."""

    name: ClassVar[str]
    verified: ClassVar[str]
    not_verified: ClassVar[str]

    def check(self, run: RunFolder) -> Verdict:
        """C1, C2, C3."""
        ...


def held(checker: Checker, summary: str, **numbers: Any) -> Verdict:
    """Looked at enough, found nothing."""
    return Verdict(checker.name, "held", summary, numbers=numbers)


def violated(
    checker: Checker, summary: str, details: Iterable[str] = (), operations: Iterable[int] = (), **numbers: Any
) -> Verdict:
    """C2."""
    listed = tuple(details)
    shown = listed[:DETAILS_MAX]
    if len(listed) > DETAILS_MAX:
        shown = (*shown, f"and {len(listed) - DETAILS_MAX} more")
    return Verdict(checker.name, "violated", summary, shown, numbers, tuple(operations))


def unknown(checker: Checker, why: str, **numbers: Any) -> Verdict:
    """C1: could not be decided."""
    return Verdict(checker.name, "unknown", why, numbers=numbers)


def skipped(checker: Checker, why: str) -> Verdict:
    """The scenario does not have what this looks at."""
    return Verdict(checker.name, "skipped", why)


def merged(verdicts: Iterable[Verdict]) -> Valid:
    """The worst of them; all skipped is unknown: a run that nobody looked at has not held."""
    found = {verdict.valid for verdict in verdicts}
    worst: Valid = next((valid for valid in PRIORITY if valid in found), "unknown")
    return "unknown" if worst == "skipped" else worst
