"""A node that is sealed under a request: 503 with Vault's sentence, never a 500, and nothing that was read.

Each test seals at one place between the token and the answer, as the last turn of a seal does, with and without audit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from cluster import DamagedError, NotLeaderError, ValueSealing
from node import flow as flow_module
from node.request import RawRequest, RawResponse
from tests.node.flow_site import Reply, Site, raw_request, reply_of, running, until, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEALED = {"errors": ["Vault is sealed"], "applied": "no"}
READS = (
    ("GET", "secret/data/a"), ("GET", "secret/data/none"), ("LIST", "secret/metadata"), ("GET", "kv1/a"),
    ("GET", "auth/token/lookup-self"), ("GET", "sys/mounts"),
)  # fmt: skip
WRITES = (
    ("POST", "secret/data/a", {"data": {"k": 2}}), ("PUT", "kv1/a", {"k": 2}), ("DELETE", "kv1/a", None),
    ("POST", "auth/token/create", {}), ("POST", "auth/userpass/login/u", {"password": "pw"}),
    ("POST", "secret/data/a", {"data": {}, "options": {"cas": 77}}),
)  # fmt: skip
OWN = (("GET", "sys/metrics"), ("GET", "sys/ha-status"), ("GET", "strongroom/status"), ("GET", "sys/host-info"))
audited = pytest.mark.parametrize("site", ["audited"], indirect=True)  # where there is a record to be written


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["plain", "audited"])
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp(request.param)
    async with running(folder, audited=request.param == "audited") as site:
        await site.must("POST", "sys/auth/userpass", {"type": "userpass"})
        await site.must("POST", "auth/userpass/users/u", {"password": "pw"})
        yield site


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def opened(site: Site) -> AsyncIterator[None]:
    """Each test begins with an open node that has a secret and a value."""
    server = site.servers[0]
    if server.node.member.sealed:
        await server.ask("PUT", "sys/unseal", {"key": site.shares[0]})
        await site.settled()
    for path, body in (("secret/data/a", {"data": {"k": 1}}), ("kv1/a", {"k": 1})):
        await site.must("POST", path, body)
    yield


def seal(site: Site) -> None:
    """The last turn of a seal: no replica, keys or state."""
    member = site.servers[0].node.member
    assert member.replica is not None, "it is sealed once"
    member._end(member.replica)
    member.on_sealed()


def is_audited(site: Site) -> bool:
    return site.servers[0].node.audit.broker.enabled


def sealing(site: Site, former: Callable[..., Awaitable[Any]], *, first: bool) -> Callable[..., Awaitable[Any]]:
    """The call, with the seal right before or behind it, for the test's own requests."""
    test = asyncio.current_task()

    async def call(*arguments: Any, **named: Any) -> Any:
        if asyncio.current_task() is not test:
            return await former(*arguments, **named)
        if first:
            seal(site)
            return await former(*arguments, **named)
        result = await former(*arguments, **named)
        seal(site)
        return result

    return call


async def ask(site: Site, method: str, path: str, body: Any = None, **options: Any) -> Reply:
    options = {"token": None if "/login/" in path else site.token} | options
    return await site.servers[0].ask(method, path, body, **options)


def check_sealed(site: Site, reply: Reply) -> None:
    assert site.servers[0].node.member.sealed, "the test sealed it"
    told = {key: value for key, value in reply.json.items() if key != "write_id"}
    assert (reply.status, told, reply.headers["Retry-After"]) == (503, SEALED, "1")
    assert "X-Vault-Index" not in reply.headers


def version(site: Site, reply: Reply) -> int:
    assert reply.status == 200, site
    return int(reply.data["data"]["k"])


# ---- reads


@pytest.mark.parametrize(("method", "path"), READS)
@pytest.mark.parametrize("first", [True, False])
async def test_a_read_sealed_at_its_barrier(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str, first: bool
) -> None:
    """Before it is confirmed, and after it, when the state is gone."""
    member = site.servers[0].node.member
    monkeypatch.setattr(member, "read_barrier", sealing(site, member.read_barrier, first=first))
    check_sealed(site, await ask(site, method, path))


