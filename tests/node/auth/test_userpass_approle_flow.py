"""Logins through whole nodes: without a token, forwarded, hashed in a thread, and none kept as an answer."""

import asyncio
import time

from tests.node.flow_site import running, uuid7


async def test_a_login_at_a_follower_works_everywhere(tmp_path):
    """Both methods, from mounting to a renewal; the answers hold what clients read."""
    async with running(tmp_path, 3) as site:
        follower = site.followers[0]
        for type_ in ("approle", "userpass"):
            assert (await site.must("POST", f"sys/auth/{type_}", {"type": type_})).status == 204
        role = "auth/approle/role/app"
        assert (await site.must("POST", role, {"secret_id_num_uses": 1, "token_ttl": "1h"})).status == 204
        role_id = (await follower.ask("GET", f"{role}/role-id", token=site.token)).data["role_id"]
        made = (await site.must("POST", f"{role}/secret-id", {})).data
        body = {"role_id": role_id, "secret_id": made["secret_id"]}
        replies = await asyncio.gather(*(follower.ask("POST", "auth/approle/login", body) for _ in range(4)))
        good = [reply for reply in replies if reply.status == 200]

        assert sorted(reply.status for reply in replies) == [200, 400, 400, 400]
        auth = good[0].json["auth"]
        assert (auth["metadata"], auth["lease_duration"]) == ({"role_name": "app"}, 3600)
        assert "X-Strongroom-Write-Id" not in good[0].headers
        renewed = await follower.ask("POST", "auth/token/renew-self", {"increment": 60}, token=auth["client_token"])
        assert renewed.json["auth"]["lease_duration"] == 60

        user = "auth/userpass/users/ann"
        assert (await follower.ask("PUT", user, {"password": "pw"}, token=site.token)).status == 204
        login = "auth/userpass/login/ann"
        statuses = [(await follower.ask("POST", login, {"password": "no"})).status for _ in range(6)]
        assert statuses == [400, 400, 400, 400, 400, 403]
        assert (await follower.ask("POST", login, {"password": "pw"})).errors == ["permission denied"]
        locked = (await follower.ask("GET", "sys/locked-users", token=site.token)).data
        (mount,) = locked["by_namespace"][0]["mount_accessors"]
        assert mount["alias_identifiers"] == ["ann"]
        path = f"sys/locked-users/{mount['mount_accessor']}/unlock/ann"
        assert (await follower.ask("POST", path, {}, token=site.token)).status == 204
        assert (await follower.ask("POST", login, {"password": "pw"})).json["auth"]["metadata"] == {"username": "ann"}


async def test_answers_as_clients_take_them(tmp_path):
    """204 for a secret-id that is not there, an envelope in a 404 for an accessor, 202 for a tidy."""
    async with running(tmp_path) as site:
        await site.must("POST", "sys/auth/approle", {"type": "approle"})
        assert (await site.ask("LIST", "auth/approle/role/")).errors == []
        await site.must("PUT", "auth/approle/role/app", {})
        assert (await site.must("LIST", "auth/approle/role")).data == {"keys": ["app"]}
        lookup = "auth/approle/role/app/secret-id"
        assert (await site.ask("PUT", f"{lookup}/lookup", {"secret_id": "no"})).status == 204
        reply = await site.ask("PUT", f"{lookup}-accessor/lookup", {"secret_id_accessor": "no"})
        assert (reply.status, list(reply.data)) == (404, ["error"])
        assert (await site.ask("PUT", "auth/approle/tidy/secret-id")).status == 202
        assert (await site.ask("GET", "auth/approle/role/app")).data["token_type"] == "default"
        headers = [("X-Strongroom-Write-Id", uuid7(time.time()))]
        assert (await site.must("POST", lookup, {}, headers=headers)).data["secret_id"]
        assert (await site.ask("POST", lookup, {}, headers=headers)).status == 409
