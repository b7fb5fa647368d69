"""One seed, from start to verdict: chaos, then healing, then everything that healed must work, be whole and equal."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Final

from cluster.raft.replica import Replica

from .checks import Checks
from .clients import Clients
from .faults import Faults
from .healing import ANSWER_S, REST_S, Healing
from .member import SimMember
from .network import Network
from .options import Options, expand
from .workload.half import Product
from .world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

_OBJECTS: Final = 50_000  # made between two looks for garbage in circles: a run makes many objects and few circles


def run(
    seed: int,
    replica_class: type[Replica] = Replica,
    *,
    product: Product | None = None,
    trace: bool = False,
    options: Options | None = None,
) -> World:
    """The world after the run; `violations` is empty if everything held."""
    world = World(options or expand(seed), trace=trace)
    product = product or Product(replica=replica_class)
    with product.patched(), _few_collections():
        try:
            _run(world, product)
        finally:
            world.close()
    return world


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    threshold = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


def _run(world: World, product: Product) -> None:
    checks = Checks(world)
    members = [SimMember(world, number, product.replica, checks) for number in range(world.options.nodes)]
    checks.members = members
    network = Network(world, members)
    for member in members:
        member.network = network
        world.at(0.001, member.start)
    clients = Clients(world, members, checks, product)
    Faults(world, members, network, clients)
    end_s = world.options.chaos_s + world.options.heal_s
    for second in range(1, int(end_s)):
        world.at(float(second), checks.log_matching)
    world.run(world.options.chaos_s)
    healing = Healing(world, members, network, clients, checks)
    healing.heal()
    world.run(end_s - REST_S)
    while not healing.judged and not world.violations:
        world.run(world.now_s + ANSWER_S)
    clients.stop()
    world.run(world.now_s + REST_S)
    if not world.violations:
        checks.final()
    if not world.violations:
        clients.final()
    clients.close()
    world.stats["messages"] += network.messages
