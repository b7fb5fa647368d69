"""Init, unseal and seal of whole nodes: who may, what is answered meanwhile, and what is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster import Table, UnknownOutcomeError
from node.config import Api, Config
from tests.node.flow_site import (
    Server,
    Silence,
    Site,
    make_config,
    member_configs,
    open_site,
    running,
    start_server,
    until,
)


def kinds(server: Server, request_id: str) -> list[str]:
    return [line["type"] for line in server.audit_lines(request_id)]


async def unseal(server: Server, site: Site) -> None:
    reply = await server.ask("PUT", "sys/unseal", {"key": site.shares[0]})
    assert (reply.status, reply.json["sealed"]) == (200, False)


@contextlib.asynccontextmanager
async def running_with(configs: list[tuple[Config, Path]]) -> AsyncIterator[Site]:
    """A cluster whose servers a test may exchange."""
    servers = list(await asyncio.gather(*(start_server(config, place) for config, place in configs)))
    try:
        yield await open_site(servers)
    finally:
        await asyncio.gather(*(server.node.stop() for server in servers))


# ---- init


async def test_init_happens_once_and_from_here_or_with_the_secret(tmp_path: Path) -> None:
    """From beyond the machine it takes the node's one-time secret; the file is gone afterwards."""
    api = Api(address="127.0.0.1:0", advertise="https://localhost:8200", tls="on")
    server = await start_server(make_config(tmp_path, "n1", api=api), tmp_path)
    body = {"secret_shares": 1, "secret_threshold": 1}
    secret = (tmp_path / "data" / "init-secret").read_text()
    far = {"address": "192.0.2.1"}
    before = await server.ask("GET", "sys/init")
    without = await server.ask("PUT", "sys/init", body, **far)
    wrong = await server.ask("PUT", "sys/init", body, **far, headers=[("X-Strongroom-Init-Secret", "0" * 64)])
    done = await server.ask("PUT", "sys/init", body, **far, headers=[("X-Strongroom-Init-Secret", secret)])
    again = await server.ask("PUT", "sys/init", body)
    after = await server.ask("GET", "sys/init")
    await server.node.stop()

    assert (before.json, after.json) == ({"initialized": False}, {"initialized": True})
    assert [reply.status for reply in (without, wrong, done, again)] == [403, 403, 200, 400]
    assert again.errors == ["Vault is already initialized"]
    assert not (tmp_path / "data" / "init-secret").exists()


async def test_init_from_beyond_the_machine_needs_tls(tmp_path: Path) -> None:
    """Keys and root token would pass in the clear."""
    server = await start_server(make_config(tmp_path, "n1"), tmp_path)
    secret = (tmp_path / "data" / "init-secret").read_text()
    reply = await server.ask(
        "PUT",
        "sys/init",
        {"secret_shares": 1, "secret_threshold": 1},
        address="192.0.2.1",
        headers=[("X-Strongroom-Init-Secret", secret)],
    )
    await server.node.stop()

    assert (reply.status, server.node.member.initialised) == (403, False)


async def test_two_inits_at_once_make_one_cluster(tmp_path: Path) -> None:
    """Exactly one answer holds keys."""
    server = await start_server(make_config(tmp_path, "n1"), tmp_path)
    body = {"secret_shares": 3, "secret_threshold": 2}
    replies = await asyncio.gather(*(server.ask("PUT", "sys/init", body) for _ in range(4)))
    await server.node.stop()

    assert min(reply.status for reply in replies) == 200
    assert all(reply.status in {400, 503} for reply in replies if reply.status != 200)
    assert sum("root_token" in reply.json for reply in replies) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"secret_shares": 0, "secret_threshold": 0},
        {"secret_shares": 1, "secret_threshold": 2},
        {"secret_shares": 3, "secret_threshold": 1},
        {"secret_shares": "3", "secret_threshold": 2},
        {"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["x"]},
        {"secret_shares": 1, "secret_threshold": 1, "root_token_pgp_key": "x"},
        {"secret_shares": 1, "secret_threshold": 1, "recovery_shares": 1},
    ],
)
async def test_an_init_that_cannot_be_honoured_is_400_and_makes_nothing(tmp_path: Path, body: object) -> None:
    """Never less than what was asked for."""
    server = await start_server(make_config(tmp_path, "n1"), tmp_path)
    reply = await server.ask("PUT", "sys/init", body)
    status = await server.ask("GET", "sys/init")
    await server.node.stop()

    assert (reply.status, status.json) == (400, {"initialized": False})


