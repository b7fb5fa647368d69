"""ReadIndex: an index that covers everything acknowledged before a read began.

On the leader a read waits for a round begun after it and acknowledged by a majority, and for its commit index to be
applied; a follower asks the leader, one request per turn for all its waiting reads.

Invariants
  X1  nothing is answered before the no-op of the leader's term is applied      (thesis 6.4)
  X2  only a round that begins after the read confirms it
  X3  an answer covers the reads registered before *that* request, of the same incarnation
  X4  a read that is not confirmed within read_timeout_s is refused, never answered stale
  X5  at most reads_max reads wait here; the next one is refused at once
Source: Raft thesis 6.4.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import NotLeaderError, OverloadedError, StrongroomError, UnavailableError
from ..links.messages import ReadIndexAnswer, ReadIndexRequest
from .chassis import LEADER, Timing
from .replication import Replication

if TYPE_CHECKING:
    from ..seams import Clock, Random
    from .log import DurableLog

ReadCallback = Callable[[int, StrongroomError | None], None]
"""Called with (index that is applied and covers the read, None) or (0, why not)."""

READS_MAX = 65_536


class Reads(Replication):
    """Replication with linearizable reads."""

    read_timeout_s = 2.0
    reads_max = READS_MAX

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        self._confirming: deque[tuple[int, int, float, ReadCallback]] = deque()  # leader: (round, index, since, …)
        self._applying: list[tuple[int, float, ReadCallback]] = []  # confirmed, waiting for applied >= index
        self._asking: deque[tuple[int, float, ReadCallback]] = deque()  # follower: (request id, since, callback)
        self._request_id = 0
        self._requested_s = -math.inf
        self.reads_by_index = 0
        self.reads_refused = 0
        super().__init__(node_id, peers, timing, log, clock, source)

    @property
    def noop_applied(self) -> bool:
        """X1. Until then a leader neither decides nor answers."""
        return self.is_leader and self.noop_index is not None and self.applied_index >= self.noop_index

    def read_index(self, callback: ReadCallback) -> None:
        """Call back once a read that begins now is safe here; on any role."""
        self._enter()
        if len(self._confirming) + len(self._applying) + len(self._asking) >= self.reads_max:
            self._refuse(callback, OverloadedError("too many reads wait for a confirmation"))  # X5
            return
        now = self.clock.boot()
        if self.noop_applied:
            self._confirm(now, callback)
        else:
            self._asking.append((self._request_id + 1, now, callback))
        self.wake()

    def _confirm(self, since_s: float, callback: ReadCallback) -> None:
        if not self._confirming or self._confirming[-1][0] <= self.round:
            self.send_soon()
        self._confirming.append((self.round + 1, self.commit_index, since_s, callback))

    def _serve_confirmed(self) -> None:
        while self._confirming and self._confirming[0][0] <= self.majority_round:
            _, index, since_s, callback = self._confirming.popleft()
            self._when_applied(index, since_s, callback)

    def _when_applied(self, index: int, since_s: float, callback: ReadCallback) -> None:
        if self.applied_index >= index:
            self.reads_by_index += 1
            callback(self.applied_index, None)
        else:
            self._applying.append((index, since_s, callback))

    def _serve_applied(self) -> None:
        if not self._applying:
            return
        waiting, self._applying = self._applying, []
        for index, since_s, callback in waiting:
            if self.applied_index >= index:
                self.reads_by_index += 1
                callback(self.applied_index, None)
            else:
                self._applying.append((index, since_s, callback))

    # ---- the tick's part
    def after_tick(self) -> None:
        """Serve what is confirmed, ask for what is not, refuse what waited too long."""
        super().after_tick()
        if self.is_leader:
            self._serve_confirmed()
        self._serve_applied()
        if self._asking:
            self._ask()
        self._refuse_old()

    def _ask(self) -> None:
        if self.noop_applied:
            asking, self._asking = self._asking, deque()
            for _, since_s, callback in asking:
                self._confirm(since_s, callback)
            return
        now = self.clock.boot()
        leader = self.leader
        if leader is None or leader == self.node_id or not self.connected(leader):
            return
        if self._asking[-1][0] > self._request_id or now - self._requested_s > self.timing.heartbeat_s:
            self._request_id += 1
            self._requested_s = now
            self.send(leader, ReadIndexRequest(self.term, self._request_id, self.log.incarnation))

    def _refuse_old(self) -> None:
        now = self.clock.boot()
        old = now - self.read_timeout_s
        while self._asking and self._asking[0][1] < old:
            self._refuse(self._asking.popleft()[2], UnavailableError("no leader confirmed the read in time"))
        while self._confirming and self._confirming[0][2] < old:
            self._refuse(self._confirming.popleft()[3], UnavailableError("no majority confirmed the read in time"))
        if any(entry[1] < old for entry in self._applying):
            late = [entry for entry in self._applying if entry[1] < old]
            self._applying = [entry for entry in self._applying if entry[1] >= old]
            for _, _, callback in late:
                self._refuse(callback, UnavailableError("this node is too far behind to answer in time"))

    def _refuse(self, callback: ReadCallback, error: StrongroomError) -> None:
        self.reads_refused += 1
        callback(0, error)

    # ---- roles and messages
    def on_role(self, old: int, new: int) -> None:
        """Reads that a deposed leader had not confirmed ask the next one; their time goes on."""
        super().on_role(old, new)
        if old == LEADER:
            confirming, self._confirming = self._confirming, deque()
            for _, _, since_s, callback in confirming:
                self._asking.append((self._request_id + 1, since_s, callback))

    def refuse_all_reads(self) -> None:
        """The node stops: nothing waiting is answered."""
        waiting = [entry[3] for entry in self._confirming]
        waiting += [entry[2] for entry in (*self._applying, *self._asking)]
        self._confirming.clear()
        self._applying.clear()
        self._asking.clear()
        for callback in waiting:
            self._refuse(callback, NotLeaderError(None))

    def on_read_index_request(self, peer: str, message: ReadIndexRequest) -> None:
        """X1, X2: answered when a round begun after the request is confirmed."""
        if not self.noop_applied or message.term != self.term:
            return
        term = self.term

        def answer(index: int, error: StrongroomError | None) -> None:
            if error is None and self.term == term:
                self.send(peer, ReadIndexAnswer(term, message.id, message.incarnation, index))

        index = self.commit_index
        self._confirm(self.clock.boot(), lambda _, error: answer(index, error))
        self.wake()

    def on_read_index_answer(self, _peer: str, message: ReadIndexAnswer) -> None:
        """X3."""
        if message.incarnation != self.log.incarnation:
            return
        while self._asking and self._asking[0][0] <= message.id:
            _, since_s, callback = self._asking.popleft()
            self._when_applied(message.index, since_s, callback)
        self.wake()
