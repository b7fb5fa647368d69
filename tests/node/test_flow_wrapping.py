"""Wrapped answers, cubbyholes and batch tokens on whole nodes: wherever a request arrives, and what audit writes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from cluster import Table
from tests.node.flow_site import Reply, Server, Site, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPENT = {"errors": ["wrapping token is not valid or does not exist"]}
BARE = {"errors": ["permission denied"]}
DENIED = {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
PLANTED = "planted-in-the-secret"


def header(ttl: str) -> dict[str, Any]:
    return {"headers": [("X-Vault-Wrap-TTL", ttl)]}


async def wrap(site: Site, server: Server, method: str, path: str, body: Any = None, ttl: str = "60") -> Reply:
    """The answer, which holds a token and nothing else."""
    reply = await server.ask(method, path, body, token=site.token, **header(ttl))
    assert reply.status == 200, reply
    rest = {name: value for name, value in reply.json.items() if name != "wrap_info"}
    assert rest == {
        "request_id": "", "lease_id": "", "renewable": False, "lease_duration": 0, "data": None, "warnings": None,
        "auth": None,
    }  # fmt: skip
    return reply


def info(reply: Reply) -> dict[str, Any]:
    return reply.json["wrap_info"]


async def unwrap(site: Site, server: Server, token: str) -> Reply:
    return await server.ask("POST", "sys/wrapping/unwrap", {"token": token}, token=site.token)


@pytest.mark.parametrize("at", ["leader", "follower"])
@pytest.mark.parametrize("taken_at", ["leader", "follower"])
async def test_a_read_is_wrapped_and_unwrapped_once(three: Site, at: str, taken_at: str) -> None:
    """Anywhere; the body is the one that would have been sent, with the first request's id."""
    servers = {"leader": three.leader, "follower": three.followers[0]}
    await three.must("POST", "secret/data/wrapped", {"data": {"k": PLANTED}})
    reply = await wrap(three, servers[at], "GET", "secret/data/wrapped")
    token = info(reply)["token"]
    taken = await unwrap(three, servers[taken_at], token)

    assert taken.status == 200
    assert taken.json["data"]["data"] == {"k": PLANTED}
    assert taken.json["request_id"] == reply.request_id
    assert taken.headers.get("X-Strongroom-Write-Id") is None
    for server in three.servers:
        again = await unwrap(three, server, token)
        assert (again.status, again.json) == (400, SPENT)
        nobody = await server.ask("GET", "cubbyhole/response", token=token)
        assert (nobody.status, nobody.json) == (403, BARE)


@pytest.mark.parametrize("at", ["leader", "follower"])
async def test_a_write_and_a_new_token_are_wrapped(three: Site, at: str) -> None:
    """What they change is changed; the accessor of the token that is wrapped is told."""
    server = three.leader if at == "leader" else three.followers[0]
    written = await wrap(three, server, "POST", "secret/data/by-wrap", {"data": {"k": "v"}})
    made = await wrap(three, server, "POST", "auth/token/create", {"policies": ["default"]})
    version = (await unwrap(three, server, info(written)["token"])).data["version"]
    auth = (await unwrap(three, server, info(made)["token"])).json["auth"]
    read = await server.ask("GET", "secret/data/by-wrap", token=three.token)
    own = await server.ask("GET", "auth/token/lookup-self", token=auth["client_token"])

    assert (version, read.data["metadata"]["version"], own.status) == (version, version, 200)
    assert info(made)["wrapped_accessor"] == auth["accessor"]
    assert "wrapped_accessor" not in info(written)


async def test_a_login_is_wrapped(three: Site) -> None:
    """Without a token of its own."""
    await three.must("POST", "sys/auth/wrapped-logins", {"type": "userpass"})
    await three.must("POST", "auth/wrapped-logins/users/ann", {"password": "pw", "token_policies": "default"})
    follower = three.followers[0]
    reply = await follower.ask("POST", "auth/wrapped-logins/login/ann", {"password": "pw"}, **header("60"))
    wrong = await follower.ask("POST", "auth/wrapped-logins/login/ann", {"password": "no"}, **header("60"))
    auth = (await unwrap(three, follower, info(reply)["token"])).json["auth"]

    assert reply.json["auth"] is None
    assert info(reply)["wrapped_accessor"] == auth["accessor"]
    assert (await follower.ask("GET", "auth/token/lookup-self", token=auth["client_token"])).status == 200
    assert wrong.status == 400