# ---- unseal


async def test_shares_count_once_and_wrong_ones_cost_all_progress(tmp_path: Path) -> None:
    """Hex and base64 of a share are one share; a reset forgets; the threshold opens, and more changes nothing."""
    server = await start_server(make_config(tmp_path, "n1"), tmp_path)
    made = (await server.ask("PUT", "sys/init", {"secret_shares": 3, "secret_threshold": 2})).json

    async def give(key: str) -> tuple[int, int, bool]:
        reply = await server.ask("PUT", "sys/unseal", {"key": key})
        status = (await server.ask("GET", "sys/seal-status")).json
        return reply.status, status["progress"], status["sealed"]

    wrong = "00" * 32 + "01"
    first = [await give(made["keys"][0]), await give(made["keys_base64"][0])]
    reset = await server.ask("PUT", "sys/unseal", {"reset": True})
    second = [await give(made["keys"][0]), await give(wrong)]
    third = [await give(made["keys"][1]), await give(made["keys"][2]), await give(made["keys"][0])]
    late = await server.ask("PUT", "sys/unseal", {"reset": True})
    await server.node.stop()

    assert first == [(200, 1, True), (200, 1, True)]
    assert (reset.status, reset.json["progress"]) == (200, 0)
    assert second == [(200, 1, True), (400, 0, True)]
    assert third == [(200, 1, True), (200, 0, False), (200, 0, False)]
    assert (late.status, late.errors) == (400, ["vault is unsealed"])


async def test_shares_at_once_open_the_node_once(tmp_path: Path) -> None:
    """Nobody gets an error for being second; who asks while it loads is told that it is sealed still."""
    async with running(tmp_path) as site:
        server = site.servers[0]
        await server.node.desk.seal()
        share = {"key": site.shares[0]}
        replies = await asyncio.gather(*(server.ask("PUT", "sys/unseal", share) for _ in range(5)))
        await site.settled()
        reply = await site.ask("GET", "secret/config")

    assert ([one.status for one in replies], reply.status) == ([200] * 5, 200)
    assert not all(one.json["sealed"] for one in replies)


# ---- seal


async def test_a_seal_is_audited_answered_and_done(tmp_path: Path) -> None:
    """In this order: the record needs keys. What was written is there after the shares were given again."""
    async with running(tmp_path, audited=True) as site:
        server = site.servers[0]
        await site.must("POST", "secret/data/kept", {"data": {"k": "v"}})
        reply = await site.ask("PUT", "sys/seal")
        await until(lambda: server.node.member.sealed)
        again = await server.ask("PUT", "sys/seal")
        read = await server.ask("GET", "secret/data/kept", token=site.token)
        health = await server.ask("GET", "sys/health")
        await unseal(server, site)
        await site.settled()
        back = await site.ask("GET", "secret/data/kept")

    assert (reply.status, reply.body, kinds(server, reply.request_id)) == (204, b"", ["request", "response"])
    assert [again.status, read.status, health.status] == [204, 503, 503]
    assert back.data["data"] == {"k": "v"}
    assert kinds(server, back.request_id) == ["request", "response"]


