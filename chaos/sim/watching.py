"""The product's replica and log, watched: every method reports to the checks and does what the product does.

Mutants in the tests are subclasses of the product's Replica that are given to the run; they are watched as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.raft.chassis import LEADER
from cluster.raft.log import DurableLog
from cluster.raft.replica import Replica

if TYPE_CHECKING:
    from cluster.journal.handle import WriterHandle
    from cluster.links.messages import Ack
    from cluster.raft.boot import Opened

    from .member import SimMember


class WatchedLog(DurableLog):
    """Reports a leader that removes anything from its own log (thesis, Leader Append-Only), and a commit cut off."""

    def __init__(self, writer: WriterHandle, opened: Opened, member: SimMember) -> None:
        self._member = member
        super().__init__(writer, opened)

    def _only_appends(self) -> None:
        replica = self._member.replica
        if replica is not None and replica.is_leader:
            self._member.world.violate("leader append-only", self._member.node_id, replica.term)

    def _cuts(self, first: int) -> None:
        history = self._member.checks.history
        for _, index, term in self.slice(first, len(self)):
            if history.get(index, (0, b""))[0] == term:
                self._member.world.violate("what is committed is cut off", self._member.node_id, index, term)
                return

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 - the library's names
        """See DurableLog."""
        self._only_appends()
        self._cuts(self[entryFrom][1])
        super().deleteEntriesFrom(entryFrom)

    def reset(self, index: int, term: int) -> int:
        """See DurableLog."""
        self._only_appends()
        if self.term_at(index) == term:  # else what is behind it is another leader's
            self._cuts(index + 1)
        return super().reset(index, term)


class WatchedReplica(Replica):
    """The product's replica."""

    member: SimMember

    def install(self, index: int, term: int, command: bytes) -> None:
        """Report, then do; then both states of that index must be equal."""
        checks = self.member.checks
        checks.applied(self.member, index, term, command)
        super().install(index, term, command)
        checks.same_state(self.member, index, self.state.digest)

    def on_role(self, old: int, new: int) -> None:
        """Report a change of leadership."""
        super().on_role(old, new)
        if new == LEADER:
            self.member.checks.elected(self.member, self)
        elif old == LEADER:
            self.member.checks.deposed(self.member, self)

    def advance_commit(self) -> None:
        """Report a new commit index."""
        before = self.commit_index
        super().advance_commit()
        if self.commit_index > before:
            self.member.checks.disks.committed(self.member, self, self.commit_index)

    def on_ack(self, peer: str, message: Ack) -> None:
        """Report what is credited; a success takes nothing back that was sent (progress.py, P1)."""
        progress = self.progress.get(peer)
        life, before = (0, 0) if progress is None else (progress.incarnation, progress.next)
        super().on_ack(peer, message)
        if not self.is_leader or progress is None:
            return
        self.member.checks.disks.credited(self, peer)
        if message.success and progress.incarnation == life and progress.next < before:
            self.member.world.violate("the next index went back", self.node_id, peer, before, progress.next)

    def replace_state(self) -> None:
        """A snapshot is installed: it is the state of its index."""
        before = self.applied_index
        super().replace_state()
        if self.state.applied_index <= before:
            self.member.world.violate("a snapshot took the state back", self.node_id, before, self.state.applied_index)
        self.member.world.stats["installs"] += 1
        self.member.checks.same_state(self.member, self.state.applied_index, self.state.digest)

    def end_recovery(self) -> None:
        """Report a node that is whole again."""
        self.member.checks.disks.whole(self.member)
        super().end_recovery()


def watched_class(member: SimMember, replica_class: type[Replica]) -> type[Replica]:
    """A class of the member's own, over a mutant if one is given."""
    bases = (WatchedReplica,) if replica_class is Replica else (WatchedReplica, replica_class)
    return type("Watched", bases, {"member": member})
