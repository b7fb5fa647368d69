"""A snapshot put back over three nodes: every one has it, and a leader that goes in the middle leaves nothing of it."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from node.put_back.work import PuttingBack
from tests.node.flow_site import Server, Silence, Site, free_ports, running, until
from tests.node.put_back_site import FORCE, PATH, Sent, collected, must, put_back, saved, sweeps_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("put-back-cluster"), 3) as site:
        for number in range(300):
            await site.must("PUT", f"kv1/{number:03}", {"n": number})
        yield site


async def read_everywhere(site: Site, path: str) -> list[Any]:
    """What each node answers to a strong read."""
    replies = [await server.ask("GET", path, token=site.token) for server in site.servers]
    return [reply.data if reply.status == 200 else reply.status for reply in replies]


async def test_every_node_has_what_was_put_back(site: Site) -> None:
    """As soon as it is answered, by strong reads; and all states are one."""
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    await site.must("PUT", "kv1/added", {"n": "new"})
    await must(site, data)
    assert await read_everywhere(site, "kv1/007") == [{"n": 7}] * 3
    assert await read_everywhere(site, "kv1/added") == [404] * 3
    await collected(site)
    views = [server.node.member.view for server in site.servers]
    await until(lambda: len({(view.applied_index, view.digest) for view in views}) == 1, "all states are one")


async def test_a_follower_sends_the_client_to_the_leader_and_reads_nothing(site: Site) -> None:
    """307, whatever is sent."""
    data = await saved(site)
    for path in (PATH, FORCE):
        sent = Sent(data)
        reply = await put_back(site, sent, path, site.followers[0])
        address = site.leader.node.member.settings.members[site.leader.node_id].api
        assert (reply.status, reply.headers["Location"], sent.read_bytes) == (307, f"{address}/v1/{path}", 0)


async def test_a_leader_that_hands_over_in_the_middle_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, the next leader sweeps what was written; it can be put back there."""
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    old, calls = site.leader, 0
    real = PuttingBack._put

    async def putting(self: PuttingBack, batch: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            await old.node.member.hand_over()
        await real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(PuttingBack, "_put", putting)
        reply = await put_back(site, data)
    assert (reply.status, calls) == (503, 3)
    await site.settled()
    assert site.leader is not old
    await collected(site)
    assert await read_everywhere(site, "kv1/007") == [{"n": "new"}] * 3
    await must(site, data)
    assert await read_everywhere(site, "kv1/007") == [{"n": 7}] * 3


async def test_a_leader_that_is_cut_off_in_the_middle_changes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it had proposed; the majority leads on and sweeps it."""
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "new"})
    old: Server = site.leader
    silence = Silence(old)
    calls = 0
    real = PuttingBack._put

    async def putting(self: PuttingBack, batch: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            silence.__enter__()
        await real(self, batch)

    others = [server for server in site.servers if server is not old]
    with monkeypatch.context() as patch:
        patch.setattr(PuttingBack, "_put", putting)
        reply = await put_back(site, data)
    assert reply.status in {503, 504}
    await until(lambda: any(server.leads for server in others), "one of the others leads")
    for server in others:
        await until(lambda s=server: not sweeps_of(s.node.member.view), "it is swept while the old leader is away")
    silence.__exit__()
    await site.settled()
    await collected(site)
    assert await read_everywhere(site, "kv1/007") == [{"n": "new"}] * 3


async def test_it_is_taken_over_a_connection(tmp_path: Path) -> None:
    """A file larger than any body may be, as clients send it; one that is cut off, and the next one."""
    port = free_ports(1)[0]
    async with running(tmp_path, api_port=port) as one:
        for number in range(4):
            await one.must("PUT", f"secret/data/{number}", {"data": {"x": "y" * 900_000}})
        data = await saved(one)
        await one.must("DELETE", "secret/metadata/1")

        def send(body: bytes, length: int) -> tuple[int, Any]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.putrequest("POST", f"/v1/{PATH}")
            for name, value in (("X-Vault-Token", one.token), ("Content-Length", str(length))):
                connection.putheader(name, value)
            connection.endheaders(body)
            if len(body) < length:
                connection.close()
                return 0, None
            answer = connection.getresponse()
            said = json.loads(answer.read())
            connection.close()
            return answer.status, said

        assert len(data) > 3 << 20
        heard: list[bool] = []
        one.leader.node.snapshots.restores.on_event = lambda _event, **said: heard.append(said["done"])
        await asyncio.to_thread(send, data[: len(data) // 2], len(data))
        await until(lambda: heard == [False], "the one that was cut off is forgotten")
        assert (await one.ask("GET", "secret/data/1")).status == 404
        status, said = await asyncio.to_thread(send, data, len(data))
        assert status == 200, said
        assert said["data"]["secrets"] == 4
        assert len((await one.must("GET", "secret/data/1")).data["data"]["x"]) == 900_000
        await collected(one)
