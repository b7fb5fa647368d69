"""Members with one rule of Raft broken: votes, terms, recovery, replication, commit.

Snapshots and reads: mutants_reads.py. Journal, ballot, start and digest: mutants_journal.py. The request path:
mutants_workload.py. What a mutant is: mutants_base.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from chaos.sim.options import FAULTS
from cluster.journal import ballot as ballots
from cluster.journal import recovery
from cluster.raft import boot
from cluster.raft.election import Election
from cluster.raft.log import DurableLog
from cluster.raft.replica import Replica
from tests.chaos.mutants_base import Mutant, Where, patched
from tests.chaos.mutants_scripts import (
    deaf_follower,
    long_tail,
    longer_and_older,
    lost_before_the_sync,
    many_elections,
    overwritten,
    returns_with_an_old_log,
    rot_and_power,
)

if TYPE_CHECKING:
    from cluster.journal.ballot import Ballot
    from cluster.links.messages import Ack, Append, RequestVote, Vote
    from cluster.raft.progress import Progress
    from cluster.seams import Disk

VOTES = ("two votes in a term", "a vote is forgotten", "election safety", "leader completeness", "fatal")
LOST = (
    "what is committed is cut off",
    "leader completeness", "state machine safety", "log matching", "fatal", "acknowledged and not applied",
    "a write is lost", "committed without a majority of platters", "digests differ",
)
UNDURABLE = ("acknowledged what is not on the platter", "committed without a majority of platters")
FOREIGN = ("acknowledged another leader's entry", "acknowledged what is not on the platter")
RECOVERY = ("a vote of a node that lost its log", "recovered too early", "what was on the platter is gone")
DISTURBED = ("a leader is deposed", "a healthy leader is deposed", "no leader after healing")
QUIET = {"spike_chance": 0.0, "slow_sync_chance": 0.0, "datagram": False, "loss": 0.0, "duplicates": 0.0}
# In three nodes, what a leader and one follower hold is never written over: these rules are those of larger clusters.
_OVERWRITTEN = {
    "nodes": 5, "delay_s": 0.0005, "spike_chance": 0.0, "log_entries_max": 50_000, "log_keep_entries": 4096,
    "writes_per_s": 5.0, "window_bytes_max": 4 << 20, "batch_entries_max": 4096,
}  # fmt: skip
OVERWRITTEN = Where(play=overwritten, changes=_OVERWRITTEN)
OVERWRITTEN_SLOWLY = Where(play=overwritten, changes={**_OVERWRITTEN, "batch_entries_max": 2})
DAMAGE = Where("damage", changes={"faults": {**FAULTS, "lost_log": 0.4, "rot": 0.2}})


# ---- votes (election.py)
class VotesBeforeTheBallot(Replica):
    """E1 (thesis 3.4): a vote leaves while its ballot is on its way to the disk."""

    where = Where(script="slow-ballots")
    caught_by = VOTES

    def speak(self, peer: str, message: RequestVote | Vote) -> None:
        self.send(peer, message)


class GrantsTwoVotes(Replica):
    """E1: the vote given in a term is forgotten at once."""

    caught_by = VOTES

    def may_vote(self, peer: str, message: RequestVote) -> bool:
        return not self.recovering and self.role == 0 and self.up_to_date(message.last_index, message.last_term)


def _term_alone(self: DurableLog, term: int, _voted_for: str | None) -> None:
    self.write_ballot(term=term, vote=None)


class VoteNotPersisted(Mutant):
    """E1, across restarts: the ballot keeps the term and not the vote (thesis 3.8)."""

    product = patched((DurableLog, "setCurrentTerm", _term_alone))
    caught_by = VOTES


class CountsAVoterTwice(Replica):
    """Voters are a set (election.py; PySyncObj counts messages): here a vote that arrives twice counts twice."""

    where = Where("5n-datagram", play=many_elections, changes={"duplicates": 0.5, "loss": 0.4, "core": None})
    caught_by = ("elected without a majority", "election safety", "leader completeness", "fatal")

    def on_vote(self, peer: str, message: Vote) -> None:
        again = peer in self._votes[1] and self._votes[0] == message.term == self.term and message.granted
        if again and self.role == 1:
            self._votes[1].add(f"{peer} again")
        super().on_vote(peer, message)


class VotesForAnybody(Replica):
    """The election restriction (thesis 3.6.1): a candidate whose log is behind gets votes."""

    where = Where(play=longer_and_older)
    caught_by = LOST

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        del last_index, last_term
        return True


class VotesForTheLongerLog(Replica):
    """The election restriction compares terms first (thesis 3.6.1); here the longer log is the better one."""

    where = Where(play=longer_and_older)
    caught_by = LOST

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        del last_term
        return last_index >= self.log.last_index


class StandsWithoutPreVote(Replica):
    """E4 (thesis 9.6): a node whose timer runs out becomes a candidate, and a new term deposes who led well."""

    where = Where(play=returns_with_an_old_log, changes=QUIET)
    caught_by = DISTURBED

    def _start_pre_vote(self) -> None:
        self._pre_vote_won = True
        self.campaign_now(transfer=False)


class VotesAgainstALivingLeader(Replica):
    """E2 (thesis 4.2.3): a vote is given although a leader was heard a moment ago."""

    where = Where(play=deaf_follower, changes={**QUIET, "writes_per_s": 0.2, "reads_per_s": 0.2})
    caught_by = DISTURBED

    def leader_alive(self, now_s: float) -> bool:
        del now_s
        return False


# ---- recovering
class RecoveringVotes(Replica):
    """E3: a node that lost its log votes and stands."""

    where = DAMAGE
    caught_by = RECOVERY

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, False if name == "recovering" else value)


class EndsRecoveryByReceived(Replica):
    """E3 (raft/election.py): recovering ends when everything has arrived, not when it is on the disk."""

    where = DAMAGE
    caught_by = RECOVERY

    def _finish_recovery(self) -> None:
        if self._clear_recovering_at is not None:
            self._clear_recovering_at = None
            Election.end_recovery(self)


def _ballot_without_the_flag(disk: Disk, sequence: int, ballot: Ballot) -> None:
    ballots.write_ballot(disk, sequence, msgspec.structs.replace(ballot, recovering=False))


_write_ballot = DurableLog.write_ballot


class _Forgetful:
    """The writer, without the flag."""

    def __init__(self, writer: object) -> None:
        self._writer = writer

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        self._writer.ballot(sequence, msgspec.structs.replace(ballot, recovering=False))


def _log_without_the_flag(self: DurableLog, **fields: object) -> None:
    writer, self._writer = self._writer, _Forgetful(self._writer)
    _write_ballot(self, **fields)
    self._writer = writer


class RecoveringInMemoryOnly(Mutant):
    """E3: that a node lost its log is known in memory alone, and the next life votes."""

    product = patched(
        (boot, "write_ballot", _ballot_without_the_flag), (DurableLog, "write_ballot", _log_without_the_flag)
    )
    where = DAMAGE
    caught_by = RECOVERY


class _CutFirst:
    """The start, with two of its steps in the other order: what is written to the ballot waits for the cut."""

    waiting: ClassVar[list[tuple[Disk, int, Ballot]] | None] = None
    next_life = staticmethod(boot._next_life)

    @staticmethod
    def begin(disk: Disk, wall_ns: int) -> tuple[int, Ballot]:
        _CutFirst.waiting = []
        return _CutFirst.next_life(disk, wall_ns)

    @staticmethod
    def write(disk: Disk, sequence: int, ballot: Ballot) -> None:
        if _CutFirst.waiting is None:
            ballots.write_ballot(disk, sequence, ballot)
        else:
            _CutFirst.waiting.append((disk, sequence, ballot))

    @staticmethod
    def rewrite(disk: Disk, recovered: recovery.Recovered) -> recovery.LogStart:
        start = recovery.rewrite(disk, recovered)
        waiting, _CutFirst.waiting = _CutFirst.waiting or [], None
        for due in waiting:
            ballots.write_ballot(*due)
        return start


class CutsBeforeTheFlag(Mutant):
    """B2: the log is cut before the ballot says that something is lost; power that fails in between hides it."""

    product = patched(
        (boot, "_next_life", _CutFirst.begin),
        (boot, "write_ballot", _CutFirst.write),
        (boot, "rewrite", _CutFirst.rewrite),
    )
    where = Where(play=rot_and_power)
    caught_by = RECOVERY


# ---- the follower's half (following.py)
class TruncatesWhatMatches(Replica):
    """R1: every append cuts the log behind its previous entry."""

    caught_by = (*LOST, "what was on the platter is gone", "credited what this life does not have")

    def standing(self, prev: int, entries: list[tuple[int, bytes]]) -> int:
        return max(0, min(len(entries), self.commit_index - prev))


class AppendsWithoutComparing(Replica):
    """R1 (thesis 3.5): the entry before an append is not compared with the leader's."""

    where = Where(script="aba")
    caught_by = (*LOST, *FOREIGN)

    def _compare(self, peer: str, message: Append) -> None:
        term = self.log.term_at(message.prev_index)
        super()._compare(peer, message if term is None else msgspec.structs.replace(message, prev_term=term))


