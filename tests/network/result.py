"""What a scenario says at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.network.judging import Verdict
    from tests.network.writing import Writing


@dataclass
class Result:
    """One line of the table; `notes` are figures of this scenario alone."""

    name: str
    began_s: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    acknowledged: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    unresolved: int = 0
    problems: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.problems and not any(self.lost.values()) and not self.unresolved

    def take(self, verdict: Verdict, writing: Writing) -> None:
        """The verdict on the scenario's writers is its own."""
        self.acknowledged += verdict.acknowledged
        for name, lost in verdict.lost.items():
            self.lost[name] = self.lost.get(name, 0) + lost
        self.problems += verdict.problems + writing.unexpected
        self.unresolved += len(writing.unresolved)
        self.notes["outcomes"] = writing.outcomes
        self.seconds = time.monotonic() - self.began_s

    def need(self, holds: bool, otherwise: str) -> None:
        """What must hold beside the writes."""
        if not holds:
            self.problems.append(otherwise)
