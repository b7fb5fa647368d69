"""Write ids through the whole request path: a write that is repeated is executed once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.node.flow_site import Reply, Server, Site, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="session")

ID = "X-Strongroom-Write-Id"


def with_id(write_id: str) -> dict[str, Any]:
    return {"headers": [(ID, write_id)]}


async def put(server: Server, token: str, path: str, value: int, write_id: str) -> Reply:
    return await server.ask("POST", f"secret/data/{path}", {"data": {"k": value}}, token=token, **with_id(write_id))


async def versions(site: Site, path: str) -> int:
    """The newest version of the secret, 0 if there is none."""
    reply = await site.ask("GET", f"secret/metadata/{path}")
    return reply.data["current_version"] if reply.status == 200 else 0


async def test_the_answer_of_every_write_names_its_id(three: Site) -> None:
    """The client's own, or the one the node gave: on the leader and on a follower, allowed and refused."""
    own = uuid7(time.time())
    for server in (three.leader, three.followers[0]):
        given = await server.ask("POST", "secret/data/w0", {"data": {}}, token=three.token)
        denied = await server.ask("POST", "secret/data/w0", {"data": {}})
        named = await put(server, three.token, "w0", 1, own)

        assert (given.status, denied.status, named.status) == (200, 403, 200)
        assert given.headers[ID][14] == denied.headers[ID][14] == "7"
        assert named.headers[ID] == own


async def test_reads_have_no_write_id(three: Site) -> None:
    """Nothing was written."""
    for method, path, body in (("GET", "secret/data/w0", None), ("POST", "sys/capabilities-self", {"path": "a"})):
        reply = await three.leader.ask(method, path, body, token=three.token)

        assert (reply.status, ID in reply.headers) == (200, False)


async def test_a_repetition_is_executed_once_and_answered_alike(three: Site) -> None:
    """On whichever node it arrives; upper case is the same id."""
    write_id = uuid7(time.time())
    first = await put(three.leader, three.token, "w1", 1, write_id)
    replies = [
        await put(server, three.token, "w1", 1, spelt)
        for server in three.servers
        for spelt in (write_id, write_id.upper())
    ]

    assert first.status == 200
    assert [(reply.status, reply.data) for reply in replies] == [(200, first.data)] * 6
    assert await versions(three, "w1") == 1


async def test_a_repetition_of_204_is_204(three: Site) -> None:
    """There was no body, there is none."""
    write_id = uuid7(time.time())
    replies = [
        await three.leader.ask("PUT", "kv1/w2", {"a": 1}, token=three.token, **with_id(write_id)) for _ in range(2)
    ]

    assert [(reply.status, reply.body) for reply in replies] == [(204, b"")] * 2
    assert replies[0].index <= replies[1].index


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "secret/data/w3", {"data": {"k": 2}}),
        ("POST", "secret/data/w3-other", {"data": {"k": 1}}),
        ("DELETE", "secret/data/w3", None),
    ],
)
async def test_the_id_of_another_request_is_409(three: Site, method: str, path: str, body: Any) -> None:
    """Another body, path or method is another request; nothing of it is done."""
    write_id = uuid7(time.time())
    assert (await put(three.leader, three.token, "w3", 1, write_id)).status == 200
    before = await versions(three, "w3")
    for server in three.servers:
        reply = await server.ask(method, path, body, token=three.token, **with_id(write_id))

        assert (reply.status, reply.errors) == (409, ["this write id belongs to another request"])
    assert (await versions(three, "w3"), await versions(three, "w3-other")) == (before, 0)


async def test_the_same_id_of_another_token_is_another_id(three: Site) -> None:
    """Nobody learns or blocks what others wrote."""
    write_id = uuid7(time.time())
    token, _ = await three.new_token(("secret/data/w4", "create update"))
    assert (await put(three.leader, three.token, "w4", 1, write_id)).data["version"] == 1
    assert (await put(three.leader, token, "w4", 1, write_id)).data["version"] == 2


