"""Votes: who may ask, who may give, and what must be on disk before a vote is spoken.

Invariants
  E1  one vote per term, across restarts: a granted vote and a vote request leave only when their ballot is durable,
      and a candidate's own vote counts only then                                   (thesis 3.4, Election Safety)
  E2  no vote and no pre-vote within election_min_s of the last word of a leader, nor of the own start, nor by a
      deposed leader of the last round a majority acknowledged; a cluster of one has nobody to wait for, and stands
      as soon as its ballot is durable                                              (thesis 4.2.3; what leases need)
  E3  a recovering node (it lost a part of its log) neither votes nor campaigns until it holds, durably, everything
      that was committed before this life, and the ballot that says so is durable
  E4  nobody campaigns without a majority of pre-votes, except on the word of the leader of the very term (3.10, 9.6)
  E5  nobody campaigns while its ballot is on its way to the disk, and who loses waits longer each time: elections end
      on disks that take longer to sync than an election timeout, too
  E6  a node that comes with less than its peers know of it (its disk was put back) is recovering from then on, and if
      it has spoken as the life that they know, it goes on as another, because they have counted what that one held
  E7  a recovering node may have forgotten a vote by which the leader it hears was deposed: it acknowledges nothing
      until a leader that only its word would keep has noticed that it has no majority (check-quorum, election_max_s)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..journal.ballot import forgotten
from ..links.messages import Message, PreVote, PreVoteAnswer, RequestVote, TimeoutNow, Vote
from .chassis import CANDIDATE, FOLLOWER, LEADER, Chassis, Timing

if TYPE_CHECKING:
    from ..seams import Clock, Random
    from .log import DurableLog

HELD_MAX = 256  # messages that wait for a ballot; far above what one election sends
QUIET = 1.25  # E7: so many election_max_s; clocks differ in rate, and an acknowledgement may be on its way
PATIENCE_MAX = 6  # E5: a candidate waits at most so many election_min_s longer than usual


class Election(Chassis):
    """Chassis with pre-vote, stickiness, durable votes, recovering nodes and leadership transfer."""

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        self._votes: tuple[int, set[str]] = (0, set())
        self._pre_votes: tuple[int, set[str]] = (0, set())
        self._pre_vote_won = False
        self._held: list[tuple[int, str, Message]] = []
        self._transfer_told: int | None = None  # term whose leader told us to campaign
        self._transfer: dict[str, float | str | None] | None = None  # as leader: a hand-over under way
        self._campaigns: tuple[int, int] = (0, 0)  # (term of the newest, how many since a leader was known)
        self._clearing: int | None = None  # sequence of the ballot that ends recovering
        self.recovering = log.ballot.recovering
        self.clock_is_sane = True
        self._quiet_until_s = -math.inf
        self.contact_s = -math.inf
        super().__init__(node_id, peers, timing, log, clock, source)
        self._quiet_until_s = self._quiet_end()
        self.contact_s = self.clock.boot()  # E2: a restarted node has forgotten whom it promised what
        # The term is at least that of the ballot, the last entry and the snapshot; the vote belongs to the ballot's.
        if self.term > log.ballot.term:
            self.set_term(self.term, None)
        if not peers:
            self.campaign_now(transfer=False)  # E2 protects whom others elected: a cluster of one has no others

    # ---- what waits for a ballot
    def speak(self, peer: str, message: RequestVote | Vote) -> None:
        """Send once the newest ballot is durable; dropped if the term is over by then."""
        if self.log.ballot_durable:
            self.send(peer, message)
            return
        self._held.append((self.log.ballot_sequence, peer, message))
        del self._held[:-HELD_MAX]

    def on_ballot_durable(self, sequence: int) -> None:
        """The journal has synced the ballot."""
        self._enter()
        self.log.on_ballot(sequence)
        if self._clearing is not None and self.log.ballot_done >= self._clearing:
            self._clearing = None
            self.recovering = False
        held, self._held = self._held, []
        for needed, peer, message in held:
            if message.term != self.term:  # type: ignore[attr-defined] # both kinds have one
                continue
            if needed <= self.log.ballot_done:
                self.send(peer, message)
            else:
                self._held.append((needed, peer, message))
        if self.role == CANDIDATE:
            if self.log.ballot_durable:
                self._wait_for_votes()
            self._count_votes()
        self.send_soon()
        self.wake()

    # ---- the tick's part
    def before_tick(self) -> None:
        """Pre-vote stands before the library's election; who may not campaign keeps its timer ahead."""
        now = self.clock.boot()
        if self._transfer is not None and self.is_leader:
            self.tick_transfer(now)
        if self.is_leader:
            if not self.clock_is_sane:
                self.step_down()
            return
        if self.recovering or not self.clock_is_sane:
            self.postpone_election(now)
        elif self._transfer_told is not None or self._pre_vote_won or not self.election_due:
            return
        elif not self.log.ballot_durable:
            if self.peers:
                self.postpone_election(now)  # E5; alone, the sync of the ballot is all there is to wait for
        elif self.peers:
            self.postpone_election(now)
            if not self.leader_alive(now):  # E2: a deposed leader keeps its promise by not standing either
                self._start_pre_vote()

    def may_campaign(self) -> bool:
        """E3, E4; a timer that runs out between two looks at the clock changes nothing."""
        if self.recovering or not self.clock_is_sane:
            return False
        return self._pre_vote_won or self._transfer_told is not None or (not self.peers and self.log.ballot_durable)

    def after_tick(self) -> None:
        """A won pre-vote is good for one campaign."""
        self._pre_vote_won = False
        if self.role == CANDIDATE and self._campaigns[0] != self.term:
            self._campaigns = (self.term, self._campaigns[1] + 1)
            self._wait_for_votes()
        if self._transfer_told is not None and self.role != FOLLOWER:
            self._transfer_told = None

    def _wait_for_votes(self) -> None:
        """E5. The first campaign waits as long as anybody; every further one longer."""
        patience = min(self._campaigns[1] - 1, PATIENCE_MAX)
        self.postpone_election(self.clock.boot() + max(0, patience) * self.timing.election_min_s)

    def _start_pre_vote(self) -> None:
        self._pre_votes = (self.term + 1, set())
        request = PreVote(self.term, self.log.last_index, self.log.last_term)
        for peer in self.peers:
            self.send(peer, request)

    def on_vote_request_due(self, peer: str, request: RequestVote) -> None:
        """The library has made this node a candidate."""
        transfer = self._transfer_told is not None and self._transfer_told + 1 == request.term
        self.speak(peer, RequestVote(request.term, request.last_index, request.last_term, transfer))

    def on_elected(self) -> bool:
        """E1: alone in the cluster, the own vote still has to be durable."""
        return self.log.ballot_durable

    # ---- terms and roles
    def adopt(self, term: int) -> None:
        """A higher term was heard: follower in it, nobody voted for, no leader known."""
        self._transfer_told = None  # whoever told us leads no more
        self.set_term(term, None)
        self.become_follower()
        self.leader = None

    def on_term(self, term: int) -> None:
        """A transfer belongs to its term."""
        if self._transfer_told is not None and term != self._transfer_told + 1:
            self._transfer_told = None

    def step_down(self) -> None:
        """A leader gives up its term."""
        self.become_follower()
        self.leader = None
        self.postpone_election(self.clock.boot())

    def leader_alive(self, now_s: float) -> bool:
        """E2: whether a vote now could depose a leader that a majority hears."""
        if self.is_leader:
            return 1 + self.answered_since(now_s - self.timing.election_min_s) >= self.quorum
        return now_s - self.contact_s < self.timing.election_min_s

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """The election restriction (thesis 3.6.1)."""
        return (last_term, last_index) >= (self.log.last_term, self.log.last_index)

    # ---- messages
    def on_request_vote(self, peer: str, message: RequestVote) -> None:
        """Grant, refuse, or, while a leader is alive, say nothing."""
        now = self.clock.boot()
        if message.transfer:
            if self.is_leader and not self.transfer_sent:
                return
        elif self.leader_alive(now):
            return
        if message.term > self.term:
            self.adopt(message.term)
        if message.term < self.term:
            self.speak(peer, Vote(self.term, granted=False))
            return
        if not self.may_vote(peer, message):
            return
        self.set_term(self.term, peer)
        self.postpone_election(now)
        self.speak(peer, Vote(self.term, granted=True))

    def may_vote(self, peer: str, message: RequestVote) -> bool:
        """E1, E3 and the election restriction."""
        return (
            not self.recovering
            and self.role == FOLLOWER
            and self.vote in {None, peer}
            and self.up_to_date(message.last_index, message.last_term)
        )

    def on_vote(self, peer: str, message: Vote) -> None:
        """Voters are a set: a vote that arrives twice counts once."""
        if self.role != CANDIDATE or message.term != self.term or not message.granted:
            return
        self.log.remember(peer, term=message.term)
        if self._votes[0] != self.term:
            self._votes = (self.term, set())
        self._votes[1].add(peer)
        self._count_votes()

    def _count_votes(self) -> None:
        votes = len(self._votes[1]) if self._votes[0] == self.term else 0
        if votes + (1 if self.log.ballot_durable else 0) >= self.quorum:
            self.become_leader()

    def on_pre_vote(self, peer: str, message: PreVote) -> None:
        """Answered always, so that a node with an old term learns the present one."""
        granted = (
            not self.recovering
            and not self.leader_alive(self.clock.boot())
            and message.term >= self.term
            and self.up_to_date(message.last_index, message.last_term)
        )
        self.send(peer, PreVoteAnswer(self.term, message.term + 1, granted))

    def on_pre_vote_answer(self, peer: str, message: PreVoteAnswer) -> None:
        """A majority lets the next tick campaign."""
        for_term, granted = self._pre_votes
        if not message.granted or message.for_term != for_term or for_term != self.term + 1 or self.is_leader:
            return
        granted.add(peer)
        if len(granted) + 1 >= self.quorum and not self.recovering:
            self._pre_votes = (0, set())
            self._pre_vote_won = True
            self.campaign_now(transfer=False)
            self.wake()

    # ---- leadership transfer (thesis 3.10)
    @property
    def transfer_sent(self) -> bool:
        """TimeoutNow has left in this term: the term is burnt and no lease may be given in it again."""
        return self._transfer is not None and self._transfer["sent"] is not None

    @property
    def transferring(self) -> bool:
        """A hand-over is under way: nothing new is proposed."""
        return self._transfer is not None

    def transfer_leadership(self, target: str | None = None) -> bool:
        """Begin to hand over to `target`, or to the most complete follower. False unless this node leads."""
        self._enter()
        if not self.is_leader or self._transfer is not None or not self.peers:
            return False
        self._transfer = {"target": target, "sent": None, "until": self.clock.boot() + self.timing.election_max_s}
        self.wake()
        return True

    def tick_transfer(self, now_s: float) -> None:
        """Send TimeoutNow when a target has the whole log; give up before that if none comes in time."""
        assert self._transfer is not None
        sent, until = self._transfer["sent"], self._transfer["until"]
        if sent is not None:
            assert isinstance(sent, float)
            if now_s - sent > self.timing.election_max_s:
                self.step_down()  # the target may still campaign on our word: this term is over
            return
        target = self.transfer_target(self._transfer["target"])
        if target is not None:
            self._transfer["sent"] = now_s
            self.send(target, TimeoutNow(self.term))
        else:
            assert isinstance(until, float)
            if now_s > until:
                self._transfer = None  # nothing was sent: the term is still good

    def transfer_target(self, wanted: object) -> str | None:
        """A connected follower that has received the whole log."""
        raise NotImplementedError

    def on_timeout_now(self, peer: str, message: TimeoutNow) -> None:
        """Only the leader of the present term may say so, and only to a node that may vote."""
        if message.term != self.term or peer != self.leader or self.role != FOLLOWER or self.recovering:
            return
        if not self.clock_is_sane:
            return
        self._transfer_told = message.term
        self.campaign_now(transfer=True)
        self.wake()

    def on_role(self, old: int, new: int) -> None:
        """A hand-over ends with the role."""
        if LEADER in {old, new}:
            self._transfer = None
        if new == LEADER:
            self._campaigns = (0, 0)

    def leader_heard(self, peer: str, now_s: float) -> None:
        """A leader of this term spoke: its follower in it, and no vote for anybody for a while (E2)."""
        self.become_follower()
        if self._transfer_told is None:
            self.postpone_election(now_s)
        self.contact_s = now_s
        self._pre_votes = (0, set())
        self._campaigns = (0, 0)
        self.leader = peer

    def meet(self, known: tuple[int, int], life: int = 0) -> bool:
        """E6. `known`: a term in which a peer says this node voted, and a committed index that was on its disk; `life`:
        the latest incarnation of this node that the peer has heard of.

        True: this node goes on as a later life, and nothing may be said to the peer before that life is durable.
        """
        self._enter()
        term, index = known
        ballot = self.log.ballot
        less = term > ballot.term or index > self.log.last_index or forgotten(ballot, life)
        counted = life > ballot.incarnation or (life == ballot.incarnation and index > self.log.last_index)
        if less and (not self.recovering or self._clearing is not None):  # what ends it now may not be the end
            self.recovering = True
            self._clearing = None
            self._quiet_until_s = self._quiet_end()
            self.log.write_ballot(recovering=True)
            if self.role != FOLLOWER:
                self.step_down()
        if counted:
            self.log.begin_life(life + 1)
        return counted

    def _quiet_end(self) -> float:
        return self.clock.boot() + QUIET * self.timing.election_max_s

    @property
    def quiet(self) -> bool:
        """E7."""
        return self.recovering and self.clock.boot() < self._quiet_until_s

    def end_recovery(self) -> None:
        """E3: this node votes again once the ballot that says so is durable. What earlier lives held is made good."""
        self.log.write_ballot(recovering=False, lives=(self.log.ballot.incarnation,))
        self._clearing = self.log.ballot_sequence