async def test_what_has_nothing_to_say_or_fails_is_not_wrapped(one: Site) -> None:
    """204 stays 204, an error stays an error, an empty list stays 404, help stays help."""
    asked = {
        ("POST", "kv1/unwrapped"): 204,
        ("GET", "secret/data/nothing-here"): 404,
        ("LIST", "secret/metadata/nothing-here"): 404,
        ("POST", "sys/capabilities-self"): 400,
    }
    for (method, path), status in asked.items():
        body = {"k": "v"} if method == "POST" else None
        reply = await one.ask(method, path, body, **header("60"))
        assert (reply.status, "wrap_info" in reply.json) == (status, False), path
    help_ = await one.ask("GET", "secret/data/x?help=1", **header("60"))
    bare = await one.ask("GET", "kv1/unwrapped", **header("0"))
    assert "help" in help_.json
    assert bare.data == {"k": "v"}


async def test_a_path_of_the_nodes_own_is_not_answered_to_who_wants_it_wrapped(one: Site) -> None:
    """400, rather than the bare answer."""
    reply = await one.ask("GET", "sys/ha-status", **header("60"))

    assert (reply.status, reply.errors) == (400, ["response wrapping is not supported on this path"])
    assert (await one.ask("GET", "sys/ha-status")).status == 200


async def test_a_wrapping_token_takes_its_own_answer(three: Site) -> None:
    """As X-Vault-Token, in both places, and by cubbyhole/response with a warning; its one use is gone each time."""
    await three.must("POST", "kv1/own", {"k": "v"})
    follower = three.followers[0]
    for body in ({}, None, "both"):
        token = info(await wrap(three, follower, "GET", "kv1/own"))["token"]
        sent = {"token": token} if body == "both" else body
        taken = await follower.ask("PUT", "sys/wrapping/unwrap", sent, token=token)
        again = await follower.ask("PUT", "sys/wrapping/unwrap", sent, token=token)
        assert (taken.status, taken.data, again.status, again.json) == (200, {"k": "v"}, 400, SPENT)
    token = info(await wrap(three, follower, "GET", "kv1/own"))["token"]
    old = await follower.ask("GET", "cubbyhole/response", token=token)

    assert json.loads(old.data["response"])["data"] == {"k": "v"}
    assert "deprecated" in old.json["warnings"][0]
    assert (await unwrap(three, follower, token)).json == SPENT


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "auth/token/lookup-self"),
        ("GET", "kv1/other"),
        ("POST", "cubbyhole/response"),
        ("GET", "cubbyhole/wrapinfo"),
        ("POST", "sys/wrapping/rewrap"),
        ("POST", "auth/token/create"),
    ],
)
async def test_a_wrapping_token_does_nothing_else(one: Site, method: str, path: str) -> None:
    """It is denied, which was its use; what it held is gone, and it is nobody."""
    await one.must("POST", "kv1/other", {"k": "v"})
    token = info(await wrap(one, one.leader, "GET", "kv1/other"))["token"]
    first = await one.leader.ask(method, path, {"k": "v"} if method == "POST" else None, token=token)
    second = await one.leader.ask("GET", "kv1/other", token=token)

    assert (first.status, first.json) == (403, DENIED)
    assert (second.status, second.json) == (403, BARE)
    assert (await unwrap(one, one.leader, token)).json == SPENT


async def test_looking_spends_nothing_and_needs_no_token(three: Site) -> None:
    """By anybody who has the token, on every node, with GET and POST."""
    await three.must("POST", "kv1/looked", {"k": "v"})
    reply = await wrap(three, three.leader, "GET", "kv1/looked", ttl="5m")
    token, shown = info(reply)["token"], info(reply)
    wanted = {name: shown[name] for name in ("creation_path", "creation_time")} | {"creation_ttl": 300}
    for server in three.servers:
        looks = [
            await server.ask("POST", "sys/wrapping/lookup", {"token": token}),
            await server.ask("GET", "sys/wrapping/lookup", token=token),
            await server.ask("POST", "sys/wrapping/lookup", {"token": token}, token=three.token),
        ]
        assert [look.data for look in looks] == [wanted] * 3

    assert (await unwrap(three, three.leader, token)).status == 200
    assert (await three.leader.ask("POST", "sys/wrapping/lookup", {"token": token})).json == SPENT
    nobody = await three.leader.ask("POST", "sys/wrapping/unwrap", {"token": token})
    assert (nobody.status, nobody.json) == (400, SPENT)


