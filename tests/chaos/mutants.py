"""Replicas with one rule switched off, each by overriding one small method: the simulator must find them out.

They live here and nowhere else: no product code has a switch that weakens a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.raft.election import Election
from cluster.raft.replica import Replica

if TYPE_CHECKING:
    from cluster.links.messages import Ack, Append, RequestVote, Vote
    from cluster.raft.reads import ReadCallback


class VotesBeforeTheBallot(Replica):
    """E1: a vote leaves while its ballot is on its way to the disk."""

    def speak(self, peer: str, message: RequestVote | Vote) -> None:
        self.send(peer, message)


class RecoveringVotes(Replica):
    """E3: a node that lost its log votes and stands."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, False if name == "recovering" else value)


class TruncatesWhatMatches(Replica):
    """R1: every append cuts the log behind its previous entry."""

    def standing(self, prev: int, entries: list[tuple[int, bytes]]) -> int:
        return max(0, min(len(entries), self.commit_index - prev))


class CommitsWhatItDidNotCompare(Replica):
    """R2: the leader's commit index is believed up to the end of the own log."""

    def _accept(self, peer: str, message: Append, match: int) -> None:
        self.commit_index = max(self.commit_index, min(message.commit_index, self.log.last_index))
        super()._accept(peer, message, match)


class CreditsEveryLife(Replica):
    """R3: an acknowledgement of an earlier life of a follower counts."""

    def count_life(self, peer: str, incarnation: int) -> bool:
        self.progress[peer].incarnation = max(self.progress[peer].incarnation, incarnation)
        return True


class ReportsWhatItDidNotCompare(Replica):
    """R4: a follower reports its whole disk as durable, the tail of another leader too."""

    def durable_verified(self) -> int:
        return self.log.durable()


class ReportsReceivedAsDurable(Replica):
    """R4: a follower reports what it has only received."""

    def durable_verified(self) -> int:
        return self.verified


class CountsItselfUndurable(Replica):
    """R5: the leader counts what is not on its own disk yet."""

    def own_durable(self) -> int:
        return self.log.last_index


class CountsReceived(Replica):
    """R5: the leader counts what followers have received."""

    def credited_durable(self, message: Ack) -> int:
        return message.next_index - 1


class CommitsOlderTerms(Replica):
    """R5: an entry of an earlier term is committed by counting."""

    def advance_commit(self) -> None:
        self.commit_index = max(self.commit_index, self.majority_durable())


class ReadsBeforeTheNoOp(Replica):
    """X1: a new leader confirms reads with the commit index it had as a follower."""

    def read_index(self, callback: ReadCallback) -> None:
        if self.is_leader:
            self._enter()
            self._confirm(self.clock.boot(), callback)
        else:
            super().read_index(callback)


class ReadsByAnEarlierRound(Replica):
    """X2: a round that began before the read confirms it."""

    def _confirm(self, since_s: float, callback: ReadCallback) -> None:
        self._confirming.append((self.majority_round, self.commit_index, since_s, callback))


class GrantsTwoVotes(Replica):
    """E1: the vote given in a term is forgotten at once."""

    def may_vote(self, peer: str, message: RequestVote) -> bool:
        return not self.recovering and self.role == 0 and self.up_to_date(message.last_index, message.last_term)


class VotesForAnybody(Replica):
    """The election restriction: a candidate whose log is behind gets votes."""

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        del last_index, last_term
        return True


class EndsRecoveryByReceived(Replica):
    """E3: recovering ends when everything has arrived, not when it is on the disk."""

    def _finish_recovery(self) -> None:
        if self._clear_recovering_at is not None:
            self._clear_recovering_at = None
            Election.end_recovery(self)
