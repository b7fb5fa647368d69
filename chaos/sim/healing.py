"""The second half of a run: everything heals, or a majority alone does, for ever; then the cluster must work.

Liveness, 2.6 s behind the last message that was sent before, or up to PATIENCE_S later where two candidates have failed
often: somebody leads, a write on the leader is acknowledged and a read on every healed member is answered within
ANSWER_S, and nobody deposes that leader any more, whatever the members that did not heal do. One exception: an election
that nobody finished before may have left a higher term with a member that comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.journal.ballot import read_ballot

if TYPE_CHECKING:
    from cluster.errors import StrongroomError
    from cluster.raft.reads import ReadCallback
    from cluster.raft.replica import Replica

    from .checks import Checks
    from .clients import Clients
    from .member import SimMember
    from .network import Network
    from .world import World

ANSWER_S = 1.0
AGAIN_S = 0.5
PATIENCE_S = 8.0  # twice as long as the most patient candidate waits (election.py, E5)
REST_S = 1.6  # without requests, before everything is compared
FLAP_S = 0.6


class Healing:
    """The end of the faults, and what must be possible then."""

    def __init__(
        self, world: World, members: list[SimMember], network: Network, clients: Clients, checks: Checks
    ) -> None:
        self.world = world
        self.members = members
        self.network = network
        self.clients = clients
        self.checks = checks
        self.core = members
        self.judged = False  # what must be possible was asked for and judged
        self._term_left = 0  # the highest that any member had when the world healed

    def heal(self) -> None:
        """No more faults, in the core at least; everything of it comes up."""
        world = self.world
        world.healed = True
        self.network.heal()
        self.core = self._choose_core()
        self.checks.core = self.core
        world.trace("healed", *(member.node_id for member in self.core))
        for member in self.members:
            member.disk.space_bytes = None
            member.disk.sync_error = member.disk.write_error = None
            member.disarm()
            self._term_left = max(self._term_left, _term(member))
            if member in self.core:
                member.go_on()
                world.at(0.01, member.start)
            else:
                self._break(member)
        world.at(world.options.heal_s - REST_S - ANSWER_S, self._settled)

    def _choose_core(self) -> list[SimMember]:
        """All, or the smallest majority of members that are whole."""
        everybody = list(self.members)
        quorum = len(everybody) // 2 + 1
        whole = [member for member in everybody if self._whole(member)]
        if self.world.options.core is None or len(whole) < quorum:
            return everybody
        self.world.stats[f"core only, others {self.world.options.core}"] += 1
        return sorted(self.world.rng.sample(whole, quorum), key=lambda member: member.number)

    def _whole(self, member: SimMember) -> bool:
        if member.replica is not None:
            recovering = member.replica.recovering
        else:  # it may have ended before the end of its recovery was durable
            found = read_ballot(member.disk)
            recovering = found is not None and found[1].recovering
        return not recovering and member.rotten_below is None and member.number not in self.checks.disks.lost_at

    # ---- those that do not heal
    def _break(self, member: SimMember) -> None:
        how = self.world.options.core
        if how == "dead":
            member.stays_down = True
            member.crash("for ever", power=True)
        elif how == "cut":
            self.network.cut.update(self._links(member))
            self.world.at(0.01, member.start)
        else:  # first it is gone for so long that one of the core leads
            absent_s = self.world.options.heal_s - REST_S - ANSWER_S + self.world.rng.random()
            member.go_on()
            member.crash("flapping", power=True, down_s=absent_s)
            self.world.at(absent_s, member.start)
            self.world.at(absent_s + FLAP_S, self._flap, member)

    def _links(self, member: SimMember) -> list[tuple[int, int]]:
        others = [other.number for other in self.members if other is not member]
        return [pair for other in others for pair in ((member.number, other), (other, member.number))]

    def _flap(self, member: SimMember) -> None:
        """It comes and goes: killed, cut off in one direction or both, or standing still."""
        rng = self.world.rng
        self.network.cut.difference_update(self._links(member))
        draw = rng.randrange(4)
        if draw == 0:
            member.crash("flapping", power=rng.random() < 0.5, down_s=rng.random() * FLAP_S)
        elif draw == 1:
            self.network.cut.update(self._links(member))
        elif draw == 2:
            self.network.cut.update(rng.sample(self._links(member), 1))
        else:
            member.paused_until_s = max(member.paused_until_s, self.world.now_s + rng.random() * FLAP_S)
        self.world.at(0.1 + rng.random() * 2 * FLAP_S, self._flap, member)

    # ---- what must be possible
    def _leader(self) -> tuple[SimMember, Replica] | None:
        replicas = [(member, member.replica) for member in self.core if member.replica is not None]
        leading = [(replica.term, member, replica) for member, replica in replicas if replica.noop_applied]
        if not leading:
            return None
        _, member, replica = max(leading, key=lambda found: found[0])
        return member, replica

    def _settled(self) -> None:
        world = self.world
        found = self._leader()
        if found is None:
            if world.now_s < world.options.chaos_s + world.options.heal_s + PATIENCE_S:
                world.stats["half seconds without a leader after healing"] += 1
                world.at(AGAIN_S, self._settled)
            else:
                world.violate("no leader after healing", *(member.replica for member in self.core))
            return
        if found[1].term >= self._term_left:
            self.checks.settled = True
        self._ask(found[0])

    def _ask(self, leader: SimMember) -> None:
        """A write and reads that must be answered in time."""
        acknowledged = self.world.stats["acknowledged"]
        self.clients.burst(leader, 3)
        waiting = {member.number for member in self.core if member.replica is not None}
        for member in self.core:
            if member.replica is not None:
                member.guard(member.replica.read_index, _answered(waiting, member.number))
        self.world.at(ANSWER_S, self._judge, acknowledged, waiting)

    def _judge(self, acknowledged: int, waiting: set[int]) -> None:
        self.judged = True
        if self.world.stats["acknowledged"] == acknowledged:
            self.world.violate("no write was acknowledged after healing")
        if waiting:
            self.world.violate("reads are not answered after healing", sorted(waiting))


def _answered(waiting: set[int], number: int) -> ReadCallback:
    def answered(_index: int, error: StrongroomError | None) -> None:
        if error is None:
            waiting.discard(number)

    return answered


def _term(member: SimMember) -> int:
    if member.replica is not None:
        return member.replica.term
    found = read_ballot(member.disk)
    return 0 if found is None else found[1].term
