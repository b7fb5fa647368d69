"""Audit devices of running nodes: enabled everywhere before it is answered, and no answer without a record."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cluster import Table
from node.config import Audit, AuditDevice
from node.request import RawRequest
from tests.node.flow_site import Server, Silence, Site, running, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "planted-s3cr3t"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Three nodes without a device."""
    async with running(tmp_path_factory.mktemp("devices"), 3) as site:
        yield site


def records(server: Server, name: str, request_id: str) -> list[str]:
    path = server.folder / "audit" / f"{name}.log"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [line["type"] for line in lines if line.get("request", {}).get("id") == request_id]


def body(name: str) -> dict[str, Any]:
    return {"type": "file", "options": {"file_path": f"{name}.log"}}


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_device_works_on_every_node_when_it_is_enabled(site: Site, at: int) -> None:
    """The very next request, on any of them, is recorded; and none after it was disabled."""
    await site.settled()
    name = f"d{at}"
    server = site.servers[at]
    enabled = await server.ask("PUT", f"sys/audit/{name}", body(name), token=site.token)
    seen = [await other.ask("GET", "sys/mounts", token=site.token) for other in site.servers]
    disabled = await server.ask("DELETE", f"sys/audit/{name}", token=site.token)
    unseen = [await other.ask("GET", "sys/mounts", token=site.token) for other in site.servers]

    assert (enabled.status, disabled.status) == (204, 204)
    both = ["request", "response"]
    assert [records(s, name, r.request_id) for s, r in zip(site.servers, seen, strict=True)] == [both] * 3
    assert [records(s, name, r.request_id) for s, r in zip(site.servers, unseen, strict=True)] == [[]] * 3
    assert records(site.leader, name, enabled.request_id) == ["response"]


async def test_a_node_that_cannot_open_a_device_answers_nothing_but_health(site: Site) -> None:
    """It is enabled all the same: the other nodes could open it. Disabling it gives the node back."""
    await site.settled()
    broken, leader = site.followers[0], site.leader
    (broken.folder / "audit").mkdir(exist_ok=True)
    (broken.folder / "audit" / "blocked.log").mkdir()
    enabled = await site.ask("PUT", "sys/audit/blocked", body("blocked"))
    statuses = {
        path: (await broken.ask("GET", path, token=site.token)).status
        for path in ("sys/mounts", "secret/data/none", "strongroom/status", "sys/health", "/livez", "sys/leader")
    }
    told = (await broken.ask("GET", "sys/seal-status")).status
    fine = (await leader.ask("GET", "sys/mounts", token=site.token)).status
    disabled = await site.ask("DELETE", "sys/audit/blocked")
    back = await broken.ask("GET", "sys/mounts", token=site.token)
    (broken.folder / "audit" / "blocked.log").rmdir()

    assert (enabled.status, disabled.status, fine, told, back.status) == (204, 204, 200, 200, 200)
    assert statuses == {
        "sys/mounts": 500,
        "secret/data/none": 500,
        "strongroom/status": 500,
        "sys/health": 429,
        "/livez": 200,
        "sys/leader": 200,
    }


async def test_a_device_that_the_leader_cannot_open_is_refused(site: Site) -> None:
    """400 with the reason, and it is not enabled anywhere."""
    await site.settled()
    (site.leader.folder / "audit" / "folder.log").mkdir(parents=True)
    refused = await site.followers[0].ask("PUT", "sys/audit/folder", body("folder"), token=site.token)
    outside = await site.ask("PUT", "sys/audit/out", {"type": "file", "options": {"file_path": "/tmp/out.log"}})
    listed = (await site.must("GET", "sys/audit")).data
    read = await site.ask("GET", "sys/mounts")
    (site.leader.folder / "audit" / "folder.log").rmdir()

    assert (refused.status, outside.status, read.status) == (400, 400, 200)
    assert refused.errors[0].startswith("sanity check failed")
    assert listed == {}


UNREACHABLE = "address=127.0.0.1:1"


