"""One simulated member: the product's Replica over simulated disk, links, clock and randomness, one life at a time.

Areas checked here, as they happen: election safety, state-machine safety, nothing applied twice or out of order, a
durable acknowledgement is kept over a restart. See checks.py for the rest.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from cluster.errors import DamagedError, FatalError
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from cluster.links import messages
from cluster.raft.boot import open_journal
from cluster.raft.chassis import LEADER, Timing
from cluster.raft.loading import load_newest
from cluster.raft.log import DurableLog
from cluster.raft.replica import Replica
from cluster.raft.store import FileSnapshots

from .disk import SimDisk
from .journal import SimWriter
from .world import TICK_S, SimClock, SimRandom, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from .checks import Checks
    from .network import Network

SEGMENT_BYTES = 64 * 1024
GENERATION = b"generation-sim-1"
CLUSTER_ID = b"cluster-id-sim-1"
HEARTBEAT_S = 0.05


class SimReplica(Replica):
    """The product's replica, watched. Mutants in the tests are subclasses of the product's class, given to the run."""

    member: SimMember

    def install(self, index: int, term: int, command: bytes) -> None:
        """Report, then do."""
        self.member.checks.applied(self.member, index, term, command)
        super().install(index, term, command)

    def on_role(self, old: int, new: int) -> None:
        """Report a new leader."""
        super().on_role(old, new)
        if new == LEADER:
            self.member.checks.elected(self.member, self)

    def advance_commit(self) -> None:
        """Report a new commit index."""
        before = self.commit_index
        super().advance_commit()
        if self.commit_index > before:
            self.member.checks.disks.committed(self.member, self, self.commit_index)

    def on_ack(self, peer: str, message: messages.Ack) -> None:
        """Report what is credited."""
        super().on_ack(peer, message)
        if self.is_leader:
            self.member.checks.disks.credited(self, peer)

    def replace_state(self) -> None:
        """Count snapshots that are installed."""
        super().replace_state()
        self.member.world.stats["installs"] += 1

    def end_recovery(self) -> None:
        """Report a node that is whole again."""
        self.member.checks.disks.whole(self.member)
        super().end_recovery()


class SimMember:
    """Member `number` of the world."""

    def __init__(self, world: World, number: int, replica_class: type[Replica], checks: Checks) -> None:
        self.world = world
        self.number = number
        self.node_id = f"n{number + 1}"
        self.checks = checks
        self.rng = random.Random(f"member {world.options.seed} {number}")
        self.disk = SimDisk()
        self.network: Network | None = None
        self.life = 0
        self.alive = False
        self.paused_until_s = 0.0
        self.replica: Replica | None = None
        self.writer: SimWriter | None = None
        self.clock = SimClock(world, self.rng)
        self.on_vote_spoken: Callable[[SimMember], None] = lambda _member: None
        bases = (SimReplica,) if replica_class is Replica else (SimReplica, replica_class)
        self._replica_class = type("Watched", bases, {"member": self})
        self._wake_pending = False

    # ---- life
    def start(self) -> None:
        """A new life: ballot, log and snapshot are read as the product does. A disk that fails now ends it at once."""
        if self.alive:
            return
        try:
            self._begin_life()
        except OSError:
            self.alive = False
            self.disk.kill()
            self.world.stats["failed starts"] += 1
            self.world.at(0.05, self.start)

    def _begin_life(self) -> None:
        world = self.world
        self.life += 1
        life = self.life
        self.clock = SimClock(world, self.rng)
        source = SimRandom(self.rng)
        sealer = Sealer(keyring(world.options.seed), source, GENERATION)
        is_alive = lambda: self.alive and self.life == life  # noqa: E731 - a closure over this life
        state, snapshot, damaged = load_newest(self.disk, sealer)
        try:
            opened = open_journal(
                self.disk, segment_bytes=SEGMENT_BYTES, wall_ns=self.clock.wall_ns() // 10**6, snapshot=snapshot
            )
        except DamagedError as error:
            world.violate("ballot lost", self.node_id, error)
            return
        self.alive = True
        self.writer = SimWriter(world, self.disk, SEGMENT_BYTES, is_alive)
        self.writer.begin(opened)
        log = DurableLog(self.writer, opened)
        bootstrap = not opened.entries and opened.base == (0, 0)
        options = world.options
        peers = [f"n{n + 1}" for n in range(options.nodes) if n != self.number]
        replica_class = self._replica_class
        timing = Timing(HEARTBEAT_S, 0.5, 0.8)
        if bootstrap:
            log.add(self.checks.bootstrap_entry(sealer), 1, 0)
        replica = self.replica = replica_class(
            self.node_id, peers, timing, log, self.clock, source,
            FileSnapshots(self.disk, self.writer, damaged), state, sealer, snapshot_index=state.applied_index,
        )
        replica.commit_index = max(replica.commit_index, 1)
        replica.batch_entries_max = options.batch_entries_max
        replica.window_bytes_max = options.window_bytes_max
        replica.log_entries_max = options.log_entries_max
        replica.log_keep_entries = options.log_keep_entries
        replica.part_bytes = options.snapshot_part_bytes
        replica.send = self._send
        replica.wake = self._wake
        replica.on_broken = self._on_broken
        self.writer.on_synced = self._guarded(replica.on_log_synced)
        self.writer.on_ballot = self._guarded(replica.on_ballot_durable)
        self.writer.on_failed = lambda: self.crash("failed sync")
        self.writer.on_snapshot = self._guarded(replica.on_snapshot_durable)
        self.writer.on_snapshot_refused = self._guarded(replica.on_snapshot_refused)
        self.checks.disks.started(self, replica, opened)
        world.trace(self.node_id, "start", replica, "recovering" if replica.recovering else "")
        world.at(self.rng.random() * TICK_S, self._tick_loop, life)

    def crash(self, how: str, *, power: bool = False) -> None:
        """The process ends; with `power`, what was not synced may be lost too."""
        if not self.alive:
            return
        self.world.trace(self.node_id, "crash", how, self.replica)
        self.world.stats[f"crashes ({how})"] += 1
        self.alive = False
        assert self.replica is not None
        self.checks.disks.stops(self)
        self.replica.lose_proposals()
        self.replica.refuse_all_reads()
        self.replica = None
        if power:
            self.disk.power_loss(self.rng)
        else:
            self.disk.kill()
        assert self.network is not None
        self.network.down(self.number)
        self.world.at(0.02 + self.rng.random() * 1.5, self.start)

    def _on_broken(self, why: str) -> None:
        self.world.violate("broken", self.node_id, why)

    # ---- events
    def _guarded(self, call: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            self.guard(call, *arguments)

        return guarded

    def guard(self, call: Callable[..., None], *arguments: object) -> None:
        """Run a handler; a broken invariant ends the run, a failed disk this life."""
        try:
            call(*arguments)
        except FatalError as error:
            self.world.violate("fatal", self.node_id, error)

    def _wake(self) -> None:
        if not self._wake_pending:
            self._wake_pending = True
            self.world.at(self.world.options.turn_s, self._woken, self.life)

    def _woken(self, life: int) -> None:
        self._wake_pending = False
        self.tick(life)

    def _tick_loop(self, life: int) -> None:
        if self.alive and self.life == life:
            self.tick(life)
            self.world.at(TICK_S, self._tick_loop, life)

    def tick(self, life: int) -> None:
        """One turn, unless the node is paused."""
        if not self.alive or self.life != life:
            return
        if self.paused_until_s > self.world.now_s:
            return
        assert self.replica is not None
        self.guard(self.replica.tick)
        if self.replica is not None and self.replica.busy:
            self._wake()

    def receive(self, sender: int, message: messages.AnyMessage) -> None:
        """A message has been delivered."""
        assert self.replica is not None
        peer = f"n{sender + 1}"
        self.world.trace(self.node_id, "<-", peer, type(message).__name__)
        try:
            self.guard(self.replica.receive, peer, message)
        except DamagedError:
            self.world.violate("damaged entry", self.node_id, peer)

    def connected(self, other: int) -> None:
        """A link stands."""
        assert self.replica is not None
        self.replica.on_connected(f"n{other + 1}")

    def disconnected(self, other: int) -> None:
        """A link is gone."""
        assert self.replica is not None
        self.replica.on_disconnected(f"n{other + 1}")

    def _send(self, peer: str, message: messages.Message) -> bool:
        assert self.network is not None
        self.checks.sent(self, peer, message)
        if isinstance(message, messages.RequestVote) or (isinstance(message, messages.Vote) and message.granted):
            self.on_vote_spoken(self)
        return self.network.send(self.number, int(peer[1:]) - 1, message)


_keyrings: dict[int, Keyring] = {}


def keyring(seed: int) -> Keyring:
    """The cluster's keys, the same for every member and life of a run."""
    if seed not in _keyrings:
        _keyrings.clear()
        _keyrings[seed] = Keyring.create(SimRandom(random.Random(f"keys {seed}")), CLUSTER_ID, 1)
    return _keyrings[seed]
