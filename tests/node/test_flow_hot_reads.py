"""The shortest way of a read: byte for byte what the ordinary way answers, and nothing where that is in doubt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cluster import Mount, Table, records
from node.registry import Registry
from node.request import RawResponse
from tests.node.flow_site import Server, Site, raw_request, running
from tests.node.test_flow_at_once import counts, grown

pytestmark = pytest.mark.asyncio(loop_scope="session")

ID = "00000000-0000-0000-0000-000000000000"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A cluster of one node without audit devices, with secrets of every kind."""
    async with running(tmp_path_factory.mktemp("hot")) as site:
        await site.must("POST", "secret/data/app/db", {"data": {"password": "p", "n": 12345678901234567890123}})
        await site.must("POST", "secret/data/app/two", {"data": {"a": 1}})
        await site.must("POST", "secret/data/app/two", {"data": {"a": 2}})
        await site.must("POST", "secret/metadata/app/two", {"custom_metadata": {"owner": "x"}})
        await site.must("POST", "secret/data/app/gone", {"data": {"a": 1}})
        await site.must("DELETE", "secret/data/app/gone")
        await site.must("POST", "secret/data/app/kept", {"data": {"a": 1}})
        await site.must("POST", "secret/metadata/app/empty", {"max_versions": 3})
        await site.must("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
        await site.must("POST", "old/data/a", {"k": "v"})
        await site.must("POST", "sys/mounts/outer", {"type": "kv", "options": {"version": "2"}})
        await site.must("POST", "outer/data/in/a", {"data": {"k": "v"}})
        yield site


def hot(server: Server, path: str, token: str, address: str = "127.0.0.1") -> RawResponse | None:
    """The shortest way's answer."""
    state = server.node.at_once.begin()
    request = type("Request", (), {"path": path, "token": token})()
    return None if state is None else server.node.at_once.read(request, ID, address, state)


async def ordinary(server: Server, path: str, token: str) -> RawResponse:
    request = raw_request("GET", path, token=token)
    request.id = ID
    return await server.node.handle(request)


@pytest.mark.parametrize("path", ["secret/data/app/db", "secret/data/app/two", "outer/data/in/a"])
@pytest.mark.parametrize(
    "rule", [("secret/*", "read"), ("secret/data/+/db", "read"), ("secret/data/app/two", "read list"), ("root", "")]
)
async def test_a_secret_that_is_there_is_answered_as_on_the_ordinary_way(
    plain: Site, path: str, rule: tuple[str, str]
) -> None:
    """Body, headers and counts; where the rule does not allow it, nothing."""
    server = plain.leader
    token = plain.token if rule[0] == "root" else (await plain.new_token(rule))[0]
    start = counts(server)
    first = hot(server, path, token)
    between = counts(server)
    other = await ordinary(server, path, token)
    end = counts(server)

    if other.status != 200:
        assert first is None
        assert start == between
        return
    assert first is not None
    assert first == other
    assert grown(start, between) == grown(between, end)


@pytest.mark.parametrize(
    "path",
    [
        "secret/data/app/none",
        "secret/data/app/gone",
        "secret/data/app/empty",
        "secret/data/app",
        "secret/data",
        "secret",
        "secret/metadata/app/db",
        "secret/config",
        "secret/datax/app/db",
        "old/data/a",
        "cubbyhole/data/a",
        "nowhere/data/a",
        "sys/mounts",
        "sys/health",
        "strongroom/status",
        "auth/token/lookup-self",
        "identity/data/a",
    ],
)
async def test_everything_else_is_left_to_the_ordinary_way(plain: Site, path: str) -> None:
    """Nothing is answered or counted."""
    before = counts(plain.leader)

    assert hot(plain.leader, path, plain.token) is None
    assert counts(plain.leader) == before


@pytest.mark.parametrize("token", ["", "hvs.wrong", "x", "hvs." + "a" * 600])
async def test_a_token_that_is_none_is_left_to_the_ordinary_way(plain: Site, token: str) -> None:
    """It says 403."""
    assert hot(plain.leader, "secret/data/app/db", token) is None
    assert (await ordinary(plain.leader, "secret/data/app/db", token)).status == 403


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (("secret/data/app/db", "read"), True),
        (("secret/data/app/db", "list update"), False),
        (("secret/data/other", "read"), False),
        (("secret/data/app/*", "deny"), False),
    ],
)
async def test_a_rule_decides_as_it_does_elsewhere(plain: Site, rule: tuple[str, str], allowed: bool) -> None:
    """Allowed, or left alone."""
    token, _ = await plain.new_token(rule)

    assert (hot(plain.leader, "secret/data/app/db", token) is not None) is allowed
    assert ((await ordinary(plain.leader, "secret/data/app/db", token)).status == 200) is allowed