async def test_a_seal_happens_even_if_its_answer_cannot_be_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever seals in an emergency must not be stopped by a full disk behind the point of no return."""
    async with running(tmp_path, audited=True) as site:
        server = site.servers[0]

        async def refuse(*_: object) -> bool:
            return False

        monkeypatch.setattr(server.node.audit.broker, "response", refuse)
        reply = await site.ask("PUT", "sys/seal")
        await until(lambda: server.node.member.sealed)

    assert reply.status == 500


async def test_a_sealed_leader_hands_over_and_the_others_go_on(tmp_path: Path) -> None:
    """It alone is sealed, and comes back as a follower with what it missed."""
    async with running(tmp_path, 3, audited=True) as site:
        leader = site.leader
        others = [server for server in site.servers if server is not leader]
        reply = await site.ask("PUT", "sys/seal")
        await until(lambda: leader.node.member.sealed)
        written = await others[0].ask("POST", "secret/data/after", {"data": {"k": "v"}}, token=site.token)
        await unseal(leader, site)
        await site.settled()
        read = await leader.ask("GET", "secret/data/after", token=site.token)

    assert [reply.status, written.status, read.status] == [204, 200, 200]


@pytest.mark.parametrize("by", ["leader", "follower"])
async def test_a_seal_of_the_cluster_is_answered_and_seals_every_node(tmp_path: Path, by: str) -> None:
    """Its answer passes through nodes that it seals. Shares open them again, and they stay open."""
    async with running(tmp_path, 3, audited=True) as site:
        server = site.leader if by == "leader" else site.followers[0]
        reply = await server.ask("PUT", "sys/seal", {"cluster": True}, token=site.token)
        await until(lambda: all(one.node.member.sealed for one in site.servers))
        health = [(await one.ask("GET", "sys/health")).status for one in site.servers]
        await asyncio.gather(*(unseal(one, site) for one in site.servers))
        await site.settled()
        written = await site.ask("POST", "secret/data/after", {"data": {}})

    assert (reply.status, health, written.status) == (204, [503] * 3, 200)


async def test_a_node_that_joins_later_does_not_carry_out_a_seal_that_was_lifted(tmp_path: Path) -> None:
    """Its log begins with the fact; whoever gave the shares knew of it. The leader drops the fact."""
    configs = member_configs(tmp_path, 3)
    async with running_with(configs) as site:
        await site.ask("PUT", "sys/seal", {"cluster": True})
        await until(lambda: all(one.node.member.sealed for one in site.servers))
        await asyncio.gather(*(unseal(one, site) for one in site.servers))
        await site.settled()
        await until(lambda: site.leader.node.member.view.get(Table.FACT, b"cluster-seal") is None, "the fact is gone")
        lost = site.followers[0]
        at = site.servers.index(lost)
        await lost.node.stop()
        shutil.rmtree(configs[at][1] / "data")
        site.servers[at] = await start_server(*configs[at])
        await until(lambda: site.servers[at].node.member.initialised, "it found its cluster")
        await unseal(site.servers[at], site)
        await site.settled()
        written = await site.must("POST", "secret/data/after", {"data": {}})
        await until(lambda: site.servers[at].node.member.view.applied_index >= written.index)

        assert not site.servers[at].node.member.sealed


@pytest.mark.parametrize("by_shares", [False, True])
async def test_a_seal_that_stands_when_a_node_has_caught_up(tmp_path: Path, *, by_shares: bool) -> None:
    """It is carried out, unless a threshold of shares opened the node since: then the leader lifts it."""
    async with running(tmp_path) as site:
        server = site.servers[0]
        seal = server.node.cluster_seal
        seal.opened(by_shares=by_shares)  # what is applied until it has caught up stood before
        catch_up, seal._catch_up = seal._catch_up, _at_once
        await seal.propose()
        seal._catch_up = catch_up
        member = server.node.member
        await until(lambda: member.sealed or member.view.get(Table.FACT, b"cluster-seal") is None, "it was judged")

        assert member.sealed_by_operator is not by_shares


async def _at_once() -> None:
    pass


async def test_a_node_that_could_not_seal_itself_tries_again(tmp_path: Path) -> None:
    """The fact stands: a failure once is no reason to stay open."""
    async with running(tmp_path) as site:
        server = site.servers[0]
        seal = server.node.cluster_seal
        await until(lambda: seal._caught_up)
        failures = [OSError("no"), OSError("no")]
        real = seal._seal

        async def sometimes() -> None:
            if failures:
                raise failures.pop()
            await real()

        seal._seal = sometimes
        await seal.propose()
        await until(lambda: server.node.member.sealed, "it is sealed in the end")

        assert failures == []


async def test_a_seal_of_a_cluster_of_one(tmp_path: Path) -> None:
    """There is nobody to hand over to."""
    async with running(tmp_path, audited=True) as site:
        server = site.servers[0]
        reply = await site.ask("PUT", "sys/seal", {"cluster": True})
        await until(lambda: server.node.member.sealed)

    assert (reply.status, kinds(server, reply.request_id)) == (204, ["request", "response"])


async def test_a_denied_seal_seals_nothing(tmp_path: Path) -> None:
    """Neither the node nor the cluster; and a body that is nonsense is 400."""
    async with running(tmp_path) as site:
        server = site.servers[0]
        token, _ = await site.new_token(("sys/seal", "update"))
        for body in (None, {"cluster": True}):
            assert (await server.ask("PUT", "sys/seal", body, token=token)).status == 403
        await site.settled()

        assert not server.node.member.sealed


async def test_an_unknown_outcome_of_a_nodes_own_path_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seal of the cluster is a write like any other."""

    async def unknown(*_: object) -> None:
        raise UnknownOutcomeError("the leader went")

    async with running(tmp_path) as site:
        monkeypatch.setattr(site.leader.node.cluster_seal, "propose", unknown)
        reply = await site.ask("PUT", "sys/seal", {"cluster": True})

    assert (reply.status, reply.json["applied"], "Retry-After" in reply.headers) == (504, "unknown", False)


