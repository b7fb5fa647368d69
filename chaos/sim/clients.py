"""Simulated clients: writers that increment registers through the leader's overlay, readers on every node.

A register's record holds how often it was written; a write decides on the view, so lost or doubled writes show as a
number that is not dense. Reads go through ReadIndex on whichever node the reader picked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import StrongroomError, UnknownOutcomeError
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from cluster.state.view import look

if TYPE_CHECKING:
    from cluster.state.machine import Outcome

    from .checks import Checks
    from .member import SimMember
    from .world import World

REGISTERS = 6
LEADER_SHARE = 0.4  # of reads go to a node that believes it leads
HEALED_SHARE = 0.25  # after healing, writes only have to show that they are possible


def register_key(number: int) -> bytes:
    """A key of table ENTRY."""
    return b"register-mount-1" + b"r%d" % number


class Clients:
    """Writers and readers of one run."""

    def __init__(self, world: World, members: list[SimMember], checks: Checks) -> None:
        self.world = world
        self.members = members
        self.checks = checks
        self.writes = 0
        self.acked_version = [0] * REGISTERS  # newest version acknowledged or read, per register
        self._stopped = False
        world.at(0.5, self.write)
        world.at(0.5, self.read)

    def stop(self) -> None:
        """No more writes and reads: the members come to rest."""
        self._stopped = True

    def _next(self, rate: float) -> float:
        return self.world.rng.expovariate(rate * HEALED_SHARE if self.world.healed else rate)

    def write(self) -> None:
        """A burst at whoever believes it leads."""
        world = self.world
        if self._stopped:
            return
        for member in self.members:
            replica = member.replica
            if replica is None or not replica.is_leader or member.paused_until_s > world.now_s:
                continue
            for _ in range(world.rng.choice((1, 1, 2, 8))):
                self._write_one(member)
        world.at(self._next(world.options.writes_per_s / 2), self.write)

    def _write_one(self, member: SimMember) -> None:
        replica = member.replica
        if replica is None:
            return
        try:
            replica.may_propose()
        except StrongroomError:
            self.world.stats["refused"] += 1
            return
        number = self.world.rng.randrange(REGISTERS)
        key = register_key(number)
        found = look(replica.overlay, Table.ENTRY, records.Entry, key)
        version = 1 if found is None else found[1].salt_id + 1
        draft = Draft()
        draft.expect(Table.ENTRY, key, 0 if found is None else found[0])
        draft.put(Table.ENTRY, key, records.Entry(salt_id=version, box=b"x" * self.world.rng.choice((10, 40, 200))))
        self.writes += 1
        write = self.writes

        def done(index: int, outcome: Outcome | None, error: StrongroomError | None) -> None:
            if error is None:
                assert outcome is not None
                self.world.stats["acknowledged"] += 1
                self.checks.acknowledged[write] = index
                self.acked_version[number] = max(self.acked_version[number], version)
            elif isinstance(error, UnknownOutcomeError):
                self.world.stats["unknown"] += 1

        replica.propose(draft, done)

    def read(self) -> None:
        """A read on one node, and the next one later."""
        world = self.world
        if self._stopped:
            return
        leaders = [member for member in self.members if member.replica is not None and member.replica.is_leader]
        among = leaders if leaders and world.rng.random() < LEADER_SHARE else self.members
        self.read_on(among[world.rng.randrange(len(among))])
        world.at(self._next(world.options.reads_per_s), self.read)

    def read_on(self, member: SimMember) -> None:
        """A linearizable read of one register there; it sees every write acknowledged and every read finished."""
        world = self.world
        replica = member.replica
        if replica is not None and member.paused_until_s <= world.now_s:
            number = world.rng.randrange(REGISTERS)
            least = self.acked_version[number]
            life = member.life

            def done(_index: int, error: StrongroomError | None) -> None:
                if error is not None:
                    world.stats["reads refused"] += 1
                    return
                if not member.alive or member.life != life or member.replica is None:
                    return
                found = look(member.replica.state, Table.ENTRY, records.Entry, register_key(number))
                version = 0 if found is None else found[1].salt_id
                world.stats["reads"] += 1
                if version < least:
                    world.violate("stale read", member.node_id, number, version, least)
                self.acked_version[number] = max(self.acked_version[number], version)

            replica.read_index(done)

    def dense(self) -> None:
        """At the end: every register's number is at least what was acknowledged."""
        for member in self.members:
            if member.replica is None:
                continue
            for number in range(REGISTERS):
                found = look(member.replica.state, Table.ENTRY, records.Entry, register_key(number))
                version = 0 if found is None else found[1].salt_id
                if version < self.acked_version[number]:
                    self.world.violate("version lost", member.node_id, number, version, self.acked_version[number])
