"""Holes that others had in the same API, tried on whole nodes; each test names what was published of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster import CallError, Table
from node.auth.approle.engine import ApproleEngine
from node.auth.lockout import Lockout
from node.engines.base import Context, Plan
from node.forward import Frame, pack
from node.http.errors import EdgeRefusal
from node.request import Operation, RawRequest
from tests.node.flow_site import Reply, Silence, Site, raw_request, running, until, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="session")

ID = "X-Strongroom-Write-Id"


# ---- a refusal that hands out a token (CVE-2026-46405)
class Confused(ApproleEngine):
    """Lets everybody in, and says no."""

    status = 400

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        plan = super().decide(context, request, path)
        if path == "login":
            plan.answer.status = self.status
        return plan


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_a_login_that_is_refused_makes_no_token(tmp_path: Path, status: int) -> None:
    """Whatever an auth method answers: a token and an error are never one answer, and nothing is stored for it."""
    async with running(tmp_path, audited=True) as site:
        await site.must("POST", "sys/auth/approle", {"type": "approle"})
        await site.must("PUT", "auth/approle/role/app", {"bind_secret_id": False, "token_bound_cidrs": "127.0.0.0/8"})
        role_id = (await site.must("GET", "auth/approle/role/app/role-id")).data["role_id"]
        node = site.leader.node
        node._engines["approle"] = engine = Confused(Lockout())
        node.registry.forget()
        engine.status = status
        before = tokens(site)
        refused = await site.ask("POST", "auth/approle/login", {"role_id": role_id}, token=None)
        wrapped = await site.ask(
            "POST", "auth/approle/login", {"role_id": role_id}, token=None, headers=[("X-Vault-Wrap-TTL", "60")]
        )
        after = tokens(site)
        engine.status = 200
        good = await site.ask("POST", "auth/approle/login", {"role_id": role_id}, token=None)

        assert (refused.status, wrapped.status, after) == (500, 500, before)
        for reply in (refused, wrapped):
            assert set(reply.json) == {"errors"}
            assert [line["type"] for line in site.leader.audit_lines(reply.request_id)] == ["request", "response"]
        assert (good.status, bool(good.json["auth"]["client_token"]), tokens(site)) == (200, True, before + 1)


def tokens(site: Site) -> int:
    view = site.leader.node.member.view
    return sum(1 for _ in view.items(Table.TOKEN))


# ---- operations that only a core may ask for (GHSA-rh46-vc3j-w2w3)
INTERNAL = ("renew", "revoke", "rollback", "resolve-role", "alias-lookahead", "initialize", "connection", "root", "")


@pytest.mark.parametrize("operation", INTERNAL)
async def test_no_frame_of_a_member_names_an_internal_operation(three: Site, operation: str) -> None:
    """What a policy has no word for, no request can be: not even one that another member hands on."""
    links = three.followers[0].node.member.links
    assert links is not None
    frame = msgspec.msgpack.decode(
        pack(raw_request("POST", "secret/data/internal", {"data": {}}, token=three.token), three.followers[0].node_id),
        type=Frame,
    )
    strange = msgspec.msgpack.encode(msgspec.structs.replace(frame, operation=operation))
    with pytest.raises(CallError, match="bad frame"):
        await links.call(three.leader.node_id, "forward", strange, 5.0)
    answer = await links.call(three.leader.node_id, "forward", msgspec.msgpack.encode(frame), 5.0)

    assert operation not in set(Operation)
    assert msgspec.msgpack.decode(answer)[0] == 200


@pytest.mark.parametrize("name", [name.upper() for name in INTERNAL if name])
async def test_no_method_is_an_internal_operation(name: str) -> None:
    """Nor is one hidden in a query, where `list`, `scan` and `help` are."""
    with pytest.raises(EdgeRefusal) as refused:
        raw_request(name, "secret/data/a")
    asked = raw_request("GET", f"secret/data/a?operation={name.lower()}&{name.lower()}=true")

    assert refused.value.status == 405
    assert asked.operation is Operation.READ


async def test_what_wraps_and_hands_on_runs_nothing(one: Site) -> None:
    """A wrapped value is data: it may look like a request, and is none."""
    token, accessor = await one.new_token()
    planted = {"operation": "revoke", "path": "auth/token/revoke-accessor", "data": {"accessor": accessor}}
    headers = [("X-Vault-Wrap-TTL", "60")]
    wrapped = await one.must("POST", "sys/wrapping/wrap", planted, headers=headers)
    taken = await one.must("POST", "sys/wrapping/unwrap", {"token": wrapped.json["wrap_info"]["token"]})

    assert taken.data == planted
    assert (await one.must("POST", "auth/token/lookup-accessor", {"accessor": accessor})).data["id"] == ""
    assert token


# ---- a namespace as the beginning of a path
@pytest.mark.parametrize("path", ["root/secret/data/ns", "team/secret/data/ns", "ns/secret/data/ns", "root/sys/mounts"])
async def test_a_namespace_in_a_path_is_a_path(one: Site, path: str) -> None:
    """There is no mount at it; the secret behind it is not reached."""
    await one.must("POST", "secret/data/ns", {"data": {"k": "v"}})
    reply = await one.ask("GET", path)

    assert (reply.status, "no handler for route" in reply.errors[0]) == (404, True)
    assert (await one.ask("GET", "secret/data/ns")).data["data"] == {"k": "v"}


# ---- consistency never weakens access
async def test_a_read_that_asks_for_less_is_judged_on_what_is_proved_current(three: Site) -> None:
    """A node that nobody confirms answers neither that nor any other read; nor does a revoked token read anywhere."""
    rule = ("secret/data/lesser", "read")
    await three.must("POST", "secret/data/lesser", {"data": {"k": "v"}})
    token, accessor = await three.new_token(rule)
    server = three.followers[0]
    wishes = [[("X-Strongroom-Consistency", "local")], [("X-Vault-Inconsistent", "fail")], []]

    async def statuses() -> list[int]:
        return [(await server.ask("GET", rule[0], token=token, headers=wish)).status for wish in wishes]

    before = await statuses()
    with Silence(*three.servers):
        await until(lambda: not any(one.leads for one in three.servers))
        alone = await statuses()
    await three.settled()
    await three.must("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    assert (before, alone, await statuses()) == ([200] * 3, [503] * 3, [403] * 3)


# ---- what takes no write id
async def test_a_login_is_not_repeated_by_its_write_id(one: Site) -> None:
    """Each proves anew who asks, and gets a token of its own."""
    await one.must("POST", "sys/auth/no-ids", {"type": "userpass"})
    await one.must("PUT", "auth/no-ids/users/ann", {"password": "pw"})
    headers = [(ID, uuid7(time.time()))]

    async def login(password: str) -> Reply:
        # with a token beside, because ids are kept for whoever has one
        return await one.ask("POST", "auth/no-ids/login/ann", {"password": password}, headers=headers)

    first, again, wrong = await login("pw"), await login("pw"), await login("no")

    assert (first.status, again.status, wrong.status) == (200, 200, 400)
    assert first.json["auth"]["client_token"] != again.json["auth"]["client_token"]


@pytest.mark.parametrize("path", ["secret/data/wrapped-id", "sys/wrapping/wrap"])
async def test_a_wrapped_request_is_not_repeated_by_its_write_id(one: Site, path: str) -> None:
    """Its answer is a token, which is nobody's twice."""
    headers = [(ID, uuid7(time.time())), ("X-Vault-Wrap-TTL", "60")]
    first, again = [await one.ask("POST", path, {"data": {}}, headers=headers) for _ in range(2)]

    assert (first.status, again.status) == (200, 200)
    assert first.json["wrap_info"]["token"] != again.json["wrap_info"]["token"]


async def test_an_unwrapping_is_not_repeated_by_its_write_id(one: Site) -> None:
    """The second is told that the token is spent, not what it held."""
    wrapped = await one.must("POST", "sys/wrapping/wrap", {"k": "v"}, headers=[("X-Vault-Wrap-TTL", "60")])
    body = {"token": wrapped.json["wrap_info"]["token"]}
    headers = [(ID, uuid7(time.time()))]
    first, again = [await one.ask("POST", "sys/wrapping/unwrap", body, headers=headers) for _ in range(2)]

    assert (first.status, again.status) == (200, 400)
    assert "wrapping token is not valid" in again.errors[0]


async def test_a_seal_takes_no_write_id(one: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repetition seals again: it is never answered from memory."""
    sealed: list[Any] = []

    async def seal() -> None:
        sealed.append(1)

    monkeypatch.setattr(one.leader.node.desk, "seal", seal)
    headers = [(ID, uuid7(time.time()))]
    replies: list[Any] = [await one.ask("PUT", "sys/seal", {}, headers=headers) for _ in range(2)]
    await until(lambda: len(sealed) == 2)

    assert [reply.status for reply in replies] == [204, 204]
    assert [name for reply in replies for name in reply.headers if name == ID] == []