@pytest.mark.parametrize("options", [{"address": "127.0.0.1:1"}, [UNREACHABLE], UNREACHABLE])
async def test_however_options_are_written_a_device_that_cannot_be_opened_is_refused(site: Site, options: Any) -> None:
    """As an object, a list or a text: otherwise it would be enabled, and nothing could be answered any more."""
    await site.settled()
    refused = await site.ask("PUT", "sys/audit/bad", {"type": "socket", "options": options})
    listed = await site.ask("GET", "sys/audit")

    assert (refused.status, refused.errors[0].startswith("sanity check failed")) == (400, True)
    assert (listed.status, listed.data) == (200, {})


async def test_however_options_are_written_a_device_that_can_be_opened_is_enabled(site: Site) -> None:
    """The twin: type and options are those that were opened."""
    await site.settled()
    for options in (["file_path=forms.log"], "file_path=forms.log", {"file_path": "forms.log"}):
        enabled = await site.ask("PUT", "sys/audit/forms", {"type": "file", "options": options})
        seen = await site.ask("GET", "sys/audit")
        assert (enabled.status, seen.data["forms/"]["options"]) == (204, {"file_path": "forms.log"})
        assert records(site.leader, "forms", seen.request_id) == ["request", "response"]
        await site.must("DELETE", "sys/audit/forms")


@pytest.mark.parametrize("wrong", [{"options": [["a"]]}, {"options": {"a": {}}}, {"options": "a"}, {"type": []}])
async def test_what_cannot_be_read_is_refused_by_what_reads_it(site: Site, wrong: dict[str, Any]) -> None:
    """400, and nothing is enabled."""
    await site.settled()
    refused = await site.ask("PUT", "sys/audit/bad", body("bad") | wrong)

    assert (refused.status, refused.errors[0].startswith("Field validation failed")) == (400, True)
    assert (await site.must("GET", "sys/audit")).data == {}


