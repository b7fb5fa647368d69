"""Tokens of limited uses: every request that reaches the token check pays, wherever it arrives, and only once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from tests.node.flow_site import Site, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="session")

SELF = ("auth/token/lookup-self", "read")


async def left(site: Site, accessor: str) -> int:
    """Uses left; 0 if the token is gone."""
    reply = await site.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})
    return reply.data["num_uses"] if reply.status == 200 else 0


async def test_each_node_takes_a_use(three: Site) -> None:
    """Three requests on three nodes, and the fourth is refused everywhere."""
    token, accessor = await three.new_token(SELF, num_uses=3)
    seen = [await server.ask("GET", SELF[0], token=token) for server in three.servers]

    assert [reply.status for reply in seen] == [200] * 3
    assert sorted(reply.data["num_uses"] for reply in seen) == [-1, 1, 2]
    assert await left(three, accessor) == 0
    assert [(await server.ask("GET", SELF[0], token=token)).status for server in three.servers] == [403] * 3


@pytest.mark.parametrize("uses", [1, 5])
async def test_parallel_uses_succeed_exactly_as_often_as_allowed(three: Site, uses: int) -> None:
    """64 at once over all nodes."""
    token, accessor = await three.new_token(("secret/data/once", "create update"), num_uses=uses)
    body = {"data": {"k": "v"}}
    replies = await asyncio.gather(
        *(three.servers[n % 3].ask("POST", "secret/data/once", body, token=token) for n in range(64))
    )

    assert Counter(reply.status for reply in replies) == {200: uses, 403: 64 - uses}
    assert await left(three, accessor) == 0


async def test_parallel_reads_pay_too(three: Site) -> None:
    """Reads are served by the leader then, and the uses are counted in one place."""
    token, _ = await three.new_token(SELF, num_uses=7)
    replies = await asyncio.gather(*(three.servers[n % 3].ask("GET", SELF[0], token=token) for n in range(32)))

    assert Counter(reply.status for reply in replies) == {200: 7, 403: 25}
    assert {reply.headers["X-Strongroom-Node"] for reply in replies if reply.status == 200} == {three.leader.node_id}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "sys/mounts", None, 403),  # policy says no
        ("GET", "secret/data/missing", None, 404),
        ("POST", "secret/data/limited", {"data": {}, "options": {"cas": 77}}, 400),
        ("GET", "nowhere/a", None, 404),
        ("GET", "sys/nonsense", None, 404),
        ("GET", "cubbyhole/a", None, 404),
        ("POST", "sys/capabilities-self", {}, 400),
    ],
)
async def test_a_refused_request_costs_a_use(three: Site, method: str, path: str, body: object, status: int) -> None:
    """As Vault: the use is the request, not its success."""
    rules = [(rule, "create read update") for rule in ("secret/data/*", "nowhere/*", "sys/nonsense", "cubbyhole/*")]
    token, accessor = await three.new_token(*rules, ("sys/capabilities-self", "update"), num_uses=2)
    reply = await three.followers[0].ask(method, path, body, token=token)

    assert (reply.status, await left(three, accessor)) == (status, 1)


async def test_a_secret_can_be_read_with_limited_uses(three: Site) -> None:
    """KV of both versions: reads, lists and help are answers, also where they are decided by the leader."""
    await three.must("POST", "secret/data/paid/a", {"data": {"k": "v"}})
    await three.must("POST", "kv1/paid/a", {"k": "v"})
    asked = {
        ("GET", "secret/data/paid/a"): 200,
        ("GET", "secret/metadata/paid/a"): 200,
        ("LIST", "secret/metadata/paid/"): 200,
        ("GET", "secret/data/paid/missing"): 404,
        ("GET", "kv1/paid/a"): 200,
        ("LIST", "kv1/paid/"): 200,
        ("GET", "secret/data/paid/a?help=1"): 200,
        ("GET", "sys/mounts"): 200,
    }
    rules = [(rule, "read list") for rule in ("secret/*", "kv1/*", "sys/mounts")]
    token, accessor = await three.new_token(*rules, num_uses=len(asked) + 1)
    found = {(method, path): (await three.followers[0].ask(method, path, token=token)).status for method, path in asked}

    assert found == asked
    assert await left(three, accessor) == 1


async def test_a_path_of_the_nodes_own_costs_a_use(one: Site) -> None:
    """They are judged like any other request."""
    for path in ("strongroom/status", "sys/metrics", "sys/ha-status"):
        token, accessor = await one.new_token((path, "read"), num_uses=2)
        statuses = [(await one.leader.ask("GET", path, token=token)).status for _ in range(3)]

        assert (statuses, await left(one, accessor)) == ([200, 200, 403], 0)


async def test_a_request_with_limited_uses_takes_no_write_id(three: Site) -> None:
    """Each one pays and is executed: a repetition would be answered for nothing."""
    token, accessor = await three.new_token(("secret/data/no-id", "create update"), num_uses=3)
    write_id = uuid7(time.time())
    body = {"data": {"k": "v"}}
    replies = [
        await three.leader.ask(
            "POST", "secret/data/no-id", body, token=token, headers=[("X-Strongroom-Write-Id", write_id)]
        )
        for _ in range(2)
    ]

    assert [reply.status for reply in replies] == [200, 200]
    assert await left(three, accessor) == 1
