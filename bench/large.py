"""Many secrets: memory of a node, restarts, the loop while a snapshot is taken, and a wiped node that comes back.

A shell. One cluster is filled once and used for all three groups.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import nodes
from .figures import Figure
from .processes import BenchError, cpu_s, rss_bytes, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from node.dev import DevNode

    from .nodes import Nodes
    from .options import Sizes

GROUPS = ("memory", "snapshot", "catchup")
LOAD_S_MAX = 180.0
SETTLE_S = 1.0
NO_YARDSTICK = "no yardstick"


def measure(sizes: Sizes, folder: Path, wanted: Sequence[str]) -> Iterator[Figure]:
    """The wanted groups. Raises BenchError."""
    with nodes.running(folder / "nodes") as cluster:
        filled = cluster.fill(sizes.secrets)
        if "memory" in wanted:
            yield _filling(sizes, filled)
            yield _memory(cluster, sizes)
        if "snapshot" in wanted:
            yield _turns(cluster, sizes, "leader")
            yield _turns(cluster, sizes, "follower")
        if "memory" in wanted:
            yield _restart(cluster)
            yield _restart_all(cluster)
        if "catchup" in wanted:
            yield _catch_up(cluster, sizes)


def _filling(sizes: Sizes, filled: dict[str, Any]) -> Figure:
    name = f"filling with {sizes.secrets:,} secrets of 1 KiB, 256 writers"
    numbers = {name: filled[name] for name in ("per_s", "p50_ms", "p99_ms", "seconds")}
    return Figure("memory", name, numbers, missing=NO_YARDSTICK)


# ---- memory and restarts
def _memory(cluster: Nodes, sizes: Sizes) -> Figure:
    sizes_bytes = [rss_bytes(cluster.pid(node)) for node in cluster.nodes]
    writers_bytes = [sum(map(rss_bytes, tree(cluster.pid(node))[1:])) for node in cluster.nodes]
    most_bytes = max(sizes_bytes)
    numbers = {"rss_gb": most_bytes / 1e9, "per_secret_bytes": most_bytes / sizes.secrets}
    note = f"nodes {_megabytes(sizes_bytes)}, their journal writers {_megabytes(writers_bytes)} MB"
    return Figure("memory", "memory of a node", numbers, missing="the values alone are 1,024 bytes each", note=note)


def _megabytes(sizes_bytes: list[int]) -> str:
    return " ".join(f"{size / 1e6:.0f}" for size in sizes_bytes)


def _restart(cluster: Nodes) -> Figure:
    node = cluster.followers()[0]
    cluster.end(node)
    seconds = _start(cluster, node)
    pid = cluster.pid(node)
    numbers = {"seconds": seconds, "cpu_s": cpu_s(pid), "rss_gb": rss_bytes(pid) / 1e9}
    return Figure("memory", "restart of one node", numbers, missing=NO_YARDSTICK, note="SIGTERM, start to /readyz 200")


def _restart_all(cluster: Nodes) -> Figure:
    for node in cluster.nodes:
        cluster.kill(node)
    began_s = time.monotonic()
    for node in cluster.nodes:
        cluster.start(node)  # in this thread: a node ends with the thread that started it
    with ThreadPoolExecutor(len(cluster.nodes)) as pool:
        list(pool.map(cluster.serve, cluster.nodes))
    seconds = time.monotonic() - began_s
    numbers = {"seconds": seconds, "cpu_s": max(cpu_s(cluster.pid(node)) for node in cluster.nodes)}
    note = "kill -9, all at once; cpu_s is the most that one node used"
    return Figure("memory", "restart of all nodes", numbers, missing=NO_YARDSTICK, note=note)


def _start(cluster: Nodes, node: DevNode) -> float:
    began_s = time.monotonic()
    cluster.start(node)
    cluster.serve(node)
    return time.monotonic() - began_s


# ---- the loop during a snapshot
def _turns(cluster: Nodes, sizes: Sizes, where: str) -> Figure:
    leader = cluster.leader()
    node = leader if where == "leader" else cluster.followers()[0]
    load = _begin_load(cluster, leader, sizes, sizes.snapshot_puts_per_s)
    time.sleep(SETTLE_S)
    cluster.do(node, "turns.begin")
    time.sleep(sizes.point_s)
    without = cluster.do(node, "turns.end")
    cluster.do(node, "turns.begin")
    snapshot = cluster.do(node, "snapshot", timeout_s=LOAD_S_MAX)
    time.sleep(sizes.point_s)  # what comes after it belongs to it: files that go, a log that is cut
    numbers = cluster.do(node, "turns.end")
    puts = _end_load(cluster, leader, load)
    numbers |= {"without_turn_ms": without["turn_ms"], "snapshot_s": snapshot["seconds"]}
    note = f"{_of_load(puts)}; without a snapshot: without_turn_ms; late_ms counts waiting for a core"
    return Figure("snapshot", f"longest loop turn, {where}'s snapshot", numbers, missing=NO_YARDSTICK, note=note)


def _begin_load(cluster: Nodes, leader: DevNode, sizes: Sizes, per_s: int) -> Any:
    return cluster.begin(
        leader,
        "load",
        kind="kv",
        token=cluster.token,
        paths=sizes.secrets,
        seconds=LOAD_S_MAX,
        per_s=per_s,
        timeout_s=LOAD_S_MAX,
    )


def _end_load(cluster: Nodes, leader: DevNode, load: Any) -> dict[str, Any]:
    cluster.do(leader, "load.stop")
    answer: dict[str, Any] = load.receive()
    load.close()
    if not answer["count"]:
        raise BenchError(f"no put succeeded beside: {answer['failures']}")
    return answer


def _of_load(puts: dict[str, Any]) -> str:
    failures = f", failures {puts['failures']}" if puts["failures"] else ""
    return f"beside {puts['per_s']:,.0f} puts/s, p99 {puts['p99_ms']:.1f} ms, max {puts['max_ms']:.0f} ms{failures}"


# ---- a wiped node
def _catch_up(cluster: Nodes, sizes: Sizes) -> Figure:
    leader, node = cluster.leader(), cluster.followers()[0]
    load = _begin_load(cluster, leader, sizes, sizes.catchup_puts_per_s)
    cluster.kill(node)
    cluster.wipe(node)
    seconds = _start(cluster, node)
    puts = _end_load(cluster, leader, load)
    return Figure(
        "catchup", "catch-up of a wiped node", {"seconds": seconds}, missing=NO_YARDSTICK, note=_of_load(puts)
    )
