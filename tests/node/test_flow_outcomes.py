"""How writes fail: applied no, unknown or yes; and what becomes of an unknown one when its id is sent again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cluster import CallError, NotLeaderError, OverloadedError
from node.forward import pack, unpack
from tests.node.flow_site import Reply, Server, Silence, Site, raw_request, running, until, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="session")

ID = "X-Strongroom-Write-Id"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Three nodes that these tests may keep from each other."""
    async with running(tmp_path_factory.mktemp("outcomes"), 3, audited=True) as site:
        yield site


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def whole(site: Site) -> None:
    """Every test begins with one leader and two followers that serve."""
    await site.settled()


async def put(site: Site, server: Server, path: str, write_id: str | None = None, **body: Any) -> Reply:
    headers = [] if write_id is None else [(ID, write_id)]
    return await server.ask("POST", f"secret/data/{path}", {"data": {}} | body, token=site.token, headers=headers)


async def version(site: Site, path: str) -> int:
    await site.settled()
    reply = await site.ask("GET", f"secret/metadata/{path}")
    return reply.data["current_version"] if reply.status == 200 else 0


def outcome(reply: Reply) -> tuple[int, str, bool]:
    return reply.status, reply.json["applied"], "Retry-After" in reply.headers


NO = (503, "no", True)
UNKNOWN = (504, "unknown", False)


async def test_without_a_leader_nothing_is_applied(site: Site) -> None:
    """Neither on the node that led nor on one that followed, and it is safe to come back."""
    with Silence(*site.servers):
        await until(lambda: not any(server.leads for server in site.servers))
        replies = await asyncio.gather(*(put(site, server, "a") for server in site.servers))

    assert [outcome(reply) for reply in replies] == [NO] * 3
    assert all(reply.json["write_id"] for reply in replies)
    assert await version(site, "a") == 0


async def test_without_a_leader_no_read_is_answered(site: Site) -> None:
    """Not one: what is here may be old."""
    await site.must("POST", "secret/data/read", {"data": {}})
    with Silence(*site.servers):
        await until(lambda: not any(server.leads for server in site.servers))
        replies = await asyncio.gather(
            *(server.ask("GET", "secret/data/read", token=site.token) for server in site.servers)
        )

    assert [(reply.status, "Retry-After" in reply.headers) for reply in replies] == [(503, True)] * 3


async def test_a_leader_alone_answers_no_read(site: Site) -> None:
    """It believes that it leads, and cannot know: another one may."""
    await site.must("POST", "secret/data/read", {"data": {}})
    leader = site.leader
    with Silence(leader):
        reply = await leader.ask("GET", "secret/data/read", token=site.token)

    assert reply.status == 503


@pytest.mark.parametrize("by", ["leader", "follower"])
async def test_a_write_whose_leader_is_cut_off_is_unknown(site: Site, by: str) -> None:
    """It stands in one log and may be undone; the same id tells, and is executed at most once."""
    leader, follower = site.leader, site.followers[0]
    path, write_id = f"unknown-{by}", uuid7(time.time())
    server = leader if by == "leader" else follower
    with Silence(leader):
        reply = await put(site, server, path, write_id)
        await until(lambda: any(other.leads for other in site.servers if other is not leader))
        repeated = await put(site, next(s for s in site.servers if s.leads), path, write_id)

    assert (outcome(reply), reply.json["write_id"]) == (UNKNOWN, write_id)
    assert (repeated.status, repeated.data["version"]) == (200, 1)
    await site.settled()
    assert [(await put(site, s, path, write_id)).data["version"] for s in site.servers] == [1] * 3
    assert await version(site, path) == 1


async def test_a_write_whose_link_breaks_is_unknown(site: Site) -> None:
    """The follower cannot know what became of the request that had left."""
    leader, follower = site.leader, site.followers[0]
    write_id = uuid7(time.time())
    with Silence(leader):
        asked = asyncio.ensure_future(put(site, follower, "broken-link", write_id))
        await until(lambda: leader.node.member.running.waiting > 0, "the write is proposed")
        follower.node.member.links.drop_all()
        reply = await asked

    assert (outcome(reply), reply.json["write_id"]) == (UNKNOWN, write_id)
    await site.settled()
    assert [(await put(site, s, "broken-link", write_id)).data["version"] for s in site.servers] == [1] * 3


async def test_a_refusal_by_a_leader_that_is_cut_off_is_not_believed(site: Site) -> None:
    """It was decided on what may never commit; nothing was proposed, so nothing was applied."""
    leader = site.leader
    await site.must("POST", "secret/data/refusal", {"data": {}})
    with Silence(leader):
        reply = await put(site, leader, "refusal", options={"cas": 77})

    assert outcome(reply) == NO


async def test_a_write_during_a_hand_over_is_applied_or_surely_not(site: Site) -> None:
    """Refused before anything is decided, or done; and the next leader serves."""
    follower, leader = site.followers[0], site.leader
    stepped = await site.ask("PUT", "sys/step-down")
    reply = await put(site, follower, "handed-over")
    await until(lambda: leader.node.member.leader_id != leader.node_id)
    there = await version(site, "handed-over")

    assert stepped.status == 204
    assert (reply.status, there) == (200, 1) or (outcome(reply), there) == (NO, 0)
    assert (await put(site, leader, "handed-over")).status == 200


