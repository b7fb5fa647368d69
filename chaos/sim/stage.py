"""What a script may do to the world, by the names a script uses; and the player that lets one run.

Everything a script has changed is put back when it ends, and when the world heals it ends at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.raft.chassis import CANDIDATE

from .scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from cluster.raft.replica import Replica

    from .clients import Clients
    from .member import SimMember
    from .network import Network
    from .world import World

LOOK_S = 0.005
WAIT_S = 3.0  # for a leader or a candidate, before a script gives up


class GiveUpError(Exception):
    """What the script waits for does not come: it ends."""


class Stage:
    """The world in the hands of a script."""

    def __init__(self, world: World, members: list[SimMember], network: Network, clients: Clients) -> None:
        self.world = world
        self.members = members
        self.network = network
        self.clients = clients
        self.playing = False

    # ---- playing
    def play(self, name: str) -> None:
        """The script runs; nothing else strikes until it has ended."""
        self.playing = True
        self._step(name, SCRIPTS[name].play(self))

    def _step(self, name: str, steps: Iterator[float]) -> None:
        if self.world.healed:
            self.playing = False
            return
        try:
            wait_s = next(steps)
        except (StopIteration, GiveUpError) as end:
            how = "given up" if isinstance(end, GiveUpError) else "played to its end"
            self.world.stats[f"{how}: {name}"] += 1
            self.playing = False
            self.join()
            return
        self.world.at(wait_s, self._step, name, steps)

    # ---- looking
    def draw(self) -> float:
        """A number in [0, 1)."""
        return self.world.rng.random()

    def _leaders(self, without: SimMember | None) -> list[tuple[int, SimMember]]:
        found = [
            (member.replica.term, member)
            for member in self.members
            if member is not without and member.running and member.replica is not None and member.replica.noop_applied
        ]
        return sorted(found, key=lambda pair: pair[0])

    def leader(self) -> SimMember:
        """Who leads the newest term; ends the script if nobody does."""
        found = self._leaders(None)
        if not found:
            raise GiveUpError
        return found[-1][1]

    def follower(self) -> SimMember:
        """One that is alive and does not lead."""
        leader = self.leader()
        found = [member for member in self.members if member.running and member is not leader]
        if not found:
            raise GiveUpError
        return self.world.rng.choice(found)

    def anybody(self) -> SimMember:
        """One of them, whatever it does."""
        return self.world.rng.choice(self.members)

    def next_leader(self, *, without: SimMember | None) -> Generator[float, None, SimMember]:
        """Wait for a leader that is not `without`."""
        for _ in range(int(WAIT_S / LOOK_S)):
            yield LOOK_S
            if found := self._leaders(without):
                return found[-1][1]
        raise GiveUpError

    def candidate(self, *, without: SimMember) -> Generator[float, None, SimMember]:
        """Wait until somebody stands for election."""
        for _ in range(int(WAIT_S / LOOK_S)):
            yield LOOK_S
            for member in self.members:
                if member is not without and member.replica is not None and member.replica.role == CANDIDATE:
                    return member
        raise GiveUpError

    def calm(self, leader: SimMember, returning: SimMember) -> Callable[[], None]:
        """Call the answer later: the leader leads the same term still, unless the other came with a higher one."""
        replica, other = leader.replica, returning.replica
        if replica is None or other is None or not replica.is_leader or other.term > replica.term:
            return lambda: None
        term, since, life = replica.term, self._troubles(), leader.life

        def still() -> None:
            now: Replica | None = leader.replica
            leads = now is not None and now.is_leader and now.term == term
            if leader.life == life and not leads and self._troubles() == since:
                self.world.violate("a healthy leader is deposed by a node that returns", leader.node_id, term)

        return still

    def _troubles(self) -> int:
        """How much has happened that may rightly depose a leader."""
        stats = self.world.stats
        return sum(count for name, count in sorted(stats.items()) if name.startswith(("crashes", "full disks")))

    # ---- doing
    def burst(self, member: SimMember, count: int) -> None:
        """So many writes at once, if it leads."""
        if member.running:
            self.clients.burst(member, count)

    def reads(self, member: SimMember, count: int) -> None:
        """So many reads at once."""
        for _ in range(count):
            self.clients.read_on(member)

    def reads_everywhere(self) -> None:
        """A read on every node, now."""
        for member in self.members:
            self.clients.read_on(member)

    def leave_behind(self, victim: SimMember) -> Generator[float, None, None]:
        """The victim is cut off until the others' logs do not reach back to it any more, and then joined."""
        self.isolate(victim)
        for _ in range(6):
            self.burst(self.leader(), 12)
            yield 0.08
        self.join()

    def isolate(self, member: SimMember) -> None:
        """Nobody reaches it, it reaches nobody."""
        self.network.sides = [int(other is member) for other in self.members]

    def cut(self, a: SimMember, b: SimMember) -> None:
        """What a says does not reach b."""
        self.network.cut.add((a.number, b.number))

    def join(self) -> None:
        """Everybody reaches everybody."""
        self.network.heal()

    def reset(self, a: SimMember, b: SimMember) -> None:
        """Their connection breaks."""
        if a is not b:
            self.network.disconnect(a.number, b.number)

    def slow_link(self, a: SimMember, b: SimMember, late_s: float, for_s: float) -> None:
        """What a says reaches b late, for a while."""
        self.network.slow[a.number, b.number] = late_s
        self.world.at(for_s, self._fast_link, a.number, b.number)

    def _fast_link(self, a: int, b: int) -> None:
        self.network.slow.pop((a, b), None)

    def slow_disk(self, member: SimMember, sync_s: float, for_s: float) -> None:
        """Its syncs take so long, for a while."""
        member.disk.slow_s = sync_s
        member.disk.slow_until_s = self.world.now_s + for_s

    def pause(self, member: SimMember, for_s: float) -> None:
        """It stands still, at most so long."""
        member.paused_until_s = max(member.paused_until_s, self.world.now_s + for_s)

    def resume(self, member: SimMember) -> None:
        """It goes on; reads and its timers are first, what lies in its sockets comes behind them."""
        member.go_on()
        member.tick(member.life)

    def hand_over(self, member: SimMember) -> None:
        """It gives leadership away."""
        if member.replica is not None:
            member.guard(member.replica.transfer_leadership)

    def kill(self, member: SimMember, down_s: float) -> None:
        """SIGKILL, and another start after that time."""
        member.crash("kill", down_s=down_s)

    def power(self, member: SimMember, down_s: float) -> None:
        """It loses power, and starts again after that time."""
        member.crash("power", power=True, down_s=down_s)

    def lights_out(self) -> None:
        """All of them lose power at once."""
        for member in self.members:
            member.crash("blackout", power=True, down_s=0.01 + self.draw() * 0.3)
