"""Quotas, audited headers, moves and the paths about a node, on whole nodes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node.own_paths import shown_path
from tests.node.auth.world import World
from tests.node.flow_site import Reply, Server, Site, raw_request, running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN = (
    "sys/host-info",
    "sys/in-flight-req",
    "sys/config/state/sanitized",
    "sys/loggers",
    "sys/storage/raft/autopilot/state",
)
LIMIT = "sys/quotas/rate-limit/q"
EXCEEDED = 'request path "kv1/a": rate limit quota exceeded'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Three nodes, audited."""
    async with running(tmp_path_factory.mktemp("operator"), 3, audited=True) as site:
        await site.must("POST", "kv1/a", {"k": "v"})
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One node that nothing is audited on."""
    async with running(tmp_path_factory.mktemp("lone")) as site:
        await site.must("POST", "secret/data/a", {"data": {"k": "v"}})
        await site.must("POST", "kv1/a", {"k": "v"})
        yield site


async def everywhere(site: Site, index: int) -> None:
    """Every node has applied the index."""
    for server in site.servers:
        await until(lambda one=server: one.node.member.view.applied_index >= index, "it is applied everywhere")


async def gets(site: Site, server: Server, count: int, path: str = "kv1/a") -> list[int]:
    return [(await server.ask("GET", path, token=site.token)).status for _ in range(count)]


# ---- quotas
async def test_a_quota_holds_on_the_node_that_is_asked(site: Site) -> None:
    """Also on a follower, each node for itself; without the quota everything passes."""
    reply = await site.must("POST", LIMIT, {"path": "kv1", "rate": 2, "interval": "1h"})
    await everywhere(site, reply.index)

    for server in site.servers:
        assert await gets(site, server, 4) == [200, 200, 429, 429]
    reply = await site.must("DELETE", LIMIT)
    await everywhere(site, reply.index)
    for server in site.servers:
        assert await gets(site, server, 3) == [200, 200, 200]


async def test_a_forwarded_write_is_counted_once(site: Site) -> None:
    """Where it came: its leader does not count it again. What is held back says that nothing was applied."""
    reply = await site.must("POST", LIMIT, {"path": "kv1", "rate": 2, "interval": "1h"})
    await everywhere(site, reply.index)
    follower = site.followers[0]
    statuses = [(await follower.ask("POST", "kv1/b", {"k": "v"}, token=site.token)).status for _ in range(2)]
    held = await follower.ask("POST", "kv1/b", {"k": "v"}, token=site.token)
    at_the_leader = [(await site.ask("POST", "kv1/b", {"k": "v"})).status for _ in range(3)]
    await everywhere(site, (await site.must("DELETE", LIMIT)).index)

    assert statuses == [204, 204]
    assert (held.status, held.json["applied"]) == (429, "no")
    assert at_the_leader == [204, 204, 429]


async def test_a_refusal_by_a_quota_comes_before_everything(lone: Site) -> None:
    """Nobody has looked whose token it is; the text is Vault's, the header says when."""
    await lone.must("POST", LIMIT, {"path": "kv1", "rate": 1, "interval": "1h"})
    server = lone.leader
    first = await server.ask("GET", "kv1/a", token="hvs.none")
    second = await server.ask("GET", "kv1/a", token=lone.token)
    await lone.must("DELETE", LIMIT)

    assert first.status == 403
    assert (second.status, second.json) == (429, {"errors": [EXCEEDED]})
    assert second.headers["Retry-After"] == "3600"


async def test_shortest_ways_are_closed_while_there_is_a_quota(lone: Site) -> None:
    """Open before and behind it; what goes the ordinary way is counted."""
    await lone.must("GET", "secret/data/a")  # the first request behind a change reads what the quotas are
    at_once = lone.leader.node.at_once
    hot = type("Hot", (), {"path": "secret/data/a", "token": lone.token})()
    state = at_once.begin()
    assert state is not None
    assert at_once.read(hot, "id", "127.0.0.1", state) is not None

    await lone.must("POST", LIMIT, {"path": "secret", "rate": 1, "interval": "1h"})
    assert at_once.begin() is None
    assert await gets(lone, lone.leader, 2, "secret/data/a") == [200, 429]
    await lone.must("DELETE", LIMIT)
    assert await gets(lone, lone.leader, 2, "secret/data/a") == [200, 200]
    assert at_once.begin() is not None


