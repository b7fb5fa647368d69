"""The follower's half of replication: comparing, appending, acknowledging, and the end of recovering.

Invariants
  R1  a follower truncates only where terms conflict, and never at or below its commit index
  R2  commit = min(leader's commit, what was compared in this very message)
  R4  `durable` in an acknowledgement is at most what was compared with this leader in this term, and on disk
  R6  every entry was opened and decoded before it was appended: what does not open drops the link
  R7  the refusal of an older term carries round 0: a reborn leader must not take it for an acknowledgement
  R8  what waits for this node's disk is bounded: beyond unsynced_bytes_max nothing more is appended, and the leader,
      whose window does not move, sends slower
Source: Raft thesis 3.5; docs/decisions/0001 for the library's defects these rules cure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import DamagedError, FatalError
from ..links.messages import Ack, Append, unpack_entries
from .chassis import FOLLOWER, LEADER, NO_OP, Timing
from .election import Election

if TYPE_CHECKING:
    from ..seams import Clock, Random
    from .log import DurableLog

UNSYNCED_BYTES_MAX = 64 * 1024 * 1024


class Following(Election):
    """Election with a log that is a leader's."""

    unsynced_bytes_max = UNSYNCED_BYTES_MAX

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        self.verified = 0  # highest index compared with this leader in this term
        self._ack_round: int | None = None
        self._durable_told = 0
        self._clear_recovering_at: int | None = None
        self.damaged_entries = 0
        super().__init__(node_id, peers, timing, log, clock, source)

    # ---- hooks for the replica
    def admit(self, index: int, entries: list[tuple[int, bytes]]) -> list[Any]:
        """Open and decode entries (term, command) from `index` on; raises DamagedError if one does not (R6).

        The first of them, where those behind them need keys that are still to come: then only these may stand.
        """
        raise NotImplementedError

    def appended(self, index: int, opened: list[Any]) -> None:
        """What `admit` returned stands in the log from `index` on."""
        raise NotImplementedError

    def truncated(self, index: int) -> None:
        """Entries from `index` on are no longer in the log."""
        raise NotImplementedError

    def on_leader_info(self, message: Append) -> None:
        """Stamp, digest and turn that came with an accepted Append."""
        raise NotImplementedError

    def extend_ack(self) -> dict[str, Any]:
        """Further fields of an Ack."""
        raise NotImplementedError

    # ---- roles and terms
    def on_role(self, old: int, new: int) -> None:
        """What was compared as a follower says nothing about an own log."""
        super().on_role(old, new)
        if LEADER in {old, new}:
            self._forget_leader()

    def on_term(self, term: int) -> None:
        """What was compared belongs to the leader it was compared with."""
        super().on_term(term)
        self._forget_leader()

    def _forget_leader(self) -> None:
        self.verified = self._durable_told = 0
        self._ack_round = None

    # ---- appending
    def on_append(self, peer: str, message: Append) -> None:
        """Accept a leader, compare, append, commit, acknowledge."""
        if self.quiet:
            return
        if message.term < self.term:
            self.send(peer, self.make_ack(self.refused_round(message), success=False, next_index=0, rejected=0))
            return
        if message.term > self.term:
            self.adopt(message.term)
        if self.role == LEADER:
            raise FatalError(f"a second leader in term {self.term}")
        self.leader_heard(peer, self.clock.boot())
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
            match = prev + self._append_entries(prev, unpack_entries(message.entries))
        except (DamagedError, msgspec.MsgspecError) as error:
            self.damaged_entries += 1
            raise DamagedError("an entry from the leader does not open") from error
        self.commit_index = max(self.commit_index, min(message.commit_index, match))
        if self.recovering and self._clearing is None:
            self._notice_recovery(message, match)
        self._accept(peer, message, match)

    def standing(self, prev: int, entries: list[tuple[int, bytes]]) -> int:
        """R1: how many of the entries behind `prev` stand in the log already, or are covered by its base."""
        log = self.log
        count = 0
        while count < len(entries):
            index = prev + 1 + count
            if index > log.base_index and log.term_at(index) != entries[count][0]:
                break
            count += 1
        return count

    def _append_entries(self, prev: int, entries: list[tuple[int, bytes]]) -> int:
        """How many of the entries stand in the log afterwards. Everything new is opened before any of it stands."""
        log = self.log
        stand = self.standing(prev, entries)
        new = entries[stand:]
        first = prev + 1 + stand
        if not new or log.backlog_bytes > self.unsynced_bytes_max:  # R8
            return stand
        for _, command in new:
            if not command or (command[0] == NO_OP and len(command) != 1):
                raise DamagedError("an entry of no known kind")
        opened = self.admit(first, new)
        new = new[: len(opened)]
        if not new:
            return stand
        if first <= log.last_index:
            if first <= self.commit_index:
                raise FatalError(f"would truncate committed entry {first}")
            log.deleteEntriesFrom(first - log.base_index)
            self.truncated(first)
        for at, (term, command) in enumerate(new):
            log.add(command, first + at, term)
        self.appended(first, opened)
        return stand + len(new)

    # ---- acknowledging
    def _accept(self, peer: str, message: Append, match: int) -> None:
        self.verified = max(self.verified, match)
        self._ack_round = max(self._ack_round or 0, message.round)
        ack = self.make_ack(message.round, success=True, next_index=self.verified + 1, rejected=0)
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
            self.log.incarnation,
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
            self._tell_durable(self.leader, self._ack_round)

    def _tell_durable(self, leader: str, round_: int) -> None:
        if self.durable_verified() > self._durable_told:
            ack = self.make_ack(round_, success=True, next_index=self.verified + 1, rejected=0, own_round=False)
            self._durable_told = ack.durable
            self.send(leader, ack)

    # ---- recovering (E3)
    def names_this_life(self, message: Append) -> bool:
        """The leader had heard of this life when it sent the message."""
        return message.life == self.log.incarnation

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
            self.end_recovery()
