"""Wall clocks that jump: the cluster's time, and so every token, goes on as if nothing had happened."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import Cluster, Server, ask, make_cluster, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

YEAR_S = 365 * 86400
HOUR_S = 3600


@contextmanager
def movable(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, each with a wall clock of its own."""
    made = make_cluster(tmp_path)
    for server in made.servers:
        server.environ["STRONGROOM_DEV_CLOCK_FILE"] = str(server.folder / "clock")
    with running(made) as cluster:
        yield cluster


def move(server: Server, offset_s: float) -> None:
    """The wall clock of the node is so far off from now on."""
    (server.folder / "clock").write_text(str(offset_s))


def new_token(cluster: Cluster, ttl: str) -> str:
    reply = cluster.ask("POST", "auth/token/create", {"policies": ["default"], "ttl": ttl})
    assert reply.status == 200, reply
    return str(reply.json["auth"]["client_token"])


def ttl_s(server: Server, token: str) -> int | None:
    """What is left of the token, None if it is not valid."""
    reply = ask(server.api_port, "GET", "auth/token/lookup-self", token=token)
    return int(reply.data["ttl"]) if reply.status == 200 else None


def complains(cluster: Cluster, server: Server) -> bool:
    status = cluster.status(server)
    return status is not None and any("clock" in sentence for sentence in status["why"])


def content(cluster: Cluster, server: Server) -> bool:
    status = cluster.status(server)
    return status is not None and not any("clock" in sentence for sentence in status["why"])


def test_a_jump_of_the_leaders_clock_ends_no_token_and_loses_nothing(tmp_path: Path) -> None:
    """First a year ahead, then, at the next leader, an hour back; each hands over and says why."""
    with movable(tmp_path) as cluster:
        hour, second = new_token(cluster, "1h"), new_token(cluster, "2s")
        for number, offset_s in enumerate((YEAR_S, -HOUR_S)):
            assert cluster.ask("PUT", "secret/data/kept", {"data": {"n": str(number)}}).status == 200
            leader = cluster.leader()
            move(leader, offset_s)
            wait_until(partial(complains, cluster, leader), "the node says that its clock is off")
            other = cluster.leader()
            left_s = {server.node_id: ttl_s(server, hour) for server in cluster.servers}
            kept = {server.node_id: cluster.ask("GET", "secret/data/kept", at=server) for server in cluster.servers}

            assert other is not leader
            assert all(ttl is not None and HOUR_S - 120 < ttl <= HOUR_S for ttl in left_s.values()), left_s
            assert [reply.data["data"]["n"] for reply in kept.values()] == [str(number)] * 3
            move(leader, 0)
            wait_until(partial(content, cluster, leader), "the clock is good again")
        wait_until(lambda: ttl_s(cluster.servers[0], second) is None, "two seconds end all the same")
        written = cluster.ask("PUT", "secret/data/kept", {"data": {"n": "2"}})
        created = dt.datetime.fromisoformat(written.data["created_time"][:19]).replace(tzinfo=dt.UTC)

        assert written.data["version"] == 3
        assert abs(created - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=120)
        cluster.equal_digests()


def test_a_node_whose_clock_is_off_neither_leads_nor_campaigns(tmp_path: Path) -> None:
    """Ten seconds on one node: its status says why, and when the leader dies the third node leads, again and again."""
    with movable(tmp_path) as cluster:
        off = cluster.followers()[0]
        move(off, 10)
        wait_until(lambda: complains(cluster, off), "the node says that its clock is off")
        for _ in range(2):
            leader = cluster.leader()
            leader.kill()
            following = cluster.leader()
            sentences = (cluster.status(off) or {"why": []})["why"]

            assert following not in {leader, off}
            assert "set the clock" in " ".join(sentences)
            cluster.restart(leader)
            cluster.wait_ready([leader])
        move(off, 0)
        wait_until(partial(content, cluster, off), "the clock is good again")
        cluster.wait_ready()


def test_production_refuses_a_clock_that_can_be_moved(tmp_path: Path) -> None:
    """The variable alone keeps a production node from starting, and the log says so."""
    server = make_cluster(tmp_path, nodes=1, profile="production").servers[0]
    server.environ["STRONGROOM_DEV_CLOCK_FILE"] = str(tmp_path / "clock")
    server.start()
    assert server.process is not None
    try:
        code = server.process.wait(30)
    finally:
        server.kill()

    assert code == 1
    assert "STRONGROOM_DEV_CLOCK_FILE" in server.log_text