async def test_paths_of_the_node_are_limited_but_those_that_are_exempt(lone: Site) -> None:
    """A quota of everything, with the headers that say what is left."""
    await lone.must("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
    await lone.must("POST", LIMIT, {"rate": 2, "interval": "1h", "group_by": "none"})
    server = lone.leader
    replies = [await server.ask("GET", "sys/leader") for _ in range(3)]
    free = [(await server.ask("GET", path)).status for path in ("sys/health", "sys/seal-status", "/livez")]
    await lone.must("DELETE", LIMIT)  # what looks after quotas is free
    await lone.must("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": False})

    assert [reply.status for reply in replies] == [200, 200, 429]
    assert [reply.headers["X-Ratelimit-Remaining"] for reply in replies] == ["1", "0", "0"]
    assert free == [200, 200, 200]


async def test_refusals_by_a_quota_are_audited_if_they_are_to(site: Site) -> None:
    """Not by default, as Vault does."""
    lines = []
    for audited in (False, True):
        await site.must("POST", "sys/quotas/config", {"enable_rate_limit_audit_logging": audited})
        await site.must("POST", LIMIT, {"path": "kv1", "rate": 1, "interval": "1h", "block_interval": int(audited)})
        held = [await site.ask("GET", "kv1/a") for _ in range(2)][-1]
        assert held.status == 429
        lines.append([line["error"] for line in site.leader.audit_lines(held.request_id)])
    await everywhere(site, (await site.must("DELETE", LIMIT)).index)

    assert lines == [[], [EXCEEDED, EXCEEDED]]


# ---- audited headers
def headers_of(server: Server, reply: Reply) -> list[dict[str, list[str]] | None]:
    return [line["request"].get("headers") for line in server.audit_lines(reply.request_id)]


async def test_headers_are_audited_on_every_node_and_every_way(site: Site) -> None:
    """Reads here, forwarded writes, local paths, refusals (CVE-2026-46358); hashed where that is said."""
    await site.must("PUT", "sys/config/auditing/request-headers/X-Plain", {"hmac": False})
    reply = await site.must("PUT", "sys/config/auditing/request-headers/X-Hashed", {"hmac": True})
    await everywhere(site, reply.index)
    follower, leader = site.followers[0], site.leader
    sent = [("X-Plain", "seen"), ("X-Hashed", "hidden"), ("X-Other", "hidden")]
    where = [
        (follower, await follower.ask("GET", "kv1/a", token=site.token, headers=sent)),
        (leader, await follower.ask("POST", "kv1/c", {"k": "v"}, token=site.token, headers=sent)),
        (follower, await follower.ask("GET", "sys/host-info", token=site.token, headers=sent)),
        (follower, await follower.ask("GET", "kv1/a", token="hvs.none", headers=sent)),
    ]

    for server, reply in where:
        found = headers_of(server, reply)
        assert len(found) == 2
        for headers in found:
            assert headers is not None
            assert sorted(headers) == ["x-hashed", "x-plain"]
            assert headers["x-plain"] == ["seen"]
            assert headers["x-hashed"][0].startswith("hmac-sha256:")


async def test_a_header_that_is_no_longer_audited_is_not_written(site: Site) -> None:
    """From the answer on, and on the other nodes once they have applied it."""
    await site.must("PUT", "sys/config/auditing/request-headers/X-Gone", {"hmac": False})
    before = await site.must("GET", "kv1/a", headers=[("X-Gone", "seen")])
    reply = await site.must("DELETE", "sys/config/auditing/request-headers/x-gone")
    await everywhere(site, reply.index)
    follower = site.followers[0]
    after = [
        (server, await server.ask("GET", "kv1/a", token=site.token, headers=[("X-Gone", "seen")]))
        for server in (site.leader, follower)
    ]

    assert headers_of(site.leader, before) == [{"x-gone": ["seen"]}, {"x-gone": ["seen"]}]
    assert all("x-gone" not in (headers or {}) for server, reply in after for headers in headers_of(server, reply))