@pytest.mark.parametrize("misses", [1, 9])
async def test_a_device_that_was_not_opened_is_opened_first_or_not_enabled(
    site: Site, misses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the way to the decision went past the opening, as behind a device that is disabled at that moment."""
    await site.settled()
    desk, asked = site.leader.node.audit, [0]
    before = desk.before

    async def missing(request: RawRequest) -> None:
        asked[0] += 1
        if asked[0] > misses:
            await before(request)

    monkeypatch.setattr(desk, "before", missing)
    enabled = await site.ask("PUT", "sys/audit/missed", body("missed"))
    listed = (await site.must("GET", "sys/audit")).data
    await site.must("DELETE", "sys/audit/missed")

    assert (enabled.status, list(listed)) == ((204, ["missed/"]) if misses == 1 else (503, []))


async def test_a_node_that_was_away_opens_what_was_enabled_meanwhile(site: Site) -> None:
    """Before it answers anything again."""
    await site.settled()
    away = site.followers[0]
    with Silence(away):
        await site.must("PUT", "sys/audit/meanwhile", body("meanwhile"))
    await site.settled()
    seen = await away.ask("GET", "sys/mounts", token=site.token)
    await site.must("DELETE", "sys/audit/meanwhile")

    assert (seen.status, records(away, "meanwhile", seen.request_id)) == (200, ["request", "response"])


@pytest.mark.parametrize("slow", ["closing", "heads"])
async def test_nothing_is_answered_between_a_device_in_the_state_and_the_device_here(
    site: Site, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a former device takes to close, or a leader to take the heads: the answer waits, or is refused."""
    await site.settled()
    server = site.leader
    desk, go_on = server.node.audit, asyncio.Event()
    await site.must("PUT", "sys/audit/former", body("former"))
    if slow == "closing":
        device = desk.broker._devices["former/"][0]
        closes = device.close

        async def close() -> None:
            await go_on.wait()
            await closes()

        monkeypatch.setattr(device, "close", close)
    else:

        async def record_heads(**_: object) -> None:
            await go_on.wait()

        monkeypatch.setattr(desk, "record_heads", record_heads)
    disabling = asyncio.ensure_future(site.ask("DELETE", "sys/audit/former"))
    await until(lambda: not _known(server, b"former/"))
    latter = AuditDevice(path="latter", options={"file_path": "latter.log"})
    await server.node.member.write(lambda view, now_ns: desk._declared(latter, b"latter/", view, now_ns))
    first = await server.ask("GET", "sys/mounts", token=site.token)
    go_on.set()
    await disabling
    seen = await server.ask("GET", "sys/mounts", token=site.token)
    monkeypatch.undo()
    await site.must("DELETE", "sys/audit/latter")

    both = ["request", "response"]
    assert (first.status, records(server, "latter", first.request_id)) in [(500, []), (200, both)]
    assert (seen.status, records(server, "latter", seen.request_id)) == (200, both)


def _known(server: Server, path: bytes) -> bool:
    return server.node.member.view.get(Table.AUDIT_DEVICE, path) is not None


async def test_the_heads_of_all_nodes_become_facts(site: Site) -> None:
    """Followers give theirs to the leader."""
    await site.settled()
    await site.must("PUT", "sys/audit/heads", body("heads"))
    for server in site.servers:
        await server.ask("GET", "sys/mounts", token=site.token)

    def known() -> set[bytes]:
        return {key for key, _, _ in site.leader.node.member.view.items(Table.AUDIT_HEAD) if b"heads/" in key}

    await until(lambda: len(known()) == 3, "every node's head is a fact")
    await site.must("DELETE", "sys/audit/heads")

    assert known() >= {f"{server.node_id}".encode() + b"\x00heads/" for server in site.servers}


async def test_a_declared_device_exists_from_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Once, however often the node looks; deleting it by the API brings it back."""
    folder = tmp_path_factory.mktemp("declared")
    declared = Audit(
        directory=str(folder / "audit"), devices=(AuditDevice(path="boot", options={"file_path": "boot.log"}),)
    )
    async with running(folder, audit=declared) as one:
        server = one.leader
        await until(lambda: server.node.audit.broker.enabled, "the device stands")
        reply = await one.ask("GET", "sys/audit")

    assert sorted(reply.data) == ["boot/"]
    assert records(server, "boot", reply.request_id) == ["request", "response"]


async def test_no_log_record_holds_what_clients_sent(three: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Values, paths, tokens and keys, at the finest level, whatever goes wrong with the requests."""
    caplog.set_level(logging.DEBUG)
    token, accessor = await three.new_token((f"secret/data/{SECRET}", "create update read"), display_name=SECRET)
    asked = [
        ("POST", f"secret/data/{SECRET}", {"data": {SECRET: SECRET}}),
        ("GET", f"secret/data/{SECRET}", None),
        ("POST", f"secret/data/{SECRET}", {"data": {}, "options": {"cas": SECRET}}),
        ("POST", f"sys/mounts/{SECRET}", {"type": SECRET}),
        ("PUT", f"sys/policies/acl/{SECRET}", {"policy": f"{SECRET} {{"}),
        ("PUT", f"sys/audit/{SECRET}", {"type": "file", "options": {"file_path": f"../{SECRET}"}}),
        ("POST", "auth/token/lookup", {"token": SECRET}),
        ("PUT", "sys/unseal", {"key": SECRET}),
        ("PUT", "sys/init", {"secret_shares": SECRET}),
        ("PUT", "sys/seal", {"cluster": SECRET}),
        ("GET", f"{SECRET}/a?{SECRET}={SECRET}", None),
        ("LIST", f"sys/{SECRET}", None),
    ]
    for server in three.servers:
        for given in (token, SECRET, None):
            await asyncio.gather(*(server.ask(method, path, sent, token=given) for method, path, sent in asked))
            for name in ("X-Vault-Index", "X-Strongroom-Write-Id", "X-Strongroom-Init-Secret"):
                await server.ask("POST", "kv1/a", {"k": SECRET}, token=given, headers=[(name, SECRET)])

    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not [needle for needle in (SECRET, token, accessor, three.token, three.shares[0]) if needle in text]
