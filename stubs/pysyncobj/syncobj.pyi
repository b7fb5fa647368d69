from collections.abc import Callable, Iterable
from typing import Any

from .config import SyncObjConf
from .journal import Journal
from .node import Node
from .transport import Transport

monotonicTime: Callable[[], float]
random: Any
createJournal: Callable[..., Journal]
VERSION: str

class SyncObj:
    conf: SyncObjConf
    _poller: Any
    _SyncObj__raftState: int
    _SyncObj__raftCurrentTerm: int
    _SyncObj__votedForNodeId: str | None
    _SyncObj__raftLog: Any
    _SyncObj__raftCommitIndex: int
    _SyncObj__raftLastApplied: int
    _SyncObj__leaderCommitIndex: int | None
    _SyncObj__raftLeader: Node | None
    _SyncObj__raftElectionDeadline: float
    _SyncObj__transferInProgress: bool
    _SyncObj__noopIDx: int | None
    _SyncObj__otherNodes: set[Node]
    _SyncObj__connectedNodes: set[Node]
    _SyncObj__lastResponseTime: dict[Node, float]
    _SyncObj__newAppendEntriesTime: float
    _SyncObj__selfNode: Node
    _SyncObj__transport: Transport
    def __init__(self, selfNode: Node, otherNodes: Iterable[Node], conf: SyncObjConf, *, transport: Transport) -> None: ...
    def _onTick(self, timeToWait: float = ...) -> None: ...
    def _checkCommandsToApply(self) -> None: ...
    def _SyncObj__setState(self, newState: int) -> None: ...
    def _SyncObj__setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None: ...
    def _SyncObj__onBecomeLeader(self) -> None: ...
    def _SyncObj__generateRaftTimeout(self) -> float: ...
    def _SyncObj__connectedToAnyone(self) -> bool: ...
    def _SyncObj__getEntries(self, fromIDx: int | None, count: int | None = ..., maxSizeBytes: int | None = ...) -> list[Any]: ...
    def _SyncObj__onNodeConnected(self, node: Node) -> None: ...
    def _SyncObj__onNodeDisconnected(self, node: Node) -> None: ...
