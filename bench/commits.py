"""Commits per second and their latency: writers in the leader's process, three nodes, mutual TLS, fsync.

A shell. "followers read" means that four of five clients are readers, in the followers' processes. Processor time a
commit, journal writer included, is what to compare on a machine that is not quiet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import etcd, nodes
from .figures import Figure, Yardstick
from .processes import cpu_s

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .nodes import Nodes
    from .options import Sizes

GROUP = "commits"
READERS_PER_WRITER = 4
KINDS = {"opaque": "opaque entries", "kv": "KV puts", "whole": "KV requests without HTTP"}
READ_BESIDE = ("opaque", "kv")
NUMBERS = ("per_s", "p50_ms", "p99_ms")


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    with nodes.running(folder / "nodes") as cluster, etcd.running(folder / "etcd") as yardstick:
        for writers in sizes.writers:
            beside = None if yardstick is None else yardstick.puts(writers, sizes.yardstick_s, sizes.paths)
            for kind in KINDS:
                yield _point(cluster, sizes, kind, writers, beside, read=False)
                if kind in READ_BESIDE:
                    yield _point(cluster, sizes, kind, writers, beside, read=True)


def _point(cluster: Nodes, sizes: Sizes, kind: str, writers: int, beside: Yardstick | None, *, read: bool) -> Figure:
    leader, followers = cluster.leader(), cluster.followers()
    common: dict[str, Any] = {"token": cluster.token, "paths": sizes.paths, "seconds": sizes.point_s}
    readers = max(1, writers * READERS_PER_WRITER // len(followers))
    conversations = [
        cluster.begin(node, "load", kind="read", writers=readers, **common) for node in (followers if read else ())
    ]
    pids = [cluster.pid(node) for node in (leader, *followers)]
    before_s = [cpu_s(pid) for pid in pids]
    answer = cluster.do(leader, "load", kind=kind, writers=writers, **common)
    used_s = [cpu_s(pid) - before for pid, before in zip(pids, before_s, strict=True)]
    numbers = {name: answer[name] for name in NUMBERS}
    if not read:  # of a commit alone: the load generator's part is in the leader's
        each = 1e6 / max(1, answer["count"])
        numbers |= {"leader_cpu_us": used_s[0] * each, "follower_cpu_us": max(used_s[1:]) * each}
    failures = dict(answer["failures"])
    for conversation in conversations:
        reads = conversation.receive()
        conversation.close()
        numbers["reads_per_s"] = numbers.get("reads_per_s", 0.0) + reads["per_s"]
        failures |= {f"read: {name}": count for name, count in reads["failures"].items()}
    name = f"{KINDS[kind]}, {writers} writer{'s' if writers > 1 else ''}{', followers read' if read else ''}"
    note = f"failures {failures}" if failures else ""
    return Figure(GROUP, name, numbers, beside, missing="" if beside else etcd.MISSING, note=note)
