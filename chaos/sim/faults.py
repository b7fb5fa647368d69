"""Faults of processes, power and links: what breaks, when, and how long. breakage.py has those of disks.

A fault is a method named in the options with its weight; a script (scripts.py) is one more. Nothing strikes while a
script plays, nor after healing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .breakage import Breakage
from .journal import Ended
from .stage import Stage

if TYPE_CHECKING:
    from .clients import Clients
    from .member import SimMember
    from .network import Network
    from .world import World


VOTE_CRASH_CHANCE = 0.04
STEPS_MAX = 40  # of a handler or of a disk, until an armed fault strikes
FIRST_S = 0.8  # about when somebody leads


class Faults(Breakage):
    """The nemesis of one run."""

    def __init__(self, world: World, members: list[SimMember], network: Network, clients: Clients) -> None:
        super().__init__(world, members)
        self.network = network
        self.clients = clients
        self.stage = Stage(world, members, network, clients)
        for member in members:
            member.on_vote_spoken = self.spoke_of_a_vote
        world.at(FIRST_S + world.rng.random(), self.strike)

    def strike(self) -> None:
        """One fault, then the next."""
        world = self.world
        if world.healed:
            return
        options, rng = world.options, world.rng
        if not self.stage.playing:
            if options.script is not None and rng.random() < options.script_share:
                world.stats[f"script: {options.script}"] += 1
                world.trace("script", options.script)
                self.stage.play(options.script)
            else:
                name = rng.choices(list(options.faults), list(options.faults.values()))[0]
                world.stats[f"fault: {name}"] += 1
                world.trace("fault", name)
                getattr(self, name)()
        world.at(rng.expovariate(1 / options.fault_s), self.strike)

    # ---- processes and power
    def crash(self) -> None:
        """SIGKILL: the page cache survives."""
        self.any_member().crash("kill")

    def stop(self) -> None:
        """SIGTERM: it hands over and writes everything; then its power may go."""
        self.any_member().stop(power=self.world.rng.random() < 0.5)

    def power(self) -> None:
        """One node loses power."""
        self.any_member().crash("power", power=True)

    def blackout(self) -> None:
        """All nodes lose power at once."""
        for member in self.members:
            member.crash("blackout", power=True)

    def kill_inside(self) -> None:
        """SIGKILL inside a handler, between two operations of a disk, or in the middle of a start."""
        self._end_inside(power=False)

    def power_inside(self) -> None:
        """Power is lost there."""
        self._end_inside(power=True)

    def _end_inside(self, *, power: bool) -> None:
        member, rng = self.any_member(), self.world.rng
        place, steps = rng.randrange(3), rng.randint(1, STEPS_MAX)
        if place == 0:
            member.in_handler(steps, lambda: _end(power=power))
            return
        if place == 1:
            member.crash("kill", power=power, down_s=rng.random() * 0.3)
            steps = rng.randint(1, STEPS_MAX // 2)
        member.at_operation(steps, lambda: _end(power=power))

    def pause(self) -> None:
        """A process stands still (SIGSTOP, a long collection); its clock goes on."""
        member = self.any_member()
        pause_s = self._pause_s()
        member.paused_until_s = max(member.paused_until_s, self.world.now_s + pause_s)
        self.world.at(pause_s, self._resume, member)

    def _pause_s(self) -> float:
        """Half of them end when another leader may just have been elected and this one has not noticed."""
        rng = self.world.rng
        return rng.random() * 1.5 if rng.random() < 0.5 else 0.55 + rng.random() * 0.3

    def pause_inside(self) -> None:
        """A process stands still in the middle of a handler, right behind a look at its clock."""
        member, pause_s = self.any_member(), self._pause_s()
        member.in_handler(self.world.rng.randint(1, STEPS_MAX), lambda: self._stand_still(member, pause_s))

    def _stand_still(self, member: SimMember, pause_s: float) -> None:
        self.world.stats["pauses inside"] += 1
        member.clock.ahead_s += pause_s
        member.paused_until_s = max(member.paused_until_s, self.world.now_s + pause_s)
        self.world.at(pause_s, self._resume, member)

    def _resume(self, member: SimMember) -> None:
        """Its timers and whoever waited for it come first, what lies in its sockets second."""
        for _ in range(8):
            self.clients.read_on(member)
        member.tick(member.life)

    def spoke_of_a_vote(self, member: SimMember) -> None:
        """The worst moment to lose power: right after a promise."""
        if not self.world.healed and self.world.rng.random() < VOTE_CRASH_CHANCE:
            self.world.at(self.world.rng.random() * 0.004, self._lose_power, member, member.life)

    def _lose_power(self, member: SimMember, life: int) -> None:
        if member.life == life:
            member.crash("power", power=True)

    def transfer(self) -> None:
        """The leader hands over."""
        for member in self.members:
            if member.running and member.replica is not None and member.replica.is_leader:
                member.guard(member.replica.transfer_leadership)

    # ---- links
    def partition(self) -> None:
        """Two sides."""
        rng = self.world.rng
        self.network.sides = [rng.randrange(2) for _ in self.members]
        self.world.at(0.3 + rng.random() * 2, self._rejoin)

    def _rejoin(self) -> None:
        self.network.sides = [0] * len(self.members)

    def one_way(self) -> None:
        """One direction of one link, or everything that one node says, or hears."""
        rng = self.world.rng
        a, b = rng.sample(range(len(self.members)), 2)
        draw = rng.randrange(3)
        others = [other for other in range(len(self.members)) if other != a]
        pairs = [(a, b)] if draw == 0 else [(a, o) if draw == 1 else (o, a) for o in others]
        self.network.cut_for(pairs, 0.3 + rng.random() * 2)

    def swizzle(self) -> None:
        """All links of some nodes are cut one after the other, and come back in another order."""
        rng = self.world.rng
        everybody = range(len(self.members))
        for node in everybody:
            if rng.random() < 0.6:
                pairs = [pair for other in everybody for pair in ((node, other), (other, node))]
                self.world.at(rng.random(), self.network.cut_for, pairs, 0.2 + rng.random())

    def slow_link(self) -> None:
        """What one node says to another arrives late, for a while."""
        rng = self.world.rng
        a, b = rng.sample(self.members, 2)
        self.stage.slow_link(a, b, 0.05 + rng.random() * 1.5, 0.5 + rng.random() * 2)

    def reset(self) -> None:
        """A connection breaks."""
        a, b = self.world.rng.sample(range(len(self.members)), 2)
        self.network.disconnect(a, b)


def _end(*, power: bool) -> None:
    raise Ended(power=power)