@pytest.mark.parametrize(
    "condition", ['required_parameters = ["version"]', 'min_wrapping_ttl = "5m"', 'denied_parameters = { "x" = [] }']
)
async def test_a_rule_with_a_condition_is_left_to_the_ordinary_way(plain: Site, condition: str) -> None:
    """Whatever it asks."""
    text = f'path "secret/data/app/db" {{ capabilities = ["read"]\n{condition} }}'
    await plain.must("POST", "sys/policies/acl/conditional", {"policy": text})
    made = await plain.ask("POST", "auth/token/create", {"policies": ["conditional"]})

    assert hot(plain.leader, "secret/data/app/db", made.json["auth"]["client_token"]) is None


async def test_a_token_with_limited_uses_is_left_to_the_ordinary_way(plain: Site) -> None:
    """The leader takes the use."""
    token, accessor = await plain.new_token(("secret/data/app/*", "read"), num_uses=3)

    assert hot(plain.leader, "secret/data/app/db", token) is None
    assert (await plain.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})).data["num_uses"] == 3


async def test_a_token_bound_to_networks_is_left_to_the_ordinary_way(plain: Site) -> None:
    """Wherever it comes from."""
    token, _ = await plain.new_token(("secret/data/app/*", "read"))
    sealing = plain.leader.node.member.values
    assert sealing is not None
    before = hot(plain.leader, "secret/data/app/db", token)
    _, record = plain.leader.node.flow.judge._tokens[sealing.token_hash(token)]
    record.bound_cidrs = ["127.0.0.0/8"]  # no login that binds a token is there yet

    assert before is not None
    assert hot(plain.leader, "secret/data/app/db", token) is None


async def test_a_revoked_token_reads_no_more(plain: Site) -> None:
    """Its own revocation, and that of its parent."""
    parent, parent_accessor = await plain.new_token(("secret/data/app/*", "read"), ("auth/token/create", "update"))
    child = (await plain.leader.ask("POST", "auth/token/create", {}, token=parent)).json["auth"]["client_token"]
    before = [hot(plain.leader, "secret/data/app/db", token) is not None for token in (parent, child)]
    await plain.must("POST", "auth/token/revoke-accessor", {"accessor": parent_accessor})
    after = [hot(plain.leader, "secret/data/app/db", token) is not None for token in (parent, child)]

    assert (before, after) == ([True, True], [False, False])


async def test_a_policy_that_changes_is_felt_by_the_next_read(plain: Site) -> None:
    """No decision is older than the state."""
    policy = 'path "secret/data/app/db" {{ capabilities = ["{}"] }}'
    await plain.must("POST", "sys/policies/acl/flips", {"policy": policy.format("read")})
    made = await plain.ask("POST", "auth/token/create", {"policies": ["flips"]})
    token = made.json["auth"]["client_token"]
    seen = [hot(plain.leader, "secret/data/app/db", token) is not None]
    await plain.must("POST", "sys/policies/acl/flips", {"policy": policy.format("deny")})
    seen.append(hot(plain.leader, "secret/data/app/db", token) is not None)
    await plain.must("POST", "sys/policies/acl/flips", {"policy": policy.format("read")})
    seen.append(hot(plain.leader, "secret/data/app/db", token) is not None)

    assert seen == [True, False, True]


async def test_a_write_is_seen_by_the_next_read(plain: Site) -> None:
    """And so are deletion and its undoing."""
    seen = []
    for method, path, body in (
        ("POST", "secret/data/app/kept", {"data": {"a": 2}}),
        ("DELETE", "secret/data/app/kept", None),
        ("POST", "secret/undelete/app/kept", {"versions": [2]}),
    ):
        await plain.must(method, path, body)
        found = hot(plain.leader, "secret/data/app/kept", plain.token)
        seen.append(found is not None and b'"version":2' in found.body)

    assert seen[:2] == [True, False]


class Mounts:
    """A view of nothing but mounts."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def items(self, _table: Table) -> Any:
        return [(path.encode(), 1, records.encode(Mount(type="kv"))) for path in self.paths]


async def test_a_mount_below_another_ends_the_shortest_way_for_both() -> None:
    """Which of them has a path is decided by the longest match, which is not looked for here."""
    registry = Registry(lambda _mount: None)
    view: Any = Mounts("a/", "b/", "b/c/")

    found = [registry.lone_mount(view, path) for path in ("a/", "b/", "b/c/", "c/", "")]
    assert [None if mount is None else mount.mount_path for mount in found] == ["a/", None, "b/c/", None, None]
    registry.forget()
    assert registry.lone_mount(Mounts("b/"), "b/") is not None


async def test_a_mount_made_anew_has_none_of_the_old_secrets(plain: Site) -> None:
    """The path is the same, the mount is not."""
    kv = {"type": "kv", "options": {"version": "2"}}
    await plain.must("POST", "sys/mounts/again", kv)
    await plain.must("POST", "again/data/a", {"data": {"k": 1}})
    seen = [hot(plain.leader, "again/data/a", plain.token) is not None]
    await plain.must("DELETE", "sys/mounts/again")
    seen.append(hot(plain.leader, "again/data/a", plain.token) is not None)
    await plain.must("POST", "sys/mounts/again", kv)
    seen.append(hot(plain.leader, "again/data/a", plain.token) is not None)
    await plain.must("DELETE", "sys/mounts/again")

    assert seen == [True, False, False]
