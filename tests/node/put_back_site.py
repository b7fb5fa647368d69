"""Snapshots taken from a running cluster and sent back to it, without a socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from cryptography import x509

from cluster import State, Table, records
from cluster.state import invariants
from tests.node.flow_site import Reply, Server, Site, raw_request, reply_of, until

PATH = "sys/storage/raft/snapshot"
FORCE = f"{PATH}-force"
PIECE_BYTES = 50_000
TEXT = base64.b64encode(b"some text").decode()


class Sent:
    """A body as it comes. `between` is called before each piece."""

    def __init__(self, data: bytes, *, length: int | None = -1, between: Callable[[int], None] | None = None) -> None:
        self._data = data
        self._between = between
        self.length = len(data) if length == -1 else length
        self.read_bytes = 0

    async def parts(self) -> AsyncIterator[bytes]:
        for number, at in enumerate(range(0, len(self._data), PIECE_BYTES)):
            if self._between is not None:
                self._between(number)
            part = self._data[at : at + PIECE_BYTES]
            self.read_bytes += len(part)
            yield part


async def saved(site: Site, server: Server | None = None) -> bytes:
    """The snapshot of now."""
    server = server or site.leader
    response = await server.node.handle(raw_request("GET", PATH, token=site.token))
    assert response.stream is not None, response
    return b"".join([part async for part in response.stream.parts()])


async def put_back(
    site: Site, what: bytes | Sent, path: str = PATH, server: Server | None = None, **options: Any
) -> Reply:
    """The answer to sending it."""
    upload = Sent(what) if isinstance(what, bytes) else what
    request = raw_request("POST", path, **({"token": site.token, "upload": upload} | options))
    async with asyncio.timeout(60):
        return reply_of(request, await (server or site.leader).node.handle(request))


async def must(site: Site, what: bytes | Sent, path: str = PATH) -> Reply:
    reply = await put_back(site, what, path)
    assert reply.status == 200, (reply, reply.body)
    return reply


def sweeps_of(state: State) -> list[str]:
    """Kinds of what is being removed, or held."""
    found = (records.decode(records.Sweep, record) for _, _, record in state.items(Table.SWEEP))
    return sorted(sweep.kind for sweep in found)


async def collected(site: Site) -> None:
    """Nothing is left to be removed, on any node, and nothing is there that nobody can reach."""
    for server in site.servers:
        view = server.node.member.view
        await until(lambda v=view: not sweeps_of(v), "what nobody can reach is removed")
        assert (invariants.check(view), invariants.orphans(view)) == ([], [])


def mount_uuid(site: Site, path: str) -> bytes:
    found = site.leader.node.member.view.get(Table.MOUNT, path.encode())
    assert found is not None
    return records.decode(records.Mount, found[1]).uuid


def files_of(server: Server) -> list[Path]:
    """What lies in its data folder, but for what it writes by itself."""
    return sorted(server.node.member.settings.data_dir.iterdir())


# ---- engines whose contents are merged
async def authority(site: Site, path: str, *, leased: bool = False) -> None:
    await site.must("POST", f"sys/mounts/{path}", {"type": "pki"})
    await site.must("POST", f"{path}/root/generate/internal", {"common_name": "Root", "ttl": "500h"})
    role = {"allow_any_name": True, "enforce_hostnames": False, "generate_lease": leased, "key_type": "ec"}
    await site.must("POST", f"{path}/roles/any", role | {"key_bits": 256})


async def issue(site: Site, path: str) -> Reply:
    return await site.must("POST", f"{path}/issue/any", {"common_name": "a.example.com", "ttl": "1h"})


async def listed(site: Site, path: str) -> set[str]:
    """Serial numbers on the list of revoked certificates."""
    crl = x509.load_der_x509_crl((await site.must("GET", f"{path}/crl", token=None)).body)
    return {one.serial_number.to_bytes(20, "big").lstrip(b"\0").hex(":") for one in crl}


async def sealed(site: Site, key: str, **more: Any) -> str:
    return str((await site.must("POST", f"transit/encrypt/{key}", {"plaintext": TEXT} | more)).data["ciphertext"])


async def opens(site: Site, key: str, ciphertext: str) -> int:
    return (await site.ask("POST", f"transit/decrypt/{key}", {"ciphertext": ciphertext})).status
