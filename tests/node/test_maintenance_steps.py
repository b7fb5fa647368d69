"""What a leader does by itself: expired tokens go, revoked trees are swept, write ids are forgotten."""

from __future__ import annotations

from pathlib import Path

from cluster import Table
from node.config import Dedupe
from tests.node.flow_site import Site, running, until


def count(site: Site, table: Table) -> int:
    return sum(1 for _ in site.leader.node.member.view.items(table))


async def test_an_expired_token_stops_working_and_is_removed_everywhere(tmp_path: Path) -> None:
    """With its accessor; one that lives for ever stays."""
    async with running(tmp_path, 3) as site:
        before = count(site, Table.TOKEN)
        token, accessor = await site.new_token(("secret/config", "read"), ttl="1s")
        works = [(await server.ask("GET", "secret/config", token=token)).status for server in site.servers]
        await until(lambda: count(site, Table.TOKEN) == before, "the token is gone")
        after = [(await server.ask("GET", "secret/config", token=token)).status for server in site.servers]
        looked = await site.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        root = await site.ask("GET", "secret/config")

    assert (works, after) == ([200] * 3, [403] * 3)
    assert (looked.status, root.status) == (400, 200)


async def test_the_tree_below_a_revoked_token_is_swept(tmp_path: Path) -> None:
    """Its descendants were useless at once; their records follow."""
    async with running(tmp_path) as site:
        before = count(site, Table.TOKEN)
        parent, accessor = await site.new_token(("auth/token/create", "update"))
        for _ in range(30):
            await site.must("POST", "auth/token/create", {}, token=parent)
        await site.must("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        await until(lambda: count(site, Table.TOKEN) == before, "the tree is gone")
        await until(lambda: count(site, Table.SWEEP) == 0, "the sweep is done")

        assert count(site, Table.ACCESSOR) == before


async def test_unmounted_secrets_are_swept(tmp_path: Path) -> None:
    """Unreachable at once, removed a little later."""
    async with running(tmp_path) as site:
        for number in range(30):
            await site.must("POST", f"secret/data/{number}", {"data": {}})
        await site.must("DELETE", "sys/mounts/secret")
        gone = await site.ask("GET", "secret/data/1")
        await until(lambda: count(site, Table.SECRET) == 0, "the secrets are gone")
        await until(lambda: count(site, Table.VERSION) == 0, "and their versions")

    assert gone.status == 404


async def test_write_ids_beyond_the_bound_are_forgotten(tmp_path: Path) -> None:
    """The oldest first; the bound is a setting."""
    async with running(tmp_path, dedupe=Dedupe(window_s=3600, entries_max=10)) as site:
        for number in range(40):
            await site.must("POST", f"kv1/{number}", {"k": "v"})
        await until(lambda: count(site, Table.WRITE_ID) <= 10, "ids are forgotten")
        reply = await site.ask("POST", "kv1/again", {"k": "v"})

    assert reply.status == 204


async def test_an_idle_cluster_writes_nothing(tmp_path: Path) -> None:
    """Maintenance proposes only what is due."""
    async with running(tmp_path) as site:
        server = site.leader
        index = server.node.member.running.log.last_index
        for _ in range(3):
            assert not await server.node.maintenance.step()

        assert server.node.member.running.log.last_index == index
