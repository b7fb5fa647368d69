"""What a node says for itself: refusals, redirects, damaged records, hand-overs; always recorded, never vague."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cluster import DamagedError, State, Table, Token, Transaction, UnknownOutcomeError, records
from cluster.state.overlay import Overlay
from node.auth.tokens import TokenCache, find_valid
from tests.node.flow_site import Server, Silence, Site, running, until, uuid7

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITE_ID = "X-Strongroom-Write-Id"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("answers"), 3, audited=True) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def site(_site: Site) -> Site:
    """Three nodes, audited, settled."""
    await _site.settled()
    return _site


def kinds(server: Server, request_id: str) -> list[str]:
    return [line["type"] for line in server.audit_lines(request_id)]


async def test_a_sealed_node_says_that_nothing_was_applied(tmp_path: Path) -> None:
    """And when to come again."""
    async with running(tmp_path) as single:
        server = single.servers[0]
        await server.node.desk.seal()
        reply = await server.ask("POST", "secret/data/a", {"data": {}}, token=single.token)

    assert (reply.status, reply.json["applied"], "Retry-After" in reply.headers) == (503, "no", True)
    assert reply.errors == ["Vault is sealed"]


async def test_a_refused_write_has_its_id_in_the_header_too(site: Site) -> None:
    """Clients repeat with what the header says."""
    site.leader.node.member.running.space_ok = False
    reply = await site.ask("POST", "secret/data/a", {"data": {}})
    site.leader.node.member.running.space_ok = True

    assert (reply.status, reply.headers[WRITE_ID]) == (503, reply.json["write_id"])


async def test_what_is_no_write_id_is_not_echoed(site: Site) -> None:
    """Whatever a client put there."""
    reply = await site.ask("POST", "secret/data/a", {"data": {}}, headers=[(WRITE_ID, "a\tb")])

    assert (reply.status, WRITE_ID in reply.headers) == (400, False)


async def test_the_repetition_of_a_write_whose_outcome_is_open_is_unknown(site: Site) -> None:
    """It waited for the first, and the leader went."""
    leader, write_id = site.leader, uuid7(time.time())

    async def put() -> int:
        reply = await leader.ask(
            "POST", "secret/data/pending", {"data": {}}, token=site.token, headers=[(WRITE_ID, write_id)]
        )
        return reply.status

    with Silence(leader):
        statuses = await asyncio.gather(put(), put())

    assert statuses == [504, 504]


async def test_what_a_node_without_a_leader_answers_is_recorded(site: Site) -> None:
    """The node that answers audits."""
    follower = site.followers[0]
    with Silence(*site.servers):
        await until(lambda: not any(server.leads for server in site.servers))
        write, read = await asyncio.gather(
            follower.ask("POST", "secret/data/a", {"data": {}}, token=site.token),
            follower.ask("GET", "secret/data/a", token=site.token),
        )

    assert [write.status, read.status] == [503, 503]
    assert all(kinds(follower, reply.request_id) for reply in (write, read))


async def test_what_a_nodes_own_path_cannot_answer_is_recorded(site: Site) -> None:
    """A read without a majority, and a write whose outcome nobody knows, are answers, too."""
    follower, leader = site.followers[0], site.leader
    with Silence(*site.servers):
        await until(lambda: not any(server.leads for server in site.servers))
        read = await follower.ask("GET", "strongroom/status", token=site.token)
    await site.settled()
    leader = site.leader

    async def unknown() -> None:
        raise UnknownOutcomeError("the leader went")

    leader.node.cluster_seal.propose, kept = unknown, leader.node.cluster_seal.propose
    write = await leader.ask("PUT", "sys/seal", {"cluster": True}, token=site.token)
    leader.node.cluster_seal.propose = kept

    assert (read.status, bool(kinds(follower, read.request_id))) == (503, True)
    assert (write.status, write.json["applied"]) == (504, "unknown")
    assert kinds(leader, write.request_id) == ["request", "response"]


async def test_a_forged_index_is_refused_and_recorded(site: Site) -> None:
    """Before anybody is asked who they are."""
    reply = await site.ask("GET", "sys/mounts", headers=[("X-Vault-Index", "Zm9yZ2Vk")])

    assert (reply.status, bool(kinds(site.leader, reply.request_id))) == (400, True)


async def test_a_secret_is_not_answered_unwrapped_to_who_asked_for_a_wrap(site: Site) -> None:
    """A token in its place, and nothing of it."""
    await site.must("POST", "secret/data/wrap", {"data": {"k": "plain"}})
    wrapped = await site.ask("GET", "secret/data/wrap", headers=[("X-Vault-Wrap-TTL", "60")])
    bare = await site.ask("GET", "secret/data/wrap")

    assert (wrapped.status, b"plain" in wrapped.body) == (200, False)
    assert (bare.status, b"plain" in bare.body) == (200, True)


async def test_a_client_that_does_not_want_forwarding_is_redirected(site: Site) -> None:
    """307 to the leader's address, recorded; the leader itself answers."""
    headers = [("X-Vault-No-Request-Forwarding", "1")]
    follower = site.followers[0]
    away = await follower.ask("POST", "secret/data/nf", {"data": {}}, token=site.token, headers=headers)
    here = await site.ask("POST", "secret/data/nf", {"data": {}}, headers=headers)
    leader = site.leader.node.member.settings
    target = f"{leader.members[leader.node_id].api}/v1/secret/data/nf"

    assert (away.status, away.headers["Location"], away.body) == (307, target, b"")
    assert kinds(follower, away.request_id)
    assert here.status == 200


