"""The chassis: the only subclass of PySyncObj's SyncObj, and the only file that knows its private names.

What stays in use of PySyncObj 0.3.17: the tick and its order, the election timer and its randomness, the states and
the change to candidate, the broadcast of vote requests, term and vote handed to the journal, the no-op of a new
leader, check-quorum, the sets of members and of connected members, the log container interface. Everything that was
found unsafe (message handlers, AppendEntries sender, apply loop, commit by match index, dumps, queue, transport,
pickle) is overridden here by name and forwarded to methods without leading `_SyncObj__`, which the files beside this
one implement. docs/decisions/0001 has the list and the reasons.

Invariants
  C1  the library's clock and random source are the node's seams
  C2  the library itself never commits: it sees no entries while its commit loop runs
  C3  no pickle: no path of ours leads to the library's queue, forwarding, dump or journal
"""

from __future__ import annotations

import logging
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from ..links.messages import Message, RequestVote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..seams import Clock, Random
    from .log import DurableLog

if library.VERSION != "0.3.17":
    raise ImportError("hardened against PySyncObj 0.3.17 only")

FOLLOWER, CANDIDATE, LEADER = 0, 1, 2
ROLES = ("follower", "candidate", "leader")
TRANSACTION, NO_OP, CONFIGURATION = 0, 1, 2  # kinds of entries: first byte of the command

logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)  # its messages quote what it received


@dataclass(frozen=True, slots=True)
class Timing:
    """`election_min_s` is also the stickiness of votes; `election_max_s` the check-quorum bound."""

    heartbeat_s: float = 0.05
    election_min_s: float = 0.5
    election_max_s: float = 0.8


class _Seams:
    """The library reads time and randomness through module globals; they lead to the node that is running."""

    clock: Clock
    source: Random

    def random(self) -> float:
        """Where the library says `random.random()`."""
        return self.source.uniform()


_running = _Seams()

library.monotonicTime = lambda: _running.clock.boot()  # noqa: PLW0108 - the clock is another one at each call
library.random = _running


class Peer(Node):
    """A member. Its hash does not depend on PYTHONHASHSEED, so that runs can be replayed."""

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id)
        self._hash = zlib.crc32(node_id.encode())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.id == self.id


class _NoPoller:
    """The library polls sockets at the end of a tick; ours are asyncio's."""

    def poll(self, timeout: float) -> None:
        """Nothing to poll."""


class _Port(Transport):
    """The library sends through this; only its vote request is let through, typed."""

    def __init__(self, chassis: Chassis) -> None:
        super().__init__(None, None, [])
        self._chassis = chassis

    def send(self, node: Node, message: Any) -> bool:
        """See Transport."""
        assert message["type"] == "request_vote", "the library sends nothing else"
        self._chassis.on_library_vote_request(node.id, message)
        return True


@contextmanager
def _journal(log: DurableLog) -> Iterator[None]:
    previous = library.createJournal
    library.createJournal = lambda *_: log
    try:
        yield
    finally:
        library.createJournal = previous


