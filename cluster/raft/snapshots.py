"""Snapshots between members, and the front of the log.

The leader sends its snapshot file as it lies on its disk (sealed chunks), in a window, over the bulk link; the
follower writes it, makes it durable, loads it beside its old state, and then replaces state and log in one step.

Invariants
  S1  a snapshot at or below the commit index is never installed: state never goes back
  S2  if the log holds the snapshot's last entry, the log stays, with its acknowledged tail
  S3  `done` is said when the snapshot and the log that starts at it are durable
  S4  a snapshot being sent is pinned with every entry after it, as long as its follower goes on receiving it
  S5  the log is cut only below a durable snapshot
  S6  a snapshot that does not open harms nobody: the follower says so and forgets it, the leader takes another
Source: Raft thesis 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import FatalError
from ..links.messages import SnapshotAck, SnapshotPart
from .chassis import FOLLOWER, LEADER, Timing
from .core import Core

if TYPE_CHECKING:
    from ..seams import Clock, Random
    from .log import DurableLog

NO_SPACE = "no space"  # the writer's word for a full disk
PART_BYTES = 48 * 1024
WINDOW_BYTES = 1024 * 1024
RECEIVE_BACKLOG_BYTES_MAX = 4 * 1024 * 1024
RESEND_S = 2.0
REWIND_S = 0.3
PIN_S = 60.0  # a follower that took nothing for so long begins again


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
        """The newest durable one that is not known to be damaged. Raises OSError if the disk does."""
        ...

    def damaged(self, snapshot_id: bytes) -> None:
        """The file with that id is not given again."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait to be written."""
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
    moved_s: float = 0.0  # when the follower last took something
    resent_s: float = 0.0
    rewound_s: float = -math.inf  # when it was last sent from an earlier byte on


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
        self._installed: _Receiving | None = None  # in state and log, not yet said to be durable
        self._part_owed = False
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

    def next_stamp(self) -> int:
        """As leader: the cluster's time now."""
        raise NotImplementedError

    def hear_stamp(self, stamp_ns: int) -> None:
        """As follower: the leader's time came."""
        raise NotImplementedError

    def retake(self) -> None:
        """The newest snapshot is of no use: take another as soon as possible."""
        raise NotImplementedError

    # ---- leader
    def on_role(self, old: int, new: int) -> None:
        """Transfers belong to one leadership; who leads receives nothing."""
        super().on_role(old, new)
        if LEADER in {old, new}:
            for peer in list(self._sending):
                self._stop_sending(peer)
        if new == LEADER:
            self._stop_receiving()

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
        silent_s = self.clock.boot() - PIN_S
        for peer in [peer for peer, sending in self._sending.items() if sending.moved_s < silent_s]:
            self._stop_sending(peer)
        return min((s.stored.index for s in self._sending.values()), default=None)

    def count_life(self, peer: str, incarnation: int) -> bool:
        """A new life of the follower has nothing of the file."""
        known = self.progress[peer].incarnation
        sending = self._sending.get(peer)
        if sending is not None and incarnation > known:  # what was sent to a life unknown, or over, was not taken
            sending.sent = sending.acknowledged = 0
        return super().count_life(peer, incarnation)

    def send_snapshot(self, peer: str) -> None:
        """Begin, or go on with, sending."""
        now = self.clock.boot()
        sending = self._sending.get(peer)
        if sending is None or sending.stored.index < self.log.base_index:
            stored = self._latest()
            if stored is None:
                return
            self._stop_sending(peer)
            sending = self._sending[peer] = _Sending(stored, moved_s=now)
        if sending.sent > 0 and sending.resent_s < now - RESEND_S and sending.moved_s < now - RESEND_S:
            # Something was lost: a part, or, if all of them have arrived, the word that it is done.
            sending.sent = max(0, min(sending.acknowledged, sending.stored.size - 1))
            sending.resent_s = now
        self._pump(peer, sending)

    def _latest(self) -> StoredSnapshot | None:
        """The newest snapshot, if it reaches the log; else another is taken (S6)."""
        try:
            stored = self.store.latest()
        except OSError:
            stored = None
        if stored is None or stored.index < self.log.base_index:
            if stored is not None:
                stored.close()
            self.retake()
            return None
        return stored

    def snapshot_over(self, peer: str) -> None:
        """The follower has the log again, however it came to it."""
        self._stop_sending(peer)

    def _pump(self, peer: str, sending: _Sending) -> None:
        stored = sending.stored
        life = self.progress[peer].incarnation
        while sending.sent < stored.size and sending.sent - sending.acknowledged < self.snapshot_window_bytes:
            try:
                data = stored.read(sending.sent, self.part_bytes)
            except OSError:
                data = b""
            if not data:
                self._unusable(stored.snapshot_id)
                return
            file = (stored.snapshot_id, stored.index, stored.term, stored.size)
            part = SnapshotPart(self.term, life, *file, sending.sent, data, self.next_stamp())
            if not self.send(peer, part):
                break
            sending.sent += len(data)

    def _unusable(self, snapshot_id: bytes) -> None:
        """S6: nobody is sent this file any more."""
        self.store.damaged(snapshot_id)
        for peer in [peer for peer, s in self._sending.items() if s.stored.snapshot_id == snapshot_id]:
            self._stop_sending(peer)
        self.retake()

    def on_snapshot_ack(self, peer: str, message: SnapshotAck) -> None:
        """A follower says how far it got."""
        if not self.is_leader or message.term != self.term or not self.count_life(peer, message.incarnation):
            return
        now = self.clock.boot()
        self.heard(peer, now)
        sending = self._sending.get(peer)
        if sending is None or sending.stored.snapshot_id != message.snapshot_id:
            return
        if message.refused:
            self._unusable(message.snapshot_id)
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
            if sending.rewound_s > now - REWIND_S:
                return  # an answer to what was sent before that: each would ask for the whole window again
            sending.rewound_s = now
            sending.sent = message.offset  # it started again, or missed something
        sending.acknowledged = message.offset
        sending.sent = max(sending.sent, message.offset)
        sending.moved_s = now
        self._pump(peer, sending)

    # ---- follower
    def on_snapshot_part(self, peer: str, message: SnapshotPart) -> None:
        """A piece has arrived, in order or not."""
        if self.quiet:
            return
        if message.term < self.term:
            return  # heartbeats on the other link tell the old leader
        if message.term > self.term:
            self.adopt(message.term)
        if self.role == LEADER:
            raise FatalError(f"a second leader in term {self.term}")
        self.leader_heard(peer, self.clock.boot())
        self.hear_stamp(message.stamp_ns)
        if message.life != self.log.incarnation:
            return  # sent before the leader knew this life: it will begin again
        if message.last_index <= self.commit_index:
            self._not_needed(message)  # S1
        elif self.log.term_at(message.last_index) == message.last_term:
            self.commit_index = message.last_index  # S2
            self._not_needed(message)
        else:
            self._receive(peer, message)

    def _not_needed(self, message: SnapshotPart) -> None:
        """The log or the state has it already; that is said as if it had been installed (S3)."""
        self._stop_receiving()
        self._installed = _Receiving(message.snapshot_id, message.last_index, message.last_term, message.size)
        self._say_installed()

    def _stop_receiving(self) -> None:
        if self._receiving is not None:
            self.store.abort(self._receiving.snapshot_id)
            self.cancel_load()
            self._receiving = None

    def _receive(self, peer: str, message: SnapshotPart) -> None:
        receiving = self._receiving
        if receiving is None or receiving.snapshot_id != message.snapshot_id:
            self._stop_receiving()
            receiving = self._receiving = _Receiving(
                message.snapshot_id, message.last_index, message.last_term, message.size
            )
        if message.offset == receiving.offset and receiving.offset < receiving.size:
            self.store.receive(
                message.snapshot_id, message.last_index, message.last_term, message.offset, message.data, message.size
            )
            receiving.offset += len(message.data)
        self._acknowledge_part(peer)

    def _acknowledge_part(self, peer: str) -> None:
        """Not before the writer has caught up: what waits for it is bounded by the leader's window and this."""
        receiving = self._receiving
        self._part_owed = receiving is not None and self.store.backlog_bytes > RECEIVE_BACKLOG_BYTES_MAX
        if receiving is not None and not self._part_owed:
            self.send(
                peer,
                SnapshotAck(self.term, self.log.incarnation, receiving.snapshot_id, receiving.offset, done=False),
            )

    def after_tick(self) -> None:
        """Say what could not be said while the writer was behind."""
        super().after_tick()
        if self._part_owed and self.leader is not None and self.role == FOLLOWER:
            self._acknowledge_part(self.leader)

    def on_snapshot_durable(self, snapshot_id: bytes) -> None:
        """A file of this node, or one it received, is complete and on stable storage."""
        self._enter()
        receiving = self._receiving
        if receiving is not None and receiving.snapshot_id == snapshot_id and not receiving.durable:
            receiving.durable = True
            self.begin_load(snapshot_id, receiving.index, receiving.term)
        self.wake()

    def on_snapshot_refused(self, snapshot_id: bytes, why: str) -> None:
        """The writer gave the file up: what arrives next begins it again. If all of it was there, the leader hears."""
        self._enter()
        receiving = self._receiving
        if receiving is not None and receiving.snapshot_id == snapshot_id:
            if receiving.offset == receiving.size and why != NO_SPACE:
                self.load_failed()
            else:
                self._receiving = None
                self.cancel_load()
        self.wake()

    def load_failed(self) -> None:
        """S6: what was received does not open."""
        receiving = self._receiving
        assert receiving is not None
        self._receiving = None
        self.cancel_load()
        self.store.damaged(receiving.snapshot_id)
        if self.leader is not None and self.leader != self.node_id:
            self.send(
                self.leader,
                SnapshotAck(self.term, self.log.incarnation, receiving.snapshot_id, 0, done=False, refused=True),
            )

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
            ack = SnapshotAck(self.term, self.log.incarnation, installed.snapshot_id, installed.size, done=True)
            self.send(self.leader, ack)

    def on_log_synced(self, sequence: int) -> None:
        """A reset that became durable is what `done` waits for."""
        super().on_log_synced(sequence)
        self._say_installed()
