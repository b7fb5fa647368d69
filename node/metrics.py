"""Numbers for Prometheus, and the same in the JSON form Vault's clients know.

Names are part of the interface. No label holds a path, a token or an entity. Gauges of Raft are read when asked.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .version import PRODUCT_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAG_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
DURATION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """One node's numbers."""

    def __init__(self, member: Member, root_tokens: Callable[[], int]) -> None:
        self._member = member
        self.registry = CollectorRegistry()
        build = Gauge("strongroom_build_info", "Always 1", ["version"], registry=self.registry)
        build.labels(PRODUCT_VERSION).set(1)
        self.requests = Counter(
            "strongroom_http_requests", "Requests answered", ["operation", "code"], registry=self.registry
        )
        self.duration = Histogram(
            "strongroom_http_request_duration_seconds",
            "From the end of the head to the answer",
            ["operation"],
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.reads = Counter(
            "strongroom_reads", "Reads by how they were proved fresh", ["path"], registry=self.registry
        )
        self.loop_lag = Histogram(
            "strongroom_loop_lag_seconds", "How late the event loop was", buckets=LAG_BUCKETS, registry=self.registry
        )
        self.audit_failures = Counter(
            "strongroom_audit_failures", "Records a device did not take", ["device"], registry=self.registry
        )
        self._gauge("strongroom_sealed", "1 while sealed", lambda: float(member.sealed))
        self._gauge("strongroom_raft_is_leader", "1 on the leader", lambda: float(member.is_leader))
        self._gauge("strongroom_raft_term", "Current term", lambda: self._raft("term"))
        self._gauge("strongroom_raft_commit_index", "Commit index", lambda: self._raft("commit_index"))
        self._gauge("strongroom_raft_applied_index", "Applied index", lambda: self._raft("applied_index"))
        self._gauge("strongroom_raft_durable_index", "Durable index", self._durable)
        self._gauge("strongroom_root_tokens", "Root tokens that exist", lambda: float(root_tokens()))
        self.skew = Gauge(
            "strongroom_clock_skew_seconds", "Peer's clock minus this node's", ["peer"], registry=self.registry
        )

    def _gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        Gauge(name, text, registry=self.registry).set_function(read)

    def _raft(self, name: str) -> float:
        replica = self._member.replica
        return 0.0 if replica is None else float(getattr(replica, name))

    def _durable(self) -> float:
        replica = self._member.replica
        return 0.0 if replica is None else float(replica.log.durable())

    def prometheus(self) -> bytes:
        """The text form."""
        if self._member.links is not None:
            for peer, skew_ns in self._member.links.skew_ns.items():
                self.skew.labels(peer).set(skew_ns / 1e9)
        return generate_latest(self.registry)

    def json(self) -> dict[str, Any]:
        """Vault's names in the form of go-metrics."""
        member = self._member
        gauges = {
            "vault.core.active": float(member.is_leader),
            "vault.core.unsealed": float(not member.sealed),
            "vault.raft.commitIndex": self._raft("commit_index"),
            "vault.raft.appliedIndex": self._raft("applied_index"),
        }
        now = dt.datetime.fromtimestamp(member.clock.wall_ns() // 10**9, dt.UTC)
        return {
            "Timestamp": now.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
            "Gauges": [{"Name": name, "Value": value, "Labels": {}} for name, value in sorted(gauges.items())],
            "Points": [],
            "Counters": [],
            "Samples": [],
        }
