"""What a node says of itself: health with every parameter, seal status, leader, ha-status, its own status."""

from __future__ import annotations

import dataclasses

import pytest

from tests.node.flow_site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("query", "leads", "follows"),
    [
        ("", 200, 429),
        ("?standbyok=true", 200, 200),
        ("?standbyok", 200, 200),
        ("?standbyok=0", 200, 429),
        ("?perfstandbyok=true", 200, 200),
        ("?standbycode=299", 200, 299),
        ("?activecode=298", 298, 429),
        ("?activecode=298&standbyok=1", 298, 298),
        ("?performancestandbycode=473", 200, 473),
        ("?sealedcode=299&uninitcode=298", 200, 429),
        ("?standbycode=x", 400, 400),
        ("?standbycode=99", 400, 400),
        ("?standbycode=-200", 400, 400),
        ("?standbyok=maybe", 400, 400),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_code_of_health(three: Site, method: str, query: str, leads: int, follows: int) -> None:
    """By state and parameters; a bad parameter is 400 without a word."""
    leader = await three.leader.ask(method, f"sys/health{query}")
    follower = await three.followers[0].ask(method, f"sys/health{query}")

    assert (leader.status, follower.status) == (leads, follows)
    if leads == 400:
        assert leader.json == {"errors": []}


async def test_the_body_of_health_says_the_state(three: Site) -> None:
    """All the keys that clients of any kind read, whatever the code is."""
    leader = (await three.leader.ask("GET", "sys/health")).json
    follower = (await three.followers[0].ask("GET", "sys/health?perfstandbyok=1")).json

    assert set(leader) == set(follower) == {
        "initialized", "sealed", "standby", "performance_standby", "replication_performance_mode",
        "replication_dr_mode", "server_time_utc", "version", "enterprise", "cluster_name", "cluster_id",
        "echo_duration_ms", "clock_skew_ms", "replication_primary_canary_age_ms",
    }  # fmt: skip
    assert [leader[name] for name in ("initialized", "sealed", "standby", "performance_standby")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert (follower["standby"], follower["performance_standby"]) == (True, True)
    assert leader["cluster_id"] == follower["cluster_id"]


async def test_health_of_a_dev_node_says_so(three: Site) -> None:
    """Nobody must take it for a production cluster."""
    for server in three.servers:
        assert (await server.ask("GET", "sys/health")).headers["X-Strongroom-Profile"] == "dev"


async def test_every_node_names_the_same_leader(three: Site) -> None:
    """sys/leader and sys/ha-status, in Vault's keys."""
    leader = three.leader
    for server in three.servers:
        told = (await server.ask("GET", "sys/leader")).json
        ha = (await server.ask("GET", "sys/ha-status", token=three.token)).json
        active = [node["hostname"] for node in ha["nodes"] if node["active_node"]]

        assert (told["is_self"], told["ha_enabled"]) == (server is leader, True)
        assert told["leader_address"] == leader.node.config.api.advertise or told["leader_address"].startswith("http")
        assert (active, len(ha["nodes"]), ha["nodes"]) == ([leader.node_id], 3, ha["data"]["nodes"])


async def test_the_own_status_has_every_pinned_key(three: Site) -> None:
    """And the digests of all nodes agree where their indexes do."""
    keys = {
        "node_id", "cluster_name", "cluster_id", "generation", "profile", "role", "leader_id", "leader_api", "term",
        "commit_index", "applied_index", "received_index", "durable_index", "snapshot_index", "digest", "digest_index",
        "sealed", "sealed_by", "recovering", "lease_ms", "members", "backup", "audit", "why", "version", "formats",
    }  # fmt: skip
    found = {}
    for server in three.servers:
        status = (await server.ask("GET", "strongroom/status", token=three.token)).data
        found.setdefault(status["digest_index"], set()).add(status["digest"])

        assert keys <= set(status)
        assert (status["node_id"], status["why"], len(status["members"])) == (server.node_id, [], 3)
        assert status["role"] == ("leader" if server.leads else "follower")
        assert {"id", "role", "lag", "last_contact_ms", "clock_skew_ms", "version"} <= set(status["members"][0])
        assert [device["path"] for device in status["audit"] if device["ok"]] == ["file/"]
    assert all(len(digests) == 1 for digests in found.values())


async def test_the_raft_configuration_names_every_voter(three: Site) -> None:
    """The same on every node."""
    for server in three.servers:
        config = (await server.ask("GET", "sys/storage/raft/configuration", token=three.token)).data["config"]

        assert sorted(one["node_id"] for one in config["servers"]) == ["n1", "n2", "n3"]
        assert [one["node_id"] for one in config["servers"] if one["leader"]] == [three.leader.node_id]


async def test_the_seal_status_of_an_open_node(three: Site) -> None:
    """Threshold and shares as at init, no progress, and which cluster it is."""
    for server in three.servers:
        status = (await server.ask("GET", "sys/seal-status")).json

        assert (status["type"], status["t"], status["n"], status["progress"]) == ("shamir", 1, 1, 0)
        assert (status["initialized"], status["sealed"], status["cluster_name"]) == (True, False, "flow")


@pytest.mark.parametrize(
    ("mode", "recovering", "said", "not_said"),
    [
        ("memory", False, "do not stop it before", "stop all members"),
        ("memory", True, "stop all members", "do not stop it"),
        ("fsync", False, "stop all members", "do not stop it"),
    ],
)
async def test_the_last_whole_memory_is_not_told_to_stop(
    three: Site, monkeypatch: pytest.MonkeyPatch, mode: str, recovering: bool, said: str, not_said: str
) -> None:
    """Stopping it would lose what nobody else has; a member that has it on disk, or has nothing, may be stopped."""
    node = three.followers[0].node
    lost = ["n2", "n3"]
    with monkeypatch.context() as patched:
        patched.setattr(type(node.member), "recovering_members", lost)
        patched.setattr(node.status, "leader_id", lambda: None)
        patched.setattr(node.member, "settings", dataclasses.replace(node.member.settings, journal_mode=mode))
        patched.setattr(node.member.running, "recovering", recovering)
        [sentence] = [one for one in node.status.why() if "a majority of the members lost" in one]

    assert said in sentence
    assert not_said not in sentence
