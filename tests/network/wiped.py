"""Two nodes lose their disks one after the other; the next only when the former votes again."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from tests.network.far import far_cluster
from tests.network.reading import verify
from tests.network.result import Result
from tests.network.watching import whole
from tests.network.writing import writing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.network.far import Far
    from tests.process.harness import Server

RECOVER_S_MAX = 120.0
WRITES_S_MAX = 120.0


def wiped(folder: Path, writers: int = 64, acks: int = 2000) -> Result:
    """A follower, then the leader: two of three disks are gone, and every acknowledged write is on all three."""
    result = Result("two nodes wiped")
    with far_cluster(folder) as far:
        wipe_two(far, writers, acks, result)
    return result


def wipe_two(far: Far, writers: int, acks: int, result: Result) -> None:
    """The same on a cluster that stands; so many writes before, between and after."""
    cluster = far.cluster
    result.notes["recovered after, s"] = []
    with writing(far, tag="wiped", writers=writers) as writing_on:
        leader = cluster.leader()
        first = next(server for server in cluster.servers if server is not leader)
        writing_on.wait_for(acks, WRITES_S_MAX)
        wipe(far, first, result)
        writing_on.wait_for(acks, WRITES_S_MAX)
        leader = cluster.leader()
        wipe(far, leader if leader is not first else next(one for one in cluster.servers if one is not first), result)
        writing_on.wait_for(acks, WRITES_S_MAX)
    verify(far, writing_on, result)


def wipe(far: Far, node: Server, result: Result) -> None:
    """The node's host dies, its disk is empty, and it is whole again."""
    far.host_dies(node)
    shutil.rmtree(node.data)
    far.host_returns(node)
    began_s = time.monotonic()
    far.cluster.restart(node)
    whole(far.cluster, node, RECOVER_S_MAX)
    result.notes["recovered after, s"].append(round(time.monotonic() - began_s, 1))
