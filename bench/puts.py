"""HTTP puts of 1 KiB through the leader and through a follower, three nodes, from wrk.

A shell. Nothing is pinned: three nodes, their journal writers and wrk share the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import etcd, nodes, wrk
from .figures import Figure
from .processes import HOST, BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .options import Sizes

GROUP = "puts"


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    if not wrk.there():
        raise BenchError("wrk is not installed (apt install wrk)")
    with nodes.running(folder / "nodes") as cluster, etcd.running(folder / "etcd") as yardstick:
        environ = {"BENCH_TOKEN": cluster.token, "BENCH_PATHS": str(sizes.paths)}
        for connections in sizes.connections:
            beside = None if yardstick is None else yardstick.puts(connections, sizes.yardstick_s, sizes.paths)
            for where in ("leader", "follower"):
                node = cluster.leader() if where == "leader" else cluster.followers()[0]
                report = wrk.run(
                    f"http://{HOST}:{node.api_port}/",
                    connections=connections,
                    seconds=sizes.point_s,
                    script="put.lua",
                    environ=environ,
                )
                name = f"PUT through the {where}, {connections} connection{'s' if connections > 1 else ''}"
                note = f"{report.failed} of {report.requests} failed" if report.failed else ""
                missing = "" if beside else etcd.MISSING
                yield Figure(GROUP, name, report.numbers(), beside, missing=missing, note=note)
