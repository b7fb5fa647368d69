"""A snapshot sent to a node that leads no more, or knows nobody who does: 503, whatever is sent.

Three nodes; "deposed" is a leader whom nobody answers any more, until it knows that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from cluster import Arriving
from tests.node.flow_site import Reply, Server, Silence, Site, running, until
from tests.node.put_back_site import FORCE, PATH, Sent, must, put_back, saved

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO = (503, "no", True)
BODIES: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "none": lambda _data: {"upload": None},
    "empty": lambda _data: {"upload": Sent(b"")},
    "text": lambda _data: {"upload": Sent(b"no snapshot at all" * 100)},
    "cut": lambda data: {"upload": Sent(data[: len(data) // 2])},
    "whole": lambda data: {"upload": Sent(data)},
    "huge": lambda data: {"upload": Sent(data, length=1 << 60)},
}
every = pytest.mark.parametrize("path", [PATH, FORCE])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("put-back-leaders"), 3, audited=True) as site:
        await site.must("PUT", "kv1/a", {"n": 1})
        yield site


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def whole(site: Site) -> None:
    await site.settled()


class Deposing:
    """Nobody answers the server from `begin` on, which returns when it knows; heals at the end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._silence = Silence(server)
        self._begun = False

    async def begin(self) -> None:
        self._begun = True
        self._silence.__enter__()
        await until(lambda: self.server.node.member.leader_id is None, "it knows that it leads no more")

    def end(self) -> None:
        if self._begun:
            self._silence.__exit__()


class Slow(Sent):
    """Between its first and last byte the world changes."""

    def __init__(self, data: bytes, deposing: Deposing) -> None:
        super().__init__(data)
        self._deposing = deposing

    async def parts(self) -> AsyncIterator[bytes]:
        await self._deposing.begin()
        async for part in super().parts():
            yield part


def outcome(reply: Reply) -> tuple[int, str | None, bool]:
    return reply.status, reply.json.get("applied"), "Retry-After" in reply.headers


def records(server: Server, reply: Reply) -> list[str]:
    return [line["type"] for line in server.audit_lines(reply.request_id)]


@every
async def test_a_node_that_knows_no_leader_says_so(site: Site, path: str) -> None:
    """Whatever is sent, it is not read; and it is audited."""
    data, deposing = await saved(site), Deposing(site.leader)
    try:
        await deposing.begin()
        for name, made in BODIES.items():
            body = made(data)
            reply = await put_back(site, b"", path, deposing.server, **body)

            assert (name, outcome(reply)) == (name, NO)
            assert reply.errors == ["there is no leader now"]
            assert records(deposing.server, reply) == ["request", "response"]
            assert body["upload"] is None or body["upload"].read_bytes == 0
    finally:
        deposing.end()


def depose_at_barrier(monkeypatch: pytest.MonkeyPatch, deposing: Deposing) -> None:
    """The next read barrier of the leader holds, and right behind it another node leads."""
    member = deposing.server.node.member
    former = member.read_barrier

    async def barrier() -> int:
        index = await former()
        monkeypatch.undo()
        await deposing.begin()
        return index

    monkeypatch.setattr(member, "read_barrier", barrier)


@every
async def test_a_follower_that_knows_no_leader_says_so(site: Site, path: str) -> None:
    """There is nobody to send the client to; and nothing is forwarded, as a body that is read here has none there."""
    follower, data = site.followers[0], await saved(site)
    with Silence(follower):
        for made in BODIES.values():
            follower.node.member.running.leader = None
            assert outcome(await put_back(site, b"", path, follower, **made(data))) == NO


@every
@pytest.mark.parametrize("name", BODIES)
async def test_a_leader_that_is_deposed_while_the_request_is_judged_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, name: str
) -> None:
    """It does not say of what was sent what only a leader can, and does not read it."""
    data, deposing = await saved(site), Deposing(site.leader)
    body = BODIES[name](data)
    depose_at_barrier(monkeypatch, deposing)
    try:
        reply = await put_back(site, b"", path, deposing.server, **body)
    finally:
        deposing.end()

    assert outcome(reply) == NO
    assert records(deposing.server, reply) == ["request", "response"]
    assert body["upload"] is None or body["upload"].read_bytes == 0


async def test_a_token_of_few_uses_is_not_blamed_for_a_leader_that_is_gone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a leader can take its use, and there is none: 503, and it still has it."""
    token, _ = await site.new_token((PATH, "update sudo"), ("auth/token/lookup-self", "read"), num_uses=2)
    data, deposing = await saved(site), Deposing(site.leader)
    depose_at_barrier(monkeypatch, deposing)
    try:
        reply = await put_back(site, data, server=deposing.server, token=token)
    finally:
        deposing.end()
    await site.settled()

    assert outcome(reply) == NO
    assert (await site.must("GET", "auth/token/lookup-self", token=token)).data["num_uses"] == 1


@every
@pytest.mark.parametrize("kind", ["text", "cut", "whole"])
async def test_a_leader_that_is_deposed_while_it_reads_says_so(site: Site, path: str, kind: str) -> None:
    """What it has of the cluster may be too little to tell a snapshot by."""
    data, deposing = await saved(site), Deposing(site.leader)
    sent = {"text": b"no snapshot at all" * 100, "cut": data[: len(data) // 2], "whole": data}[kind]
    index = deposing.server.node.member.view.applied_index
    try:
        reply = await put_back(site, Slow(sent, deposing), path, deposing.server)
    finally:
        deposing.end()

    assert outcome(reply) == NO
    assert records(deposing.server, reply) == ["request", "response"]
    assert deposing.server.node.member.view.applied_index - index < 9, "nothing was put back"


async def test_a_leader_that_still_leads_says_what_is_wrong_with_it(site: Site) -> None:
    """400, as before, in the same order; and what is whole is taken."""
    data = await saved(site)
    replies = [
        await put_back(site, b"", FORCE, **made(data)) for name, made in BODIES.items() if name not in {"whole", "huge"}
    ]

    assert [reply.status for reply in replies] == [400] * 4
    await must(site, data)


async def test_one_that_is_deposed_while_it_verifies_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what does not open could be a key term that this node has not heard of."""
    data, deposing = await saved(site), Deposing(site.leader)
    real = Arriving.unpack

    async def unpack(self: Arriving) -> Any:
        await deposing.begin()
        return await real(self)

    monkeypatch.setattr(Arriving, "unpack", unpack)
    try:
        replies = [await put_back(site, data[:-9], server=deposing.server)]
    finally:
        deposing.end()

    assert [outcome(reply) for reply in replies] == [NO]
