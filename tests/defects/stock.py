"""PySyncObj as it is shipped, without sockets, threads, wall clock or chance: a test moves every message itself.

The library reads time and randomness through globals of its module, which cluster/raft/chassis.py has taken over. The
fixture `world` (conftest.py) gives them back for one test, as a clock that a test moves and a generator with a seed.
"""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING, Any

import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

SUCCESS = 0  # FAIL_REASON.SUCCESS
LOOK_S = 0.0002  # time passes by so much at each look: two loops of the library end only when it does
FOLLOWER, CANDIDATE, LEADER = 0, 1, 2


class Clock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        self.now_s += LOOK_S
        return self.now_s


class Member(Node):
    """Its hash does not depend on the process, so sets of members have one order."""

    def __hash__(self) -> int:
        return zlib.crc32(self.id.encode())


class Wire(Transport):
    """What a node sends waits here, oldest first, as (to, message)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        self.sent.append((node.id, message))
        return True


class NoPoller:
    """There are no sockets."""

    def poll(self, timeout: float) -> None:
        pass


class Stock(SyncObj):
    """One unmodified node whose state is the history of what was put."""

    def __init__(self, world: World, me: str, others: tuple[str, ...], **conf: Any) -> None:
        settings = {
            "autoTick": False, "commandsWaitLeader": False, "useFork": False,
            "logCompactionMinEntries": 10**9, "logCompactionMinTime": 10**9,
        } | conf  # fmt: skip
        self.me = me
        self.world = world
        super().__init__(Member(me), [Member(other) for other in others], SyncObjConf(**settings), transportClass=Wire)
        self.history: list[Any] = []  # set after the library's constructor: this is what it dumps

    @replicated
    def put(self, value: Any) -> Any:
        self.history.append(value)
        return value

    # ---- looking
    @property
    def wire(self) -> Wire:
        return self._SyncObj__transport

    @property
    def log(self) -> list[tuple[int, int]]:
        """(index, term) of each entry."""
        return [(index, term) for _, index, term in self._SyncObj__raftLog[:]]

    def said(self, kind: str, to: str | None = None) -> list[dict[str, Any]]:
        return [message for peer, message in self.wire.sent if message["type"] == kind and to in {None, peer}]

    # ---- moving
    def tick(self, seconds: float = 0.11) -> None:
        """Time passes; one tick. By default a heartbeat is due."""
        self.world.clock.now_s += seconds
        self.doTick()

    def hear(self, peer: str, **message: Any) -> None:
        self.wire._onMessageReceived(Member(peer), message)

    def acknowledges(self, peer: str, next_index: int) -> None:
        """The word of a follower that has everything below `next_index`."""
        self.hear(peer, type="next_node_idx", next_node_idx=next_index, reset=False, success=True)

    def follows(self, peer: str, term: int, entries: list[tuple[bytes, int, int]], commit: int = 1,
                prev: tuple[int, int] = (1, 0)) -> None:  # fmt: skip
        """The leader `peer` appends."""
        self.hear(
            peer, type="append_entries", term=term, commit_index=commit, entries=entries,
            prevLogIdx=prev[0], prevLogTerm=prev[1],
        )  # fmt: skip

    def leads(self, voter: str = "b") -> None:
        """An election, its vote, and the no-op committed."""
        self.tick(2.0)
        self.hear(voter, type="response_vote", term=self.raftCurrentTerm)
        assert self._isLeader()
        self.tick()
        self.acknowledges(voter, self.log[-1][0] + 1)
        self.tick()
        assert self.raftCommitIndex == self.raftLastApplied == self.log[-1][0]


class World:
    """Nodes on one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.nodes: list[Stock] = []

    def close(self) -> None:
        """Files of journals are closed."""
        for node in self.nodes:
            node._SyncObj__raftLog._destroy()

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The library's globals lead here until the test ends."""
        monkeypatch.setattr(library, "monotonicTime", self.clock)
        monkeypatch.setattr(library, "random", random.Random(317))
        monkeypatch.setattr(library, "createPoller", lambda _kind: NoPoller())

    def node(
        self, me: str = "a", others: tuple[str, ...] = ("b", "c"), *, kind: Callable[..., Stock] = Stock, **conf: Any
    ) -> Stock:
        """A node with links to all the others."""
        node = kind(self, me, others, **conf)
        self.nodes.append(node)
        for other in others:
            node.wire._onNodeConnected(Member(other))
        return node

    def three(self, **conf: Any) -> list[Stock]:
        """Three members of one cluster."""
        return [self.node(me, tuple(other for other in "abc" if other != me), **conf) for me in "abc"]

    @staticmethod
    def carry(sender: Stock, receiver: Stock, count: int | None = None) -> int:
        """The oldest messages on their way from one to the other arrive; how many did."""
        waiting = [message for to, message in sender.wire.sent if to == receiver.me][:count]
        for message in waiting:
            sender.wire.sent.remove((receiver.me, message))
            receiver.wire._onMessageReceived(Member(sender.me), message)
        return len(waiting)


def command(value: Any, *, kind: int = 0) -> bytes:
    """An entry that puts a value, as the library encodes it."""
    return bytes([kind]) + library.pickle.dumps((0, (value,)))


def puts(first: int, last: int, term: int) -> list[tuple[bytes, int, int]]:
    """Entries of one term whose values are their indexes."""
    return [(command(index), index, term) for index in range(first, last + 1)]


def dump_of(node: Stock) -> bytes:
    """A dump of the node's state, as it would be sent."""
    node.forceLogCompaction()
    node.tick(0.0)
    return node._SyncObj__serializer._Serializer__inMemorySerializedData
