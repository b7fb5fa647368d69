"""An empty node is brought up with a large snapshot over a slow link, while writes go on."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.network.far import DELAY_S, far_cluster
from tests.network.filling import FillableServer
from tests.network.reading import verify
from tests.network.result import Result
from tests.network.watching import Reign, caught_up, whole
from tests.network.writing import writing

if TYPE_CHECKING:
    from pathlib import Path

BYTES_PER_S = 20e6
INSTALL_S_MAX = 600.0
BEFORE = 200


@dataclass
class Large:
    """How much there is, and how fast it grows meanwhile."""

    secrets: int = 300_000
    per_s: int = 200
    writers: int = 100  # each slow beside the rate, so that one that waits does not lower it much
    bytes_per_s: float = BYTES_PER_S


def snapshot(folder: Path, wanted: Large) -> Result:
    """Filled, one follower wiped, its links narrow: it holds everything again, and no outcome stays unknown."""
    result = Result("snapshot install", notes={"secrets": wanted.secrets})
    with far_cluster(folder, delay_s=0.0, server_type=FillableServer) as far:
        cluster = far.cluster
        leader = cluster.leader()
        assert isinstance(leader, FillableServer)
        leader.fill(wanted.secrets, cluster.token)
        reign = Reign(cluster)
        lost = next(server for server in cluster.servers if server is not reign.leader)
        far.shape(DELAY_S)
        far.shape(DELAY_S, wanted.bytes_per_s, only=lost)
        with writing(far, tag="snapshot", writers=wanted.writers, pace_s=wanted.writers / wanted.per_s) as writers:
            writers.wait_for(BEFORE)
            lost.kill()
            shutil.rmtree(lost.data)
            began_s, before, carried = time.monotonic(), writers.count, far.counts()["carried_bytes"]
            cluster.restart(lost)
            whole(cluster, lost, INSTALL_S_MAX)
            caught_up(cluster, lost, INSTALL_S_MAX)
            took_s = time.monotonic() - began_s
            result.notes["install, s"] = round(took_s, 1)
            result.notes["writes per s meanwhile"] = round((writers.count - before) / took_s)
            result.notes["MB over the links"] = (far.counts()["carried_bytes"] - carried) // 1_000_000
            result.notes["elections"] = reign.changes()
            writers.wait_for(BEFORE)
        verify(far, writers, result)
    return result
