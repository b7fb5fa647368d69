"""Writers whose every acknowledgement is remembered, and the check that all of it is there afterwards.

A write whose outcome is not known is repeated with the same X-Strongroom-Write-Id, at any node, until it is known.
"""

from __future__ import annotations

import http.client
import math
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.process.harness import Cluster, Reply, Server, ask_on, uuid7, wait_until
from tests.process.machine import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARED_PATHS = 4
VERSIONS_MAX = 900  # the most a secret may keep
OWN_VERSIONS = 500  # then a writer takes its next path
SHARED_TURN = 4000  # so many acknowledgements before the shared paths change: half of them over SHARED_PATHS
RESOLVE_S = 40.0
REQUEST_S = 6.0
BACK_OFF_S = 0.03


@dataclass(frozen=True)
class Acknowledged:
    """A write that was answered 2xx: which version it became, when it was first sent and when answered (monotonic)."""

    path: str
    version: int
    by: str
    sent_s: float
    answered_s: float


class Workload:
    """Threads writing to all servers: odd writes with cas to a path of the writer's own, even ones to shared paths."""

    def __init__(self, cluster: Cluster, *, writers: int = 16, pace_s: float = 0.01, tag: str = "w") -> None:
        self.cluster = cluster
        self.tag = tag
        self.acknowledged: list[Acknowledged] = []
        self.outcomes: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.unresolved: list[tuple[str, str]] = []
        self._pace_s = pace_s
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(writers)]

    # ---- life
    def prepare(self) -> None:
        """No version of what is written goes away by age."""
        reply = self.cluster.ask("POST", "secret/config", {"max_versions": VERSIONS_MAX})
        assert reply.status == 204, reply

    def start(self) -> None:
        self.prepare()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No write is under way; those whose outcome was open are resolved if a node answers."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---- writing
    def _run(self, number: int) -> None:
        source = random.Random(number)
        connections: dict[str, http.client.HTTPConnection] = {}
        version = count = 0
        while not self._stopping.is_set():
            count += 1
            by = f"{number}-{count}"
            body: dict[str, Any] = {"data": {"by": by}}
            if count % 2:
                if version == OWN_VERSIONS:
                    version = 0
                path = f"{self.tag}/own/{number}/{count // (2 * OWN_VERSIONS)}"
                body["options"] = {"cas": version}
            else:
                turn = len(self.acknowledged) // SHARED_TURN
                path = f"{self.tag}/shared/{source.randrange(SHARED_PATHS)}/{turn}"
            written = self._until_known(source, connections, path, body, by)
            if written is None:
                break
            if count % 2:
                if written != version + 1:
                    self.unexpected.append(f"{path}: version {written} followed {version}")
                version = written
            self._stopping.wait(self._pace_s)
        for connection in connections.values():
            connection.close()

    def _until_known(
        self, source: random.Random, connections: dict[str, http.client.HTTPConnection], path: str, body: Any, by: str
    ) -> int | None:
        write_id = uuid7()
        sent_s = time.monotonic()
        end: float | None = None
        while end is None or time.monotonic() < end:
            if end is None and self._stopping.is_set():
                end = time.monotonic() + RESOLVE_S
            server = source.choice(self.cluster.servers)
            try:
                reply = self._put(connections, server, path, body, write_id)
            except OSError:
                self._count("no answer")
                time.sleep(BACK_OFF_S)
                continue
            self._count(str(reply.status))
            if reply.status == 200:
                version = int(reply.data["version"])
                with self._lock:
                    self.acknowledged.append(Acknowledged(path, version, by, sent_s, time.monotonic()))
                return version
            if not self._again(reply):
                self.unexpected.append(f"{path} at {server.node_id}: {reply.status} {reply.raw[:200]!r}")
                return None
            time.sleep(BACK_OFF_S)
        self.unresolved.append((path, by))
        return None

    def _put(
        self,
        connections: dict[str, http.client.HTTPConnection],
        server: Server,
        path: str,
        body: Any,
        write_id: str,
    ) -> Reply:
        connection = connections.get(server.node_id)
        if connection is None:
            connection = http.client.HTTPConnection(HOST, server.api_port, timeout=REQUEST_S)
            connections[server.node_id] = connection
        headers = {"X-Strongroom-Write-Id": write_id}
        try:
            return ask_on(
                connection, "PUT", f"secret/data/{path}", body, token=self.cluster.token, headers=headers
            )
        except OSError:
            connection.close()
            raise

    def _again(self, reply: Reply) -> bool:
        """Whether the answer leaves the write open or undone, and says so as it must."""
        applied = reply.json.get("applied")
        if reply.status == 504:
            return applied == "unknown" and "retry-after" not in reply.headers
        if reply.status in {429, 503}:
            sealed = reply.json.get("errors") == ["Vault is sealed"]
            return sealed or (applied in {"no", None} and "retry-after" in reply.headers)
        return False

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    # ---- judging
    def gap_after(self, at_s: float) -> float:
        """Seconds from `at_s` to the first acknowledgement of a write that was sent after it."""
        answered = [one.answered_s for one in list(self.acknowledged) if one.sent_s > at_s]
        return min(answered, default=math.inf) - at_s

    def wait_for_writes(self, after_s: float) -> float:
        """A write that was sent after that time is answered; the gap in seconds."""
        wait_until(lambda: self.gap_after(after_s) < math.inf, "writes go on")
        return self.gap_after(after_s)

    def longest_silence_s(self, since_s: float) -> float:
        """The longest time without any acknowledgement after `since_s`."""
        times = sorted(one.answered_s for one in list(self.acknowledged) if one.answered_s > since_s)
        return max((after - before for before, after in zip([since_s, *times], times, strict=False)), default=0.0)

    def verify(self, servers: Sequence[Server] | None = None) -> None:
        """Nothing acknowledged is lost or doubled, versions have no gap; read on every one of the servers."""
        assert self.unexpected == []
        readers = list(servers or self.cluster.servers)
        by_path: dict[str, dict[int, str]] = {}
        for one in self.acknowledged:
            versions = by_path.setdefault(one.path, {})
            assert versions.setdefault(one.version, one.by) == one.by, f"{one.path} version {one.version} given twice"
        with ThreadPoolExecutor(len(readers) * 2) as pool:
            found = list(pool.map(self._history, sorted(by_path), [readers] * len(by_path)))
        open_writes = set(self.unresolved)
        for path, history in zip(sorted(by_path), found, strict=True):
            assert sorted(history) == list(range(1, len(history) + 1)), f"{path}: versions are not dense"
            twice = [by for by, count in Counter(history.values()).items() if count > 1]
            assert twice == [], f"{path}: executed twice: {twice}"
            acknowledged = by_path[path]
            assert {v: by for v, by in history.items() if v in acknowledged} == acknowledged
            extra = {(path, by) for version, by in history.items() if version not in acknowledged}
            assert extra <= open_writes, f"{path}: written, but never answered and not open: {extra - open_writes}"

    def _history(self, path: str, readers: list[Server]) -> dict[int, str]:
        """Every version's content, each read from another node."""
        connections = [http.client.HTTPConnection(HOST, server.api_port, timeout=15) for server in readers]
        try:
            metadata = ask_on(connections[0], "GET", f"secret/metadata/{path}", token=self.cluster.token)
            assert metadata.status == 200, metadata
            history = {}
            for version in map(int, metadata.data["versions"]):
                connection = connections[version % len(connections)]
                target = f"secret/data/{path}?version={version}"
                reply = ask_on(connection, "GET", target, token=self.cluster.token)
                assert reply.status == 200, (path, version, reply)
                history[version] = reply.data["data"]["by"]
            return history
        finally:
            for connection in connections:
                connection.close()
