"""Replication, whole: the leader's and the follower's half, and the installing of what is committed.

Invariants R1-R8: following.py and leading.py.
Source: Raft thesis 3.5, 3.6.
"""

from __future__ import annotations

from ..errors import FatalError
from .following import Following
from .leading import Leading

APPLY_BUDGET_S = 0.005
APPLY_SLICE = 64


class Replication(Leading, Following):
    """Election with a log that is replicated and applied."""

    apply_budget_s = APPLY_BUDGET_S

    def install(self, index: int, term: int, command: bytes) -> None:
        """Install a committed entry in the state; the replica does."""
        raise NotImplementedError

    def apply_committed(self) -> None:
        """Install committed entries for at most apply_budget_s and one entry; the next turn goes on."""
        if self.applied_index >= self.commit_index:
            return
        end_s = self.clock.boot() + self.apply_budget_s
        while self.applied_index < self.commit_index:
            entries = self.log.slice(self.applied_index + 1, min(APPLY_SLICE, self.commit_index - self.applied_index))
            if not entries or entries[0][1] != self.applied_index + 1:
                raise FatalError(f"cannot apply {self.applied_index + 1}: the log starts at {self.log.base_index}")
            for command, index, term in entries:
                self.install(index, term, command)
                self.applied_index = index
                if self.clock.boot() > end_s:
                    self.wake()
                    return