# ---- moves and stubs
async def test_a_move_is_finished_when_it_is_answered(site: Site) -> None:
    """On every node: strong reads find the secret at the new path, and nothing at the old one."""
    await site.must("POST", "sys/mounts/from", {"type": "kv-v2"})
    await site.must("POST", "from/data/x", {"data": {"k": "v"}})
    reply = await site.must("POST", "sys/remount", {"from": "from", "to": "to/there"})

    assert reply.json["migration_id"] == reply.data["migration_id"]
    for server in site.servers:
        found = await server.ask("GET", "to/there/data/x", token=site.token)
        assert found.data["data"] == {"k": "v"}
        assert (await server.ask("GET", "from/data/x", token=site.token)).status == 404
    listed = await site.must("GET", "sys/mounts")
    assert ("from/" in listed.json, "to/there/" in listed.json) == (False, True)


async def test_a_stub_has_no_paths(lone: Site) -> None:
    """With a token and, at its login, without one."""
    await lone.must("POST", "sys/auth/github", {"type": "github"})
    replies = [
        await lone.ask("POST", "auth/github/config", {"organization": "x"}),
        await lone.ask("GET", "auth/github/config"),
        await lone.leader.ask("POST", "auth/github/login", {"token": "x"}),
    ]
    await lone.must("DELETE", "sys/auth/github")

    assert [(reply.status, "unsupported path" in reply.errors[0]) for reply in replies] == [(404, True)] * 3


# ---- about a node
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("sys/in-flight-req", "sys/in-flight-req"),
        ("sys/wrapping/lookup", "sys/wrapping/..."),
        ("sys/generate-recovery-token/attempt", "sys/.../..."),
        ("strongroom/backup/trigger", "strongroom/backup/..."),
        ("auth/token", "auth/token"),
        ("auth/token/", "auth/token/"),
        ("auth/token/lookup", "auth/token/lookup"),
        ("auth/token/lookup/", "auth/token/lookup/"),
        ("auth/token/lookup/a", "auth/token/lookup/..."),
        ("nowhere", "nowhere"),
        ("nowhere/a", "nowhere/..."),
        ("hvs.0123456789abcdefghijklmn", "..."),
        ("cubbyhole/hvs.0123456789abcdefghijklmn", "cubbyhole/..."),
        ("", ""),
    ],
)
async def test_a_path_is_shown_as_far_as_it_is_no_secret(path: str, shown: str) -> None:
    """The mount, and one name that is shorter than a token."""
    assert shown_path(World().state, path) == shown


@pytest.mark.parametrize("path", OWN)
async def test_own_paths_need_a_token_that_may(site: Site, path: str) -> None:
    """Everywhere; nothing but GET; and they are audited where they are answered."""
    token, _ = await site.new_token((path, "read"))
    other, _ = await site.new_token(("sys/else", "read"))
    for server in (site.leader, site.followers[0]):
        assert (await server.ask("GET", path)).status == 403
        assert (await server.ask("GET", path, token=other)).status == 403
        assert (await server.ask("POST", path, {}, token=token)).status == 405
        reply = await server.ask("GET", path, token=token)
        assert reply.status == 200
        where = site.leader if path.endswith("state") else server
        assert len(where.audit_lines(reply.request_id)) == 2


async def test_what_a_node_is_at_is_told(site: Site) -> None:
    """The request that asks is among it, bare as Vault answers it; no token is."""
    reply = await site.must("GET", "sys/in-flight-req")
    mine = reply.json[reply.request_id]

    assert mine["request_path"] == "/v1/sys/in-flight-req"
    assert (mine["request_method"], mine["client_remote_address"]) == ("GET", "127.0.0.1:40000")
    assert sorted(mine) == ["client_id", "client_remote_address", "request_method", "request_path", "start_time"]
    assert site.token.encode() not in reply.body
    assert not site.leader.node._at_work


