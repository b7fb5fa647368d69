"""What a node says of its sinks, and what it answers when a base is asked for: the writer's word, whoever is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from cluster import SinkRefusedError
from node.backup_desk import NO_LEADER, NOT_OURS
from node.config.replication import Backup, Sink
from tests.node.flow_site import Silence, Site, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.backup.pipeline import Pipeline

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATUS = "strongroom/backup/status"
TRIGGER = "strongroom/backup/trigger"
SENTENCE = "the role may not write"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sites(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Three nodes with one shared sink, a file that all of them reach."""
    folder = tmp_path_factory.mktemp("backed-three")
    sinks = (Sink(name="main", url=f"sqlite://{folder}/sink.db"),)
    async with running(folder, 3, backup=Backup(sinks=sinks, batch_interval_ms=1)) as site:
        yield site


def main_of(site: Site) -> Pipeline:
    """The leader's."""
    return site.leader.node.backups.backup.pipelines["main"]


async def mended(site: Site) -> None:
    pipeline = main_of(site)
    pipeline.ask_base()
    await until(lambda: pipeline.standing.claimed and not pipeline.standing.error, "the sink is written")


async def refused(site: Site, patched: pytest.MonkeyPatch) -> None:
    """From now on the sink takes nothing, and the leader knows."""
    pipeline = main_of(site)

    async def refuse(*_: object) -> None:
        raise SinkRefusedError(SENTENCE)

    patched.setattr(pipeline.sink, "store", refuse)
    pipeline.ask_base()
    await site.must("PUT", "secret/data/any", {"data": {"a": "b"}})
    await until(lambda: pipeline.standing.error == SENTENCE, "the refusal is known")


async def test_every_node_says_what_the_writer_knows(sites: Site) -> None:
    """Of a sink that refuses, and of one that holds all."""
    await mended(sites)
    for server in sites.servers:
        [row] = (await server.ask("GET", STATUS, token=sites.token)).data["sinks"]
        assert (row["writes"], row["error"], row["retry_in_s"]) == (True, "", None)
    with pytest.MonkeyPatch.context() as patched:
        await refused(sites, patched)
        for server in sites.servers:
            [row] = (await server.ask("GET", STATUS, token=sites.token)).data["sinks"]
            assert (row["error"], row["lag_entries"] > 0, row["retry_in_s"] > 0) == (SENTENCE, True, True)
    await mended(sites)


async def test_a_node_that_does_not_write_a_sink_says_no_number_of_its_own(sites: Site) -> None:
    """In strongroom/status, which is of the node alone; the leader says them."""
    await mended(sites)
    [leads] = (await sites.ask("GET", "strongroom/status")).data["backup"]
    assert [type(leads[name]) for name in ("lag_entries", "lag_s", "error")] == [int, float, str]
    for server in sites.followers:
        [row] = (await server.ask("GET", "strongroom/status", token=sites.token)).data["backup"]
        assert (row["lag_entries"], row["lag_s"], row["error"]) == (None, None, None)


async def test_without_a_leader_nobody_says_zero(sites: Site) -> None:
    """A request that was forwarded once comes to a node that does not write: it says so, or that nobody is known."""
    desk = sites.followers[0].node.backups
    [row] = desk.status().data["sinks"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(sites.followers[0].node.member), "leader_id", None)
        [alone] = desk.status().data["sinks"]

    assert (row["lag_entries"], row["lag_s"], row["error"]) == (None, None, NOT_OURS)
    assert (alone["lag_entries"], alone["lag_s"], alone["error"]) == (None, None, NO_LEADER)


async def test_a_cluster_without_a_leader_refuses_to_say(sites: Site) -> None:
    """503 rather than a follower's own numbers."""
    await mended(sites)
    with Silence(*sites.servers):
        await until(lambda: not any(server.leads for server in sites.servers), "nobody leads")
        replies = [await server.ask("GET", STATUS, token=sites.token) for server in sites.servers]
    await sites.settled()

    assert [(reply.status, "data" in reply.json) for reply in replies] == [(503, False)] * 3


async def test_a_former_leader_keeps_no_error(sites: Site) -> None:
    """As soon as it writes no longer, though its next attempt was far away."""
    await mended(sites)
    with pytest.MonkeyPatch.context() as patched:
        await refused(sites, patched)
        old = main_of(sites)
        while main_of(sites) is old:
            await sites.must("PUT", "sys/step-down")
            await sites.settled()
        await until(lambda: not old.standing.error and old.standing.retry_s is None, "it rests")
    await mended(sites)


async def test_a_base_that_cannot_begin_is_not_called_a_success(sites: Site) -> None:
    """Whoever is asked: the error, and when it is tried again; once mended, it is tried at once."""
    await mended(sites)
    with pytest.MonkeyPatch.context() as patched:
        await refused(sites, patched)
        for server in sites.servers:
            reply = await server.ask("PUT", TRIGGER, {}, token=sites.token)
            [text] = reply.errors
            assert (reply.status, text.startswith(f"the backup sink main is not being written: {SENTENCE};")) == (
                400,
                True,
            ), text
            assert "it is tried again in" in text
    bases = main_of(sites).standing.bases
    reply = await sites.followers[0].ask("PUT", TRIGGER, {"sink": "main"}, token=sites.token)

    assert reply.status == 204
    await until(lambda: main_of(sites).standing.bases > bases, "the base is there")
    assert (await sites.ask("PUT", TRIGGER, {"sink": "other"})).status == 404
