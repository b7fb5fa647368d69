"""One member of the cluster: its folder, its seal, its links, and the replica while it is unsealed.

The shell around everything in this package: it owns the event loop's side of Raft (one thread, one loop) and is what
`node` talks to. A sealed member takes no part in Raft; its links serve init and the fetching of the envelope only.

Invariants
  M1  a member without keys holds no state; sealing wipes keys and state
  M2  nothing is awaited between `decide` and the entry standing in the log
  M3  a broken invariant or a failed write ends the process through `on_fatal`, before anything more is acknowledged
  M4  an empty member that finds an initialised peer becomes recovering, durably, before it takes part
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from . import files
from .clockwatch import skew_of_this_node
from .errors import FatalError, NotInitialisedError, NotLeaderError, SealedError, StrongroomError
from .folder import check_profile, lock_folder
from .initialise import InitState, Store
from .journal.ballot import read_ballot, write_ballot
from .journal.handle import Callbacks
from .journal.parent import ChildWriter
from .keyring.envelope import read_seal
from .keyring.sealing import Sealer
from .links.certs import public_key_sha256
from .links.transport import CallError, Identity, Links, NotSentError, Tls
from .raft.boot import Opened, open_journal
from .raft.chassis import Timing
from .raft.log import DurableLog
from .raft.loading import load_newest
from .raft.replica import Replica
from .raft.store import FileSnapshots
from .seams import SystemClock, SystemDisk, SystemRandom
from .state import records
from .state.machine import State
from .state.tables import Table
from .values import ValueSealing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .keyring.envelope import SealConfig
    from .keyring.seal import Unsealed
    from .links.messages import Call, Hello, Message
    from .rehydrate import Rehydrate
    from .seams import Clock, Random
    from .state.machine import Outcome
    from .state.transaction import Draft
    from .state.view import View

log = logging.getLogger("strongroom.member")

TICK_S = 0.01
JOB_REST_S = 0.003
SEGMENT_BYTES = 64 * 1024 * 1024
HAND_OVER_S = 2.0
SKEW_PERIOD_S = 0.5
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class MemberAddress:
    """Where a member is: (host, port) for peers, a URL for clients."""

    peer: tuple[str, int]
    api: str


@dataclass(slots=True)
class MemberSettings:
    """Everything a member is told; times in seconds, sizes in bytes."""

    node_id: str
    cluster_name: str
    data_dir: Path
    members: dict[str, MemberAddress]
    tls: Tls | None = None
    certificate_der: bytes = b""
    listen: tuple[str, int] | None = None
    timing: Timing = field(default_factory=Timing)
    profile: str = "production"
    segment_bytes: int = SEGMENT_BYTES
    unsynced_bytes_max: int = 64 * 1024 * 1024
    read_timeout_s: float = 2.0
    clock_skew_max_s: float = 2.0
    version: str = ""


class Member:
    """See the module's paragraph."""

    def __init__(
        self, settings: MemberSettings, *, clock: Clock | None = None, random: Random | None = None
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.random: Random = random or SystemRandom()
        self.disk = SystemDisk(settings.data_dir)
        self.init_state = InitState(self.disk)
        self.links: Links | None = None
        self.replica: Replica | None = None
        self.values: ValueSealing | None = None
        self.unsealed: Unsealed | None = None
        self.unsealed_s: float | None = None
        self.generation = b""
        self.on_fatal: Callable[[str], None] = _exit_at_once
        self.on_forward: Callable[[str, bytes], Awaitable[bytes]] | None = None
        self.on_call: Callable[[str, str, bytes], Awaitable[bytes]] | None = None
        self.on_unsealed: Callable[[], None] = lambda: None
        self.on_sealed: Callable[[], None] = lambda: None
        self.state_listeners: list[Callable[[State], None]] = []  # told of a state that replaces the former
        self.rehydrate: Rehydrate | None = None
        self.starting = False
        self._writer: ChildWriter | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._known_incarnations: dict[str, int] = {}
        self._skew_s = 0.0
        self._skew_checked_s = 0.0
        self._sealing = False
        self._lock_fd: int | None = None
        self._damaged_snapshots: set[bytes] = set()

    # ---- what it is
    @property
    def initialised(self) -> bool:
        """Keyring and entry 1 are here and final."""
        return self.init_state.stored and self.init_state.final

    @property
    def sealed(self) -> bool:
        """No keys in memory."""
        return self.replica is None

    @property
    def sealed_by_operator(self) -> bool:
        """Nothing but a threshold of shares may open this node."""
        found = read_ballot(self.disk)
        return found is not None and found[1].sealed_by_operator

    @property
    def envelope(self) -> bytes:
        """The sealed keyring; raises NotInitialisedError."""
        envelope = files.read_file(self.disk, files.KEYRING)
        if envelope is None:
            raise NotInitialisedError("this node has no keyring yet")
        return envelope

    @property
    def seal_config(self) -> SealConfig:
        """How the cluster is unsealed; raises NotInitialisedError."""
        return read_seal(self.envelope)[1]

    @property
    def cluster_id(self) -> bytes:
        """16 bytes, empty before init."""
        found = read_ballot(self.disk)
        return b"" if found is None else found[1].cluster_id

    @property
    def running(self) -> Replica:
        """The replica; raises SealedError."""
        if self.replica is None:
            raise SealedError("this node is sealed")
        return self.replica

    @property
    def is_leader(self) -> bool:
        """This node believes that it leads and has applied its first entry."""
        return self.replica is not None and self.replica.noop_applied

    @property
    def leader_id(self) -> str | None:
        """The leader this node follows or is."""
        return None if self.replica is None else self.replica.leader

    @property
    def view(self) -> State:
        """Applied state; raises SealedError."""
        return self.running.state

    def now_ns(self) -> int:
        """The cluster's time; raises SealedError."""
        return self.running.now_ns()

    @property
    def clock_skew_s(self) -> float:
        """How far this node's wall clock is from the members' median."""
        return self._skew_s

    # ---- life
    async def start(self) -> None:
        """Links stand; a member that is initialised is sealed, one whose folder is empty asks its peers."""
        settings = self.settings
        self._lock_fd = lock_folder(settings.data_dir)
        check_profile(self.disk, settings.profile)
        if settings.tls is not None and settings.listen is not None:
            members = {name: address.peer for name, address in settings.members.items() if name != settings.node_id}
            self.links = Links(
                self._identity,
                members,
                settings.tls,
                self.clock,
                self.random,
                on_message=self._on_message,
                on_connected=self._on_connected,
                on_disconnected=self._on_disconnected,
                on_call=self._on_call,
                on_turn=self._wake,
            )
            await self.links.start(*settings.listen)

    async def hand_over(self) -> None:
        """Another member leads, if one can; this one goes on serving."""
        replica = self.replica
        if replica is None or not replica.is_leader or not replica.transfer_leadership():
            return
        end = self.clock.boot() + HAND_OVER_S
        while replica.is_leader and self.clock.boot() < end:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Hand over, stop, wipe. Not a seal: the next start may unseal by itself."""
        await self._leave()
        if self.links is not None:
            await self.links.stop()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _identity(self) -> Identity:
        settings = self.settings
        replica = self.replica
        return Identity(
            node_id=settings.node_id,
            cluster_name=settings.cluster_name,
            incarnation=0 if replica is None else replica.log.incarnation,
            cluster_id=self.cluster_id,
            generation=self.generation,
            state=self.state_word,
            version=settings.version,
            link_mac=None if self.unsealed is None or replica is None else self.unsealed.keyring.link_mac,
            known_incarnations=self._known_incarnations,
        )

    @property
    def state_word(self) -> str:
        """uninitialised, sealed, starting or running."""
        if self.replica is not None:
            return "running"
        if not self.initialised:
            return "uninitialised"
        if self.starting:
            return "starting"
        return "sealed by operator" if self.sealed_by_operator else "sealed"

    # ---- unseal and seal
    async def open_with(self, unsealed: Unsealed) -> None:
        """Load snapshot and log, start the writer, and take part. The keys are the member's from now on."""
        if self.replica is not None or self.starting:
            unsealed.wipe()
            return
        self.starting = True
        try:
            bootstrap = files.read_bootstrap(self.disk)
            if bootstrap is None:
                raise NotInitialisedError("this node has no entry 1")
            self.generation = bootstrap.generation
            sealer = Sealer(unsealed.keyring, self.random, bootstrap.generation)
            loop = asyncio.get_running_loop()
            state, opened = await loop.run_in_executor(None, self._load, sealer)
            self._begin(unsealed, sealer, state, opened, bootstrap.entry)
        finally:
            self.starting = False
        if self.links is not None:
            self.links.drop_all()  # the next handshakes prove the keyring
        self._turn()  # entry 1 is applied before anybody asks
        self.on_unsealed()

    def _load(self, sealer: Sealer) -> tuple[State, Opened]:
        state, found, damaged = load_newest(self.disk, sealer)
        if damaged:
            log.error("%d snapshots are damaged: an older one, or the peers, must do", len(damaged))
        self._damaged_snapshots = damaged
        opened = open_journal(
            self.disk,
            segment_bytes=self.settings.segment_bytes,
            wall_ns=self.clock.wall_ns(),
            snapshot=found,
        )
        if opened.ballot.sealed_by_operator:
            ballot = msgspec.structs.replace(opened.ballot, sealed_by_operator=False)
            write_ballot(self.disk, opened.ballot_sequence + 1, ballot)
            opened = _replace(opened, ballot=ballot, ballot_sequence=opened.ballot_sequence + 1)
        return state, opened

    def _begin(self, unsealed: Unsealed, sealer: Sealer, state: State, opened: Opened, entry: bytes) -> None:
        settings = self.settings
        callbacks = Callbacks(
            on_synced=self._guarded(lambda replica, sequence: replica.on_log_synced(sequence)),
            on_ballot=self._guarded(lambda _replica, sequence: self._ballot_durable(sequence)),
            on_failed=lambda why: self._fatal(f"the journal failed: {why}"),
            on_snapshot=self._guarded(lambda replica, snapshot_id: replica.on_snapshot_durable(snapshot_id)),
            on_snapshot_refused=self._guarded(lambda replica, *refused: replica.on_snapshot_refused(*refused)),
            on_space=self._guarded(lambda replica, there: replica.on_space(there)),
        )
        writer = ChildWriter.start(
            settings.data_dir,
            segment_bytes=settings.segment_bytes,
            start=opened.start,
            callbacks=callbacks,
            pass_fds=() if self._lock_fd is None else (self._lock_fd,),
        )
        raft_log = DurableLog(writer, opened)
        if not opened.entries and opened.base == (0, 0):
            raft_log.add(entry, 1, 0)
        peers = [name for name in settings.members if name != settings.node_id]
        replica = Replica(
            settings.node_id,
            peers,
            settings.timing,
            raft_log,
            self.clock,
            self.random,
            FileSnapshots(self.disk, writer, self._damaged_snapshots),
            state,
            sealer,
            snapshot_index=state.applied_index,
        )
        replica.commit_index = max(replica.commit_index, 1)
        replica.read_timeout_s = settings.read_timeout_s
        replica.unsynced_bytes_max = settings.unsynced_bytes_max
        replica.send = self._send
        replica.wake = self._wake
        replica.on_broken = self._on_broken
        replica.on_state_replaced = self._state_replaced
        replica.wall_is_trusted = self._wall_is_trusted
        self.replica = replica
        self.unsealed = unsealed
        self.unsealed_s = self.clock.boot()
        self._writer = writer
        self.values = ValueSealing(sealer)
        self._learn_salts(state)
        state.listeners.append(self._on_change)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._on_timer)

    def _learn_salts(self, state: State) -> None:
        for key, _, record in state.items(Table.SALT):
            salt = records.decode(records.Salt, record)
            self.running.sealer.learn_salt(int.from_bytes(key, "big"), salt.key_term, salt.salt)

    def _on_change(self, _index: int, transaction: Any) -> None:
        for table, key, record in transaction.puts:
            if table == Table.SALT:
                salt = records.decode(records.Salt, record)
                self.running.sealer.learn_salt(int.from_bytes(key, "big"), salt.key_term, salt.salt)

    def _state_replaced(self, state: State) -> None:
        self._learn_salts(state)
        state.listeners.append(self._on_change)
        for listener in self.state_listeners:
            listener(state)

    async def seal(self, *, by_operator: bool) -> None:
        """Hand over, stop, wipe keys and state; with `by_operator`, durably until shares are given (M1)."""
        await self._leave()
        if by_operator:
            found = read_ballot(self.disk)
            if found is not None:
                write_ballot(
                    self.disk, found[0] + 1, msgspec.structs.replace(found[1], sealed_by_operator=True)
                )
        if self.links is not None:
            self.links.drop_all()
        self.on_sealed()

    async def _leave(self) -> None:
        replica = self.replica
        if replica is None or self._sealing:
            return
        self._sealing = True
        try:
            await self.hand_over()
            self.replica = None
            if self._timer is not None:
                self._timer.cancel()
            replica.lose_proposals()
            replica.refuse_all_reads()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            replica.sealer.wipe()
            if self.unsealed is not None:
                self.unsealed.wipe()
                self.unsealed = None
            self.values = None
        finally:
            self._sealing = False

    # ---- the loop's side of Raft
    def _guarded(self, call: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if self.replica is None:
                return
            try:
                call(self.replica, *arguments)
            except FatalError as error:
                self._fatal(str(error))

        return guarded

    def _fatal(self, why: str) -> None:
        log.critical("this node must stop: %s", why)
        self.on_fatal(why)

    def _on_broken(self, why: str) -> None:
        log.critical("this node seals itself and keeps its files: %s", why)
        asyncio.get_running_loop().create_task(self.seal(by_operator=False))

    def _wake(self) -> None:
        if not self._scheduled and self.replica is not None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        replica = self.replica
        if replica is None:
            return
        try:
            replica.tick()
        except FatalError as error:
            self._fatal(str(error))
            return
        if replica.busy:
            asyncio.get_running_loop().call_later(JOB_REST_S, self._wake)

    def _on_timer(self) -> None:
        replica = self.replica
        if replica is None:
            return
        now = self.clock.boot()
        if self.links is not None and now - self._skew_checked_s > SKEW_PERIOD_S:
            self._skew_checked_s = now
            heard = [skew for peer, skew in self.links.skew_ns.items() if replica.connected(peer)]
            suspected_ns = 0 if replica.clock_is_sane else int(self._skew_s * 1e9)
            self._skew_s = skew_of_this_node(heard, suspected_ns=suspected_ns) / 1e9
            sane = abs(self._skew_s) <= self.settings.clock_skew_max_s
            if sane != replica.clock_is_sane:
                log.warning("the wall clock of this node is %.1f s off the members' median", self._skew_s)
            replica.clock_is_sane = sane
        self._turn()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._on_timer)

    def _wall_is_trusted(self) -> bool:
        """A majority of the members, this node among them, has nearly the same wall clock."""
        if self.links is None:
            return True
        limit_ns = self.settings.clock_skew_max_s * 1e9
        near = 1 + sum(
            abs(skew) <= limit_ns for peer, skew in self.links.skew_ns.items() if self.running.connected(peer)
        )
        return near >= self.running.quorum

    def _send(self, peer: str, message: Message) -> bool:
        return self.links is not None and self.links.send(peer, message)

    def _on_message(self, peer: str, message: Message) -> None:
        if self.replica is None:
            return
        try:
            self.replica.receive(peer, message)
        except FatalError as error:
            self._fatal(str(error))

    def _on_connected(self, peer: str, hello: Hello) -> None:
        replica = self.replica
        if replica is None:
            return
        self._known_incarnations[peer] = max(self._known_incarnations.get(peer, 0), hello.incarnation)
        if hello.known_incarnation > replica.log.ballot.incarnation:
            replica.log.write_ballot(incarnation=hello.known_incarnation + 1)  # spoken only once it is durable
            return
        replica.on_connected(peer)
        if self.rehydrate is not None:
            self.rehydrate.saw_unsealed(peer)
        self._wake()

    def _ballot_durable(self, sequence: int) -> None:
        replica = self.running
        before = replica.log.ballot_done
        replica.on_ballot_durable(sequence)
        if self.links is not None and replica.log.ballot_durable and before < sequence:
            for connection in list(self.links.connections):
                if connection.standing and connection.incarnation_said not in {0, replica.log.incarnation}:
                    connection.close()

    def _on_disconnected(self, peer: str) -> None:
        if self.replica is not None:
            if self.rehydrate is not None:
                self.rehydrate.saw_unsealed(peer)
            self.replica.on_disconnected(peer)
            self._wake()

    # ---- calls between members
    async def _on_call(self, peer: str, proven: bool, call: Call, certificate: bytes) -> bytes:
        if call.method == "forward" and proven and self.on_forward is not None:
            return await self.on_forward(peer, call.body)
        if call.method == "peers.ask" and self.rehydrate is not None:
            return await self.rehydrate.answer(peer, call.body, certificate)
        if call.method == "state":
            return msgspec.msgpack.encode([self.state_word, self.cluster_id, self.sealed_by_operator])
        if call.method == "envelope":
            bootstrap = files.read_bootstrap(self.disk)
            if not self.initialised or bootstrap is None:
                raise NotInitialisedError("this node has no keyring yet")
            return msgspec.msgpack.encode([self.cluster_id, self.envelope, bootstrap])
        if call.method == "init.promise":
            self.init_state.promise(msgspec.msgpack.decode(call.body, type=int))
            return public_key_sha256(self.settings.certificate_der)
        if call.method == "init.store":
            self.init_state.store(msgspec.msgpack.decode(call.body, type=Store))
            return b""
        if call.method == "init.final":
            self.init_state.finish(call.body)
            return b""
        if proven and self.on_call is not None:
            return await self.on_call(peer, call.method, call.body)
        raise CallError("unknown method", b"")

    # ---- serving
    async def write(self, decide: Callable[[View, int], tuple[Draft, A]]) -> tuple[int, A]:
        """Decide on state and overlay, propose, and wait: (index, answer) once applied.

        A draft without facts proposes nothing; its answer leaves once everything it was decided on is applied and a
        later round is confirmed. Raises NotLeaderError, UnavailableError (nothing happened) or UnknownOutcomeError.
        """
        replica = self.running
        replica.may_propose()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(index: int, _outcome: Outcome | None, error: StrongroomError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(index)
            else:
                future.set_exception(error)

        draft, answer = decide(replica.overlay, replica.next_stamp())
        if draft.empty:
            replica.settle(done)
        else:
            replica.propose(draft, done)
        return await future, answer

    async def read_barrier(self) -> int:
        """Wait until a read that began now is safe on this node's applied state; its index.

        Raises UnavailableError if nobody confirms in time, SealedError.
        """
        replica = self.running
        if replica.quorum == 1 and replica.noop_applied and replica.applied_index >= replica.commit_index:
            return replica.applied_index  # nobody else could lead
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(index: int, error: StrongroomError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(index)
            else:
                future.set_exception(error)

        replica.read_index(done)
        return await future

    async def forward(self, body: bytes, timeout_s: float) -> bytes:
        """Give a request to the leader. Raises NotLeaderError if none is known, NotSentError if it never left."""
        leader = self.leader_id
        if leader is None or leader == self.settings.node_id or self.links is None:
            raise NotLeaderError(leader)
        return await self.links.call(leader, "forward", body, timeout_s)

    def step_down(self) -> bool:
        """Begin to hand over; False unless this node leads."""
        return self.running.transfer_leadership()


def _exit_at_once(_why: str) -> None:
    os._exit(70)


def _replace(opened: Opened, **fields: Any) -> Opened:
    import dataclasses

    return dataclasses.replace(opened, **fields)


__all__ = ["Member", "MemberAddress", "MemberSettings", "NotSentError"]
