"""Faults: what breaks, when, and how long. Stops at healing; then everything that is down comes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clients import Clients
    from .member import SimMember
    from .network import Network
    from .world import World


VOTE_CRASH_CHANCE = 0.04


class Faults:
    """The nemesis of one run."""

    def __init__(self, world: World, members: list[SimMember], network: Network, clients: Clients) -> None:
        self.world = world
        self.members = members
        self.network = network
        self.clients = clients
        for member in members:
            member.on_vote_spoken = self.spoke_of_a_vote
        world.at(1.5 + world.rng.random(), self.strike)

    def strike(self) -> None:
        """One fault, then the next."""
        world = self.world
        if world.healed:
            return
        options, rng = world.options, world.rng
        kinds = (
            (options.crash_chance, self.crash),
            (options.power_chance, self.power),
            (options.blackout_chance, self.blackout),
            (options.partition_chance, self.partition),
            (options.pause_chance, self.pause),
            (options.reset_chance, self.reset),
            (options.transfer_chance, self.transfer),
            (options.sync_failure_chance, self.sync_failure),
            (options.lost_log_chance, self.lost_log),
            (options.slow_disk_chance, self.slow_disk),
        )
        draw = rng.random() * sum(chance for chance, _ in kinds)
        for chance, fault in kinds:
            draw -= chance
            if draw <= 0:
                world.stats[f"fault: {fault.__name__}"] += 1
                fault()
                break
        world.at(rng.expovariate(1 / options.fault_s), self.strike)

    def _any(self) -> SimMember:
        leaders = [m for m in self.members if m.replica is not None and m.replica.is_leader]
        if leaders and self.world.rng.random() < 0.5:
            return leaders[-1]
        return self.members[self.world.rng.randrange(len(self.members))]

    def crash(self) -> None:
        """SIGKILL: the page cache survives."""
        self._any().crash("kill")

    def power(self) -> None:
        """One node loses power."""
        self._any().crash("power", power=True)

    def blackout(self) -> None:
        """All nodes lose power at once."""
        for member in self.members:
            member.crash("blackout", power=True)

    def partition(self) -> None:
        """Two sides, or one direction of one link."""
        rng = self.world.rng
        if rng.random() < 0.3:
            a, b = rng.sample(range(len(self.members)), 2)
            self.network.cut.add((a, b))
            self.world.at(0.3 + rng.random() * 2, self.network.cut.discard, (a, b))
            return
        self.network.sides = [rng.randrange(2) for _ in self.members]
        self.world.at(0.3 + rng.random() * 2, self._rejoin)

    def _rejoin(self) -> None:
        self.network.sides = [0] * len(self.members)

    def pause(self) -> None:
        """A process stands still (SIGSTOP, a long collection); its clock goes on."""
        member = self._any()
        rng = self.world.rng
        # Half of them end when another leader may just have been elected and this one has not noticed.
        pause_s = rng.random() * 1.5 if rng.random() < 0.5 else 0.55 + rng.random() * 0.3
        member.paused_until_s = self.world.now_s + pause_s
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

    def reset(self) -> None:
        """A connection breaks."""
        a, b = self.world.rng.sample(range(len(self.members)), 2)
        self.network.disconnect(a, b)

    def transfer(self) -> None:
        """The leader hands over."""
        for member in self.members:
            if member.replica is not None and member.replica.is_leader:
                member.replica.transfer_leadership()

    def sync_failure(self) -> None:
        """A disk answers EIO to its next sync; the process ends and the pages are not on the platter."""
        member = self._any()
        if member.alive:
            member.disk.fail_next_sync()

    def slow_disk(self) -> None:
        """Syncs of a disk take long for a while."""
        member, rng = self._any(), self.world.rng
        if member.writer is not None:
            member.writer.slow_until_s = self.world.now_s + rng.random() * 3
            member.writer.slow_s = 0.05 + rng.random() * 0.6

    def lost_log(self) -> None:
        """A node loses its log, one at a time: only while every other member is whole."""
        member = self._any()
        others = [m for m in self.members if m is not member]
        if not member.alive or member.replica is None or member.replica.recovering:
            return
        if any(m.replica is None or m.replica.recovering for m in others):
            return
        if self.world.stats["lost logs under way"]:
            return
        member.crash("lost log", power=True)
        member.checks.disks.loses_log(member)
        for folder in ("journal", "snapshots"):
            for name in member.disk.names(folder):
                member.disk.remove(f"{folder}/{name}")
            member.disk.sync_folder(folder)

    def heal(self) -> None:
        """No more faults; everything comes up."""
        self.world.healed = True
        self.network.sides = [0] * len(self.members)
        self.network.cut.clear()
        for member in self.members:
            member.paused_until_s = 0.0
            if not member.alive:
                self.world.at(0.01, member.start)
