"""What is revoked or changed stops working on every node before the change is answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.node.flow_site import Reply, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "secret/data/shared"


async def read_everywhere(site: Site, token: str) -> list[int]:
    replies = await asyncio.gather(*(server.ask("GET", PATH, token=token) for server in site.servers))
    return [reply.status for reply in replies]


def policy(capabilities: str) -> dict[str, str]:
    return {"policy": f'path "{PATH}" {{ capabilities = {json.dumps(capabilities.split())} }}'}


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("by", ["accessor", "token", "itself", "parent", "orphan"])
async def test_a_revoked_token_works_nowhere_when_the_revocation_is_answered(three: Site, at: int, by: str) -> None:
    """Revoked on any node, in any way, itself or through its parent; and it worked everywhere before."""
    await three.must("POST", PATH, {"data": {"k": "v"}})
    rules = [(PATH, "read"), ("auth/token/create", "update"), ("auth/token/revoke-self", "update")]
    parent, parent_accessor = await three.new_token(*rules)
    auth = (await three.must("POST", "auth/token/create", {}, token=parent)).json["auth"]
    token, accessor = auth["client_token"], auth["accessor"]
    assert await read_everywhere(three, token) == [200] * 3
    requests: dict[str, tuple[str, Any, str]] = {
        "accessor": ("auth/token/revoke-accessor", {"accessor": accessor}, three.token),
        "token": ("auth/token/revoke", {"token": token}, three.token),
        "itself": ("auth/token/revoke-self", None, token),
        "parent": ("auth/token/revoke-accessor", {"accessor": parent_accessor}, three.token),
        "orphan": ("auth/token/revoke-orphan", {"token": token}, three.token),
    }
    path, body, asker = requests[by]
    reply = await three.servers[at].ask("POST", path, body, token=asker)

    assert reply.status == 204
    assert await read_everywhere(three, token) == [403] * 3


async def test_a_token_whose_parent_alone_is_revoked_lives_on(three: Site) -> None:
    """The twin: revoke-orphan leaves the children."""
    await three.must("POST", PATH, {"data": {"k": "v"}})
    parent, _ = await three.new_token((PATH, "read"), ("auth/token/create", "update"))
    token = (await three.must("POST", "auth/token/create", {}, token=parent)).json["auth"]["client_token"]
    await three.must("POST", "auth/token/revoke-orphan", {"token": parent})

    assert (await read_everywhere(three, parent), await read_everywhere(three, token)) == ([403] * 3, [200] * 3)


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_changed_policy_holds_everywhere_when_the_change_is_answered(three: Site, at: int) -> None:
    """Taken, given back, and deleted; what nodes remember of it is never older than what they answer from."""
    await three.must("POST", PATH, {"data": {"k": "v"}})
    await three.must("PUT", "sys/policies/acl/changing", policy("read"))
    body = {"policies": ["changing"], "no_default_policy": True}
    token = (await three.must("POST", "auth/token/create", body)).json["auth"]["client_token"]
    server = three.servers[at]
    for method, change, status in (
        ("PUT", policy("list"), 403),
        ("PUT", policy("read"), 200),
        ("PUT", policy("deny"), 403),
        ("PUT", policy("read"), 200),
        ("DELETE", None, 403),
    ):
        reply = await server.ask(method, "sys/policies/acl/changing", change, token=three.token)

        assert reply.status == 204
        assert await read_everywhere(three, token) == [status] * 3


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_mount_is_there_and_gone_everywhere_when_it_is_answered(three: Site, at: int) -> None:
    """A write and a read right behind, on every node."""
    server = three.servers[at]

    async def everywhere(method: str, body: Any = None) -> list[int]:
        path = "fleeting/a"
        replies: list[Reply] = [await s.ask(method, path, body, token=three.token) for s in three.servers]
        return [reply.status for reply in replies]

    for _ in range(2):
        mounted = await server.ask("POST", "sys/mounts/fleeting", {"type": "kv"}, token=three.token)
        assert mounted.status == 204
        assert await everywhere("GET") == [404] * 3
        assert await everywhere("PUT", {"k": "v"}) == [204] * 3
        assert await everywhere("GET") == [200] * 3
        gone = await server.ask("DELETE", "sys/mounts/fleeting", token=three.token)
        assert gone.status == 204
        assert await everywhere("PUT", {"k": "v"}) == [404] * 3


async def test_writers_see_what_is_proposed_and_not_applied_yet(three: Site) -> None:
    """A burst on one path: consecutive versions, and each answer is what a read right behind it finds or newer."""
    replies = await asyncio.gather(
        *(
            three.servers[n % 3].ask("POST", "secret/data/burst", {"data": {"n": n}}, token=three.token)
            for n in range(48)
        )
    )

    assert sorted(reply.data["version"] for reply in replies) == list(range(1, 49))


async def test_a_check_and_set_succeeds_once(three: Site) -> None:
    """Of 32 that expect the same version."""
    body = {"data": {}, "options": {"cas": 0}}
    replies = await asyncio.gather(
        *(three.servers[n % 3].ask("POST", "secret/data/cas", body, token=three.token) for n in range(32))
    )

    assert sorted(reply.status for reply in replies) == [200] + [400] * 31


async def test_reads_on_every_node_follow_the_write_that_was_answered(three: Site) -> None:
    """The value, and an index that is not below that of the write."""
    for number in range(20):
        server = three.servers[number % 3]
        written = await server.ask("POST", "secret/data/follow", {"data": {"n": number}}, token=three.token)
        seen = await asyncio.gather(*(s.ask("GET", "secret/data/follow", token=three.token) for s in three.servers))

        assert [reply.data["data"]["n"] for reply in seen] == [number] * 3
        assert all(reply.index >= written.index for reply in seen)


async def test_a_token_revoked_earlier_in_the_log_commits_no_write(three: Site) -> None:
    """Revocation and a write by the token at once: never a version above what was there when it was answered."""
    for _ in range(10):
        token, accessor = await three.new_token(("secret/data/race", "create update"))
        revoked, *written = await asyncio.gather(
            three.leader.ask("POST", "auth/token/revoke-accessor", {"accessor": accessor}, token=three.token),
            *(server.ask("POST", "secret/data/race", {"data": {}}, token=token) for server in three.servers),
        )

        assert revoked.status == 204
        assert all(reply.status == 403 or reply.index < revoked.index for reply in written)
