"""kill -9, again and again: what was acknowledged stays, what was not is said to be unknown and can be resolved."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import wait_until
from tests.process.workload import Workload

if TYPE_CHECKING:
    from tests.process.harness import Cluster

pytestmark = pytest.mark.process

ROUNDS = 50 if os.environ.get("STRONGROOM_HEAVY") else 8
GAP_MAX_S = 10.0  # what is promised is measured by the bench on a quiet machine; here only "soon", whoever shares it


@pytest.mark.timeout(120 if ROUNDS == 8 else 900)
def test_no_acknowledged_write_is_lost_when_leaders_are_killed(cluster: Cluster) -> None:
    """Eight leaders in a row are killed under sixteen writers, and each comes back from its own files."""
    gaps_s = []
    with Workload(cluster) as workload:
        for _ in range(ROUNDS):
            leader = cluster.leader()
            leader.kill()
            gaps_s.append(workload.wait_for_writes(time.monotonic()))
            cluster.restart(leader)
            cluster.wait_ready([leader])
    print(f"failover gaps, s: {[round(gap, 2) for gap in sorted(gaps_s)]}; {dict(workload.outcomes)}")
    cluster.equal_digests()
    workload.verify()

    assert workload.unresolved == []
    assert max(gaps_s) < GAP_MAX_S


def test_everything_acknowledged_is_there_after_all_nodes_died_at_once(cluster: Cluster) -> None:
    """A power cut: three kill -9 under load, then the same folders again."""
    with Workload(cluster) as workload:
        wait_until(lambda: len(workload.acknowledged) > 300, "some writes")
        for server in cluster.servers:
            assert server.process is not None
            server.process.kill()
        for server in cluster.servers:
            server.kill()
            assert server.process is not None
            server.process.wait()
        began_s = time.monotonic()
        for server in cluster.servers:
            server.start()
        for server in cluster.servers:
            server.wait_listening()
            server.unseal(cluster.shares)
        cluster.wait_ready()
        print(f"all three serve again after {time.monotonic() - began_s:.2f} s")
        workload.wait_for_writes(began_s)
    cluster.equal_digests()
    workload.verify()

    assert workload.unresolved == []
