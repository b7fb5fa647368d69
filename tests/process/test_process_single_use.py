"""What may be used once is used once, also when the leader that pays for it is killed meanwhile."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.process.harness import Cluster

pytestmark = pytest.mark.process

ASKERS = 64
BEFORE_THE_KILL = 6


def test_a_wrapped_secret_is_given_once_though_the_leader_is_killed(cluster: Cluster) -> None:
    """64 at once over all nodes, kill -9 in the middle: at most one 200; afterwards it is taken once, if it was not."""
    cluster.ask("PUT", "secret/data/once", {"data": {"k": "v"}})
    wrapped = cluster.ask("GET", "secret/data/once", headers={"X-Vault-Wrap-TTL": "300"})
    body = {"token": wrapped.json["wrap_info"]["token"]}
    leader = cluster.leader()

    def take(number: int) -> int:
        try:
            server = cluster.servers[number % len(cluster.servers)]
            return cluster.ask("POST", "sys/wrapping/unwrap", body, at=server, timeout_s=20.0).status
        except OSError:  # the node was killed: nobody knows
            return 0

    with ThreadPoolExecutor(ASKERS) as pool:
        asked = [pool.submit(take, number) for number in range(BEFORE_THE_KILL)]
        leader.kill()
        asked += [pool.submit(take, number) for number in range(BEFORE_THE_KILL, ASKERS)]
        wait(asked)
    counted = Counter(one.result() for one in asked)
    cluster.restart(leader)
    cluster.wait_ready()
    late = [cluster.ask("POST", "sys/wrapping/unwrap", body, at=server).status for server in cluster.servers]

    assert counted[200] + late.count(200) <= 1
    assert late[1:] == [400, 400]
    assert counted.keys() <= {0, 200, 400, 403, 503, 504}
