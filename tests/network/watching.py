"""Who leads while something goes on, and whether a node that was lost is whole again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.journal.ballot import read_ballot
from cluster.seams import SystemDisk
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from tests.process.harness import Cluster, Server


class Reign:
    """From its making on: how often another came to lead, and whether it is the same now."""

    def __init__(self, cluster: Cluster) -> None:
        self.leader = cluster.leader()
        self._cluster = cluster
        self._term = self._now()

    def _now(self) -> int:
        return max(status["term"] for status in self._cluster.statuses().values())

    def changes(self) -> int:
        """Terms since then: each is an election, won or not."""
        return self._now() - self._term


def whole(cluster: Cluster, server: Server, timeout_s: float) -> None:
    """The node serves, votes again, and both its status and its ballot file say so."""

    def recovered() -> bool:
        status, ballot = cluster.status(server), read_ballot(SystemDisk(server.data))
        return status is not None and not status["recovering"] and ballot is not None and not ballot[1].recovering

    cluster.wait_ready([server], timeout_s)
    wait_until(recovered, f"{server.node_id} holds everything", timeout_s)


def caught_up(cluster: Cluster, server: Server, timeout_s: float) -> None:
    """The node has applied what the leader had committed when this was called."""
    status = cluster.status(cluster.leader())
    assert status is not None
    goal: int = status["commit_index"]

    def applied() -> bool:
        now = cluster.status(server)
        return now is not None and now["applied_index"] >= goal

    wait_until(applied, f"{server.node_id} has caught up", timeout_s)