async def test_a_read_that_the_seal_finds_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Raft says of it, that nobody leads, is not the reason; it was asked for its record when there was no key."""
    member = site.servers[0].node.member

    async def waiting() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        member.running.read_index(
            lambda index, error: future.set_result(index) if error is None else future.set_exception(error)
        )
        seal(site)
        assert isinstance(future.exception(), NotLeaderError)
        return await future

    monkeypatch.setattr(member, "read_barrier", waiting)
    check_sealed(site, await ask(site, "GET", "secret/data/a"))


@pytest.mark.parametrize(("method", "path"), OWN)
async def test_a_path_of_the_nodes_own_sealed_at_its_barrier(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """As any other read."""
    member = site.servers[0].node.member
    monkeypatch.setattr(member, "read_barrier", sealing(site, member.read_barrier, first=False))
    check_sealed(site, await ask(site, method, path))


@audited
@pytest.mark.parametrize(("method", "path"), [*READS, *OWN])
async def test_a_read_sealed_before_its_record_is_written(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """The chain has no key any more, so there is no record, and nothing of what was found is answered (F1)."""
    broker = site.servers[0].node.audit.broker
    for name in ("both", "request"):
        monkeypatch.setattr(broker, name, sealing(site, getattr(broker, name), first=True))
    check_sealed(site, await ask(site, method, path))


@audited
@pytest.mark.parametrize(("method", "path"), READS)
async def test_a_read_sealed_behind_its_record(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """It can be asked again: it is not answered without the index it reflects."""
    broker = site.servers[0].node.audit.broker
    monkeypatch.setattr(broker, "both", sealing(site, broker.both, first=False))
    reply = await ask(site, method, path)

    check_sealed(site, reply)
    assert [line["type"] for line in site.servers[0].audit_lines(reply.request_id)] == ["request", "response"]


@dataclasses.dataclass(frozen=True)
class Hot:
    path: str
    token: str


async def test_reads_at_once_of_a_state_that_is_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest way says nothing, and leaves it to the others; the next one that the node is sealed."""
    server = site.servers[0]
    at_once, state = server.node.at_once, server.node.member.view
    request = raw_request("GET", "secret/data/a", token=site.token)
    hot = Hot("secret/data/a", site.token)
    before = at_once.read(hot, request.id, "127.0.0.1", state)
    assert before is not None
    seal(site)

    assert at_once.begin() is None
    assert at_once.read(hot, request.id, "127.0.0.1", state) is None
    response = at_once.answer(request, state)
    assert response is not None
    check_sealed(site, reply_of(request, response))


# ---- writes