async def test_a_full_disk_refuses_before_anything_is_decided(site: Site) -> None:
    """Overload is applied no, with the time to come back: no member has space, so nobody could lead better."""
    leader = site.leader.node.member.running
    replicas = [server.node.member.running for server in (*site.followers, site.leader)]
    for replica in replicas[:-1]:
        replica.space_ok = False
    await until(lambda: not any(one.space_ok for one in leader.progress.values()), "the leader knows")
    leader.space_ok = False
    replies = [await put(site, server, "full") for server in site.servers]
    for replica in replicas:
        replica.space_ok = True

    assert [outcome(reply) for reply in replies] == [NO] * 3
    assert await version(site, "full") == 0


async def test_too_many_forwarded_requests_are_refused_at_the_follower(site: Site) -> None:
    """The leader is not asked."""
    follower = site.followers[0]
    kept, follower.node.forwarder._per_peer_max = follower.node.forwarder._per_peer_max, 0
    reply = await put(site, follower, "crowded")
    follower.node.forwarder._per_peer_max = kept

    assert outcome(reply) == NO
    assert await version(site, "crowded") == 0


async def test_a_request_is_forwarded_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that does not lead refuses what was forwarded to it, and never asks another."""
    first, second = site.followers
    asked: list[Any] = []
    monkeypatch.setattr(second.node.forwarder, "_send", asked.append)
    frame = pack(raw_request("POST", "secret/data/twice", {"data": {}}, token=site.token), first.node_id)
    links = first.node.member.links
    assert links is not None
    with pytest.raises(CallError, match="NotLeaderError"):
        await links.call(second.node_id, "forward", frame, 5.0)
    with contextlib.suppress(NotLeaderError):
        assert (await second.node._forwarded(unpack(frame, first.node_id))).status == 503

    assert asked == []
    assert await version(site, "twice") == 0


# ---- audit


def failing(server: Server, monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    """No device of the node takes records of these kinds."""

    async def refuse(*_: object) -> bool:
        return False

    for kind in kinds:
        monkeypatch.setattr(server.node.audit.broker, kind, refuse)


async def test_a_write_whose_request_cannot_be_audited_is_not_carried_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500, on whichever node it arrived."""
    failing(site.leader, monkeypatch, "request")
    replies = [await put(site, server, "unaudited") for server in site.servers]
    monkeypatch.undo()

    assert [(reply.status, "applied" in reply.json) for reply in replies] == [(500, False)] * 3
    assert await version(site, "unaudited") == 0


async def test_a_write_whose_answer_cannot_be_audited_is_applied_yes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500, as Vault, and no part of the answer; the same id is answered with it later."""
    leader, write_id = site.leader, uuid7(time.time())
    failing(leader, monkeypatch, "response")
    reply = await put(site, site.followers[0], "half-audited", write_id)
    refusal = await put(site, leader, "half-audited", options={"cas": 77})
    monkeypatch.undo()
    again = await put(site, leader, "half-audited", write_id)

    assert (reply.status, reply.json["applied"], reply.json["write_id"]) == (500, "yes", write_id)
    assert (refusal.status, "applied" in refusal.json) == (500, False)
    assert (again.status, again.data["version"]) == (200, 1)
    assert b"created_time" not in reply.body


async def test_a_read_that_cannot_be_audited_is_not_answered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's own devices count: the other nodes go on answering."""
    await site.must("POST", "secret/data/quiet", {"data": {"k": "planted"}})
    server = site.followers[0]
    failing(server, monkeypatch, "both", "request", "response")
    replies = [
        await server.ask("GET", path, token=site.token)
        for path in ("secret/data/quiet", "secret/data/missing", "sys/mounts", "strongroom/status", "sys/metrics")
    ]
    others = [
        await other.ask("GET", "secret/data/quiet", token=site.token) for other in site.servers if other is not server
    ]
    nobody = await server.ask("GET", "secret/data/quiet")
    healthy = await server.ask("GET", "sys/health?standbyok=true")
    monkeypatch.undo()

    assert [reply.status for reply in replies] == [500] * 5
    assert not any(b"planted" in reply.body for reply in replies)
    assert ([reply.status for reply in others], nobody.status, healthy.status) == ([200, 200], 500, 200)


async def test_what_a_request_meets_before_it_is_judged_has_its_own_words(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A barrier that fails for overload says so."""

    async def overloaded() -> int:
        raise OverloadedError("too much is waiting")

    server = site.followers[0]
    monkeypatch.setattr(server.node.member, "read_barrier", overloaded)
    replies = [await server.ask("GET", path, token=site.token) for path in ("sys/mounts", "strongroom/status")]
    monkeypatch.undo()

    assert [(outcome(reply), reply.errors) for reply in replies] == [(NO, ["too much is waiting"])] * 2
