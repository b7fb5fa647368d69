"""One simulated member: the product's Replica over simulated disk, links, clock and randomness, one life at a time.

What happens in the node's process goes through `guard` and `later`: a pause delays it, a crash drops it, an armed
fault ends it in the middle. watching.py reports what the replica does to the checks.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import DamagedError
from cluster.journal.ballot import read_ballot
from cluster.journal.handle import Callbacks
from cluster.journal.modes import BUFFERED, FSYNC, MEMORY
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from cluster.links import messages
from cluster.raft.boot import mark_lost, mark_stopped, open_journal
from cluster.raft.chassis import Timing
from cluster.raft.loading import load_newest
from cluster.raft.store import FileSnapshots

from .journal import Ended, SimJournal
from .process import SimProcess, nothing
from .watching import WatchedLog, watched_class
from .world import TICK_S, SimClock, SimRandom, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.raft.boot import Opened
    from cluster.raft.replica import Replica

    from .checks import Checks
    from .network import Network
    from .workload.half import NodeHalf

SEGMENT_BYTES = 64 * 1024
GENERATION = b"generation-sim-1"
CLUSTER_ID = b"cluster-id-sim-1"
HEARTBEAT_S = 0.05
ELECTION_MIN_S = 0.5
ELECTION_MAX_S = 0.8
RETRY_S = 0.05


class Hello(NamedTuple):
    """The part of the product's Hello that Raft hears of."""

    incarnation: int
    known_incarnation: int
    known_term: int
    known_index: int