async def test_unwrapping_what_another_holds_needs_a_token_that_may(one: Site) -> None:
    """The wrapping token in the body is not enough, and is not spent by who may not."""
    await one.must("POST", "kv1/third", {"k": "v"})
    token = info(await wrap(one, one.leader, "GET", "kv1/third"))["token"]
    may, _ = await one.new_token(default=True)
    may_not, _ = await one.new_token()
    asked = {"token": token}
    nobody = await one.leader.ask("POST", "sys/wrapping/unwrap", asked)
    denied = await one.leader.ask("POST", "sys/wrapping/unwrap", asked, token=may_not)
    taken = await one.leader.ask("POST", "sys/wrapping/unwrap", asked, token=may)

    assert (nobody.status, nobody.json, denied.status, denied.json) == (403, BARE, 403, DENIED)
    assert (taken.status, taken.data) == (200, {"k": "v"})


async def test_rewrapping_spends_the_old_token(three: Site) -> None:
    """Same path, same time to live, another token; a header may shorten it; a bad one is refused."""
    await three.must("POST", "kv1/re", {"k": "v"})
    follower = three.followers[0]
    first = info(await wrap(three, follower, "GET", "kv1/re", ttl="90"))
    second = info(await follower.ask("POST", "sys/wrapping/rewrap", {"token": first["token"]}, token=three.token))
    third = info(await wrap(three, follower, "POST", "sys/wrapping/rewrap", {"token": second["token"]}, ttl="30"))

    assert [(one["ttl"], one["creation_path"]) for one in (first, second, third)] == [
        (90, "kv1/re"), (90, "kv1/re"), (30, "kv1/re"),
    ]  # fmt: skip
    for spent in (first, second):
        assert (await unwrap(three, follower, spent["token"])).json == SPENT
    assert (await unwrap(three, follower, third["token"])).data == {"k": "v"}
    assert (await follower.ask("POST", "sys/wrapping/rewrap", {"token": "x"}, token=three.token)).json == SPENT


async def test_any_value_can_be_wrapped(three: Site) -> None:
    """By whoever has the default policy; byte for byte; only with the header."""
    token, _ = await three.new_token(default=True)
    follower = three.followers[0]
    body = {"any": {"thing": [1, 1.5]}, "token": "of the application", "n": 12345678901234567890}
    reply = await follower.ask("POST", "sys/wrapping/wrap", body, token=token, **header("60"))
    refused = await follower.ask("POST", "sys/wrapping/wrap", body, token=token)
    taken = await follower.ask("POST", "sys/wrapping/unwrap", {"token": info(reply)["token"]}, token=token)

    assert (refused.status, refused.errors) == (400, ["endpoint requires response wrapping to be used"])
    assert taken.data == body
    assert taken.json["warnings"] is None


async def test_parallel_unwraps_succeed_once(three: Site) -> None:
    """64 at once over all nodes, half of them by the token itself."""
    await three.must("POST", "kv1/once", {"k": "v"})
    token = info(await wrap(three, three.followers[0], "GET", "kv1/once"))["token"]

    async def take(number: int) -> Reply:
        own = number % 2
        body = {} if own else {"token": token}
        return await three.servers[number % 3].ask(
            "POST", "sys/wrapping/unwrap", body, token=token if own else three.token
        )

    replies = await asyncio.gather(*(take(number) for number in range(64)))
    counted = Counter(reply.status for reply in replies)

    assert counted[200] == 1
    assert counted.keys() <= {200, 400, 403}


