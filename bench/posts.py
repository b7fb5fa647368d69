"""The same POST again and again at one node, in turns with a yardstick: the medians of the rounds.

A shell. Beside the rate stands the processor time of a request: `cpu_us` of the node that is asked, with its journal's
writer, and of all nodes together as `all_cpu_us`, because what a follower is asked may be worked at by two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import wrk
from .figures import Figure, Yardstick, medians
from .processes import HOST, cpu_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from node.dev import DevNode

    from .nodes import Nodes
    from .options import Sizes


@dataclass(frozen=True, slots=True)
class Post:
    """What is asked for: `path` below /v1/, the body, and the token if it needs one."""

    path: str
    body: Mapping[str, object]
    token: str = ""

    def __repr__(self) -> str:
        return f"<Post {self.path}>"


@dataclass(frozen=True, slots=True)
class Posts:
    """A group's measurements at one cluster."""

    group: str
    cluster: Nodes
    sizes: Sizes
    beside: Callable[[int], Yardstick] | None
    missing: str  # what the line says where there is no yardstick
    core: int | None = None  # of the load generator

    def figure(self, name: str, node: DevNode, post: Post, connections: int, each: int = 1) -> Figure:
        """One line; a request counts as `each` of what is done. Raises BenchError."""
        ours: list[dict[str, float]] = []
        theirs: list[Yardstick] = []
        failed = 0
        for _ in range(self.sizes.get_rounds):
            if self.beside is not None:
                theirs.append(self.beside(connections))
            numbers, failures = self._round(node, post, connections, each)
            ours.append(numbers)
            failed += failures
        yardstick = Yardstick(theirs[0].name, medians([one.numbers for one in theirs])) if theirs else None
        note = f"{failed} requests failed" if failed else ""
        missing = "" if yardstick else self.missing
        return Figure(self.group, name, medians(ours), yardstick, missing=missing, note=note)

    def _round(self, node: DevNode, post: Post, connections: int, each: int) -> tuple[dict[str, float], int]:
        pids = [self.cluster.pid(one) for one in self.cluster.nodes]
        before = {pid: cpu_s(pid) for pid in pids}
        environ = {"BENCH_PATH": post.path, "BENCH_BODY": json.dumps(post.body)}
        report = wrk.run(
            f"http://{HOST}:{node.api_port}/",
            connections=connections,
            seconds=self.sizes.point_s,
            script="post.lua",
            environ=environ | ({"BENCH_TOKEN": post.token} if post.token else {}),
            core=self.core,
        )
        count = max(1, report.requests * each)
        used_us = {pid: (cpu_s(pid) - before[pid]) * 1e6 / count for pid in pids}
        numbers = {**report.numbers(), "per_s": report.per_s * each, "cpu_us": used_us[self.cluster.pid(node)]}
        if len(pids) > 1:
            numbers["all_cpu_us"] = sum(used_us.values())
        return numbers, report.failed
