"""A raw token lives as long as its request: afterwards nothing in the process holds it, also on open connections.

Looked at are all objects that Python can reach from those its collector knows. Buffers of C libraries, and memory that
was given back, are beyond it.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from cluster import Table
from node.config import Api
from tests.node.flow_site import HOST, Site, free_ports, running, until

SHARED = (type, type(gc), type(lambda: None))


def holders(needle: str) -> list[str]:
    """What each object is in which the text stands, by the type of whatever refers to it."""
    gc.collect()
    raw = needle.encode()
    found, seen = [], set()
    waiting: list[Any] = gc.get_objects()
    seen.update(map(id, waiting))
    while waiting:
        one = waiting.pop()
        for held in gc.get_referents(one):
            if isinstance(held, str):
                if needle in held and held is not needle:
                    found.append(f"{type(one).__name__}: text")
            elif isinstance(held, (bytes, bytearray)):
                if raw in held and held is not raw:
                    found.append(f"{type(one).__name__}: bytes")
            elif id(held) not in seen and not isinstance(held, SHARED):
                seen.add(id(held))
                waiting.append(held)
    return found


class Connection:
    """One that stays open; keeps nothing of what it sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, token: str, start: str, *headers: str, body: str = "") -> int:
        """The status of the answer, which is read and dropped."""
        lines = [f"{start} HTTP/1.1", "Host: localhost", f"X-Vault-Token: {token}", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        await self.writer.drain()
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self.reader.readexactly(int(length or 0))
        return int(head.split()[1])


async def made(site: Site) -> str:
    """A token that may write below secret/, and log itself up; written backwards, so that it is not here either."""
    token, _ = await site.new_token(
        ("secret/*", "create read update list"), ("auth/token/*", "read update"), ("sys/capabilities-self", "update")
    )
    return token[::-1]


async def used(port: int, backwards: str) -> tuple[list[int], list[Connection]]:
    """Statuses of requests of every kind, each on a connection of its own, which is left open."""
    token = backwards[::-1]
    asked: list[tuple[str, tuple[str, ...], str]] = [
        ("POST /v1/secret/data/a", (), '{"data":{"k":"v"}}'),
        ("GET /v1/secret/data/a", (), ""),
        ("GET /v1/secret/data/a", ("X-Vault-Index-Other: a",), ""),
        ("GET /v1/secret/data/none", (), ""),
        ("LIST /v1/secret/metadata/", (), ""),
        ("GET /v1/sys/mounts", (), ""),
        ("GET /v1/sys/ha-status", (), ""),
        ("GET /v1/auth/token/lookup-self", (), ""),
        ("POST /v1/auth/token/lookup", (), f'{{"token":"{token}"}}'),
        ("POST /v1/auth/token/renew-self", (), "{}"),
        ("POST /v1/sys/capabilities-self", (), '{"paths":["a"]}'),
        ("GET /v1/secret/data/a", ("X-Vault-Wrap-TTL: 60",), ""),
        ("GET /v1/secret/data/../a", (), ""),
        ("POST /v1/secret/data/a", (), "{"),
        ("GET /v1/secret/data/a", (f"Authorization: Bearer {token}",), ""),
    ]
    statuses, connections = [], []
    for start, headers, body in asked:
        connection = Connection(*await asyncio.open_connection(HOST, port))
        connections.append(connection)
        statuses.append(await connection.say(token, start, *headers, body=body))
        statuses.append(await connection.say(token, start, *headers, body=body))
    return statuses[::2], connections


@pytest.mark.parametrize("audited", [False, True])
async def test_nothing_holds_a_token_when_its_requests_are_answered(tmp_path: Path, audited: bool) -> None:
    """Answered at once or in turn, allowed, denied or malformed, by header and in a body."""
    [port] = free_ports(1)
    api = Api(address=f"{HOST}:{port}", advertise=f"http://{HOST}:{port}", tls="off")
    async with running(tmp_path, audited=audited, api=api) as site:
        backwards = await made(site)
        statuses, connections = await used(port, backwards)
        edges = [server.edge for server in site.leader.node.servers]
        await until(lambda: not any(edge.turns.admission.in_flight for edge in edges))
        left = holders(backwards[::-1])
        open_ = sum(len(edge.manager.protocols) for edge in edges)
        for connection in connections:
            connection.writer.close()

    assert statuses == [200, 200, 200, 404, 200, 403, 403, 200, 200, 200, 200, 200, 400, 400, 200]
    assert open_ == len(connections)
    assert left == []


async def forwarded(site: Site, backwards: str) -> list[int]:
    """Statuses of requests that a follower hands on, or answers itself."""
    token, follower = backwards[::-1], site.followers[0]
    asked = [
        await follower.ask("POST", "secret/data/a", {"data": {"k": "v"}}, token=token),
        await follower.ask("GET", "secret/data/a", token=token),
        await follower.ask("POST", "sys/mounts/none", {"type": "kv"}, token=token),
        await follower.ask("POST", "auth/token/lookup", {"token": token}, token=token),
    ]
    return [reply.status for reply in asked]


async def test_no_record_holds_a_token(tmp_path: Path) -> None:
    """Nor the name of one; what it is found by is a hash with a key that no other cluster has."""
    async with running(tmp_path / "one") as site, running(tmp_path / "two") as other:
        token = (await made(site))[::-1]
        wrapped = await site.must("POST", "sys/wrapping/wrap", {"k": "v"}, headers=[("X-Vault-Wrap-TTL", "60")])
        raws = [token, site.token, wrapped.json["wrap_info"]["token"]]
        view, keys = site.leader.node.member.view, site.leader.node.member.values
        foreign = other.leader.node.member.values
        assert keys is not None
        assert foreign is not None
        stored = [key + record for table in Table for key, _, record in view.items(table)]
        hashes = [keys.token_hash(raw) for raw in raws]

        assert [raw for raw in raws if any(raw[4:].encode() in one for one in stored)] == []
        assert all(view.get(Table.TOKEN, key) is not None for key in hashes)
        assert {foreign.token_hash(raw) for raw in raws}.isdisjoint(hashes)


async def test_no_node_holds_a_token_that_was_forwarded(tmp_path: Path) -> None:
    """Neither the one that was asked, nor the link, nor the leader."""
    async with running(tmp_path, 3, audited=True) as site:
        backwards = await made(site)
        statuses = await forwarded(site, backwards)
        left = holders(backwards[::-1])

    assert (statuses, left) == ([200, 200, 403, 200], [])


def test_what_is_kept_would_be_found() -> None:
    """The twin: in an attribute, in a container, in bytes, and inside a longer text."""

    class Kept:
        __slots__ = ("text",)

    kept = Kept()
    backwards = "".join(str(number % 7) for number in range(40))
    assert holders(backwards[::-1]) == []
    kept.text = ("GET " + backwards[::-1],)
    inside = {"a": [backwards[::-1].encode()]}

    assert sorted(holders(backwards[::-1])) == ["list: bytes", "tuple: text"]
    assert inside