async def test_unwraps_while_the_leader_changes_succeed_at_most_once(three: Site) -> None:
    """It steps down in the middle of 64: what is unknown then is said to be, and never answered a second time."""
    await three.must("POST", "kv1/handed-over", {"k": "v"})
    token = info(await wrap(three, three.leader, "GET", "kv1/handed-over"))["token"]
    leader = three.leader

    async def take(number: int) -> int:
        if number == 20:
            leader.node.member.step_down()
        return (await unwrap(three, three.servers[number % 3], token)).status

    counted = Counter(await asyncio.gather(*(take(number) for number in range(64))))
    await three.settled()
    late = (await unwrap(three, three.leader, token)).status

    assert counted[200] + (late == 200) <= 1
    assert counted.keys() <= {200, 400, 403, 503, 504}


async def test_a_wrapped_request_by_a_limited_token_costs_one_use(three: Site) -> None:
    """In the same transaction; the last one wraps, too."""
    await three.must("POST", "kv1/limited", {"k": "v"})
    token, _ = await three.new_token(("kv1/limited", "read"), num_uses=2)
    follower = three.followers[0]
    replies = [await follower.ask("GET", "kv1/limited", token=token, **header("60")) for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 403]
    for reply in replies[:2]:
        assert (await unwrap(three, follower, info(reply)["token"])).data == {"k": "v"}


async def test_a_policy_may_ask_for_wrapping_within_bounds(three: Site) -> None:
    """Outside of them, and bare, it is denied; on every node."""
    await three.must("POST", "kv1/bound", {"k": "v"})
    rule = 'path "kv1/bound" { capabilities = ["read"] min_wrapping_ttl = "1m" max_wrapping_ttl = "5m" }'
    await three.must("PUT", "sys/policies/acl/wrapped-only", {"policy": rule})
    made = await three.must("POST", "auth/token/create", {"policies": ["wrapped-only"]})
    token = made.json["auth"]["client_token"]
    for server in three.servers:
        statuses = {
            ttl: (await server.ask("GET", "kv1/bound", token=token, **(header(ttl) if ttl else {}))).status
            for ttl in ("", "0", "59", "60", "5m", "301")
        }
        assert statuses == {"": 403, "0": 403, "59": 403, "60": 200, "5m": 200, "301": 403}


async def test_audit_tells_the_token_by_its_hash_and_nothing_of_what_is_wrapped(one: Site) -> None:
    """Also of the unwrapping, whose body is hashed as a whole."""
    await one.must("POST", "kv1/audited", {"k": PLANTED})
    reply = await wrap(one, one.leader, "GET", "kv1/audited")
    token, accessor = info(reply)["token"], info(reply)["accessor"]
    request, response = one.leader.audit_lines(reply.request_id)
    written = response["response"]["wrap_info"]
    taken = await unwrap(one, one.leader, token)
    lines = [request, response, *one.leader.audit_lines(taken.request_id)]

    assert request["request"]["wrap_ttl"] == 60
    assert written["token"].startswith("hmac-sha256:")
    assert (written["ttl"], written["creation_path"]) == (60, "kv1/audited")
    assert "data" not in response["response"]
    assert lines[3]["response"]["data"]["http_raw_body"].startswith("hmac-sha256:")
    text = json.dumps(lines)
    assert [planted for planted in (token, accessor, PLANTED) if planted in text] == []


async def test_an_expired_wrapping_token_and_what_it_held_are_removed(one: Site) -> None:
    """Nobody has to ask."""
    await one.must("POST", "kv1/short", {"k": "v"})
    state = one.leader.node.member.view
    reply = await wrap(one, one.leader, "GET", "kv1/short", ttl="1")
    key = one.leader.node.member.values.token_hash(info(reply)["token"])  # type: ignore[union-attr]

    def left() -> list[bytes]:
        folder = key.hex().encode()
        return [name for name, _, _ in state.items(Table.ENTRY) if folder in name]

    assert len(left()) == 2
    await until(lambda: not left() and state.get(Table.TOKEN, key) is None, "the sweep has run")
    assert (await unwrap(one, one.leader, info(reply)["token"])).json == SPENT


# ---- beside
async def test_a_cubbyhole_is_the_token_s_own_on_every_node(three: Site) -> None:
    """Written on one, read on all, by nobody else."""
    token, _ = await three.new_token(default=True)
    other, _ = await three.new_token(default=True)
    written = await three.followers[0].ask("POST", "cubbyhole/mine", {"k": "v"}, token=token)
    seen = [await server.ask("GET", "cubbyhole/mine", token=token) for server in three.servers]
    others = [await server.ask("GET", "cubbyhole/mine", token=other) for server in three.servers]

    assert written.status == 204
    assert [reply.data for reply in seen] == [{"k": "v"}] * 3
    assert [reply.status for reply in others] == [404] * 3