class CommitsWhatItDidNotCompare(Replica):
    """R2: the leader's commit index is believed up to the end of the own log."""

    where = Where(play=long_tail)
    caught_by = LOST

    def _accept(self, peer: str, message: Append, match: int) -> None:
        self.commit_index = max(self.commit_index, min(message.commit_index, self.log.last_index))
        super()._accept(peer, message, match)


class ReportsWhatItDidNotCompare(Replica):
    """R4 (raft/following.py): durable is not capped by what was compared with this leader."""

    where = Where(script="aba")
    caught_by = (*FOREIGN, *UNDURABLE)

    def durable_verified(self) -> int:
        return self.log.durable()


class ReportsWhatAnEarlierLeaderCompared(Replica):
    """R4: what was compared with the leader of an earlier term counts for the next one."""

    where = OVERWRITTEN_SLOWLY
    caught_by = (*FOREIGN, *UNDURABLE, "credited what this life does not have", "log matching")

    def _forget_leader(self) -> None:
        self._durable_told = 0
        self._ack_round = None


class ReportsReceivedAsDurable(Replica):
    """R4: a follower acknowledges as durable what it has only received."""

    caught_by = UNDURABLE

    def durable_verified(self) -> int:
        return self.verified


# ---- the leader's half (leading.py, progress.py)
class CreditsEveryLife(Replica):
    """R3: incarnations are ignored: an acknowledgement of an earlier life of a follower counts."""

    where = Where(play=lost_before_the_sync)
    caught_by = ("credited what this life does not have", "committed without a majority of platters")

    def count_life(self, peer: str, incarnation: int) -> bool:
        self.progress[peer].incarnation = max(self.progress[peer].incarnation, incarnation)
        return True


