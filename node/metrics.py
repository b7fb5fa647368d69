"""Numbers for Prometheus, and the same in the JSON form Vault's clients know.

Names are part of the interface. No label holds a path, a token or an entity: `route` is a path of our own or the type
of a mount. Counting is two dictionary look-ups a request; everything else is worked out when it is asked for.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from .version import PRODUCT_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from cluster import Member

    from .backup_desk import SinkNumbers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAG_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 1.0)
DURATION_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Histogram:
    """Counts by bucket; cheap to feed."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds_s, value_s)] += 1
        self.sum_s += value_s

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds_s), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Metrics:
    """One node's numbers."""

    def __init__(self, member: Member, root_tokens: Callable[[], int]) -> None:
        self._member = member
        self._root_tokens = root_tokens
        self.requests: Counter[tuple[str, str, int]] = Counter()  # route, method, status
        self.reads: Counter[str] = Counter()  # how they were proved fresh
        self.unseals: Counter[str] = Counter()
        self.durations: dict[str, Histogram] = {}  # by operation
        self.in_flight = 0
        self.loop_lag = Histogram(LAG_BUCKETS_S)
        self.leader_changes = 0
        self.audit_failures: Callable[[], dict[str, int]] = dict
        self.backups: Callable[[], list[SinkNumbers]] = list
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def answered(self, route: str, method: str, status: int, operation: str, duration_s: float) -> None:
        """A request got its answer."""
        self.requests[route, method, status] += 1
        histogram = self.durations.get(operation)
        if histogram is None:
            histogram = self.durations[operation] = Histogram(DURATION_BUCKETS_S)
        histogram.observe(duration_s)

    # ---- for Prometheus
    def collect(self) -> Iterator[Metric]:
        """See prometheus_client's Collector."""
        yield from self._http()
        yield from self._raft()
        yield from self._state()
        yield from self._backup()
        yield _histogram("strongroom_loop_lag_seconds", "How late the event loop was", [([], self.loop_lag)], [])
        yield _counter(
            "strongroom_audit_failures", "Records a device did not take", "device",
            ((name, count) for name, count in self.audit_failures().items()),
        )  # fmt: skip

    def _http(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "strongroom_http_requests", "Requests answered", labels=["route", "method", "code"]
        )
        for (route, method, status), count in sorted(self.requests.items()):
            requests.add_metric([route, method, str(status)], count)
        yield requests
        rows = [([operation], histogram) for operation, histogram in sorted(self.durations.items())]
        yield _histogram(
            "strongroom_http_request_duration_seconds", "From the head to the answer", rows, ["operation"]
        )
        yield GaugeMetricFamily("strongroom_http_requests_in_flight", "Requests at work", value=self.in_flight)
        yield _counter("strongroom_reads", "Reads by how they were proved fresh", "path", self.reads.items())
        yield _counter("strongroom_unseal_attempts", "Shares given", "result", self.unseals.items())

    def _raft(self) -> Iterator[Metric]:
        member, replica = self._member, self._member.replica
        numbers = {
            "is_leader": ("1 on the leader", float(member.is_leader)),
            "term": ("Current term", 0 if replica is None else replica.term),
            "commit_index": ("Highest committed index", 0 if replica is None else replica.commit_index),
            "applied_index": ("Highest applied index", 0 if replica is None else replica.applied_index),
            "durable_index": ("Highest index on disk here", 0 if replica is None else replica.log.durable()),
            "log_entries": ("Entries in the log", 0 if replica is None else len(replica.log)),
            "snapshot_index": ("Index of the newest snapshot", 0 if replica is None else replica.snapshot_index),
        }
        for name, (text, value) in numbers.items():
            yield GaugeMetricFamily(f"strongroom_raft_{name}", text, value=float(value))
        changes = CounterMetricFamily("strongroom_raft_leader_changes", "Times this node began or ceased to lead")
        changes.add_metric([], self.leader_changes)
        yield changes
        skew = GaugeMetricFamily("strongroom_clock_skew_seconds", "Peer's clock minus this node's", labels=["peer"])
        if member.links is not None:
            for peer, skew_ns in sorted(member.links.skew_ns.items()):
                skew.add_metric([peer], skew_ns / 1e9)
        yield skew

    def _state(self) -> Iterator[Metric]:
        member, replica = self._member, self._member.replica
        info = GaugeMetricFamily("strongroom_build_info", "Always 1", labels=["version"])
        info.add_metric([PRODUCT_VERSION], 1)
        yield info
        yield GaugeMetricFamily("strongroom_sealed", "1 while sealed", value=float(member.sealed))
        counts = {} if replica is None else replica.state.counts
        for number, name in ((0, "secrets"), (1, "secret_versions"), (2, "tokens"), (5, "write_ids")):
            yield GaugeMetricFamily(f"strongroom_{name}", f"Records: {name}", value=float(counts.get(number, 0)))
        yield GaugeMetricFamily("strongroom_root_tokens", "Root tokens that exist", value=float(self._root_tokens()))

    def _backup(self) -> Iterator[Metric]:
        rows = self.backups()
        gauges: tuple[tuple[str, str, Callable[[SinkNumbers], float | None]], ...] = (
            ("lag_entries", "Applied entries a sink lacks; on the node that writes it", lambda row: row.lag_entries),
            ("lag_seconds", "Since when a sink lacks an entry; on the node that writes it", lambda row: row.lag_s),
            ("index", "Highest index a sink is known to hold", lambda row: row.reached),
            ("last_success_timestamp_seconds", "When a sink last confirmed something", lambda row: row.last_success_s),
        )
        for name, text, of in gauges:
            family = GaugeMetricFamily(f"strongroom_backup_{name}", text, labels=["sink"])
            for row in rows:
                value = of(row)
                if value is not None:
                    family.add_metric([row.sink], value)
            yield family
        counters: tuple[tuple[str, str, Callable[[SinkNumbers], int]], ...] = (
            ("retries", "Attempts that failed and were repeated", lambda row: row.retries),
            ("batches", "Batches stored by this node", lambda row: row.batches),
            ("bytes", "Bytes stored by this node, sealed", lambda row: row.bytes),
        )
        for name, text, count_of in counters:
            counts = ((row.sink, count_of(row)) for row in rows)
            yield _counter(f"strongroom_backup_{name}", text, "sink", counts)

    def prometheus(self) -> bytes:
        """The text form."""
        return generate_latest(self.registry)

    def json(self) -> dict[str, Any]:
        """Vault's names in the form of go-metrics."""
        member, replica = self._member, self._member.replica
        gauges = {
            "vault.core.active": float(member.is_leader),
            "vault.core.unsealed": float(not member.sealed),
            "vault.raft.commitIndex": 0.0 if replica is None else float(replica.commit_index),
            "vault.raft.appliedIndex": 0.0 if replica is None else float(replica.applied_index),
            "vault.token.count": 0.0 if replica is None else float(replica.state.counts.get(2, 0)),
        }
        now = dt.datetime.fromtimestamp(member.clock.wall_ns() // 10**9, dt.UTC)
        return {
            "Timestamp": now.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
            "Gauges": [{"Name": name, "Value": value, "Labels": {}} for name, value in sorted(gauges.items())],
            "Points": [],
            "Counters": [],
            "Samples": [],
        }


def _counter(name: str, text: str, label: str, rows: Iterable[tuple[str, int]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(rows):
        family.add_metric([value], count)
    return family


def _histogram(name: str, text: str, rows: list[tuple[list[str], Histogram]], labels: list[str]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in rows:
        family.add_metric(values, histogram.buckets(), histogram.sum_s)
    return family
