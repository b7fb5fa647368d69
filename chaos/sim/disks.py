"""What members say of their disks, compared with the platters at the moment they say it.

Most mistakes with durability lose data only after an unlikely second fault; here the false word itself is found.
In the modes buffered and memory "on the platter" means what counts there: written, or in memory. Such a journal is lost
by one node at a time.
Areas verified: a durable acknowledgement names what is on the platter and is the leader's own entry; a commit is on a
majority of platters, of the leader's term; a vote is spoken once a term and is never forgotten; a node that lost its
log neither votes nor stands, and is whole again only when its platter holds what was committed when it lost it; what
a leader credits to a life, that life has.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.links.messages import Ack
    from cluster.raft.boot import Opened
    from cluster.raft.replica import Replica

    from .checks import Checks
    from .member import SimMember
    from .world import World

Held = tuple[int, list[int]]
"""(index of the base, term of the base and of every entry behind it) on a platter. The base is committed."""


def on_platter(member: SimMember) -> Held:
    """What the member would find if it lost power now; what its log does not hold any more is not counted."""
    replica, writer = member.replica, member.writer
    assert replica is not None
    assert writer is not None
    log = replica.log
    count = max(1, bisect.bisect_right(log.sequences, writer.counted_sequence))
    return log.base_index, [entry[2] for entry in log[:count]]


def has_on_platter(member: SimMember, index: int, term: int) -> bool:
    """Whether the member would find the entry, or its log's base above it, if it lost power now."""
    replica, writer = member.replica, member.writer
    assert replica is not None
    assert writer is not None
    log = replica.log
    at = index - log.base_index
    return at <= 0 or (at < len(log) and log[at][2] == term and log.sequences[at] <= writer.counted_sequence)


def holds(held: Held | None, index: int, term: int) -> bool:
    """Whether the entry stands there, or its index is covered by the base."""
    if held is None:
        return False
    base, terms = held
    at = index - base
    return at < 0 or (at < len(terms) and terms[at] == term)


class Disks:
    """All members' words and platters."""

    def __init__(self, world: World, checks: Checks) -> None:
        self.world = world
        self.checks = checks
        self.down: dict[int, Held] = {}  # member that is down → what its platter held when it went down
        self.before: dict[int, Held] = {}  # member that lost its log → what it held, until it is whole again
        self.lost_at: dict[int, int] = {}  # member that lost its log → what was committed then
        self.harmed: set[int] = set()  # members whose disk has rotted, or lost files, at rest
        self.votes: dict[tuple[int, int], str] = {}  # (member, term) → for whom

    # ---- words
    def acknowledged(self, member: SimMember, peer: str, message: Ack) -> None:
        """A durable acknowledgement leaves."""
        replica = member.replica
        assert replica is not None
        index = message.durable
        term = replica.log.term_at(index)
        if term is None:  # covered by a snapshot meanwhile, or never there
            if index > replica.log.last_index:
                self.world.violate("acknowledged what is not on the platter", member.node_id, index)
            return
        if not has_on_platter(member, index, term):
            self.world.violate("acknowledged what is not on the platter", member.node_id, index)
        leader = self.checks.members[int(peer[1:]) - 1].replica
        if leader is not None and leader.is_leader and leader.term == message.term:
            own = leader.log.term_at(index)
            if index > leader.log.last_index or own not in {None, term}:
                self.world.violate("acknowledged another leader's entry", member.node_id, index, term, own)

    def voted(self, member: SimMember, term: int, candidate: str) -> None:
        """A vote, or a request for votes, leaves."""
        if self.votes.setdefault((member.number, term), candidate) != candidate:
            self.world.violate("two votes in a term", member.node_id, term)
        if member.number in self.lost_at:
            self.world.violate("a vote of a node that lost its log", member.node_id, term)

    def committed(self, member: SimMember, replica: Replica, index: int) -> None:
        """A leader has moved its commit index."""
        term = replica.log.term_at(index)
        if term is None:
            if index > replica.log.last_index:
                self.world.violate("committed without a majority of platters", member.node_id, index, 0)
            return
        if term != replica.term:
            self.world.violate("committed an entry of an earlier term", member.node_id, index, term, replica.term)
        holders = sum(self._holds(other, index, term) for other in self.checks.members)
        if holders < replica.quorum:
            self.world.violate("committed without a majority of platters", member.node_id, index, holders)

    def _holds(self, member: SimMember, index: int, term: int) -> bool:
        if member.replica is not None and has_on_platter(member, index, term):
            return True
        held = self.down.get(member.number) if member.replica is None else None
        return holds(held, index, term) or holds(self.before.get(member.number), index, term)

    def credited(self, replica: Replica, peer: str) -> None:
        """A leader has counted an acknowledgement."""
        progress = replica.progress[peer]
        follower = self.checks.members[int(peer[1:]) - 1].replica
        if follower is None or not replica.is_leader or follower.term != replica.term:
            return
        if follower.log.incarnation == progress.incarnation and progress.match > follower.log.last_index:
            self.world.violate("credited what this life does not have", peer, progress.match, follower.log.last_index)

    # ---- lives
    def stops(self, member: SimMember) -> None:
        """A member goes down."""
        self.down[member.number] = on_platter(member)

    def loses_log(self, member: SimMember) -> None:
        """A member that is down has lost its log at rest."""
        self.harmed.add(member.number)
        self.before[member.number] = self.down[member.number]
        self.lost_at[member.number] = self.checks.highest

    def whole(self, member: SimMember) -> None:
        """A member says, in its ballot, that it is not recovering any more."""
        least = self.lost_at.pop(member.number, 0)
        member.rotten_below = None
        self.before.pop(member.number, None)
        base, terms = on_platter(member)
        known = self.checks.history.get(least)
        if base + len(terms) - 1 < least or (known is not None and not holds((base, terms), least, known[0])):
            self.world.violate("recovered too early", member.node_id, base + len(terms) - 1, least)

    def started(self, member: SimMember, replica: Replica, opened: Opened) -> None:
        """A new life has read its files."""
        down = self.down.pop(member.number, None)
        ballot = opened.ballot
        spoken = [(term, vote) for (number, term), vote in self.votes.items() if number == member.number]
        if spoken and (max(spoken)[0] > ballot.term or (max(spoken)[0] == ballot.term != 0 and ballot.vote is None)):
            self.world.violate("a vote is forgotten", member.node_id, max(spoken)[0], ballot.term)
        if ballot.recovering:
            if down is not None and member.number not in self.harmed:
                self.world.violate("recovering, and nothing is lost", member.node_id)
            if down is not None and member.number not in self.lost_at:  # its disk has rotted
                self.before[member.number] = down
                self.lost_at[member.number] = self.checks.highest
            return
        member.rotten_below = None
        if down is None:
            return
        base, terms = down
        for at, term in enumerate(terms):
            index = base + at
            known = self.checks.history.get(index)
            if opened.reset_to is not None and known is not None and known[0] != term:
                continue  # never committed, and a snapshot of what was stands for it
            if index > replica.log.last_index or replica.log.term_at(index) not in {None, term}:
                self.world.violate("what was on the platter is gone", member.node_id, index)
                return