async def test_an_audit_device_that_cannot_be_opened_is_refused_recorded_and_paid(site: Site) -> None:
    """Like any other refusal."""
    (site.leader.folder / "audit" / "folder").mkdir(exist_ok=True)
    token, accessor = await site.new_token(("sys/audit/*", "update sudo"), num_uses=2)
    body = {"type": "file", "options": {"file_path": "folder"}}
    reply = await site.ask("PUT", "sys/audit/bad", body, token=token)
    left = (await site.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})).data["num_uses"]

    assert (reply.status, left, "X-Vault-Index" in reply.headers) == (400, 1, True)
    assert kinds(site.leader, reply.request_id) == ["request", "response"]


async def test_a_record_that_does_not_open_is_an_internal_error_and_recorded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 says nothing of what was damaged."""

    def damaged(*_: object, **__: object) -> bytes:
        raise DamagedError("it does not open")

    await site.must("POST", "secret/data/damaged", {"data": {"k": "v"}})
    monkeypatch.setattr(type(site.leader.node.member.values), "open", damaged)
    reply = await site.ask("GET", "secret/data/damaged")
    monkeypatch.undo()

    assert (reply.status, reply.errors) == (500, ["internal error"])
    assert kinds(site.leader, reply.request_id) == ["request", "response"]


async def test_a_write_during_a_hand_over_waits_for_the_next_leader(site: Site) -> None:
    """At a follower; its client notices nothing."""
    follower = site.followers[0]
    await site.ask("PUT", "sys/step-down")
    reply = await follower.ask("POST", "secret/data/handed", {"data": {}}, token=site.token)

    assert reply.status == 200


async def test_a_transaction_that_never_fits_is_413(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 503: the client would come again for ever."""
    monkeypatch.setattr("cluster.raft.applying.transaction.BYTES_MAX", 100)
    reply = await site.ask("POST", "secret/data/large", {"data": {"k": "v" * 200}})
    monkeypatch.undo()

    assert (reply.status, reply.json["applied"], "Retry-After" in reply.headers) == (413, "no", False)


async def test_a_node_that_is_cut_off_can_be_sealed(tmp_path: Path) -> None:
    """Nobody confirms its state, but sealing only closes; who may not seal may not there either."""
    async with running(tmp_path, 3) as three:
        token, _ = await three.new_token(("sys/seal", "update"))
        server = three.followers[0]
        await three.settled()
        with Silence(*three.servers):
            await until(lambda: not any(one.leads for one in three.servers))
            denied = await server.ask("PUT", "sys/seal", token=token)
            sealed = await server.ask("PUT", "sys/seal", token=three.token)
        await until(lambda: server.node.member.sealed)

    assert [denied.status, sealed.status] == [403, 204]


async def test_a_decoded_token_is_only_good_for_the_record_it_was_decoded_from() -> None:
    """A proposal that never committed and the entry that took its place have the same index."""
    parent, child = b"p" * 32, b"c" * 32
    fields = {"accessor": b"a", "created_ns": 1}

    def put(key: bytes, **more: object) -> tuple[int, bytes, bytes]:
        return (int(Table.TOKEN), key, records.encode(Token(**(fields | more))))

    state = State(b"d" * 32)
    state.apply(1, 1, Transaction(1, 1, 1, [], [put(parent), put(child, parent=parent)], []))
    overlay, cache = Overlay(state), TokenCache()
    overlay.add(2, Transaction(1, 2, 2, [], [put(child)], []))  # proposed: an orphan
    proposed = find_valid(overlay, child, 5, cache=cache)
    overlay.drop()
    state.apply(2, 2, Transaction(2, 1, 3, [], [put(child, parent=parent, last_renewal_ns=3)], []))
    state.apply(3, 2, Transaction(2, 2, 4, [], [], [(int(Table.TOKEN), parent)]))

    assert proposed is not None
    assert find_valid(state, child, 5, cache=cache) is None
