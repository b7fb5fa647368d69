"""Snapshots between members, and the front of the log.

The leader sends its snapshot file as it lies on its disk (sealed chunks), in a window, over the bulk link; the
follower writes it, makes it durable, loads it beside its old state, and then replaces state and log in one step.

Invariants
  S1  a snapshot at or below the commit index is never installed: state never goes back
  S2  if the log holds the snapshot's last entry, the log stays, with its acknowledged tail
  S3  `done` is said when the snapshot and the log that starts at it are durable
  S4  a snapshot being sent is pinned with every entry after it
  S5  the log is cut only below a durable snapshot
Source: Raft thesis 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import FatalError
from ..links.messages import SnapshotAck, SnapshotPart
from .chassis import LEADER, Timing
from .core import Core

if TYPE_CHECKING:
    from ..seams import Clock, Random
    from .log import DurableLog

PART_BYTES = 48 * 1024
WINDOW_BYTES = 1024 * 1024
RESEND_S = 2.0


class StoredSnapshot(Protocol):
    """A durable snapshot file, open for reading; it stays readable after the name is removed."""

    snapshot_id: bytes
    index: int
    term: int
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes of the file."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class SnapshotStore(Protocol):
    """Where snapshot files live."""

    def latest(self) -> StoredSnapshot | None:
        """The newest durable one."""
        ...

    def receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes, size: int) -> None:
        """Bytes of a file that a leader sends; once all `size` are written and synced, `on_snapshot_durable` runs."""
        ...

    def abort(self, snapshot_id: bytes) -> None:
        """The file that is being written is not wanted."""
        ...


@dataclass(slots=True)
class _Sending:
    stored: StoredSnapshot
    sent: int = 0
    acknowledged: int = 0
    moved_s: float = 0.0


@dataclass(slots=True)
class _Receiving:
    snapshot_id: bytes
    index: int
    term: int
    size: int
    offset: int = 0
    durable: bool = False


class Snapshots(Core):
    """Core with snapshots."""

    part_bytes = PART_BYTES
    snapshot_window_bytes = WINDOW_BYTES

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random,
        store: SnapshotStore,
    ) -> None:
        self.store = store
        self._sending: dict[str, _Sending] = {}
        self._receiving: _Receiving | None = None
        self._installed: _Receiving | None = None  # in the state, not yet said to be durable
        self.installs = 0
        super().__init__(node_id, peers, timing, log, clock, source)

    # ---- for the replica
    def begin_load(self, snapshot_id: bytes, index: int, term: int) -> None:
        """Load the durable file in slices; call `loaded` when the state is ready."""
        raise NotImplementedError

    def cancel_load(self) -> None:
        """The load under way is not wanted."""
        raise NotImplementedError

    def replace_state(self) -> None:
        """The loaded state becomes the state."""
        raise NotImplementedError

    # ---- leader
    def on_role(self, old: int, new: int) -> None:
        """Transfers belong to one leadership."""
        super().on_role(old, new)
        if LEADER in {old, new}:
            for peer in list(self._sending):
                self._stop_sending(peer)

    def _stop_sending(self, peer: str) -> None:
        sending = self._sending.pop(peer, None)
        if sending is not None:
            sending.stored.close()

    def on_disconnected(self, peer: str) -> None:
        """What was on its way is lost with the link."""
        super().on_disconnected(peer)
        sending = self._sending.get(peer)
        if sending is not None:
            sending.sent = sending.acknowledged

    def pinned_index(self) -> int | None:
        """S4: the log must keep everything above this."""
        return min((s.stored.index for s in self._sending.values()), default=None)

    def send_snapshot(self, peer: str) -> None:
        """Begin, or go on with, sending."""
        now = self.clock.boot()
        sending = self._sending.get(peer)
        if sending is None or sending.stored.index < self.log.base_index:
            stored = self.store.latest()
            if stored is None or stored.index < self.log.base_index:
                raise FatalError(f"the log starts at {self.log.base_index} and no snapshot covers it")
            self._stop_sending(peer)
            sending = self._sending[peer] = _Sending(stored, moved_s=now)
        if sending.sent > sending.acknowledged and sending.moved_s < now - RESEND_S:
            sending.sent = sending.acknowledged
            sending.moved_s = now
        self._pump(peer, sending)

    def _pump(self, peer: str, sending: _Sending) -> None:
        stored = sending.stored
        life = self.progress[peer].incarnation
        while sending.sent < stored.size and sending.sent - sending.acknowledged < self.snapshot_window_bytes:
            data = stored.read(sending.sent, self.part_bytes)
            part = SnapshotPart(
                self.term, life, stored.snapshot_id, stored.index, stored.term, stored.size, sending.sent, data
            )
            if not self.send(peer, part):
                break
            sending.sent += len(data)

    def on_snapshot_ack(self, peer: str, message: SnapshotAck) -> None:
        """A follower says how far it got."""
        if not self.is_leader or message.term != self.term or not self.count_life(peer, message.incarnation):
            return
        now = self.clock.boot()
        self.heard(peer, now)
        sending = self._sending.get(peer)
        if sending is None or sending.stored.snapshot_id != message.snapshot_id:
            return
        if message.done:
            index = sending.stored.index
            self._stop_sending(peer)
            progress = self.progress[peer]
            progress.acknowledged(index, now)
            progress.durable = max(progress.durable, index)
            progress.probe()
            self.send_soon()
            return
        if message.offset < sending.acknowledged or message.offset < sending.sent - self.snapshot_window_bytes:
            sending.sent = message.offset  # it started again, or missed something
        sending.acknowledged = message.offset
        sending.sent = max(sending.sent, message.offset)
        sending.moved_s = now
        self._pump(peer, sending)

    # ---- follower
    def on_snapshot_part(self, peer: str, message: SnapshotPart) -> None:
        """A piece has arrived, in order or not."""
        if message.term < self.term:
            return  # heartbeats on the other link tell the old leader
        if message.term > self.term:
            self.adopt(message.term)
        if self.role == LEADER:
            raise FatalError(f"a second leader in term {self.term}")
        self.become_follower()
        now = self.clock.boot()
        self.postpone_election(now)
        self.contact_s = now
        self.leader = peer
        if message.life != self.log.ballot.incarnation:
            return  # sent before the leader knew this life: it will begin again
        if message.last_index <= self.commit_index:
            self._done(peer, message.snapshot_id)  # S1
        elif self.log.term_at(message.last_index) == message.last_term:
            self.commit_index = message.last_index  # S2
            self._done(peer, message.snapshot_id)
        else:
            self._receive(peer, message)

    def _done(self, peer: str, snapshot_id: bytes) -> None:
        if self._receiving is not None:
            self.store.abort(self._receiving.snapshot_id)
            self.cancel_load()
            self._receiving = None
        self.send(peer, SnapshotAck(self.term, self.log.ballot.incarnation, snapshot_id, 0, done=True))

    def _receive(self, peer: str, message: SnapshotPart) -> None:
        receiving = self._receiving
        if receiving is None or receiving.snapshot_id != message.snapshot_id:
            if receiving is not None:
                self.store.abort(receiving.snapshot_id)
                self.cancel_load()
            receiving = self._receiving = _Receiving(
                message.snapshot_id, message.last_index, message.last_term, message.size
            )
        if message.offset == receiving.offset and receiving.offset < receiving.size:
            self.store.receive(
                message.snapshot_id, message.last_index, message.last_term, message.offset, message.data, message.size
            )
            receiving.offset += len(message.data)
        ack = SnapshotAck(
            self.term, self.log.ballot.incarnation, message.snapshot_id, receiving.offset, done=False
        )
        self.send(peer, ack)

    def on_snapshot_durable(self, snapshot_id: bytes) -> None:
        """A file of this node, or one it received, is complete and on stable storage."""
        self._enter()
        receiving = self._receiving
        if receiving is not None and receiving.snapshot_id == snapshot_id and not receiving.durable:
            receiving.durable = True
            self.begin_load(snapshot_id, receiving.index, receiving.term)
        self.wake()

    def on_snapshot_refused(self, snapshot_id: bytes, why: str) -> None:  # noqa: ARG002 - for the replica's log
        """The writer gave the file up: what arrives next begins it again."""
        self._enter()
        if self._receiving is not None and self._receiving.snapshot_id == snapshot_id:
            self._receiving = None
            self.cancel_load()
        self.wake()

    def loaded(self) -> None:
        """The state of the received snapshot is ready: state and log change in one step."""
        receiving = self._receiving
        assert receiving is not None
        self._receiving = None
        if receiving.index <= self.commit_index or self.log.term_at(receiving.index) == receiving.term:
            self.cancel_load()
            return  # S1, S2: the log caught up meanwhile
        self.log.reset(receiving.index, receiving.term)
        self.replace_state()
        self.commit_index = receiving.index
        self.applied_index = receiving.index
        self.verified = max(self.verified, receiving.index)
        self.installs += 1
        self._installed = receiving
        self._say_installed()

    def _say_installed(self) -> None:
        """S3."""
        installed = self._installed
        if installed is None or self.log.durable() < installed.index:
            return
        self._installed = None
        if self.leader is not None and self.leader != self.node_id:
            ack = SnapshotAck(
                self.term, self.log.ballot.incarnation, installed.snapshot_id, installed.size, done=True
            )
            self.send(self.leader, ack)

    def on_log_synced(self, sequence: int) -> None:
        """A reset that became durable is what `done` waits for."""
        super().on_log_synced(sequence)
        self._say_installed()
