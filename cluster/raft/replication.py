"""Appending, acknowledging, committing: the leader's and the follower's half.

Invariants
  R1  a follower truncates only where terms conflict, and never at or below its commit index
  R2  commit = min(leader's commit, what was compared in this very message)
  R3  an acknowledgement counts only in its term, for its incarnation, for a round this leader has started
  R4  `durable` in an acknowledgement is at most what was compared with this leader in this term, and on disk
  R5  an index is committed when a majority of all members, the leader one of them, holds it durably, and its entry is
      of the leader's term                                                          (thesis 3.6.2)
  R6  every entry was opened and decoded before it was appended: what does not open drops the link
  R7  the refusal of an older term carries round 0: a reborn leader must not take it for an acknowledgement
Source: Raft thesis 3.5, 3.6; docs/decisions/0001 for the library's defects these rules cure.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import DamagedError, FatalError
from ..links.messages import NO_ENTRIES, Ack, Append, pack_entries, unpack_entries
from .chassis import FOLLOWER, LEADER, NO_OP, Timing
from .election import Election
from .progress import Mode, Progress

if TYPE_CHECKING:
    from ..seams import Clock, Random
    from .log import DurableLog

BATCH_BYTES_MAX = 256 * 1024
BATCH_ENTRIES_MAX = 4096
WINDOW_BYTES_MAX = 4 * 1024 * 1024
SILENCE_HEARTBEATS = 6  # a window that does not move for so long was lost: probe again
APPLY_BUDGET_S = 0.005


class Replication(Election):
    """Election with a log that is replicated."""

    batch_bytes_max = BATCH_BYTES_MAX
    batch_entries_max = BATCH_ENTRIES_MAX
    window_bytes_max = WINDOW_BYTES_MAX

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        # as leader
        self.progress: dict[str, Progress] = {}
        self.round = 0
        self._round_sent: deque[tuple[int, float]] = deque()  # (round, own clock before its first message left)
        self.majority_round = 0
        self.majority_sent_s = -math.inf  # when the newest round that a majority acknowledged was sent
        self._push = False
        # as follower
        self.verified = 0  # highest index compared with this leader in this term
        self._ack_round: int | None = None
        self._durable_told = 0
        self._clear_recovering_at: int | None = None
        self.damaged_entries = 0
        self.digest_check: tuple[int, bytes] = (0, b"")
        self.stamp_ns = 0
        super().__init__(node_id, peers, timing, log, clock, source)

    # ---- hooks for the replica
    def admit(self, index: int, term: int, command: bytes) -> None:
        """Open and decode an entry; raises DamagedError (R6)."""
        raise NotImplementedError

    def install(self, index: int, term: int, command: bytes) -> None:
        """Install a committed entry in the state."""
        raise NotImplementedError

    def truncated(self, index: int) -> None:
        """Entries from `index` on are no longer in the log."""
        raise NotImplementedError

    def on_leader_info(self, message: Append) -> None:
        """Stamp, digest and turn that came with an accepted Append."""
        raise NotImplementedError

    def extend_append(self, peer: str) -> dict[str, Any]:
        """Further fields of an Append to `peer`."""
        raise NotImplementedError

    def extend_ack(self) -> dict[str, Any]:
        """Further fields of an Ack."""
        raise NotImplementedError

    def on_ack_info(self, peer: str, message: Ack) -> None:
        """Digest that came with a counted Ack."""
        raise NotImplementedError

    def send_snapshot(self, peer: str) -> None:
        """The follower needs a snapshot; called each round until it has one."""
        raise NotImplementedError

    # ---- leader: sending
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
        if LEADER in {old, new}:
            self.verified = self._durable_told = 0
            self._ack_round = None

    def on_term(self, term: int) -> None:
        """What was compared belongs to the leader it was compared with."""
        super().on_term(term)
        self.verified = self._durable_told = 0
        self._ack_round = None

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
        """Entries while the window lasts; if none can go, one heartbeat whose previous entry the follower surely has."""
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

    # ---- leader: acknowledgements
    def count_life(self, peer: str, incarnation: int) -> bool:
        """Whether a message speaks for the peer's newest life; a newer life starts from nothing."""
        progress = self.progress[peer]
        if incarnation < progress.incarnation:
            return False
        if incarnation > progress.incarnation:
            progress.new_life(incarnation, self.log.last_index)
        return True

    def on_ack(self, peer: str, message: Ack) -> None:
        """R3, R4."""
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
        progress.log_entries = message.log_entries
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
        elif progress.mode is Mode.REPLICATE and progress.next <= self.log.last_index:
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

    # ---- leader: commit
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

    def after_apply(self) -> None:
        """New entries leave at once, and so does a new commit index."""
        if self.is_leader and (
            self._push or any(self._may_send(p) for peer, p in self.progress.items() if self.connected(peer))
        ):
            self.send_round()

    # ---- follower
    def on_append(self, peer: str, message: Append) -> None:
        """Accept a leader, compare, append, commit, acknowledge."""
        if message.term < self.term:
            self.send(peer, self.make_ack(self.refused_round(message), success=False, next_index=0, rejected=0))
            return
        now = self.clock.boot()
        if message.term > self.term:
            self.adopt(message.term)
        if self.role == LEADER:
            raise FatalError(f"a second leader in term {self.term}")
        self.become_follower()
        if self._transfer_told is None:
            self.postpone_election(now)
        self.contact_s = now
        self._pre_votes = (0, set())
        self.leader = peer
        self.on_leader_info(message)
        self._compare(peer, message)

    def refused_round(self, message: Append) -> int:  # noqa: ARG002 - a mutant answers otherwise
        """R7."""
        return 0

    def _compare(self, peer: str, message: Append) -> None:
        log = self.log
        prev = message.prev_index
        if prev > log.last_index:
            self._reject(peer, message, log.last_index + 1)
            return
        term = log.term_at(prev)
        if term is not None and term != message.prev_term:
            if prev <= self.commit_index:
                raise FatalError(f"committed entry {prev} has term {term} here and {message.prev_term} at the leader")
            self._reject(peer, message, min(prev, self.commit_index + 1))
            return
        try:
            entries = unpack_entries(message.entries)
            self._append_entries(prev, entries)
        except (DamagedError, msgspec.MsgspecError) as error:
            self.damaged_entries += 1
            raise DamagedError("an entry from the leader does not open") from error
        match = prev + len(entries)
        if message.commit_index > self.commit_index and min(message.commit_index, match) > self.commit_index:
            self.commit_index = min(message.commit_index, match)
        if self.recovering:
            self._notice_recovery(message, match)
        self._accept(peer, message, match)

    def _append_entries(self, prev: int, entries: list[tuple[int, bytes]]) -> None:
        """R1, R6: skip what stands, cut only at a conflict, open everything new before appending any of it."""
        log = self.log
        skip = 0
        while skip < len(entries):
            index = prev + 1 + skip
            if index > log.base_index and log.term_at(index) != entries[skip][0]:
                break
            skip += 1
        new = entries[skip:]
        first = prev + 1 + skip
        for at, (term, command) in enumerate(new):
            if not command or (command[0] == NO_OP and len(command) != 1):
                raise DamagedError("an entry of no known kind")
            if command[0] != NO_OP:
                self.admit(first + at, term, command)
        if not new:
            return
        if first <= log.last_index:
            if first <= self.commit_index:
                raise FatalError(f"would truncate committed entry {first}")
            log.deleteEntriesFrom(first - log.base_index)
            self.truncated(first)
        for at, (term, command) in enumerate(new):
            log.add(command, first + at, term)
        self.appended(first, new)

    def appended(self, first: int, entries: list[tuple[int, bytes]]) -> None:
        """Entries stand in the log from `first` on."""

    def _accept(self, peer: str, message: Append, match: int) -> None:
        self.verified = max(self.verified, match)
        self._ack_round = max(self._ack_round or 0, message.round)
        ack = self.make_ack(message.round, success=True, next_index=match + 1, rejected=0)
        self._durable_told = ack.durable
        self.send(peer, ack)

    def _reject(self, peer: str, message: Append, next_index: int) -> None:
        self.send(peer, self.make_ack(message.round, success=False, next_index=next_index, rejected=message.prev_index))

    def make_ack(
        self, round_: int, *, success: bool, next_index: int, rejected: int, own_round: bool = True
    ) -> Ack:
        """An acknowledgement with what this node says of itself in every one."""
        return Ack(
            self.term,
            round_,
            self.log.ballot.incarnation,
            success,
            next_index,
            rejected,
            self.durable_verified() if success else 0,
            own_round,
            **self.extend_ack(),
        )

    def durable_verified(self) -> int:
        """R4."""
        return min(self.log.durable(), self.verified)

    def on_log_synced(self, sequence: int) -> None:
        """The journal has synced operations: the leader commits, a follower says so."""
        self._enter()
        self.log.on_synced(sequence)
        self._finish_recovery()
        if self.role == LEADER:
            self.wake()
        elif self.role == FOLLOWER and self.leader is not None and self._ack_round is not None:
            if self.durable_verified() > self._durable_told:
                ack = self.make_ack(
                    self._ack_round, success=True, next_index=self.verified + 1, rejected=0, own_round=False
                )
                self._durable_told = ack.durable
                self.send(self.leader, ack)

    # ---- recovering (E3)
    def names_this_life(self, message: Append) -> bool:
        """The leader had heard of this life when it sent the message."""
        return message.life == self.log.ballot.incarnation

    def _notice_recovery(self, message: Append, match: int) -> None:
        """Everything committed before this leader's term is here once its own commit index lies in its term."""
        if (
            self._clear_recovering_at is None
            and self.names_this_life(message)
            and match >= message.commit_index
            and self.log.term_at(message.commit_index) == message.term
        ):
            self._clear_recovering_at = message.commit_index
            self._finish_recovery()

    def _finish_recovery(self) -> None:
        if self._clear_recovering_at is not None and self.log.durable() >= self._clear_recovering_at:
            self._clear_recovering_at = None
            self.recovering = False
            self.log.write_ballot(recovering=False)

    # ---- applying
    def apply_committed(self) -> None:
        """Install committed entries for at most APPLY_BUDGET_S; the next turn goes on."""
        start = self.clock.boot()
        while self.applied_index < self.commit_index:
            entries = self.log.slice(self.applied_index + 1, min(64, self.commit_index - self.applied_index))
            if not entries or entries[0][1] != self.applied_index + 1:
                raise FatalError(f"cannot apply {self.applied_index + 1}: the log starts at {self.log.base_index}")
            for command, index, term in entries:
                self.install(index, term, command)
                self.applied_index = index
            if self.clock.boot() - start > APPLY_BUDGET_S:
                self.wake()
                break
