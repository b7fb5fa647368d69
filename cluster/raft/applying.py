"""Between the log and the state: opening entries, installing them, answering who waits, comparing digests.

Invariants
  A1  what is installed was opened and decoded before it was acknowledged (replication.py R6)
  A2  overlay = what this leader proposed and has not applied; it is dropped whole when the role, term or log is lost
  A3  a waiting proposal is answered once: its outcome, or unknown
  A4  equal index means equal digest: a follower that differs from its leader stops; a leader that differs from a
      majority stops
  A5  the stamp never goes back and never runs more than 5 % off the leader's own clock (cluster/state/stamp.py)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import DamagedError, StrongroomError, TooLargeError, UnavailableError, UnknownOutcomeError
from ..keyring.keyring import UnknownKeyTermError
from ..keyring.sealing import entry_kind
from ..links.messages import Ack, Append, Diverged
from ..state import shape, stamp, transaction
from ..state.digest import DIGEST_BYTES
from ..state.machine import Outcome, State
from ..state.overlay import Overlay
from ..state.tables import Table
from .chassis import CONFIGURATION, LEADER, NO_OP, TRANSACTION, Timing
from .snapshots import Snapshots

if TYPE_CHECKING:
    from ..keyring.sealing import Sealer
    from ..seams import Clock, Random
    from ..state.transaction import Transaction
    from .log import DurableLog
    from .snapshots import SnapshotStore

ProposalCallback = Callable[[int, Outcome | None, StrongroomError | None], None]
"""Called with (index, outcome, None) once applied, or (index, None, UnknownOutcomeError)."""

DIGESTS_KEPT = 4096
MARK = 128
MARKS_KEPT = 2048
DIGEST_PERIOD_S = 1.0


class Applying(Snapshots):
    """Snapshots with a state behind the log."""

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random,
        store: SnapshotStore, state: State, sealer: Sealer,
    ) -> None:
        self.state = state
        self.overlay = Overlay(state)
        self.sealer = sealer
        self.sequence = 0
        self._opened: dict[int, tuple[int, Transaction]] = {}  # index → (term, what the entry says)
        self._waiting: dict[int, ProposalCallback] = {}
        self._settling: list[tuple[int, ProposalCallback]] = []
        self._stamp_ns = 0
        self._stamp_boot_s = 0.0
        self._heard_stamp: tuple[int, float] = (0, 0.0)  # (the leader's stamp, own clock when it came)
        self._digests: deque[tuple[int, int]] = deque(maxlen=DIGESTS_KEPT)  # of consecutive indexes
        self._marks: dict[int, int] = {}  # digests behind every MARK-th of the last MARK * MARKS_KEPT entries
        self._digest_asked = 0  # as follower: the leader wants to compare at this index
        self._digest_found: bytes | None = None
        self._checkpoint: tuple[int, bytes] = (0, b"")  # as leader: what followers compare with
        self._checkpoint_s = 0.0
        self._differing: set[str] = set()
        self._agreeing: set[str] = set()
        self.on_broken: Callable[[str], None] = lambda _why: None
        self.on_lead: Callable[[bool], None] = lambda _leads: None
        self.wall_is_trusted: Callable[[], bool] = lambda: False
        self.waits_for_keys: Callable[[], bool] = lambda: False  # a key term is not known here: may it yet come?
        super().__init__(node_id, peers, timing, log, clock, source, store)

    # ---- opening
    def admit(self, index: int, entries: list[tuple[int, bytes]]) -> list[Any]:  # noqa: ARG002 - for watchers
        """A1. What is sealed with a key term that a rotation brings, which is not applied here yet, has to wait."""
        found: list[Any] = []
        for term, command in entries:
            try:
                found.append((term, self._open(term, command)) if command[0] != NO_OP else None)
            except UnknownKeyTermError:
                if not self.waits_for_keys():
                    raise
                break
        return found

    def appended(self, index: int, opened: list[Any]) -> None:
        """What was opened is kept until it is installed."""
        self._opened.update((index + at, found) for at, found in enumerate(opened) if found is not None)

    def _open(self, term: int, command: bytes) -> Transaction:
        try:
            if entry_kind(command) not in {TRANSACTION, CONFIGURATION}:
                raise DamagedError("an entry of no known kind")
            return transaction.decode(self.sealer.open_entry(term, command))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError) as error:
            raise DamagedError("an entry does not decode") from error

    def truncated(self, index: int) -> None:
        """What was opened from `index` on is forgotten."""
        for known in [known for known in self._opened if known >= index]:
            del self._opened[known]

    # ---- installing
    def install(self, index: int, term: int, command: bytes) -> None:
        """A committed entry becomes state; its proposer is answered."""
        if command[0] == NO_OP:
            self._opened.pop(index, None)
            self.state.apply_nothing(index, term)
            outcome = None
        else:
            opened = self._opened.pop(index, None)
            if opened is None or opened[0] != term:
                opened = (term, self._open(term, command))
            outcome = self.state.apply(index, term, opened[1])
            if self.is_leader:
                self.overlay.applied(index, opened[1])
        self.applied_index = index  # before anybody is told, and whatever a callback does: once is enough
        self._digests.append((index, self.state.digest))
        if index % MARK == 0:
            self._marks[index] = self.state.digest
            self._marks.pop(index - MARK * MARKS_KEPT, None)
        if index == self._digest_asked:
            self._digest_found = self.state.digest.to_bytes(DIGEST_BYTES, "little")
        callback = self._waiting.pop(index, None)
        if callback is not None:
            self._answer(index, outcome, callback)

    def _answer(self, index: int, outcome: Outcome | None, callback: ProposalCallback) -> None:
        assert outcome is not None
        if outcome.ok:
            callback(index, outcome, None)
            return
        # A leader decides on applied state plus its own proposals, so this cannot happen without a bug of ours.
        callback(index, None, UnknownOutcomeError(f"entry {index} was refused by the state: {outcome.why}"))
        self.on_broken(f"an expectation of this leader failed at {index}: {outcome.why}")
        self.step_down()

    # ---- proposing
    def propose(self, draft: transaction.Draft, callback: ProposalCallback, *, kind: int = TRANSACTION) -> int:
        """Append the draft; the caller has asked `may_propose` in the same turn. Returns the index.

        Raises TooLargeError, with nothing appended.
        """
        self._enter()
        self.sequence += 1
        now_ns = self.next_stamp()
        facts = transaction.Transaction(
            self.term, self.sequence, now_ns, draft.expects, draft.puts, draft.drops
        )
        payload = transaction.encode(facts)
        if len(payload) > transaction.BYTES_MAX or len(facts.puts) + len(facts.drops) > transaction.RECORDS_MAX:
            raise TooLargeError("the transaction is larger than one entry may be")
        if not shape.well_formed(facts):  # the state would refuse it, and that is a leader's mistake
            raise TooLargeError("a name in the transaction is longer than that of a record may be")
        entry = self.sealer.seal_entry(
            kind=kind,
            term=self.term,
            sequence=self.sequence,
            hashes=draft.hashes,
            payload=payload,
            nonce=self.source.bytes(12),
        )
        index = self.append_entry(entry)
        self._opened[index] = (self.term, facts)
        self.overlay.add(index, facts)
        self._waiting[index] = callback
        return index

    def settle(self, callback: ProposalCallback) -> None:
        """Call back once everything in the log now is applied in this term and a later round is confirmed.

        For answers that propose nothing: a refusal must not depend on an entry that never commits.
        """
        end = self.log.last_index
        term = self.term

        def confirmed(_index: int, error: StrongroomError | None) -> None:
            if error is not None or self.term != term or not self.is_leader:
                callback(0, None, UnavailableError("leadership was lost before the answer was sure"))
            elif self.applied_index >= end:
                callback(end, None, None)
            else:
                self._settling.append((end, callback))

        self.read_index(confirmed)

    @property
    def overlay_pending(self) -> bool:
        """A mount or a policy is proposed and not applied: caches over applied state do not hold for the overlay."""
        return self.overlay.touches(Table.MOUNT, Table.POLICY)

    @property
    def waiting(self) -> int:
        """Proposals that wait for their outcome."""
        return len(self._waiting)

    def after_tick(self) -> None:
        """Refusals whose log end is applied now may leave."""
        super().after_tick()
        if self._settling:
            settling, self._settling = self._settling, []
            for end, callback in settling:
                if self.applied_index >= end:
                    callback(end, None, None)
                else:
                    self._settling.append((end, callback))

    def lose_proposals(self) -> None:
        """A2, A3."""
        self.overlay.drop()
        waiting, self._waiting = self._waiting, {}
        settling, self._settling = self._settling, []
        for index, callback in waiting.items():
            callback(index, None, UnknownOutcomeError("leadership was lost after the write was proposed"))
        for end, callback in settling:
            callback(end, None, UnavailableError("leadership was lost before the answer was sure"))

    def on_role(self, old: int, new: int) -> None:
        """The overlay belongs to one leadership; the stamp goes on from the log's newest."""
        super().on_role(old, new)
        if old == LEADER:
            self.lose_proposals()
            self.hear_stamp(self.next_stamp())  # time goes on from its own word until it hears another's
            self.on_lead(False)
        if new == LEADER:
            self.on_lead(True)
            self.overlay.drop()
            # Time went on while the whole cluster was down; a wall clock that the members agree on says how much.
            wall_ns = self.clock.wall_ns() if self.wall_is_trusted() else 0
            self._stamp_ns = max(self.state.time_ns, self._heard_now_ns(), wall_ns)
            self._stamp_boot_s = self.clock.boot()
            self._checkpoint = (0, b"")
            self._differing.clear()
            self._agreeing.clear()

    # ---- time
    def next_stamp(self) -> int:
        """A5: the stamp of a transaction proposed now."""
        boot_s = self.clock.boot()
        last_ns = max(self._stamp_ns, self.state.time_ns)  # entries of earlier leaders may be applied meanwhile
        self._stamp_ns = stamp.next_stamp(last_ns, self._stamp_boot_s, boot_s, self.clock.wall_ns())
        self._stamp_boot_s = boot_s
        return self._stamp_ns

    def _heard_now_ns(self) -> int:
        heard_ns, at_s = self._heard_stamp
        return heard_ns + int((self.clock.boot() - at_s) * 1e9) if heard_ns else 0

    def now_ns(self) -> int:
        """The cluster's time here: the leader's stamp, or the newest heard of plus own time since. Never the wall."""
        if self.is_leader:
            return self.next_stamp()
        return max(self.state.time_ns, self._heard_now_ns())

    # ---- digests (A4)
    def digest_at(self, index: int) -> bytes | None:
        """The digest behind an entry this node applied, if it is one of the last, or of those that are marked."""
        at = index - self._digests[0][0] if self._digests else -1
        digest = self._digests[at][1] if 0 <= at < len(self._digests) else self._marks.get(index)
        return None if digest is None else digest.to_bytes(DIGEST_BYTES, "little")

    def payload(self, term: int, command: bytes) -> bytes:
        """The transaction of an entry of the log as it was logged; empty for an entry that says nothing.

        Raises DamagedError.
        """
        return b"" if command[0] == NO_OP else self.sealer.open_entry(term, command)

    def extend_append(self, peer: str) -> dict[str, Any]:
        """Digest to compare with, stamp, and whose turn it is to take a snapshot."""
        now = self.clock.boot()
        if now - self._checkpoint_s > DIGEST_PERIOD_S and self._digests:
            index, digest = self._digests[-1]
            if index != self._checkpoint[0]:
                self._differing.clear()
                self._agreeing.clear()
            self._checkpoint = (index, digest.to_bytes(DIGEST_BYTES, "little"))
            self._checkpoint_s = now
        return {
            "digest_index": self._checkpoint[0],
            "digest": self._checkpoint[1],
            "turn": self.has_turn(peer),
            "stamp_ns": self.next_stamp(),
        }

    def has_turn(self, peer: str) -> bool:
        """Whether the peer may take a snapshot now."""
        raise NotImplementedError

    def on_leader_info(self, message: Append) -> None:
        """What came with an accepted Append."""
        if message.digest_index != self._digest_asked:
            self._digest_asked = message.digest_index
            self._digest_found = self.digest_at(message.digest_index)
        self.hear_stamp(message.stamp_ns)

    def hear_stamp(self, stamp_ns: int) -> None:
        """The leader's stamp came; one that was long on its way says nothing new."""
        if stamp_ns > self._heard_now_ns():
            self._heard_stamp = (stamp_ns, self.clock.boot())

    def extend_ack(self) -> dict[str, Any]:
        """What this node says of itself in every acknowledgement."""
        digest = self._digest_found
        return {
            "applied_index": self.applied_index,
            "digest_index": 0 if digest is None else self._digest_asked,
            "digest": digest or b"",
            "wants_snapshot": self.wants_snapshot,
            "recovering": self.recovering,
            "space_ok": self.space_ok,
        }

    @property
    def wants_snapshot(self) -> bool:
        """Whether the log behind the newest snapshot is long enough for another one."""
        raise NotImplementedError

    def on_ack_info(self, peer: str, message: Ack) -> None:
        """Judge a follower's digest, or ourselves if a majority differs from us."""
        index, digest = self._checkpoint
        if not index or message.digest_index != index:
            return
        if message.digest == digest:
            self._agreeing.add(peer)
            return
        self._differing.add(peer)
        if len(self._differing) >= self.quorum:
            self.on_broken(f"a majority has another state at {index}")
            self.step_down()
        elif len(self._agreeing) + 1 >= self.quorum:
            self.send(peer, Diverged(self.term, index))

    def on_diverged(self, peer: str, message: Diverged) -> None:
        """The leader, and a majority with it, has another state than this node."""
        if message.term == self.term and peer == self.leader:
            self.on_broken(f"this node's state differs from the leader's at {message.digest_index}")
