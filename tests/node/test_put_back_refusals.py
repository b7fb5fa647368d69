"""What is not put back: what is no snapshot, or not of this cluster, or more than there is room for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cluster import ReadThrough
from cluster.backup import arriving
from node.put_back import desk, plan
from tests.node.flow_site import Site, running
from tests.node.put_back_site import FORCE, PATH, Sent, must, put_back, saved

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("put-back-refusals")) as site:
        await site.must("PUT", "kv1/007", {"n": 7})
        yield site


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"no snapshot at all" * 100,
    "cut": lambda data: data[: len(data) // 2],
    "behind": lambda data: data + b"x",
}


@pytest.mark.parametrize("kind", SPOILED)
async def test_what_is_no_whole_snapshot_is_refused(site: Site, kind: str) -> None:
    """400, and not one fact was proposed."""
    data = await saved(site)
    index = site.leader.node.member.view.applied_index
    reply = await put_back(site, SPOILED[kind](data))
    assert (reply.status, "nothing was changed" in reply.errors[0]) == (400, True)
    assert site.leader.node.member.view.applied_index == index


async def test_a_request_without_a_body_is_refused(site: Site) -> None:
    """Also one that was parsed elsewhere, and has none that can be read."""
    assert (await put_back(site, b"")).status == 400
    assert (await site.ask("POST", FORCE)).status == 400


async def test_another_cluster_s_snapshot_is_refused_and_says_how(site: Site, tmp_path: Path) -> None:
    """By force, too: it takes that cluster's shares."""
    async with running(tmp_path) as other:
        data = await saved(other)
    index = site.leader.node.member.view.applied_index
    for path in (PATH, FORCE):
        reply = await put_back(site, data, path)
        assert reply.status == 400
        assert "could not verify hash file" in reply.errors[0]
        assert "strongroom backup restore -from snapshot:///PATH" in reply.errors[0]
    assert site.leader.node.member.view.applied_index == index


async def test_a_snapshot_of_an_earlier_line_needs_force(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are the same, and the cluster began anew since, by a restore."""
    await site.must("PUT", "kv1/007", {"n": "then"})
    data = await saved(site)
    await site.must("PUT", "kv1/007", {"n": "now"})
    monkeypatch.setattr(site.leader.node.member, "generation", b"another line....")
    refused = await put_back(site, data)
    assert (refused.status, "another line" in refused.errors[0]) == (400, True)
    assert (await put_back(site, data, FORCE)).status == 200
    assert (await site.must("GET", "kv1/007")).data == {"n": "then"}


async def test_one_that_is_newer_than_the_cluster_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster has lost its end: that is no case for a restore in its place."""
    data = await saved(site)
    real = ReadThrough.verify

    async def verify(self: ReadThrough, kept: Any) -> Any:
        return (await real(self, kept))._replace(at_index=1 << 40)

    monkeypatch.setattr(ReadThrough, "verify", verify)
    reply = await put_back(site, data)
    assert (reply.status, "newer than this cluster" in reply.errors[0]) == (400, True)


async def test_bounds_of_size_disk_memory_and_mounts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is said, before anything is written; without them it is taken."""
    data = await saved(site)
    index = site.leader.node.member.view.applied_index

    async def refused(status: int, text: str, sent: Sent | bytes = data) -> None:
        reply = await put_back(site, sent)
        assert (reply.status, text in reply.errors[0]) == (status, True), reply.errors

    with monkeypatch.context() as patch:
        patch.setattr(desk, "UPLOAD_BYTES_MAX", len(data) - 1)
        announced = Sent(data)
        await refused(413, "larger than one may be", announced)
        assert announced.read_bytes == 0
        await refused(413, "larger than one may be", Sent(data, length=None))
    with monkeypatch.context() as patch:
        patch.setattr(arriving, "FREE_BYTES_MIN", 1 << 62)
        await refused(503, "too little room")
    with monkeypatch.context() as patch:
        patch.setattr(desk, "available_bytes", lambda: 1000)
        await refused(503, "too little memory")
    with monkeypatch.context() as patch:
        patch.setattr(plan, "MOUNTS_MAX", 1)
        await refused(400, "mounts")
    with monkeypatch.context() as patch:
        patch.setattr(site.leader.node.snapshots.restores, "_types", frozenset({"pki", "transit"}))
        await refused(400, "a type that this node does not have")
    assert site.leader.node.member.view.applied_index - index < 5  # the swept remains of the tests before
    await must(site, data)
