"""Reads that wait for nothing: answers and numbers as on the ordinary way, and nothing where they may not be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from node.request import RawRequest
from tests.node.flow_site import Reply, Server, Site, raw_request, reply_of, running

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A cluster of one node without audit devices, with a secret."""
    async with running(tmp_path_factory.mktemp("plain")) as site:
        await site.must("POST", "secret/data/app/db", {"data": {"password": "p"}})
        yield site


def now(server: Server, request: RawRequest) -> Reply | None:
    """The answer at once, or None."""
    state = server.node.at_once.begin()
    response = None if state is None else server.node.at_once.answer(request, state)
    return None if response is None else reply_of(request, response)


def counts(server: Server) -> tuple[Any, ...]:
    metrics = server.node.metrics
    lengths = {str(operation): sum(one.counts) for operation, one in metrics.durations.items()}
    return dict(metrics.requests), dict(metrics.reads), lengths, metrics.in_flight


def grown(before: tuple[Any, ...], after: tuple[Any, ...]) -> list[dict[Any, int]]:
    return [
        {key: value - old.get(key, 0) for key, value in new.items() if value != old.get(key, 0)}
        for old, new in zip(before[:3], after[:3], strict=True)
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "secret/data/app/db", 200),
        ("GET", "secret/data/app/db?version=1", 200),
        ("GET", "secret/data/app/none", 404),
        ("GET", "secret/metadata/app/db", 200),
        ("LIST", "secret/metadata/app", 200),
        ("GET", "secret/wrong/app", 404),
        ("GET", "nowhere/a", 403),
        ("GET", "sys/mounts", 403),
        ("GET", "auth/token/lookup-self", 200),
    ],
)
async def test_the_answer_and_the_counts_are_the_same(plain: Site, method: str, path: str, status: int) -> None:
    """Whichever way the request takes."""
    token, _ = await plain.new_token(("secret/*", "read list"), ("auth/token/lookup-self", "read"))
    server = plain.leader
    start = counts(server)
    first = now(server, raw_request(method, path, token=token))
    between = counts(server)
    other = await server.ask(method, path, token=token)
    end = counts(server)

    assert first is not None
    assert (first.status, first.headers) == (other.status, other.headers)
    assert first.body.replace(first.request_id.encode(), b"") == other.body.replace(other.request_id.encode(), b"")
    assert first.status == status
    assert grown(start, between) == grown(between, end)
    assert end[3] == 0


async def test_a_state_that_is_not_ours_is_refused_at_once(plain: Site) -> None:
    """As on the ordinary way."""
    headers = [("X-Vault-Index", "nonsense")]
    reply = now(plain.leader, raw_request("GET", "secret/data/app/db", token=plain.token, headers=headers))

    assert reply is not None
    assert reply.status == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "secret/data/app/db", {"data": {}}), ("DELETE", "secret/data/app/db", None), ("GET", "sys/health", None),
     ("GET", "/livez", None), ("GET", "strongroom/status", None)],
)  # fmt: skip
async def test_writes_and_paths_of_the_node_are_left_alone(plain: Site, method: str, path: str, body: Any) -> None:
    """Nothing is answered, counted or changed."""
    before, index = counts(plain.leader), plain.leader.node.member.view.applied_index

    assert now(plain.leader, raw_request(method, path, body, token=plain.token)) is None
    assert (counts(plain.leader), plain.leader.node.member.view.applied_index) == (before, index)


@pytest.mark.parametrize("path", ["secret/data/app/db", "secret/data/other"])
async def test_a_token_with_limited_uses_is_left_to_the_leader(plain: Site, path: str) -> None:
    """Allowed or refused, the use is paid in a transaction."""
    token, accessor = await plain.new_token(("secret/data/app/*", "read"), num_uses=2)

    assert now(plain.leader, raw_request("GET", path, token=token)) is None
    reply = await plain.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})
    assert reply.data["num_uses"] == 2


async def test_a_revoked_token_is_refused_at_once(plain: Site) -> None:
    """No cache keeps it."""
    token, accessor = await plain.new_token(("secret/data/app/*", "read"))
    request = raw_request("GET", "secret/data/app/db", token=token)
    before = now(plain.leader, request)
    await plain.must("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    after = now(plain.leader, raw_request("GET", "secret/data/app/db", token=token))

    assert before is not None
    assert after is not None
    assert (before.status, after.status) == (200, 403)


async def test_a_mount_that_is_gone_or_made_anew_is_seen_at_once(plain: Site) -> None:
    """A path that was routed before is not remembered."""
    kv = {"type": "kv", "options": {"version": "2"}}
    await plain.must("POST", "sys/mounts/brief", kv)
    await plain.must("POST", "brief/data/a", {"data": {"k": 1}})
    seen = [now(plain.leader, raw_request("GET", "brief/data/a", token=plain.token))]
    await plain.must("DELETE", "sys/mounts/brief")
    seen.append(now(plain.leader, raw_request("GET", "brief/data/a", token=plain.token)))
    await plain.must("POST", "sys/mounts/brief", kv)
    seen.append(now(plain.leader, raw_request("GET", "brief/data/a", token=plain.token)))
    await plain.must("DELETE", "sys/mounts/brief")

    assert [reply.status if reply else None for reply in seen] == [200, 404, 404]


async def test_only_routes_of_secrets_are_remembered(plain: Site) -> None:
    """Paths of other mounts may hold a token, and it would stay in memory."""
    for path in ("secret/data/app/db", "auth/token/lookup/hvs.planted", "sys/leases/lookup/hvs.planted"):
        now(plain.leader, raw_request("GET", path, token=plain.token))
    routes = plain.leader.node.registry._routes

    assert "secret/data/app/db" in routes
    assert [path for path in routes if "planted" in path] == []


async def test_nothing_is_answered_at_once_where_a_record_comes_first(one: Site) -> None:
    """An audit device is enabled."""
    assert one.leader.node.at_once.begin() is None


async def test_nothing_is_answered_at_once_where_others_may_lead(three: Site) -> None:
    """The barrier needs a round."""
    assert [server.node.at_once.begin() for server in three.servers] == [None] * 3


async def test_nothing_is_answered_at_once_while_sealed(tmp_path: Any) -> None:
    """There is no state."""
    async with running(tmp_path) as site:
        await site.leader.node.member.seal(by_operator=False)
        assert site.servers[0].node.at_once.begin() is None
