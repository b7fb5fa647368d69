"""Devices of running nodes whose lines go elsewhere: enabled everywhere or nowhere, and no answer without a record."""

import json
import logging

import pytest
import pytest_asyncio

from node.audit import Head, verify
from tests.node.audit.audit_collectors import Collector
from tests.node.flow_site import running, until, until_async

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory):
    """Three nodes without a device."""
    async with running(tmp_path_factory.mktemp("remote"), 3) as site:
        yield site


@pytest.fixture
def collector(tmp_path):
    """Takes what all three send; a message is a line, whoever it is of."""
    collector = Collector("unixgram", tmp_path)
    yield collector
    collector.stop()


def lines_of(collector, node_id):
    """What one node sent, without what syslog puts before it."""
    lines = [one[one.index(b"{") :].rstrip(b"\n") + b"\n" for one in list(collector.messages)]
    return [line for line in lines if json.loads(line)["node"] == node_id]


def records(collector, node_id, request_id):
    entries = map(json.loads, lines_of(collector, node_id))
    return [entry["type"] for entry in entries if entry.get("request", {}).get("id") == request_id]


async def answers(site, server):
    return (await server.ask("GET", "sys/mounts", token=site.token)).status == 200


async def enable(site, collector, path, **fields):
    await site.settled()
    return await site.ask("PUT", f"sys/audit/{path}", {"type": "socket", "options": collector.options} | fields)


@pytest.mark.parametrize("type_", ["socket", "syslog"])
async def test_a_device_takes_the_records_of_every_node_from_the_answer_on(site, collector, type_):
    """Each node has a chain of its own; after it was disabled nothing comes any more."""
    options = collector.options if type_ == "socket" else {"address": collector.url}
    await site.settled()
    enabled = await site.ask("PUT", f"sys/audit/all-{type_}", {"type": type_, "options": options})
    seen = [await server.ask("GET", "sys/mounts", token=site.token) for server in site.servers]
    disabled = await site.ask("DELETE", f"sys/audit/all-{type_}")
    unseen = [await server.ask("GET", "sys/mounts", token=site.token) for server in site.servers]
    asked = list(zip(site.servers, seen, unseen, strict=True))
    both = ["request", "response"]
    await until(
        lambda: all(records(collector, s.node_id, one.request_id) == both for s, one, _ in asked), "all is read"
    )

    assert (enabled.status, disabled.status) == (204, 204)
    assert [reply.status for reply in (*seen, *unseen)] == [200] * 6
    for server, _, reply in asked:
        lines = lines_of(collector, server.node_id)
        assert verify(lines, server.node.audit.chain_mac).ok
        assert records(collector, server.node_id, reply.request_id) == []


async def test_a_device_that_the_leader_cannot_reach_is_enabled_nowhere(site, collector):
    """400 with the reason, from whichever node is asked."""
    collector.stop()
    await site.settled()
    body = {"type": "socket", "options": collector.options}
    refused = [await server.ask("PUT", "sys/audit/none", body, token=site.token) for server in site.servers]
    listed = await site.ask("GET", "sys/audit")

    assert [reply.status for reply in refused] == [400] * 3
    assert "unable to connect" in refused[0].errors[0]
    assert (listed.status, listed.data) == (200, {})


async def test_without_its_collector_no_node_answers_and_with_it_all_do(site, collector):
    """Health is answered all the same; and disabling needs the collector, too."""
    assert (await enable(site, collector, "away")).status == 204
    collector.stop()
    away = [(await server.ask("GET", "sys/mounts", token=site.token)).status for server in site.servers]
    disabled = (await site.ask("DELETE", "sys/audit/away")).status
    health = [(await server.ask("GET", "sys/health?standbyok=true")).status for server in site.servers]
    collector.start()
    for server in site.servers:
        await until_async(lambda server=server: answers(site, server), f"{server.node_id} answers again")
    assert (await site.ask("DELETE", "sys/audit/away")).status == 204

    assert (away, disabled, health) == ([500] * 3, 500, [200] * 3)


async def test_a_member_that_cannot_keep_its_position_answers_nothing_and_the_leader_says_so(site, collector, caplog):
    """The device is enabled all the same: the others could open it."""
    await site.settled()
    caplog.set_level(logging.ERROR)
    broken = site.followers[0]
    folder = broken.folder / "audit"
    folder.mkdir(exist_ok=True)
    positions = folder / ".positions"
    kept = positions.rename(folder / "kept") if positions.exists() else None
    positions.write_text("in the way")
    enabled = await enable(site, collector, "broken")
    answered = await broken.ask("GET", "sys/mounts", token=site.token)
    health = await broken.ask("GET", "sys/health?standbyok=true")
    disabled = await site.ask("DELETE", "sys/audit/broken")
    back = await broken.ask("GET", "sys/mounts", token=site.token)
    positions.unlink()
    if kept is not None:
        kept.rename(positions)

    assert (enabled.status, answered.status, health.status, disabled.status, back.status) == (204, 500, 200, 204, 200)
    assert f"member {broken.node_id} answers nothing: audit device broken/ does not work there" in caplog.messages


async def test_the_heads_of_all_nodes_are_shown_as_facts(site, collector):
    """By any node, so that the files of one are verified against what another says."""
    assert (await enable(site, collector, "facts")).status == 204
    for server in site.servers:
        await server.ask("GET", "sys/mounts", token=site.token)

    def facts(server):
        [shown] = server.node.audit.status()
        return shown["facts"]

    await until(lambda: all(len(facts(server)) == 3 for server in site.servers), "every head is a fact everywhere")
    told = (await site.followers[0].ask("GET", "strongroom/status", token=site.token)).json
    [device] = (told.get("data") or told)["audit"]
    known = {node_id: Head(fact["sequence"], bytes.fromhex(fact["head"])) for node_id, fact in device["facts"].items()}
    await site.must("DELETE", "sys/audit/facts")

    for server in site.servers:
        head = known[server.node_id]
        await until(
            lambda node_id=server.node_id, head=head: len(lines_of(collector, node_id)) >= head.sequence, "read"
        )
        lines = lines_of(collector, server.node_id)
        mac = server.node.audit.chain_mac
        assert verify(lines, mac, [head]).ok
        assert not verify(lines[: head.sequence - 1], mac, [head]).ok