async def test_a_repetition_is_authorized_again(three: Site) -> None:
    """A token that may no longer write is not told what it wrote."""
    token, accessor = await three.new_token(("secret/data/w5", "create update"))
    write_id = uuid7(time.time())
    assert (await put(three.leader, token, "w5", 1, write_id)).status == 200
    await three.must("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    assert (await put(three.followers[0], token, "w5", 1, write_id)).status == 403


async def test_an_answer_with_a_secret_is_not_kept(three: Site) -> None:
    """The repetition says at which index it was applied, and makes no second token."""
    write_id = uuid7(time.time())
    first = await three.leader.ask("POST", "auth/token/create", {}, token=three.token, **with_id(write_id))
    again = await three.followers[0].ask("POST", "auth/token/create", {}, token=three.token, **with_id(write_id))

    assert (first.status, again.status) == (200, 409)
    assert again.json == {
        "errors": [f"applied at index {first.index}, answer not kept"],
        "applied": "yes",
        "write_id": write_id,
    }
    assert first.json["auth"]["client_token"] not in str(again.body)


async def test_an_id_from_the_future_is_400(three: Site) -> None:
    """More than 60 s ahead of the cluster's time; less is a clock that is a little off."""
    ahead, near = uuid7(time.time() + 75), uuid7(time.time() + 45)

    assert (await put(three.leader, three.token, "w6", 1, ahead)).status == 400
    assert await versions(three, "w6") == 0
    assert (await put(three.leader, three.token, "w6", 1, near)).status == 200


async def test_an_id_older_than_the_window_is_unknown_and_not_executed(three: Site) -> None:
    """Whether it was executed before cannot be told any more."""
    reply = await put(three.leader, three.token, "w7", 1, uuid7(time.time() - 130))

    assert (reply.status, reply.json["applied"], "Retry-After" in reply.headers) == (504, "unknown", False)
    assert await versions(three, "w7") == 0


@pytest.mark.parametrize("write_id", ["x", "01", "01890af7-6d6b-4000-8000-000000000000", "01890af7-6d6b-7000-8000"])
async def test_an_id_of_another_form_is_400(three: Site, write_id: str) -> None:
    """Only UUIDs of version 7 carry their time."""
    reply = await put(three.leader, three.token, "w8", 1, write_id)

    assert (reply.status, reply.errors) == (400, ["X-Strongroom-Write-Id must be a UUID of version 7"])
    assert await versions(three, "w8") == 0


async def test_a_repetition_of_a_pending_write_waits_for_it(three: Site) -> None:
    """Sixteen at once over all nodes: one version, one answer."""
    write_id = uuid7(time.time())
    replies = await asyncio.gather(
        *(put(server, three.token, "w9", 1, write_id) for server in three.servers for _ in range(6))
    )

    assert {reply.status for reply in replies} == {200}
    assert {str(reply.data) for reply in replies} == {str(replies[0].data)}
    assert await versions(three, "w9") == 1


async def test_a_refused_write_is_not_remembered(three: Site) -> None:
    """The same id may succeed later: nothing of it was done."""
    write_id = uuid7(time.time())
    body = {"data": {"k": 1}, "options": {"cas": 1}}
    path = "secret/data/w10"
    refused = await three.leader.ask("POST", path, body, token=three.token, **with_id(write_id))
    await three.must("POST", path, {"data": {}})
    allowed = await three.leader.ask("POST", path, body, token=three.token, **with_id(write_id))

    assert (refused.status, allowed.status, allowed.data["version"]) == (400, 200, 2)


async def test_a_path_that_speaks_of_a_login_takes_ids_like_any_other(three: Site) -> None:
    """Only logins take none, and a secret called login is no login."""
    write_id = uuid7(time.time())
    for _ in range(2):
        assert (await put(three.leader, three.token, "app/login", 1, write_id)).status == 200

    assert await versions(three, "app/login") == 1


@pytest.mark.parametrize("path", ["secret/data/none", "secret/metadata/none"])
async def test_a_write_that_found_nothing_to_do_is_not_done_later(three: Site, path: str) -> None:
    """An attempt of it that was late on its way would otherwise destroy what was written meanwhile."""
    write_id = uuid7(time.time())
    first = await three.followers[0].ask("DELETE", path, token=three.token, **with_id(write_id))
    await three.must("POST", "secret/data/none", {"data": {"a": 1}})
    late = await three.leader.ask("DELETE", path, token=three.token, **with_id(write_id))

    assert (first.status, late.status) == (204, 204)
    assert (await three.ask("GET", "secret/data/none")).status == 200
    await three.must("DELETE", "secret/metadata/none")


async def test_a_refused_write_leaves_nothing_behind(three: Site) -> None:
    """It was refused, and may be asked again under the same id when it can be done."""
    write_id = uuid7(time.time())
    before = three.leader.node.member.view.applied_index
    refused = await three.leader.ask("PATCH", "secret/data/never", {"data": {}}, token=three.token, **with_id(write_id))

    assert refused.status >= 400
    assert three.leader.node.member.view.applied_index == before
