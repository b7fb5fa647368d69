"""A node is down for minutes under steady writes, until the others' logs no longer reach back to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cluster.raft.replica import LOG_BYTES_MAX, LOG_KEEP_ENTRIES
from tests.network.far import far_cluster
from tests.network.reading import verify
from tests.network.result import Result
from tests.network.watching import Reign, caught_up, whole
from tests.network.writing import writing
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from pathlib import Path

PER_S = 100
WRITERS = 20
RETURN_S_MAX = 240.0
VALUE_BYTES_MAX = 96 * 1024


def down(folder: Path, down_s: float = 600.0) -> Result:
    """It comes back with a snapshot, because what it lacks is in no log any more."""
    result = Result("a node down", notes={"down, s": down_s})
    value_bytes = min(VALUE_BYTES_MAX, int(2 * LOG_BYTES_MAX / (PER_S * down_s)))
    with far_cluster(folder) as far:
        cluster = far.cluster
        plan = {"writers": WRITERS, "pace_s": WRITERS / PER_S, "value_bytes": value_bytes}
        with writing(far, tag="down", **plan) as writers:
            writers.wait_for(100)
            reign = Reign(cluster)
            away = next(server for server in cluster.servers if server is not reign.leader)
            before = (cluster.status(away) or {"applied_index": 0})["applied_index"]
            away.kill()
            died_s = time.monotonic()

            def needs_snapshot() -> bool:
                index: int = (cluster.status(cluster.leader()) or {"snapshot_index": 0})["snapshot_index"]
                return time.monotonic() - died_s >= down_s and index - LOG_KEEP_ENTRIES > before

            wait_until(needs_snapshot, "the log has left the node behind", down_s + RETURN_S_MAX)
            result.notes["elections"] = reign.changes()
            began_s = time.monotonic()
            cluster.restart(away)
            whole(cluster, away, RETURN_S_MAX)
            caught_up(cluster, away, RETURN_S_MAX)
            result.notes["back after, s"] = round(time.monotonic() - began_s, 1)
            installed = (cluster.status(away) or {"snapshot_index": 0})["snapshot_index"]
            result.notes["entries missed"] = installed - before
            result.need(installed > before, "the node came back without a snapshot")
            writers.wait_for(100)
        verify(far, writers, result)
    return result
