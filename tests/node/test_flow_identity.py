"""Identity through whole nodes: an entity decides what its tokens may do, everywhere, from the next request on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node.flow_site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWN = 'path "secret/data/{{identity.entity.name}}/*" { capabilities = ["create", "read", "update"] }'


async def sign_in(site: Site, name: str) -> dict[str, Any]:
    """The auth block of a login by userpass, at a mount that the test enables once."""
    if (await site.ask("GET", "sys/auth/people")).status != 200:
        await site.must("POST", "sys/auth/people", {"type": "userpass"})
        await site.must("PUT", "sys/policies/acl/own", {"policy": OWN})
    await site.must("POST", f"auth/people/users/{name}", {"password": "the password"})
    reply = await site.must("POST", f"auth/people/login/{name}", {"password": "the password"}, token=None)
    auth: dict[str, Any] = reply.json["auth"]
    return auth


async def test_every_node_judges_by_the_entity_and_its_groups(three: Site) -> None:
    """Given and taken on the leader, seen by the next request at each node; another person's token never passes."""
    alice, bob = await sign_in(three, "alice"), await sign_in(three, "bob")
    await three.must("POST", f"identity/entity/id/{alice['entity_id']}", {"name": "alice"})
    body = {"name": "writers", "policies": "own", "member_entity_ids": [alice["entity_id"]]}
    await three.must("POST", "identity/group", body)
    place = "secret/data/alice/x"
    await three.must("POST", place, {"data": {"k": "v"}}, token=alice["client_token"])

    for server in three.servers:
        assert (await server.ask("GET", place, token=alice["client_token"])).data["data"] == {"k": "v"}
        assert (await server.ask("GET", place, token=bob["client_token"])).status == 403
        own = f"identity/entity/id/{alice['entity_id']}"
        assert (await server.ask("GET", own, token=alice["client_token"])).data["name"] == "alice"
        assert (await server.ask("GET", own, token=bob["client_token"])).status == 403

    await three.must("POST", "identity/group/name/writers", {"member_entity_ids": []})
    for server in three.servers:
        assert (await server.ask("GET", place, token=alice["client_token"])).status == 403
    await three.must("DELETE", f"identity/entity/id/{alice['entity_id']}")
    for server in three.servers:
        reply = await server.ask("GET", "auth/token/lookup-self", token=alice["client_token"])
        assert (reply.status, reply.errors) == (403, ["permission denied"])
        assert (await server.ask("GET", "auth/token/lookup-self", token=bob["client_token"])).status == 200


async def test_audit_says_which_policies_came_from_identity(one: Site) -> None:
    """Beside those of the token; both together are `policies`."""
    carol = await sign_in(one, "carol")
    await one.must("POST", f"identity/entity/id/{carol['entity_id']}", {"policies": ["own"]})
    reply = await one.ask("GET", "auth/token/lookup-self", token=carol["client_token"])
    lines = one.leader.audit_lines(reply.request_id)
    told = [
        (line["auth"]["policies"], line["auth"]["token_policies"], line["auth"]["identity_policies"]) for line in lines
    ]
    assert told == [(["default", "own"], ["default"], ["own"])] * 2
    assert {line["auth"]["entity_id"] for line in lines} == {carol["entity_id"]}