async def test_a_node_that_knows_no_leader_says_so_in_health(tmp_path: Path) -> None:
    """474, and 429 again once it follows one; parameters change the codes of each state."""
    async with running(tmp_path, 3) as site:
        follower = site.followers[0]
        before = (await follower.ask("GET", "sys/health")).status
        with Silence(*site.servers):
            await until(lambda: all(server.node.status.leader_id() is None for server in site.servers))
            alone = await follower.ask("GET", "sys/health")
            chosen = await follower.ask("GET", "sys/health?haunhealthycode=299")
            ready = await follower.ask("GET", "/readyz")
            leader = (await follower.ask("GET", "sys/leader")).json
        await site.settled()
        after = (await site.followers[0].ask("GET", "sys/health")).status

    assert [before, alone.status, chosen.status, after] == [429, 474, 299, 429]
    assert (ready.status, ready.json["ready"], len(ready.json["why"])) == (503, False, 1)
    assert (leader["is_self"], leader["leader_address"]) == (False, "")


async def test_an_uninitialised_node_answers_what_a_sealed_one_does(tmp_path: Path) -> None:
    """And says what to do."""
    server = await start_server(make_config(tmp_path, "n1"), tmp_path)
    statuses = {
        path: (await server.ask("GET", path)).status
        for path in ("sys/health", "sys/seal-status", "sys/leader", "/livez", "/readyz", "/startupz", "secret/data/a")
    }
    why = (await server.ask("GET", "/readyz")).json["why"]
    share = await server.ask("PUT", "sys/unseal", {"key": "00" * 33})
    await server.node.stop()

    assert statuses == {
        "sys/health": 501,
        "sys/seal-status": 200,
        "sys/leader": 503,
        "/livez": 200,
        "/readyz": 503,
        "/startupz": 503,
        "secret/data/a": 503,
    }
    assert "operator init" in why[0]
    assert (share.status, share.errors) == (400, ["Vault is not initialized"])


async def test_init_needs_every_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three alone makes no keys, and may be asked again once they are there."""
    monkeypatch.setattr("cluster.coordinator.PRESENT_S", 0.3)
    configs = member_configs(tmp_path, 3)
    first = await start_server(*configs[0])
    body = {"secret_shares": 1, "secret_threshold": 1}
    alone = await first.ask("PUT", "sys/init", body)
    rest = [await start_server(*config) for config in configs[1:]]
    site = await open_site([first, *rest])
    reply = await site.ask("GET", "sys/mounts")
    await site.stop()

    assert (alone.status, "Retry-After" in alone.headers, reply.status) == (503, True, 200)
