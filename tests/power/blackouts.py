"""Three real nodes, each on a file system of its own; all lose power at once under load: what was answered is there.

Needs root (chaos/disk/loop.py). Without it the simulator's loss of power on all nodes at once is the run.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from chaos.disk.loop import LoopDisk, cut_all
from chaos.sim.run import run as simulate
from tests.process.harness import Cluster, Reply, make_cluster, running, wait_until
from tests.process.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPREAD_S = 0.010
WRITES_BEFORE = 150
END_S = 15.0
SEEDS_MAX = 500
SIMULATED = {"acknowledged", "crashes (blackout)", "crashes (power)"}


class Answers(Workload):
    """Nobody hears a machine without power: what is answered while `dark` is no answer."""

    dark = False

    def _put(self, *arguments: Any) -> Reply:
        reply = super()._put(*arguments)
        if self.dark:
            raise OSError("answered without power")
        return reply


@contextlib.contextmanager
def on_loop_disks(folder: Path) -> Iterator[tuple[Cluster, list[LoopDisk]]]:
    """A cluster that serves, each data folder on an ext4 of its own."""
    cluster = make_cluster(folder)
    with contextlib.ExitStack() as stack:
        disks = []
        for server in cluster.servers:
            disk = stack.enter_context(LoopDisk(folder, server.node_id))
            server.data.symlink_to(disk.root)
            disks.append(disk)
        with running(cluster):
            yield cluster, disks


def black_out(cluster: Cluster, disks: list[LoopDisk], load: Answers, *, kill: bool) -> float:
    """All lose power; every process has ended, by a kill or by what its disk says. Returns the spread in seconds."""
    load.dark = True
    spread_s = cut_all(disks)
    if not kill:
        for server in cluster.servers:
            wait_until(lambda server=server: not server.alive, f"{server.node_id} ends without its disk", END_S)
    for server in cluster.servers:
        server.kill()
    return spread_s


def power_on(cluster: Cluster, disks: list[LoopDisk], load: Answers) -> None:
    """All start again from what their disks hold, and are unsealed."""
    for disk in disks:
        disk.again()
    for server in cluster.servers:
        server.start()
    load.dark = False
    for server in cluster.servers:
        server.wait_listening()
        server.unseal(cluster.shares)
    cluster.wait_ready()


def run_ext4(rounds: int, seed: int, folder: Path, *, more: int = 0) -> Counter[str]:
    """So many losses of power; counts. Raises AssertionError where an answer was not kept.

    `more`: how many rounds may follow in place of those in which a busy machine spread the cuts over more than 10 ms.
    """
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    loads: list[Answers] = []
    with on_loop_disks(folder) as (cluster, disks):
        for number in range(rounds + more):
            if counts["rounds within 10 ms"] == rounds:
                break
            load = Answers(cluster, writers=12, tag=f"round-{number}")
            with load:
                wanted = WRITES_BEFORE + rng.randrange(WRITES_BEFORE)
                wait_until(lambda load=load, wanted=wanted: len(load.acknowledged) > wanted, "some writes", 30.0)
                before = len(load.acknowledged)
                spread_s = black_out(cluster, disks, load, kill=number % 2 == 0)
                power_on(cluster, disks, load)
                load.wait_for_writes(time.monotonic())
            cluster.equal_digests()
            load.verify()
            loads.append(load)
            counts["answered before the cut"] += before
            counts["answered"] += len(load.acknowledged)
            counts["rounds"] += 1
            counts["rounds within 10 ms"] += spread_s < SPREAD_S
            print(f"power: round {number}: cut in {spread_s * 1e3:.1f} ms, {before} answered before it")

            assert load.unresolved == []
        for load in loads:
            load.verify()
    return counts


def run_dropping(blackouts: int, first: int) -> Counter[str]:
    """The simulator's whole clusters, seed by seed, until so many nodes have lost power together with all; counts."""
    counts: Counter[str] = Counter()
    for seed in range(first, first + SEEDS_MAX):
        world = simulate(seed)
        assert not world.violations, f"seed {seed}: {world.violations}"
        counts.update({name: count for name, count in world.stats.items() if name in SIMULATED})
        counts["seeds"] += 1
        if counts["crashes (blackout)"] >= blackouts:
            return counts
    raise AssertionError(f"no loss of power on all nodes in {SEEDS_MAX} seeds")