async def test_a_batch_token_works_on_every_node_until_its_parent_ends(three: Site) -> None:
    """Nothing of it is stored, and audit names it by its hash, without an accessor."""
    rules = (("auth/token/create", "update"), ("kv1/batch", "read"))
    parent, _ = await three.new_token(*rules, default=True)
    await three.must("POST", "kv1/batch", {"k": "v"})
    made = await three.followers[0].ask("POST", "auth/token/create", {"type": "batch"}, token=parent)
    token = made.json["auth"]["client_token"]
    seen = [await server.ask("GET", "kv1/batch", token=token) for server in three.servers]
    wrapped = await three.followers[0].ask("GET", "kv1/batch", token=token, **header("60"))

    assert token.startswith("hvb.")
    assert [reply.data for reply in seen] == [{"k": "v"}] * 3
    assert (await unwrap(three, three.leader, info(wrapped)["token"])).data == {"k": "v"}
    line = three.servers[0].audit_lines(seen[0].request_id)[0]
    assert line["auth"]["token_type"] == "batch"
    assert token not in json.dumps(line)
    await three.must("POST", "auth/token/revoke", {"token": parent})
    after = [await server.ask("GET", "kv1/batch", token=token) for server in three.servers]
    assert [(reply.status, reply.json) for reply in after] == [(403, BARE)] * 3


async def test_a_batch_token_s_write_is_executed_once(three: Site) -> None:
    """It takes write ids like any other; another batch token of the same parent is another."""
    made = [
        (await three.must("POST", "auth/token/create", {"type": "batch", "policies": ["batch-writer"]})).json["auth"]
        for _ in range(2)
    ]
    rule = 'path "secret/*" { capabilities = ["create", "update"] }'
    await three.must("PUT", "sys/policies/acl/batch-writer", {"policy": rule})
    first, second = (auth["client_token"] for auth in made)
    reply = await three.leader.ask("POST", "secret/data/batch-write", {"data": {"n": 1}}, token=first)
    again = [("X-Strongroom-Write-Id", reply.headers["X-Strongroom-Write-Id"])]
    repeated = await three.leader.ask("POST", "secret/data/batch-write", {"data": {"n": 1}}, token=first, headers=again)
    other = await three.leader.ask("POST", "secret/data/batch-write", {"data": {"n": 1}}, token=second, headers=again)

    assert [one.data["version"] for one in (reply, repeated, other)] == [1, 1, 2]


async def test_the_shortest_way_takes_no_batch_token(one: Site) -> None:
    """What ends by its parent or a fact is asked about by the ordinary way, and answered there."""
    await one.must("POST", "secret/data/short-way", {"data": {"k": "v"}})
    rule = 'path "secret/data/short-way" { capabilities = ["read"] }'
    await one.must("PUT", "sys/policies/acl/short-way", {"policy": rule})
    judge, member = one.leader.node.flow.judge, one.leader.node.member
    taken = {}
    for kind in ("service", "batch"):
        made = await one.must("POST", "auth/token/create", {"type": kind, "policies": ["short-way"]})
        token = made.json["auth"]["client_token"]
        now_ns = member.now_ns()
        taken[kind] = judge.may_read(member.view, token, "secret/data/short-way", now_ns, "127.0.0.1")
        assert (await one.leader.ask("GET", "secret/data/short-way", token=token)).data["data"] == {"k": "v"}

    assert taken == {"service": True, "batch": False}


async def test_looking_costs_no_use_also_where_there_is_nothing(three: Site) -> None:
    """Or whoever asks with a wrapping token for another one would lose what it holds."""
    token, _ = await three.new_token(("auth/token/lookup-self", "read"), num_uses=1)
    for server in three.servers:
        missing = await server.ask("POST", "sys/wrapping/lookup", {"token": "hvs.nothing"}, token=token)
        assert missing.status == 400

    assert [(await three.ask("GET", "auth/token/lookup-self", token=token)).status for _ in range(2)] == [200, 403]