@audited
@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_write_sealed_before_its_first_record(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    """Nothing was begun."""
    broker = site.servers[0].node.audit.broker
    monkeypatch.setattr(broker, "request", sealing(site, broker.request, first=True))
    check_sealed(site, await ask(site, method, path, body))


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_write_sealed_before_it_is_decided(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    """While its password is compared, for one; the record of the request stands, and nothing is changed."""
    server = site.servers[0]
    writing = server.node.flow._writing
    monkeypatch.setattr(writing, "_before", sealing(site, writing._before, first=False))
    reply = await ask(site, method, path, body)

    check_sealed(site, reply)
    if is_audited(site):
        assert [line["type"] for line in server.audit_lines(reply.request_id)] == ["request"]
    monkeypatch.undo()
    await ask(site, "PUT", "sys/unseal", {"key": site.shares[0]})
    await site.settled()
    assert version(site, await ask(site, "GET", "secret/data/a")) == 1
    assert (await ask(site, "GET", "kv1/a")).data == {"k": 1}


@pytest.mark.parametrize(("method", "path", "body"), WRITES[:5])
async def test_a_write_sealed_while_it_is_under_way_is_unknown(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    """It stands in the log: that outranks the seal, audited or not, or somebody would take it for not done."""
    replica = site.servers[0].node.member.running
    former = replica.propose

    test = asyncio.current_task()

    def proposing(*arguments: Any) -> None:
        former(*arguments)
        if asyncio.current_task() is test:
            asyncio.get_running_loop().call_soon(seal, site)

    monkeypatch.setattr(type(replica), "propose", lambda _self, *arguments: proposing(*arguments))
    monkeypatch.setattr(replica, "tick", lambda: None)  # it is not committed in the meantime
    reply = await ask(site, method, path, body)

    assert (reply.status, reply.json["applied"], "Retry-After" in reply.headers) == (504, "unknown", False)


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_write_sealed_once_it_is_applied(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    """It never says that it was not: what was done is told, or, where it cannot be recorded, that it was done."""
    member = site.servers[0].node.member
    monkeypatch.setattr(member, "write", sealing(site, member.write, first=False))
    reply = await ask(site, method, path, body)

    assert member.sealed
    is_refused = body is not None and "options" in body
    if is_audited(site) and is_refused:
        check_sealed(site, reply)  # a refusal that has no record: nothing was done
    elif is_audited(site):
        told = {key: value for key, value in reply.json.items() if key != "write_id"}
        assert (reply.status, told) == (503, SEALED | {"applied": "yes"})
        assert "Retry-After" not in reply.headers
    else:
        assert reply.status == (400 if is_refused else 204 if path.startswith("kv1") else 200)
        assert "X-Vault-Index" not in reply.headers


@audited
@pytest.mark.parametrize(("method", "path"), [("GET", "secret/data/a"), ("PUT", "kv1/a")])
async def test_a_use_that_was_paid_is_no_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """Whoever heard that nothing happened would try again, with a token that has no use left."""
    made = await site.must("POST", "auth/token/create", {"num_uses": 1, "policies": ["root"]})
    member = site.servers[0].node.member
    monkeypatch.setattr(member, "write", sealing(site, member.write, first=False))
    body = {"k": 2} if method == "PUT" else None
    reply = await ask(site, method, path, body, token=made.json["auth"]["client_token"])

    assert (reply.status, reply.errors, reply.json["applied"]) == (503, SEALED["errors"], "yes")
    assert "Retry-After" not in reply.headers


@audited
async def test_a_repetition_that_is_sealed_before_its_record_was_applied(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first write with its id: whoever heard "no" would write it again."""
    headers = [("X-Strongroom-Write-Id", uuid7(time.time()))]
    first = await ask(site, "PUT", "kv1/a", {"k": 3}, headers=headers)
    broker = site.servers[0].node.audit.broker
    monkeypatch.setattr(broker, "response", sealing(site, broker.response, first=True))
    again = await ask(site, "PUT", "kv1/a", {"k": 3}, headers=headers)

    assert (first.status, again.status, again.errors, again.json["applied"]) == (204, 503, SEALED["errors"], "yes")


@audited
async def test_what_a_path_of_the_nodes_own_did_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is gone when it is done: with the node, or alone."""
    broker, path = site.servers[0].node.audit.broker, "sys/rotate"

    async def refuse(*_: object) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(broker, "response", refuse)
        alone = await ask(site, "PUT", path)
    monkeypatch.setattr(broker, "response", sealing(site, broker.response, first=True))
    replies = [alone, await ask(site, "PUT", path)]

    assert [(reply.status, reply.json["applied"]) for reply in replies] == [(500, "yes"), (503, "yes")]


@pytest.mark.parametrize("path", [path for _, path in OWN])
async def test_what_a_path_of_the_nodes_own_read_is_not_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """F6 behind the last record, too."""
    real = flow_module.respond

    def respond(*arguments: Any) -> RawResponse:
        seal(site)
        return real(*arguments)

    monkeypatch.setattr(flow_module, "respond", respond)
    check_sealed(site, await ask(site, "GET", path))


async def test_a_write_of_another_node_looks_for_the_next_leader(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node that was asked is not sealed: it is told that nobody leads here, as the record could not be written."""
    node = site.servers[0].node
    writing = node.flow._writing
    monkeypatch.setattr(writing, "_before", sealing(site, writing._before, first=False))
    request = raw_request("PUT", "kv1/a", {"k": 2}, token=site.token, forwarded_from="n2")
    with pytest.raises(NotLeaderError):
        await node._forwarded(request)


async def test_a_forwarder_that_is_sealed_asks_nobody_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no links that anybody proves; it does not wait for a leader."""
    node = site.servers[0].node
    monkeypatch.setattr(type(node.member), "is_leader", property(lambda _self: False))
    sends = 0

    async def send(_request: RawRequest) -> RawResponse:
        nonlocal sends
        sends += 1
        seal(site)
        raise NotLeaderError(None)

    monkeypatch.setattr(node.forwarder, "_send", send)
    check_sealed(site, await ask(site, "PUT", "kv1/a", {"k": 2}))
    assert sends == 1


@audited
async def test_what_a_quota_holds_back_while_it_is_sealed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that could not be written because of the seal is the seal's."""
    await site.must("POST", "sys/quotas/config", {"enable_rate_limit_audit_logging": True})
    await site.must("POST", "sys/quotas/rate-limit/one", {"path": "kv1/limited", "rate": 0.001})
    broker = site.servers[0].node.audit.broker
    assert (await ask(site, "GET", "kv1/limited")).status == 404
    monkeypatch.setattr(broker, "both", sealing(site, broker.both, first=True))
    check_sealed(site, await ask(site, "GET", "kv1/limited"))


async def test_an_unseal_of_a_node_that_is_sealed_again_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer says that the node is sealed."""
    node = site.servers[0].node
    await node.desk.seal()
    monkeypatch.setattr(node.member, "read_barrier", sealing(site, node.member.read_barrier, first=True))
    reply = await ask(site, "PUT", "sys/unseal", {"key": site.shares[0]})

    assert (reply.status, reply.json["sealed"]) == (200, True)


# ---- what it is not


@pytest.mark.parametrize("path", ["secret/data/a", "kv1/a"])
async def test_a_value_that_does_not_open_is_what_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """500, and its record; where a seal comes between it and its record, the seal is said, as of any answer."""

    def damaged(*_: Any, **__: Any) -> bytes:
        raise DamagedError("a value does not open")

    with monkeypatch.context() as patch:
        patch.setattr(ValueSealing, "open", damaged)
        reply = await ask(site, "GET", path)
        if is_audited(site):
            broker = site.servers[0].node.audit.broker
            patch.setattr(broker, "both", sealing(site, broker.both, first=True))
            check_sealed(site, await ask(site, "GET", path))

    assert (reply.status, reply.errors) == (500, ["internal error"])
    if is_audited(site):
        lines = site.servers[0].audit_lines(reply.request_id)
        assert ["internal error" in line["error"] for line in lines] == [True, True]


@audited
async def test_a_device_that_fails_is_500_as_long_as_the_node_is_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For reads, writes and paths of the node's own."""

    async def refuse(*_: object) -> bool:
        return False

    broker = site.servers[0].node.audit.broker
    for name in ("both", "request", "response"):
        monkeypatch.setattr(broker, name, refuse)
    asked = (("GET", "kv1/a", None), ("PUT", "kv1/a", {"k": 2}), ("GET", "sys/metrics", None))
    replies = [await ask(site, *one) for one in asked]

    assert [(reply.status, list(reply.json)) for reply in replies] == [(500, ["errors"])] * 3


async def test_paths_of_sealed_nodes_say_what_is_wrong_with_themselves(site: Site) -> None:
    """A node that was sealed before it was asked speaks of the share, not of the seal."""
    await site.servers[0].node.desk.seal()
    await until(lambda: site.servers[0].node.member.sealed)
    reply = await ask(site, "PUT", "sys/unseal", {"key": "00" * 33})

    assert (reply.status, "Vault is sealed" in reply.errors) == (400, False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # garbage of other tests, too
async def test_nothing_of_the_state_is_kept_once_a_node_is_sealed(site: Site) -> None:
    """Neither by who judged nor by the short way of reads: they remember some while it is open."""
    server = site.servers[0]
    for _ in range(2):
        assert (await site.ask("GET", "secret/data/a")).status == 200
    state = weakref.ref(server.node.member.running.state)
    await site.must("PUT", "sys/seal")
    await until(lambda: server.node.member.sealed)
    gc.collect()  # as node/garbage.py does in a process of its own

    assert state() is None