class SimMember(SimProcess):
    """Member `number` of the world."""

    def __init__(self, world: World, number: int, replica_class: type[Replica], checks: Checks) -> None:
        super().__init__(world, number)
        self.checks = checks
        self.network: Network | None = None
        self.boots = 0  # of its kernel
        self.may_lose: Callable[[SimMember], bool] = lambda _member: False
        self.stays_down = False  # nobody starts it again
        self.replica: Replica | None = None
        self.writer: SimJournal | None = None
        self.half: NodeHalf | None = None  # what of the node stands above the replica, in this life
        self.on_life: Callable[[SimMember], None] = lambda _member: None
        self.on_death: Callable[[SimMember], None] = lambda _member: None
        self.on_vote_spoken: Callable[[SimMember], None] = lambda _member: None
        self._replica_class = watched_class(self, replica_class)
        self._wake_pending = False
        self._ticked_s = 0.0
        self.rotten_below: int | None = None  # a snapshot below this index has rotted and is not yet replaced

    # ---- life
    def start(self) -> None:
        """A new life: ballot, log and snapshot are read as the product does. A disk that fails now ends it at once."""
        if self.alive or self.stays_down:
            return
        try:
            self._begin_life()
        except OSError:
            self._failed_start(power=False)
        except Ended as ended:
            self._failed_start(power=ended.power)

    def _failed_start(self, *, power: bool) -> None:
        self.alive = False
        self.replica = None
        self.disk.on_operation = nothing
        if power:
            self.boots += 1
            self.disk.power_loss(self.rng)
        else:
            self.disk.kill()
        self.world.stats["failed starts"] += 1
        self.world.at(RETRY_S, self.start)

    def _begin_life(self) -> None:
        world = self.world
        self.life += 1
        life = self.life
        self.clock = SimClock(world, self.rng)
        source = SimRandom(self.rng)
        sealer = Sealer(keyring(world.options.seed), source, GENERATION)
        state, snapshot, damaged = load_newest(self.disk, sealer)
        try:
            opened = open_journal(
                self.disk, segment_bytes=SEGMENT_BYTES, wall_ns=self.clock.wall_ns() // 10**6, snapshot=snapshot,
                mode=world.options.journal_mode, boot_id=f"boot {self.boots}",
            )
        except DamagedError as error:
            world.violate("ballot lost", self.node_id, error)
            return
        self.alive = True
        writer = self.writer = SimJournal(world, self.disk, SEGMENT_BYTES, self.later)
        writer.on_ended = self._ended
        writer.begin(opened, self._callbacks())
        log = WatchedLog(writer.handle, opened, self)
        if not opened.entries and opened.base == (0, 0):
            log.add(self.checks.bootstrap_entry(sealer), 1, 0)
        peers = [f"n{n + 1}" for n in range(world.options.nodes) if n != self.number]
        snapshots_disk = writer.memory.disk if writer.memory else self.disk
        replica = self.replica = self._replica_class(
            self.node_id, peers, Timing(HEARTBEAT_S, ELECTION_MIN_S, ELECTION_MAX_S), log, self.clock, source,
            FileSnapshots(snapshots_disk, writer.handle, damaged), state, sealer, snapshot_index=state.applied_index,
        )
        self._settings(replica)
        self.checks.started(self, replica, opened)
        self._say_start(replica, opened)
        self.on_life(self)
        self._ticked_s = world.now_s
        world.at(self.rng.random() * TICK_S, self._timer, life)

    def _settings(self, replica: Replica) -> None:
        options = self.world.options
        replica.commit_index = max(replica.commit_index, 1)
        replica.batch_entries_max = options.batch_entries_max
        replica.window_bytes_max = options.window_bytes_max
        replica.log_entries_max = options.log_entries_max
        replica.log_keep_entries = options.log_keep_entries
        replica.part_bytes = options.snapshot_part_bytes
        replica.send = self._send
        replica.wake = self._wake
        replica.on_broken = self._on_broken

    def _callbacks(self) -> Callbacks:
        """Called by the journal's node side, which runs in events of this process (`later`)."""
        return Callbacks(
            on_synced=lambda sequence: self._replica().on_log_synced(sequence),
            on_ballot=self._ballot_durable,
            on_failed=lambda _why: self._journal_failed(),
            on_snapshot=lambda snapshot_id: self._replica().on_snapshot_durable(snapshot_id),
            on_snapshot_refused=lambda *refused: self._replica().on_snapshot_refused(*refused),
            on_space=lambda there: self._on_space(there=there),
        )

    def _ballot_durable(self, sequence: int) -> None:
        """As cluster/turns.py does."""
        replica = self._replica()
        before = replica.log.incarnation
        replica.on_ballot_durable(sequence)
        if replica.log.incarnation != before and self.network is not None:
            self.network.down(self.number)

    def _journal_failed(self) -> None:
        """As cluster/member.py does."""
        assert self.writer is not None
        if self.writer.mode == BUFFERED and self.writer.child.write_failed:
            with contextlib.suppress(OSError, DamagedError):
                mark_lost(self.disk)
        self.crash("failed sync")

    def _replica(self) -> Replica:
        assert self.replica is not None
        return self.replica

    def _on_space(self, *, there: bool) -> None:
        self.world.stats["full disks"] += not there
        self._replica().on_space(there)

    def _say_start(self, replica: Replica, opened: Opened) -> None:
        self.world.stats["starts"] += 1
        self.world.stats["starts that recover"] += opened.ballot.recovering
        self.world.trace(self.node_id, "start", replica, "recovering" if replica.recovering else "")

    def crash(self, how: str, *, power: bool = False, down_s: float | None = None) -> None:
        """The process ends; with `power`, what was not synced may be lost too."""
        if not self.alive:
            return
        mode = self.world.options.journal_mode
        loses = mode == MEMORY or (mode == BUFFERED and power)
        if loses and not self.may_lose(self):
            if mode == MEMORY and how != "failed sync":
                return
            power = False
        self.world.trace(self.node_id, "crash", how, self.replica)
        self.world.stats[f"crashes ({how})"] += 1
        assert self.replica is not None
        assert self.writer is not None
        self.writer.killed(self.rng, power=power)
        self.alive = False
        self.checks.stopped(self)
        if loses and (power or mode == MEMORY):
            self.checks.disks.loses_log(self)
        self.on_death(self)
        self.replica.lose_proposals()
        self.replica.refuse_all_reads()
        self.replica = None
        self.on_death(self)
        self.disk.on_operation = nothing
        if power:
            self.boots += 1
            self.disk.power_loss(self.rng)
        else:
            self.disk.kill()
        assert self.network is not None
        self.network.down(self.number)
        self.paused_until_s = 0.0
        self._release()  # whatever it would have met finds out by itself that this life is over
        random_s = 0.02 + self.rng.random() * 1.5
        self.world.at(random_s if down_s is None else down_s, self.start)

    def stop(self, *, power: bool) -> None:
        """A clean stop, and perhaps a loss of power behind it."""
        if not self.running or self.replica is None or self.writer is None:
            return
        mode = self.world.options.journal_mode
        if mode != FSYNC and not self.may_lose(self):
            return
        self.guard(self.replica.transfer_leadership)
        is_whole = self.writer.finish()
        if mode == BUFFERED and (is_whole or self.writer.failed_over_a_file):
            try:
                (mark_stopped if is_whole else mark_lost)(self.disk)
            except (OSError, DamagedError):  # as cluster/closing.py
                pass
            except Ended as ended:  # killed in the middle of its stop
                power = power or ended.power
        self.crash("stop")
        if mode == BUFFERED and self.writer.failed_over_a_file and not self.alive:
            self.checks.disks.loses_log(self)
        if power and not self.alive:
            self.boots += 1
            self.disk.power_loss(self.rng)
            found = read_ballot(self.disk)
            if mode == BUFFERED and found is not None and not found[1].clean_stop:
                self.checks.disks.loses_log(self)  # no room for the mark: another boot does not believe the log

    def _on_broken(self, why: str) -> None:
        self.world.violate("broken", self.node_id, why)

    # ---- its turns
    def _wake(self) -> None:
        if not self._wake_pending:
            self._wake_pending = True
            self.world.at(self.world.options.turn_s + self.clock.ahead_s, self._woken, self.life)

    def _woken(self, life: int) -> None:
        self._wake_pending = False
        self.tick(life)

    def _timer(self, life: int) -> None:
        """A turn is due TICK_S behind the one before it, whatever that was for."""
        if not self.alive or self.life != life:
            return
        early_s = self._ticked_s + TICK_S - self.world.now_s
        if early_s <= 0:
            self._ticked_s = self.world.now_s
            self.tick(life)
            early_s = TICK_S
        self.world.at(early_s, self._timer, life)

    def tick(self, life: int) -> None:
        """One turn, unless the node is paused."""
        if not self.alive or self.life != life:
            return
        if self.paused_until_s > self.world.now_s:
            return
        assert self.replica is not None
        self._ticked_s = self.world.now_s
        self.guard(self.replica.tick)
        if self.replica is not None and self.replica.busy:
            self._wake()

    def receive(self, sender: int, message: messages.AnyMessage) -> None:
        """A message has been delivered."""
        assert self.replica is not None
        peer = f"n{sender + 1}"
        if self.world.trace_lines is not None:
            self.world.trace(self.node_id, "<-", peer, type(message).__name__)
        try:
            self.guard(self.replica.receive, peer, message)
        except DamagedError:
            self.world.violate("damaged entry", self.node_id, peer)

    def hello(self, other: int) -> Hello:
        """What this node says when a link comes to stand: its incarnation, and what it knows of the other."""
        log = self._replica().log
        return Hello(log.incarnation, *log.known.get(f"n{other + 1}", (0, 0, 0)))

    def connected(self, other: int, hello: Hello) -> None:
        """A link stands."""
        self.guard(self._on_connected, f"n{other + 1}", hello)

    def _on_connected(self, peer: str, hello: Hello) -> None:
        """As cluster/turns.py does."""
        replica = self._replica()
        recovering = replica.recovering
        replica.log.remember(peer, incarnation=hello.incarnation)
        another_life = replica.meet((hello.known_term, hello.known_index), hello.known_incarnation)
        if replica.recovering and not recovering:
            self.world.violate("its peers know more than its disk", self.node_id, peer, hello)
        if another_life:
            self.world.stats["goes on as another life"] += 1
            return
        replica.on_connected(peer)
        if self.half is not None:
            self.half.links.connected(peer)
        self._wake()

    def disconnected(self, other: int) -> None:
        """A link is gone."""
        self.guard(self._replica().on_disconnected, f"n{other + 1}")
        if self.half is not None:
            self.half.links.disconnected(f"n{other + 1}")

    def _send(self, peer: str, message: messages.Message) -> bool:
        assert self.network is not None
        self.checks.sent(self, peer, message)
        if isinstance(message, messages.RequestVote) or (isinstance(message, messages.Vote) and message.granted):
            self.on_vote_spoken(self)
        other = int(peer[1:]) - 1
        if self.clock.ahead_s > 0:  # it stood still inside this handler: what follows leaves when it goes on
            self.world.at(self.clock.ahead_s, self._send_late, self.life, other, message)
            return True
        return self.network.send(self.number, other, message)

    def _send_late(self, life: int, other: int, message: messages.Message) -> None:
        if self.alive and self.life == life and self.network is not None:
            self.network.send(self.number, other, message)


_keyrings: dict[int, Keyring] = {}


def keyring(seed: int) -> Keyring:
    """The cluster's keys, the same for every member and life of a run."""
    if seed not in _keyrings:
        _keyrings.clear()
        _keyrings[seed] = Keyring.create(SimRandom(random.Random(f"keys {seed}")), CLUSTER_ID, 1)
    return _keyrings[seed]
