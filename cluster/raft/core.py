"""The whole algorithm, assembled: dispatch of messages, proposals, the log's front and back.

Nothing here knows what an entry means; `replica.Replica` gives it a state. Invariants: those of election.py,
replication.py, reads.py and snapshots.py; and
  K1  propose appends in the same call: there is no queue between deciding and the log
  K2  a callback of a proposal runs exactly once: applied, or unknown when the role, term or log is lost
  K3  a leader whose disk is full hands over to a follower with space only, which it has shown by writing the whole
      log: without one it stays, refuses writes and serves reads, so that full disks everywhere cost no election
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import FatalError, NotLeaderError, UnavailableError
from ..links.messages import (
    Ack,
    Append,
    Diverged,
    Message,
    PreVote,
    PreVoteAnswer,
    ReadIndexAnswer,
    ReadIndexRequest,
    RequestVote,
    SnapshotAck,
    SnapshotPart,
    TimeoutNow,
    Vote,
)
from .reads import Reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..seams import Clock, Random
    from .chassis import Timing
    from .log import DurableLog

ADOPTING = (Ack, Vote, PreVoteAnswer, SnapshotAck)  # answers whose higher term deposes whoever asked


class Core(Reads):
    """Reads with proposals and dispatch."""

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        self._handlers: dict[type[Message], Callable[[str, Any], None]] = {
            RequestVote: self.on_request_vote,
            Vote: self.on_vote,
            PreVote: self.on_pre_vote,
            PreVoteAnswer: self.on_pre_vote_answer,
            Append: self.on_append,
            Ack: self.on_ack,
            SnapshotPart: self.on_snapshot_part,
            SnapshotAck: self.on_snapshot_ack,
            TimeoutNow: self.on_timeout_now,
            ReadIndexRequest: self.on_read_index_request,
            ReadIndexAnswer: self.on_read_index_answer,
            Diverged: self.on_diverged,
        }
        self.space_ok = True  # the journal can allocate its next segment
        super().__init__(node_id, peers, timing, log, clock, source)

    def __repr__(self) -> str:
        from .chassis import ROLES

        return (
            f"<Raft {self.node_id} {ROLES[self.role]} term={self.term} commit={self.commit_index} "
            f"applied={self.applied_index} log={self.log.base_index}..{self.log.last_index} leader={self.leader}>"
        )

    def on_message(self, peer: str, message: Message) -> None:
        """Dispatch; a higher term in an answer deposes."""
        if isinstance(message, ADOPTING) and message.term > self.term:
            self.adopt(message.term)
            self.postpone_election(self.clock.boot())
            return
        self._handlers[type(message)](peer, message)
        self.wake()

    # ---- proposals
    def may_propose(self) -> None:
        """Raise unless an entry could be appended now: asked before anything is decided."""
        if not self.is_leader:
            raise NotLeaderError(self.leader)
        if not self.noop_applied:
            raise UnavailableError("the new leader has not applied its first entry yet")
        if self.transferring:
            raise UnavailableError("leadership is being handed over")

    def append_entry(self, command: bytes) -> int:
        """K1. The caller has asked may_propose; returns the index."""
        if not self.is_leader:
            raise FatalError("appending without leading")
        index = self.log.last_index + 1
        self.log.add(command, index, self.term)
        self.wake()
        return index

    def transfer_target(self, wanted: object) -> str | None:
        """The most complete follower: connected, not recovering, with the whole log received; K3."""
        last = self.log.last_index
        able = [
            peer
            for peer, progress in sorted(self.progress.items())
            if progress.match == last
            and not progress.recovering
            and self.connected(peer)
            and wanted in {None, peer}
            and (self.space_ok or (progress.space_ok and progress.durable == last))
        ]
        return max(able, key=lambda peer: (self.progress[peer].space_ok, self.progress[peer].durable), default=None)

    def after_tick(self) -> None:
        """K3: as long as this leader has no space, it looks for a follower that has."""
        super().after_tick()
        if not self.space_ok and self.is_leader and not self.transferring and self.transfer_target(None) is not None:
            self.transfer_leadership()

    # ---- implemented by the replica
    def on_snapshot_part(self, peer: str, message: SnapshotPart) -> None:
        """A piece of a snapshot has arrived."""
        raise NotImplementedError

    def on_snapshot_ack(self, peer: str, message: SnapshotAck) -> None:
        """A follower says how far it got."""
        raise NotImplementedError

    def on_diverged(self, peer: str, message: Diverged) -> None:
        """The leader says that this node's state is wrong."""
        raise NotImplementedError
