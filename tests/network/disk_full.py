"""The leader's disk is full, over bad links and under load; then every disk; then there is room again."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from tests.network.far import Far, far_cluster
from tests.network.reading import verify
from tests.network.result import Result
from tests.network.room import SEGMENT_BYTES, rooms
from tests.network.watching import caught_up
from tests.network.writing import writing
from tests.process.harness import HarnessError, uuid7, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.network.room import Room
    from tests.process.harness import Cluster, Reply, Server

LARGE = "x" * (SEGMENT_BYTES + 64 * 1024)  # needs a segment of its own, larger than the others
FULL_S_MAX = 120.0


def disk_full(folder: Path, writers: int = 32) -> Result:
    """Writes stop on the full node and go on elsewhere; nothing acknowledged is lost; nobody restarts anything."""
    result = Result("disk full on the leader")
    sections = {"journal": {"segment_bytes": SEGMENT_BYTES}}
    with rooms_first(folder, sections) as (far, room):
        cluster = far.cluster
        with writing(far, tag="disk", writers=writers) as writing_on:
            writing_on.wait_for(300)
            leader = cluster.leader()
            result.notes["room taken by"] = room[leader.node_id].how
            room[leader.node_id].take()
            began_s = time.monotonic()
            fill(cluster, [leader])
            other = wait_until(partial(another, cluster, leader), "another leads", FULL_S_MAX)
            result.notes["another led after, s"] = round(time.monotonic() - began_s, 1)
            meanwhile = cluster.ask("PUT", "secret/data/meanwhile", {"data": {}}, at=other, timeout_s=60.0)
            result.need(meanwhile.status == 200, f"the other leader answered {meanwhile.status}")
            result.need(leader.alive, "the full node ended")
            room[leader.node_id].give_back()
            serves_again(cluster, leader)
            useful(cluster, leader, result)
            for one in room.values():
                one.take()
            fill(cluster, cluster.servers)
            refused = wait_until(partial(refusal, cluster), "a write is refused", FULL_S_MAX)
            result.notes["refused with"] = f"{refused.status} {refused.json.get('applied')}"
            reads = [cluster.ask("GET", "secret/data/meanwhile", at=server).status for server in cluster.servers]
            result.notes["reads of full nodes"] = reads  # not judged: nodes without room may look for one that has some
            for one in room.values():
                one.give_back()
            for server in cluster.servers:
                serves_again(cluster, server)
            writing_on.wait_for(300, timeout_s=FULL_S_MAX)
        verify(far, writing_on, result)
    return result


def full(cluster: Cluster, server: Server) -> bool:
    """The node says that its disk is full."""
    if not server.alive:
        raise HarnessError(f"{server.node_id} ended: {server.log_text[-2000:]}")
    reply = server.ask("GET", "/readyz")
    return reply.status == 503 and any("disk is full" in sentence for sentence in reply.json["why"])


def fill(cluster: Cluster, servers: list[Server]) -> None:
    """Large writes go on until each of them says that its disk is full."""
    numbers = iter(range(1_000_000))

    def all_full() -> bool:
        if all(full(cluster, server) for server in servers):
            return True
        path = f"secret/data/large/{time.monotonic_ns()}-{next(numbers)}"
        cluster.ask("PUT", path, {"data": {"x": LARGE}}, at=servers[0], timeout_s=5.0)
        return False

    wait_until(all_full, "the disks are full", FULL_S_MAX)


def another(cluster: Cluster, leader: Server) -> Server | None:
    found = cluster.leader()
    return None if found is leader else found


def refusal(cluster: Cluster) -> Reply | None:
    """A write's answer that says that it was not applied, and when to come back."""
    named = {"X-Strongroom-Write-Id": uuid7()}
    reply = cluster.ask("PUT", "secret/data/refused", {"data": {}}, headers=named, timeout_s=10.0)
    as_promised = (reply.status, reply.json.get("applied"), "retry-after" in reply.headers) == (503, "no", True)
    return reply if as_promised else None


def serves_again(cluster: Cluster, server: Server) -> None:
    """By itself, because there is room."""
    wait_until(lambda: not full(cluster, server), f"{server.node_id} has room again", FULL_S_MAX)
    cluster.wait_ready([server], FULL_S_MAX)
    caught_up(cluster, server, FULL_S_MAX)


def useful(cluster: Cluster, server: Server, result: Result) -> None:
    """The node counts for a majority again: with another one gone, writes need it."""
    gone = next(one for one in cluster.servers if one not in {server, cluster.leader()})
    gone.kill()
    written = cluster.ask("PUT", "secret/data/useful", {"data": {}}, at=server, timeout_s=60.0)
    result.need(written.status == 200, f"with the node that was full as majority a write was answered {written.status}")
    cluster.restart(gone)
    cluster.wait_ready([gone], FULL_S_MAX)


@contextlib.contextmanager
def rooms_first(folder: Path, sections: dict[str, dict[str, int]]) -> Iterator[tuple[Far, dict[str, Room]]]:
    """The disks are there before the nodes start, and go after they have ended."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Room] = {}

        def before(servers: list[Server]) -> None:
            found.update(stack.enter_context(rooms(servers)))

        yield stack.enter_context(far_cluster(folder, sections=sections, before=before)), found
