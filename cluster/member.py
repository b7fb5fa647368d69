"""One member of the cluster: its folder, its seal, its links, and the replica while it is unsealed.

The shell around everything in this package, and what `node` talks to; turns.py drives its replica. A sealed member
takes no part in Raft; its links serve init and the fetching of the envelope only.

Invariants
  M1  a member without keys holds no state; sealing wipes keys and state
  M2  nothing is awaited between `decide` and the entry standing in the log (serving.py)
  M3  a broken invariant or a failed write ends the process (turns.py)
  M4  an empty member that finds an initialised peer becomes recovering, durably, before it takes part
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from typing import TYPE_CHECKING, TypeVar

import msgspec

from . import files
from .answering import answer
from .closing import close_journal, lose_failed
from .errors import NotInitialisedError
from .folder import check_profile, check_whole, lock_folder
from .initialise import InitState
from .journal.ballot import read_ballot, write_ballot
from .journal.modes import FSYNC
from .keyring.envelope import read_seal
from .keyring.sealing import Sealer
from .links.transport import Identity, Links, NotSentError
from .opening import check_readable, open_files, start_writer
from .raft.log import DurableLog
from .raft.replica import Replica
from .raft.store import FileSnapshots
from .rotation import Keyrings
from .salts import follow_salts
from .seams import SystemDisk, system_boot_id
from .serving import Serving
from .settings import MemberAddress, MemberSettings
from .values import ValueSealing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .journal.handle import Callbacks, WriterHandle
    from .journal.parent import ChildWriter
    from .keyring.envelope import SealConfig
    from .keyring.seal import Unsealed
    from .links.messages import Call
    from .raft.boot import Opened
    from .seams import Clock, Random
    from .state.machine import State

log = logging.getLogger("strongroom.member")

HAND_OVER_S = 2.0
A = TypeVar("A")


class Member(Serving):
    """See the module's paragraph."""

    def __init__(
        self,
        settings: MemberSettings,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        boot_id: str | None = None,
    ) -> None:
        super().__init__(settings, clock, random)
        self.disk = SystemDisk(settings.data_dir)
        self._boot_id = system_boot_id() if boot_id is None else boot_id
        self.init_state = InitState(self.disk)
        self.keyrings = Keyrings(self)
        self.unsealed: Unsealed | None = None
        self.unsealed_s: float | None = None
        self.generation = b""
        self.on_forward: Callable[[str, bytes], Awaitable[bytes]] | None = None
        self.on_call: Callable[[str, str, bytes], Awaitable[bytes]] | None = None
        self.on_unsealed: Callable[[], None] = lambda: None
        self.on_sealed: Callable[[], None] = lambda: None
        self.state_listeners: list[Callable[[State], None]] = []  # told of a state that replaces the former
        self.starting = False
        self._child: ChildWriter | None = None
        self._writer: WriterHandle | None = None  # the child, or what stands before it
        self._changing = asyncio.Lock()  # one start, or one end, at a time
        self._seal_task: asyncio.Task[None] | None = None
        self._to_mark = False  # that an operator sealed
        self._lock_fd: int | None = None

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
        envelope = self.keyrings.newest(files.read_file(self.disk, files.KEYRING))
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
    def is_leader(self) -> bool:
        """This node believes that it leads and has applied its first entry."""
        return self.replica is not None and self.replica.noop_applied

    @property
    def leader_id(self) -> str | None:
        """The leader this node follows or is."""
        return None if self.replica is None else self.replica.leader

    @property
    def recovering_members(self) -> list[str]:
        """Who says that a part of its log is lost, this node among them; such a member neither votes nor leads."""
        found = set() if self.links is None else set(self.links.recovering)
        if self.replica is not None and self.replica.recovering:
            found.add(self.settings.node_id)
        return sorted(found)

    @property
    def view(self) -> State:
        """Applied state; raises SealedError."""
        return self.running.state

    def now_ns(self) -> int:
        """The cluster's time; raises SealedError."""
        return self.running.now_ns()

    # ---- life
    async def start(self) -> None:
        """Links stand; a member that is initialised is sealed, one whose folder is empty asks its peers."""
        settings = self.settings
        self._lock_fd = lock_folder(settings.data_dir)
        check_profile(self.disk, settings.profile)
        check_whole(self.disk)
        check_readable(self.disk)
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
            self.links.is_recovering = lambda: self.replica is not None and self.replica.recovering
            await self.links.start(*settings.listen)

    async def hand_over(self) -> None:
        """Another member leads, if one can; this one goes on serving."""
        replica = self.replica
        if replica is None or not replica.is_leader or not replica.transfer_leadership():
            return
        end = self.clock.boot() + HAND_OVER_S
        while replica.is_leader and replica.transferring and self.clock.boot() < end:  # noqa: ASYNC110 - a role is not an event
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
            known={} if replica is None else replica.log.known,
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
            async with self._changing:
                await self.keyrings.settle(unsealed)
                bootstrap = self._bootstrap()
                self.generation = bootstrap.generation
                sealer = Sealer(unsealed.keyring, self.random, bootstrap.generation)
                sealer.open_entry(0, bootstrap.entry)  # else the generation is not init's: all would look damaged
                loop = asyncio.get_running_loop()
                state, opened, damaged = await loop.run_in_executor(None, self._open_files, sealer)
                self._begin(unsealed, sealer, state, opened, damaged, bootstrap.entry)
        except BaseException:
            unsealed.wipe()  # M1: a start that failed leaves no keys
            raise
        finally:
            self.starting = False
        if self.links is not None:
            self.links.drop_all()  # the next handshakes prove the keyring
        self._turn()  # entry 1 is applied before anybody asks
        self.on_unsealed()

    def _bootstrap(self) -> files.Bootstrap:
        bootstrap = files.read_bootstrap(self.disk)
        if bootstrap is None:
            raise NotInitialisedError("this node has no entry 1")
        return bootstrap

    def _open_files(self, sealer: Sealer) -> tuple[State, Opened, set[bytes]]:
        settings = self.settings
        return open_files(
            self.disk,
            sealer,
            segment_bytes=settings.segment_bytes,
            wall_ns=self.clock.wall_ns(),
            mode=settings.journal_mode,
            boot_id=self._boot_id,
        )

    def _begin(
        self, unsealed: Unsealed, sealer: Sealer, state: State, opened: Opened, damaged: set[bytes], entry: bytes
    ) -> None:
        settings = self.settings
        pass_fds = () if self._lock_fd is None else (self._lock_fd,)
        child, memory = start_writer(settings, opened, self._callbacks(), pass_fds=pass_fds)
        writer = memory or child
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
            FileSnapshots(self.disk if memory is None else memory.disk, writer, damaged),
            state,
            sealer,
            snapshot_index=state.applied_index,
        )
        replica.commit_index = max(replica.commit_index, 1)
        replica.read_timeout_s = settings.read_timeout_s
        replica.unsynced_bytes_max = settings.unsynced_bytes_max
        replica.log_keep_bytes = settings.log_keep_bytes
        replica.send = self._send
        replica.wake = self._wake
        replica.on_broken = self._on_broken
        replica.on_state_replaced = self._state_replaced
        replica.wall_is_trusted = self._wall_is_trusted
        self.replica = replica
        self.unsealed = unsealed
        self.unsealed_s = self.clock.boot()
        self._child, self._writer = child, writer
        if opened.mode != FSYNC:
            log.warning("journal.mode is %s: what was answered is lost with the memory of a majority", opened.mode)
        if replica.recovering:
            log.warning("a part of this node's log is lost: it is recovering, and votes for nobody until it is whole")
        self.values = ValueSealing(sealer)
        follow_salts(state, sealer)
        self.keyrings.begin(state)
        self._start_timer()

    def _state_replaced(self, state: State) -> None:
        follow_salts(state, self.running.sealer)
        for listener in self.state_listeners:
            listener(state)

    async def seal(self, *, by_operator: bool) -> None:
        """Hand over, stop, wipe keys and state; with `by_operator`, durably until shares are given (M1).

        Who comes while another seals waits for the same end: before it the ballot is the journal's to write.
        """
        self._to_mark = self._to_mark or by_operator
        if self._seal_task is None:
            self._seal_task = asyncio.get_running_loop().create_task(self._carry_out_seal())
        await asyncio.shield(self._seal_task)

    async def _carry_out_seal(self) -> None:
        try:
            await self._leave()
            if self._to_mark and (found := read_ballot(self.disk)) is not None:
                write_ballot(self.disk, found[0] + 1, msgspec.structs.replace(found[1], sealed_by_operator=True))
        finally:  # the keys are gone, whatever the disk says: all around hear of it
            self._seal_task, self._to_mark = None, False
            if self.links is not None:
                self.links.drop_all()
            self.on_sealed()

    async def _leave(self) -> None:
        """Nothing runs, and in this turn of the loop nothing begins."""
        async with self._changing:
            replica = self.replica
            if replica is None:
                return
            try:
                await self.hand_over()
            finally:
                self._end(replica)

    def _end(self, replica: Replica) -> None:
        """No replica, no keys, no state, whatever proposals, reads and the disk say (M1)."""
        self.replica = None
        self._stop_timer()
        self.keyrings.forget()
        try:
            replica.lose_proposals()
            replica.refuse_all_reads()
            self._close_writer()
        finally:
            replica.sealer.wipe()
            if self.unsealed is not None:
                self.unsealed.wipe()
                self.unsealed = None
            self.values = None

    def _close_writer(self) -> None:
        writer, child, self._writer, self._child = self._writer, self._child, None, None
        if writer is not None:
            close_journal(self.disk, self.settings.journal_mode, writer, child)

    def _callbacks(self) -> Callbacks:
        return dataclasses.replace(super()._callbacks(), on_failed=self._journal_failed)

    def _journal_failed(self, why: str) -> None:
        """M3. What a buffered journal counted as durable may be gone with the write that failed."""
        lose_failed(self.disk, self.settings.journal_mode, self._child)
        self._fatal(f"the journal failed: {why}")

    async def _on_call(self, peer: str, proven: bool, call: Call, certificate: bytes) -> bytes:
        return await answer(self, peer, proven, call, certificate)


__all__ = ["Member", "MemberAddress", "MemberSettings", "NotSentError"]