async def test_a_token_that_somebody_put_into_a_path_is_not_told(lone: Site) -> None:
    """Requests that are under way are shown as far as the mount and one short name."""
    node, token = lone.leader.node, lone.token
    paths = (f"auth/token/lookup/{token}", f"kv1/{token}", f"{token}/a", "kv1/a")
    asked = [raw_request("GET", path) for path in paths]
    node._at_work.update({request.id: (request, 0.0) for request in asked})
    reply = await lone.must("GET", "sys/in-flight-req")
    node._at_work.clear()

    shown = [reply.json[request.id]["request_path"] for request in asked]
    assert shown == ["/v1/auth/token/lookup/...", "/v1/kv1/...", "/v1/.../...", "/v1/kv1/a"]
    assert token.encode() not in reply.body


async def test_the_configuration_is_told_without_what_is_secret(site: Site) -> None:
    """Addresses and names; no folder, no file of a key."""
    reply = await site.must("GET", "sys/config/state/sanitized")
    config = site.leader.node.config

    assert reply.data["cluster_name"] == config.node.cluster_name
    assert reply.data["storage"]["raft"]["node_id"] == site.leader.node_id
    assert reply.data["listeners"] == [{"type": "tcp", "config": {"address": config.api.address, "tls_disable": True}}]
    for hidden in (config.peer.tls_key_file, config.node.data_dir, config.audit.directory):
        assert hidden.encode() not in reply.body


async def test_loggers_are_told_with_their_levels(site: Site) -> None:
    """The product's own."""
    data = (await site.must("GET", "sys/loggers")).data

    assert {"strongroom", "strongroom.audit"} <= data.keys()
    assert all(name.split(".")[0] == "strongroom" for name in data)


async def test_autopilot_says_how_the_members_are(site: Site) -> None:
    """The same on every node, because the leader answers."""
    states = [(await server.ask("GET", OWN[-1], token=site.token)).data for server in site.servers]
    names = [server.node_id for server in site.servers]

    for state in states:
        assert (state["healthy"], state["failure_tolerance"], state["leader"]) == (True, 1, site.leader.node_id)
        assert (state["voters"], list(state["servers"])) == (names, names)
        assert {one["status"] for one in state["servers"].values()} == {"leader", "voter"}


async def test_nobody_joins_a_running_cluster(site: Site) -> None:
    """A clear 400, without a token, in Vault's place for it."""
    reply = await site.leader.ask("POST", "sys/storage/raft/join", {"leader_api_addr": "https://a:8200"})

    assert (reply.status, "cannot be changed yet" in reply.errors[0]) == (400, True)
    assert (await site.leader.ask("GET", "sys/storage/raft/join")).status == 405


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "sys/storage/raft/join", 400),
        ("GET", "sys/storage/raft/join", 405),
        *(("POST", path, 405) for path in OWN),
    ],
)
async def test_refusals_of_own_paths_are_audited(site: Site, method: str, path: str, status: int) -> None:
    """On the node that is asked, before the answer."""
    for server in (site.leader, site.followers[0]):
        reply = await server.ask(method, path, {} if method == "POST" else None)
        lines = server.audit_lines(reply.request_id)

        assert (reply.status, [line["type"] for line in lines]) == (status, ["request", "response"])
        assert lines[-1]["error"] == reply.errors[0]


async def test_a_sealed_node_refuses_without_a_record(tmp_path: Path) -> None:
    """It has no keys for one, and says the same."""
    async with running(tmp_path, audited=True) as one:
        await one.must("PUT", "sys/seal")
        await until(lambda: one.servers[0].node.member.sealed, "it is sealed")
        replies = [await one.servers[0].ask("POST", path, {}) for path in ("sys/storage/raft/join", OWN[0])]
        lines = [line for reply in replies for line in one.servers[0].audit_lines(reply.request_id)]

    assert ([reply.status for reply in replies], lines) == ([400, 405], [])


async def test_requests_at_work_are_forgotten_whatever_becomes_of_them(lone: Site) -> None:
    """Refused, unknown, answered."""
    node = lone.leader.node
    for path in ("kv1/a", "nowhere/a", "/livez", "/nothing"):
        await node.handle(raw_request("GET", path, token=lone.token))

    assert json.dumps(list(node._at_work)) == "[]"
