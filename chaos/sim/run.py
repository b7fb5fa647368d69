"""One seed, from start to verdict: chaos, then healing, then everything must be whole and equal."""

from __future__ import annotations

from cluster.raft.replica import Replica

from .checks import Checks
from .clients import Clients
from .faults import Faults
from .member import SimMember
from .network import Network
from .options import Options, expand
from .world import World


def run(
    seed: int, replica_class: type[Replica] = Replica, *, trace: bool = False, options: Options | None = None
) -> World:
    """The world after the run; `violations` is empty if everything held."""
    world = World(options or expand(seed), trace=trace)
    checks = Checks(world)
    members = [SimMember(world, number, replica_class, checks) for number in range(world.options.nodes)]
    checks.members = members
    network = Network(world, members)
    for member in members:
        member.network = network
        world.at(0.001, member.start)
    clients = Clients(world, members, checks)
    faults = Faults(world, members, network, clients)
    for second in range(1, int(world.options.chaos_s + world.options.heal_s)):
        world.at(float(second), checks.log_matching)
    world.run(world.options.chaos_s)
    faults.heal()
    acknowledged = world.stats["acknowledged"]
    world.run(world.options.chaos_s + world.options.heal_s - 2.0)
    if not world.violations and world.stats["acknowledged"] == acknowledged:
        world.violate("no write was acknowledged after healing")
    clients.stop()
    world.run(world.options.chaos_s + world.options.heal_s)
    if not world.violations:
        checks.final()
        clients.dense()
    return world
