"""More clients than a node can serve: they are told to come back, and Raft does not notice.

`make test` has 300 connections for 5 s; `make conformance` has 2,000 for 20 s, their generator on a core of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.harness import POLL_S, Cluster, make_cluster, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

HEAVY = bool(os.environ.get("STRONGROOM_HEAVY"))
CONNECTIONS, SECONDS = (2000, 20) if HEAVY else (300, 5)
SMALL = {"in_flight": 100, "in_flight_per_address": 80, "per_turn": 16}


@contextlib.contextmanager
def generator(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """The load, at the leader."""
    program = Path(__file__).with_name("generator.py")
    port = str(cluster.leader().api_port)
    process = subprocess.Popen(
        [sys.executable, program, port, cluster.token, str(CONNECTIONS), str(SECONDS)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    cores = sorted(os.sched_getaffinity(0))
    if HEAVY and len(cores) > 1:
        os.sched_setaffinity(process.pid, cores[-1:])
        for server in cluster.servers:
            os.sched_setaffinity(server.pid, cores[:-1])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def loaded(cluster: Cluster) -> tuple[dict[str, Any], set[int], set[str]]:
    """What the generator counted, the terms seen meanwhile at the followers, and the leaders they named."""
    terms, leaders = set(), set()
    followers = cluster.followers()
    with generator(cluster) as process:
        while True:
            for server in followers:
                status = cluster.status(server)
                if status is not None:
                    terms.add(status["term"])
                    leaders.add(str(status["leader_id"]))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S * 10)
                break
        assert process.stdout is not None
        counted = json.loads(process.stdout.read())
    print(f"{CONNECTIONS} connections for {SECONDS} s: {counted}")
    return counted, terms, leaders


@pytest.mark.parametrize("limits", [{}] if HEAVY else [{}, SMALL], ids=lambda limits: "small" if limits else "default")
def test_overload_changes_no_leader_and_refuses_what_is_too_much(tmp_path: Path, limits: dict[str, int]) -> None:
    """The term stays; the excess is 429 or 503 with Retry-After; nothing else is 5xx; afterwards all is as before."""
    with running(make_cluster(tmp_path, sections={"limits": limits})) as cluster:
        leader = cluster.leader()
        term = (cluster.status(leader) or {})["term"]
        counted, terms, leaders = loaded(cluster)
        statuses = {int(status): count for status, count in counted["statuses"].items()}
        cluster.wait_ready()
        after = (cluster.status(leader) or {})["term"]
        cluster.equal_digests()

        assert terms == {term}
        assert (after, leaders) == (term, {leader.node_id})
        assert set(statuses) <= {200, 404, 429, 503}, counted
        assert counted["without_retry_after"] == 0
        assert statuses[200] > 100
        if limits:
            assert statuses.get(429, 0) + statuses.get(503, 0) > 0, "the limits were never reached"
