"""The leader's half of replication: what each follower has, what is sent to it, what is committed.

Invariants
  R3  an acknowledgement counts only in its term, for its incarnation, for a round this leader has started
  R5  an index is committed when a majority of all members, the leader one of them, holds it durably, and its entry is
      of the leader's term                                                          (thesis 3.6.2)
Source: Raft thesis 3.5, 3.6, 10.2.1.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from ..links.messages import NO_ENTRIES, Ack, Append, pack_entries
from .chassis import LEADER, Timing
from .election import Election
from .progress import Mode, Progress

if TYPE_CHECKING:
    import msgspec

    from ..seams import Clock, Random
    from .log import DurableLog

BATCH_BYTES_MAX = 256 * 1024
BATCH_ENTRIES_MAX = 4096
WINDOW_BYTES_MAX = 4 * 1024 * 1024
REMEMBER_S = 1.0  # how often what followers have is written to the ballot
SILENCE_HEARTBEATS = 6  # a window that does not move for so long was lost: probe again


class Leading(Election):
    """Election with followers that are brought up to this leader's log."""

    batch_bytes_max = BATCH_BYTES_MAX
    batch_entries_max = BATCH_ENTRIES_MAX
    window_bytes_max = WINDOW_BYTES_MAX

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        self.progress: dict[str, Progress] = {}
        self.round = 0
        self._round_sent: deque[tuple[int, float]] = deque()  # (round, own clock before its first message left)
        self.majority_round = 0
        self.majority_sent_s = -math.inf  # when the newest round that a majority acknowledged was sent
        self._push = False
        self._remembered_s = 0.0
        super().__init__(node_id, peers, timing, log, clock, source)

    # ---- hooks for the replica
    def extend_append(self, peer: str) -> dict[str, Any]:
        """Further fields of an Append to `peer`."""
        raise NotImplementedError

    def on_ack_info(self, peer: str, message: Ack) -> None:
        """Digest that came with a counted Ack."""
        raise NotImplementedError

    def send_snapshot(self, peer: str) -> None:
        """The follower needs a snapshot; called each round until it has one."""
        raise NotImplementedError

    def snapshot_over(self, peer: str) -> None:
        """The follower no longer needs the snapshot it was sent."""
        raise NotImplementedError

    # ---- sending
    def on_role(self, old: int, new: int) -> None:
        """A new leader knows nothing of its followers; a deposed one keeps its own promise not to vote (E2)."""
        super().on_role(old, new)
        if old == LEADER:
            self.contact_s = max(self.contact_s, self.majority_sent_s)
        if new == LEADER:
            self.progress = {peer: Progress(next=self.log.last_index + 1) for peer in self.peers}
            self._round_sent.clear()
            self.majority_round = self.round
            self.majority_sent_s = -math.inf
            self._push = False
            self._remembered_s = -math.inf  # who voted, and with which life, is written at every election

    def send_appends(self) -> None:
        """One round: every connected follower gets entries, or a heartbeat."""
        now = self.clock.boot()
        self.round += 1
        self._round_sent.append((self.round, now))
        while self._round_sent and self._round_sent[0][1] < now - 2 * self.timing.election_max_s:
            self._round_sent.popleft()
        self._push = False
        batches: dict[int, tuple[msgspec.Raw, int, int]] = {}
        for peer in self.peers:
            progress = self.progress[peer]
            if not self.connected(peer):
                progress.probe()
                continue
            if self._silent(progress, now):
                progress.probe()
            if progress.next <= self.log.base_index:
                self._to_snapshot(peer, progress)
            elif progress.mode is Mode.SNAPSHOT:
                self.snapshot_over(peer)
                progress.probe()
            self._send_to(peer, progress, now, batches)
        if not self.peers:
            self._note_majority()

    def _silent(self, progress: Progress, now_s: float) -> bool:
        limit = SILENCE_HEARTBEATS * self.timing.heartbeat_s
        if progress.mode is Mode.PROBE:
            if 0 <= progress.probed_s < now_s - limit:
                progress.probed_s = -1.0
            return False
        return bool(progress.in_flight) and progress.moved_s < now_s - limit

    def _to_snapshot(self, peer: str, progress: Progress) -> None:
        if progress.mode is not Mode.SNAPSHOT:
            progress.probe()
            progress.mode = Mode.SNAPSHOT
        self.send_snapshot(peer)

    def _send_to(
        self, peer: str, progress: Progress, now_s: float, batches: dict[int, tuple[msgspec.Raw, int, int]]
    ) -> None:
        """Entries while the window lasts; if none can go, one heartbeat behind an entry the follower surely has."""
        sent = False
        while self._may_send(progress):
            batch = batches.get(progress.next)
            if batch is None:
                batch = batches[progress.next] = self._batch(progress.next)
            entries, last_index, size = batch
            if not self._send_append(peer, progress, progress.next - 1, entries):
                progress.probe()
                return
            sent = True
            if progress.mode is Mode.PROBE:
                progress.probed_s = now_s
                break
            progress.sent(last_index, size, now_s)
        if not sent:
            self._send_append(peer, progress, self._known(progress), NO_ENTRIES)

    def _may_send(self, progress: Progress) -> bool:
        if progress.mode is Mode.SNAPSHOT:
            return False
        if progress.mode is Mode.PROBE:
            return progress.probed_s < 0  # also with nothing to send: it finds where the logs meet
        return progress.next <= self.log.last_index and progress.in_flight_bytes < self.window_bytes_max

    def _known(self, progress: Progress) -> int:
        """An index at which the follower's log surely equals ours: its match, or 0, which all logs share."""
        return progress.match if self.log.term_at(progress.match) is not None else 0

    def _batch(self, first: int) -> tuple[msgspec.Raw, int, int]:
        entries = self.log.slice(first, self.batch_entries_max)
        size = count = 0
        for command, _, _ in entries:
            count += 1
            size += len(command)
            if size >= self.batch_bytes_max:
                break
        packed = pack_entries([(term, command) for command, _, term in entries[:count]])
        return packed, first + count - 1, size

    def _send_append(self, peer: str, progress: Progress, prev_index: int, entries: msgspec.Raw) -> bool:
        prev_term = 0 if prev_index == 0 else self.log.term_at(prev_index)
        assert prev_term is not None
        message = Append(
            self.term,
            self.round,
            self.commit_index,
            prev_index,
            prev_term,
            progress.incarnation,
            entries,
            **self.extend_append(peer),
        )
        return self.send(peer, message)

    # ---- acknowledgements
    def count_life(self, peer: str, incarnation: int) -> bool:
        """Whether a message speaks for the peer's newest life; a newer life starts from nothing."""
        progress = self.progress[peer]
        if incarnation < progress.incarnation:
            return False
        if incarnation > progress.incarnation:
            progress.new_life(incarnation, self.log.last_index)
        return True

    def on_ack(self, peer: str, message: Ack) -> None:
        """R3."""
        if not self.is_leader or message.term != self.term or message.round > self.round:
            return
        if not self.count_life(peer, message.incarnation):
            return
        progress = self.progress[peer]
        now = self.clock.boot()
        self.heard(peer, now)
        if message.own_round and message.round > progress.round:
            progress.round = message.round
            self._note_majority()
        progress.recovering = message.recovering
        progress.wants_snapshot = message.wants_snapshot
        progress.space_ok = message.space_ok
        if message.success:
            self._credit(progress, message, now)
            self.on_ack_info(peer, message)
        else:
            self._rejected(progress, message)
        self.wake()

    def _credit(self, progress: Progress, message: Ack, now_s: float) -> None:
        progress.applied_index = message.applied_index
        progress.acknowledged(min(message.next_index - 1, self.log.last_index), now_s)
        progress.durable = max(progress.durable, self.credited_durable(message))
        if progress.mode is Mode.PROBE and progress.probed_s >= 0 and message.next_index >= progress.next:
            progress.mode = Mode.REPLICATE
            progress.probed_s = -1.0
            progress.next = progress.match + 1
            if progress.match < self.log.last_index:
                self.send_soon()
        elif self._may_send(progress):  # not while the window is full: each answer would ask all of them again
            self.send_soon()

    def credited_durable(self, message: Ack) -> int:
        """What the follower holds on disk of this leader's log."""
        return message.durable

    def _rejected(self, progress: Progress, message: Ack) -> None:
        if message.rejected <= progress.match:
            return  # a stale rejection: the follower has said since that it has more
        if progress.mode is Mode.PROBE and message.rejected != progress.next - 1:
            return
        progress.probe()
        progress.next = max(progress.match + 1, min(message.next_index, message.rejected))
        self.send_soon()

    def _note_majority(self) -> None:
        """The newest round that a majority, this node included, acknowledged."""
        rounds = sorted((p.round for p in self.progress.values()), reverse=True)
        newest = self.round if self.quorum == 1 else rounds[self.quorum - 2]
        if newest <= self.majority_round:
            return
        self.majority_round = newest
        for number, sent_s in reversed(self._round_sent):
            if number <= newest:
                self.majority_sent_s = max(self.majority_sent_s, sent_s)
                break

    # ---- commit
    def own_durable(self) -> int:
        """What counts for the leader itself: only what is on its disk."""
        return self.log.durable()

    def majority_durable(self) -> int:
        """Highest index that a majority of all members holds durably."""
        held = sorted([self.own_durable(), *(p.durable for p in self.progress.values())], reverse=True)
        return min(held[self.quorum - 1], self.log.last_index)

    def advance_commit(self) -> None:
        """R5."""
        index = self.majority_durable()
        if index > self.commit_index and self.log.term_at(index) == self.term:
            self.commit_index = index
            self._push = True

    def before_tick(self) -> None:
        """Commit first: the same turn then applies."""
        super().before_tick()
        if self.is_leader:
            self.advance_commit()
        now = self.clock.boot()
        if now - self._remembered_s >= REMEMBER_S:
            self._remembered_s = now
            self._write_known()

    def _write_known(self) -> None:
        """What is committed and on a disk must be there for ever: a member is asked for it when it comes again.

        Every member keeps it of itself, the leader of its followers, too.
        """
        self.log.hold(min(self.own_durable(), self.commit_index))
        for peer, progress in self.progress.items() if self.is_leader else ():
            index = min(progress.durable, self.commit_index)
            self.log.remember(peer, incarnation=progress.incarnation, index=index)
        if self.log.known != self.log.ballot.peers or self.log.held != self.log.ballot.held:
            self.log.write_ballot()

    def after_apply(self) -> None:
        """New entries leave at once, and so does a new commit index."""
        if self.is_leader and (
            self._push or any(self._may_send(p) for peer, p in self.progress.items() if self.connected(peer))
        ):
            self.send_round()