class CreditsEveryTerm(Replica):
    """R3 (raft/leading.py): an acknowledgement of an earlier term of this leader counts in this one."""

    where = OVERWRITTEN
    caught_by = ("credited what this life does not have", "committed without a majority of platters", "log matching")

    def on_ack(self, peer: str, message: Ack) -> None:
        if message.term < self.term:
            message = msgspec.structs.replace(message, term=self.term, round=min(message.round, self.round))
        super().on_ack(peer, message)


class NextIndexGoesBack(Replica):
    """P1 (raft/progress.py; docs/decisions/0001): an acknowledgement puts the next index back; all is sent again."""

    caught_by = ("the next index went back",)

    def _credit(self, progress: Progress, message: Ack, now_s: float) -> None:
        super()._credit(progress, message, now_s)
        progress.next = progress.match + 1


class CountsItselfUndurable(Replica):
    """R5 (raft/leading.py): the leader counts what is not on its own disk yet."""

    where = Where(script="one-fast-disk")
    caught_by = UNDURABLE

    def own_durable(self) -> int:
        return self.log.last_index


class CountsReceived(Replica):
    """R5: the leader counts what followers have received."""

    where = Where(script="one-fast-disk")
    caught_by = UNDURABLE

    def credited_durable(self, message: Ack) -> int:
        return message.next_index - 1


class CountsOneTooFew(Replica):
    """R5: one durable copy less than a majority commits."""

    caught_by = ("committed without a majority of platters",)

    def majority_durable(self) -> int:
        held = sorted([self.own_durable(), *(p.durable for p in self.progress.values())], reverse=True)
        return min(held[self.quorum - 2], self.log.last_index)


class CommitsOlderTerms(Replica):
    """R5 (thesis 3.6.2, figure 3.7): an entry of an earlier term is committed by counting."""

    caught_by = ("committed an entry of an earlier term", *LOST)

    def advance_commit(self) -> None:
        self.commit_index = max(self.commit_index, self.majority_durable())
