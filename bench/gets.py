"""HTTP reads of random secrets: one node on core 0 with wrk on core 1, and three nodes that prove each read fresh.

A shell. The yardstick and the reads take turns, and the line has the medians; processor time per request is the
steadiest number.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import nodes, wrk, yardsticks
from .figures import Figure, Yardstick, medians
from .processes import HOST, BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.dev import DevNode

    from .nodes import Nodes
    from .options import Sizes
    from .yardsticks import HttpServer

GROUP = "gets"
MISSING = "nginx is not installed here (apt install nginx-light)"


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    if not wrk.there():
        raise BenchError("wrk is not installed (apt install wrk)")
    with contextlib.ExitStack() as stack:
        nginx = stack.enter_context(yardsticks.nginx(folder / "nginx"))
        hello = stack.enter_context(yardsticks.hello(folder / "hello"))
        if nginx is not None and hello is not None:
            beside = nginx.measure(sizes.yardstick_s)
            yield Figure(GROUP, hello.name, hello.measure(sizes.yardstick_s).numbers, beside)
        yield from _single(sizes, folder, nginx)
        yield from _three(sizes, folder, nginx)


def _single(sizes: Sizes, folder: Path, nginx: HttpServer | None) -> Iterator[Figure]:
    many = sizes.connections[-1]
    with nodes.running(folder / "single", count=1, core=0) as cluster:
        cluster.fill(sizes.paths)
        node = cluster.nodes[0]
        yield _point(cluster, sizes, node, "GET, single node", many, nginx, core=1)
        yield _point(cluster, sizes, node, "GET, single node, 1 connection", 1, nginx, core=1)
        # A header that asks for what is the default: the edge looks at it, so the head is read by all the rules.
        header = "X-Strongroom-Consistency"
        yield _point(cluster, sizes, node, "GET, single node, one rarer header", many, nginx, core=1, header=header)
        _audit(cluster, wanted=True)
        yield _point(cluster, sizes, node, "GET, single node, audit to a file", many, nginx, core=1)
        _audit(cluster, wanted=False)
        # The plain GET is told from its bytes, which an audited one is not; with the header neither is, so that what
        # remains is audit itself.
        yield _audited(cluster, sizes, node, many, "GET, audited beside not audited")
        yield _audited(cluster, sizes, node, many, "GET, audited beside not audited, one rarer header", header)


def _audit(cluster: Nodes, *, wanted: bool) -> None:
    """Requests are written to a file, or nowhere."""
    device = {"type": "file", "options": {"file_path": "audit.log"}}
    cluster.root("PUT" if wanted else "DELETE", "sys/audit/file", device if wanted else None)


def _audited(cluster: Nodes, sizes: Sizes, node: DevNode, connections: int, name: str, header: str = "") -> Figure:
    """What audit costs: in turns with and without, the latter as the yardstick. Not audited before and afterwards."""
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    failed = 0
    for _ in range(sizes.get_rounds):
        for wanted, numbers in ((True, ours), (False, theirs)):
            _audit(cluster, wanted=wanted)
            measured, failures = _round(cluster, sizes, node, connections, 1, header)
            numbers.append(measured)
            failed += failures
    beside = Yardstick("the same, not audited", medians(theirs))
    note = f"{failed} requests failed" if failed else ""
    return Figure(GROUP, name, medians(ours), beside, note=note)


def _three(sizes: Sizes, folder: Path, nginx: HttpServer | None) -> Iterator[Figure]:
    many = sizes.connections[-1]
    with nodes.running(folder / "three") as cluster:
        cluster.fill(sizes.paths)
        leader, follower = cluster.leader(), cluster.followers()[0]
        yield _point(cluster, sizes, leader, "GET, leader of three", many, nginx)
        yield _point(cluster, sizes, follower, "GET, follower of three", many, nginx)
        yield _point(cluster, sizes, follower, "GET, follower of three, 1 connection", 1, nginx)


def _point(
    cluster: Nodes,
    sizes: Sizes,
    node: DevNode,
    name: str,
    connections: int,
    nginx: HttpServer | None,
    core: int | None = None,
    header: str = "",
) -> Figure:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    failed = 0
    for _ in range(sizes.get_rounds):
        if nginx is not None:
            theirs.append(nginx.measure(sizes.yardstick_s, connections).numbers)
        numbers, failures = _round(cluster, sizes, node, connections, core, header)
        ours.append(numbers)
        failed += failures
    beside = None if nginx is None else Yardstick(nginx.name, medians(theirs))
    note = f"{failed} requests failed" if failed else ""
    return Figure(GROUP, name, medians(ours), beside, missing="" if beside else MISSING, note=note)


def _round(
    cluster: Nodes, sizes: Sizes, node: DevNode, connections: int, core: int | None = None, header: str = ""
) -> tuple[dict[str, float], int]:
    environ = {"BENCH_TOKEN": cluster.token, "BENCH_PATHS": str(sizes.paths)}
    if header:
        environ["BENCH_HEADER"] = header
    report, cpu_us = wrk.measured(
        f"http://{HOST}:{node.api_port}/",
        cluster.pid(node),
        connections=connections,
        seconds=sizes.point_s,
        script="get.lua",
        environ=environ,
        core=core,
    )
    return {**report.numbers(), "cpu_us": cpu_us}, report.failed
