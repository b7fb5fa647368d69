"""SIGTERM of a leader: it hands over, finishes what it answers, and ends with 0."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import wait_until
from tests.process.workload import Workload

if TYPE_CHECKING:
    from tests.process.harness import Cluster

pytestmark = pytest.mark.process

HAND_OVER_MAX_S = 5.0


def test_a_leader_that_is_stopped_hands_over_and_loses_nothing(cluster: Cluster) -> None:
    """Twice under load: exit code 0, writes go on at another leader, everything acknowledged is there."""
    gaps_s, codes = [], []
    with Workload(cluster) as workload:
        for _ in range(2):
            wait_until(lambda: len(workload.acknowledged) > 100, "some writes")
            leader = cluster.leader()
            began_s = time.monotonic()
            codes.append(leader.end(signal.SIGTERM))
            workload.wait_for_writes(time.monotonic())
            gaps_s.append(workload.longest_silence_s(began_s))
            cluster.restart(leader)
            cluster.wait_ready([leader])
    print(f"hand-over gaps, s: {[round(gap, 2) for gap in gaps_s]}; {dict(workload.outcomes)}")
    cluster.equal_digests()
    workload.verify()

    assert codes == [0, 0]
    assert workload.unresolved == []
    assert max(gaps_s) < HAND_OVER_MAX_S


def test_sigterm_of_a_follower_stops_nobody_else(cluster: Cluster) -> None:
    """The leader stays, in its term."""
    leader = cluster.leader()
    term = (cluster.status(leader) or {})["term"]
    follower = cluster.followers()[0]
    code = follower.end(signal.SIGTERM)
    written = cluster.ask("PUT", "secret/data/on", {"data": {}}, at=leader)

    assert (code, written.status) == (0, 200)
    assert (cluster.status(leader) or {})["term"] == term
