"""Many secrets come back: all nodes die, their folders are gone, a sink brings everything back; how long that takes.

The cluster is filled from inside its nodes, as the bench does, because filling is not what is measured.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.load import path_of
from bench.nodes import Nodes
from bench.processes import BenchError, free_ports
from node.cli.dev import DevOptions
from node.restore.dev import restore_dev
from tests.backup import judging
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.dev import DevNode
    from tests.network.result import Result

RTO_S = 30.0
SETTLED_S = 300.0
FILLERS = 96
ATTEMPTS = 5


class BackedNodes(Nodes):
    """Nodes of the bench whose sink is another one."""

    sink_url = ""

    @property
    def backup_url(self) -> str:
        return self.sink_url or super().backup_url


@dataclass
class Filled:
    """A cluster with many secrets; `status` is what its nodes said last."""

    nodes: BackedNodes
    status: dict[str, Any]


def status_of(nodes: Nodes, node: DevNode) -> dict[str, Any]:
    code, raw = nodes.request(node, "GET", "/v1/strongroom/status", token=nodes.secrets["root_token"])
    if code != 200:
        raise OSError(f"status {code}")
    found: dict[str, Any] = json.loads(raw)["data"]
    return found


def fill(nodes: Nodes, secrets: int) -> None:
    """So many secrets are there; again from the beginning, with another version, if a busy machine elected meanwhile.

    Raises BenchError.
    """
    for attempt in range(1, ATTEMPTS + 1):
        answer = nodes.do(
            nodes.leader(), "load", kind="kv", token=nodes.token, paths=secrets, count=secrets, writers=FILLERS,
            timeout_s=900.0,
        )  # fmt: skip
        if answer["count"] == secrets:
            return
        print(f"  filling, attempt {attempt}: {answer['count']} of {secrets}, {answer['failures']}", flush=True)
    raise BenchError("the secrets could not be stored")


@contextlib.contextmanager
def filled(folder: Path, secrets: int, url: str = "") -> Iterator[Filled]:
    """So many secrets of 1 KiB are in three nodes and in their sink."""
    options = DevOptions(nodes=3, data=folder, port_base=free_ports(3, 10))
    nodes = BackedNodes(options, folder, temporary=True)
    nodes.sink_url = url
    try:
        nodes.up()
        nodes.make_token()
        fill(nodes, secrets)

        def settled() -> dict[str, Any] | None:
            found = [status_of(nodes, node) for node in nodes.nodes]
            held = max(row["index"] for status in found for row in status["backup"])
            same = len({status["digest_index"] for status in found}) == 1
            return found[0] if same and held >= found[0]["digest_index"] else None

        status = wait_until(settled, "the sink holds everything", SETTLED_S)
        assert status is not None
        yield Filled(nodes, status)
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def comes_back(folder: Path, secrets: int, result: Result, *, name: str, url: str = "") -> None:
    """All die; the time from the first byte that is read to the first write that is answered is the RTO."""
    with filled(folder, secrets, url) as cluster:
        nodes, before = cluster.nodes, cluster.status
        for node in nodes.nodes:
            nodes.kill(node)
            nodes.wipe(node)
        held = judging.look(nodes.backup_url, None, nodes.secrets["unseal_keys"], [before["digest_index"]])
        result.problems += held.wrong
        result.need(held.digests[before["digest_index"]] == before["digest"], "the sink leads to another state")
        began_s = time.monotonic()
        folders = {node.node_id: node.folder / "data" for node in nodes.nodes}
        configs = {node.node_id: node.folder / "node.toml" for node in nodes.nodes}
        report = restore_dev(nodes.backup_url, folders, configs, nodes.secrets["unseal_keys"])
        restored_s = time.monotonic() - began_s
        for node in nodes.nodes:
            nodes.start(node)
        with ThreadPoolExecutor() as pool:  # none is ready before another one is open
            list(pool.map(nodes.serve, nodes.nodes))
        answered = nodes.request(nodes.nodes[0], "PUT", "/v1/secret/data/after", {"data": {"a": "b"}},
                                 token=nodes.token, timeout_s=60.0)[0]  # fmt: skip
        rto_s = time.monotonic() - began_s
        there = nodes.request(nodes.nodes[1], "GET", f"/v1/secret/data/{path_of(secrets - 1)}", token=nodes.token)[0]
        result.need((answered, there) == (200, 200), f"after the restore: {answered}, {there}")
        at = (report["index"], report["digest"])
        exact = (before["digest_index"], before["digest"])
        result.need(at == exact or report["index"] > before["digest_index"], f"restored was {at}, not {exact}")
        result.need(rto_s <= RTO_S or secrets > 300_000, f"{name}: {rto_s:.1f} s until a write was answered")
        result.acknowledged += secrets
        result.notes[f"{name}, {secrets:,} secrets"] = (
            f"RTO {rto_s:.1f} s: restored for three nodes in {restored_s:.1f} s "
            f"({restored_s / secrets * 1e5:.1f} s per 100,000); {held.size_bytes / 1e6:.0f} MB in {held.batches} "
            f"batches and {held.bases} bases"
        )