class Chassis(SyncObj):
    """PySyncObj under our names. `send` is the only way out, `on_message` the only way in."""

    def __init__(
        self, node_id: str, peers: list[str], timing: Timing, log: DurableLog, clock: Clock, source: Random
    ) -> None:
        self.node_id = node_id
        self.peers = sorted(peers)
        self.timing = timing
        self.log = log
        self.clock = clock
        self.source = source
        self.send: Callable[[str, Message], bool] = lambda _peer, _message: False
        self.wake: Callable[[], None] = lambda: None
        self._nodes = {peer: Peer(peer) for peer in self.peers}
        self._hidden = False
        self._starting = True
        self._enter()
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            commandsWaitLeader=False,
            dynamicMembershipChange=False,
            password=None,
            journalFile=None,
            fullDumpFile=None,
            raftMinTimeout=timing.election_min_s,
            raftMaxTimeout=timing.election_max_s,
            appendEntriesPeriod=timing.heartbeat_s,
            leaderFallbackTimeout=timing.election_max_s,
            connectionTimeout=timing.election_max_s,
            logCompactionMinEntries=10**9,
            logCompactionMinTime=10**9,
        )
        with _journal(log):
            super().__init__(Peer(node_id), list(self._nodes.values()), conf, transport=_Port(self))
        self._poller = _NoPoller()
        self._SyncObj__raftCommitIndex = log.base_index
        self._SyncObj__raftLastApplied = log.base_index
        self._starting = False

    def _enter(self) -> None:
        _running.clock = self.clock
        _running.source = self.source

    # ---- state, by our names
    @property
    def role(self) -> int:
        """FOLLOWER, CANDIDATE or LEADER."""
        return self._SyncObj__raftState

    @property
    def is_leader(self) -> bool:
        """Whether this node believes it leads; others may too, of older terms."""
        return self._SyncObj__raftState == LEADER

    @property
    def term(self) -> int:
        """Current term."""
        return self._SyncObj__raftCurrentTerm

    @property
    def vote(self) -> str | None:
        """For whom this node voted in its term."""
        return self._SyncObj__votedForNodeId

    @property
    def leader(self) -> str | None:
        """Id of the leader last heard in this term."""
        node = self._SyncObj__raftLeader
        return None if node is None else node.id

    @leader.setter
    def leader(self, peer: str | None) -> None:
        self._SyncObj__raftLeader = None if peer is None else self._nodes[peer]

    @property
    def commit_index(self) -> int:
        """Highest index known to be committed. Invariant: applied_index <= commit_index <= last index."""
        return self._SyncObj__raftCommitIndex

    @commit_index.setter
    def commit_index(self, index: int) -> None:
        assert index >= self._SyncObj__raftCommitIndex
        self._SyncObj__raftCommitIndex = index

    @property
    def applied_index(self) -> int:
        """Highest index installed in the state."""
        return self._SyncObj__raftLastApplied

    @applied_index.setter
    def applied_index(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    @property
    def noop_index(self) -> int | None:
        """Index of the no-op of the last term this node led, None while it is not appended."""
        return self._SyncObj__noopIDx

    @property
    def quorum(self) -> int:
        """Smallest majority."""
        return (len(self.peers) + 1) // 2 + 1

    def connected(self, peer: str) -> bool:
        """Whether a link to the peer stands."""
        return self._nodes[peer] in self._SyncObj__connectedNodes

    def heard(self, peer: str, now_s: float) -> None:
        """The peer answered this leader; check-quorum counts it."""
        self._SyncObj__lastResponseTime[self._nodes[peer]] = now_s

    def answered_since(self, since_s: float) -> int:
        """How many peers answered this leader after `since_s`."""
        return sum(at > since_s for at in self._SyncObj__lastResponseTime.values())

    # ---- timers
    def postpone_election(self, now_s: float) -> None:
        """The election timer starts again."""
        self._SyncObj__raftElectionDeadline = now_s + self._SyncObj__generateRaftTimeout()

    @property
    def election_due(self) -> bool:
        """The election timer has run out."""
        return self._SyncObj__raftElectionDeadline < self.clock.boot()

    def campaign_now(self, *, transfer: bool) -> None:
        """The next tick makes this node a candidate."""
        self._SyncObj__raftElectionDeadline = 0.0
        self._SyncObj__transferInProgress = transfer

    def send_soon(self) -> None:
        """The next tick sends to every follower."""
        self._SyncObj__newAppendEntriesTime = 0.0

    def send_round(self) -> None:
        """A round leaves now, and the next one is due a heartbeat later."""
        self._SyncObj__sendAppendEntries()

    # ---- changes, through the library
    def set_term(self, term: int, vote: str | None) -> None:
        """Term and vote change, and go to the ballot."""
        self._SyncObj__setCurrentTerm(term, vote)

    def become_follower(self) -> None:
        """Role changes; `on_role` runs if it was another."""
        self._SyncObj__setState(FOLLOWER)

    def become_leader(self) -> None:
        """Role changes and the no-op of the term is appended."""
        self._SyncObj__onBecomeLeader()

    # ---- entry points
    def tick(self) -> None:
        """One turn: elections, commit, apply, sending. Called after every batch of input and on a timer."""
        self._enter()
        self.before_tick()
        self._hidden = True
        try:
            self._onTick(0.0)
        finally:
            self._hidden = False
        self.after_tick()

    def receive(self, peer: str, message: Message) -> None:
        """A message of a connected member has arrived."""
        self._enter()
        self.on_message(peer, message)

    def on_connected(self, peer: str) -> None:
        """A link to the peer stands."""
        self._enter()
        self._SyncObj__onNodeConnected(self._nodes[peer])

    def on_disconnected(self, peer: str) -> None:
        """The link to the peer is gone."""
        self._enter()
        self._SyncObj__onNodeDisconnected(self._nodes[peer])

    # ---- what the files beside this one implement
    def before_tick(self) -> None:
        """Before the library's turn."""
        raise NotImplementedError

    def after_tick(self) -> None:
        """After the library's turn."""
        raise NotImplementedError

    def on_message(self, peer: str, message: Message) -> None:
        """A message has arrived."""
        raise NotImplementedError

    def on_vote_request_due(self, peer: str, request: RequestVote) -> None:
        """This candidate asks `peer`."""
        raise NotImplementedError

    def may_campaign(self) -> bool:
        """Whether the library's election timer may make this node a candidate when it has run out."""
        raise NotImplementedError

    def on_role(self, old: int, new: int) -> None:
        """The role changed from `old` to `new`; runs after the change."""
        raise NotImplementedError

    def on_term(self, term: int) -> None:
        """The term is about to become `term`."""
        raise NotImplementedError

    def on_elected(self) -> bool:
        """This node has won; False if its own vote is not durable yet, then nothing happens."""
        raise NotImplementedError

    def send_appends(self) -> None:
        """One round to every follower."""
        raise NotImplementedError

    def apply_committed(self) -> None:
        """Install committed entries."""
        raise NotImplementedError

    def after_apply(self) -> None:
        """Where the library drained its queue: after applying, before the end of the turn."""
        raise NotImplementedError

    # ---- overrides of the library
    def on_library_vote_request(self, peer: str, message: dict[str, Any]) -> None:
        """The library's dictionary becomes our message."""
        self.on_vote_request_due(
            peer, RequestVote(message["term"], message["last_log_index"], message["last_log_term"])
        )

    def _SyncObj__onMessageReceived(self, node: Node, message: Any) -> None:  # noqa: N802, ARG002 - its signature
        raise AssertionError("messages come in through receive")

    def _SyncObj__connectedToAnyone(self) -> bool:  # noqa: N802
        return self.may_campaign() and super()._SyncObj__connectedToAnyone()

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        self._SyncObj__newAppendEntriesTime = self.clock.boot() + self.timing.heartbeat_s
        self.send_appends()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        self._hidden = False
        self.apply_committed()
        return False

    def _SyncObj__getEntries(  # noqa: N802
        self, fromIDx: int | None, count: int | None = None, maxSizeBytes: int | None = None  # noqa: N803
    ) -> list[Any]:
        return [] if self._hidden else super()._SyncObj__getEntries(fromIDx, count, maxSizeBytes)

    def _SyncObj__setState(self, newState: int) -> None:  # noqa: N802, N803
        old = self._SyncObj__raftState
        if newState == LEADER:
            self._SyncObj__noopIDx = None  # that of an earlier leadership says nothing; the library appends the new one
        super()._SyncObj__setState(newState)
        if old != newState:
            self.on_role(old, newState)

    def _SyncObj__setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        if term != self._SyncObj__raftCurrentTerm:
            self.on_term(term)
        super()._SyncObj__setCurrentTerm(term, votedForNodeId)

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        if self.on_elected():
            super()._SyncObj__onBecomeLeader()

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802
        pass

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:  # noqa: N802, N803, ARG002 - its signature
        raise AssertionError("the library's dumps are not used")

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:  # noqa: N802, ARG002 - its signature
        raise AssertionError("the library applies nothing")

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        self.after_apply()

    def _applyCommand(self, *_: Any) -> None:  # noqa: N802
        raise AssertionError("the library's queue is not used")
