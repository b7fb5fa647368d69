"""Every version of every path, read on every node."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import uvloop

from tests.network.conversation import Conversation, Said
from tests.network.judging import History, Verdict, judge, paths_of
from tests.network.writers import filler
from tests.process.harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.network.far import Far
    from tests.network.result import Result
    from tests.network.writing import Writing
    from tests.process.harness import Server

READERS = 64  # of each node
READ_S = 30.0
READY_S = 90.0
ATTEMPTS = 50
BACK_OFF_S = 0.2


def verify(far: Far, writing: Writing, result: Result) -> None:
    """Writers have stopped: the result knows whether what they were told is on every node, and the same on all."""
    far.shape(0.0)  # the network has done its part
    far.cluster.wait_ready(timeout_s=READY_S)
    far.cluster.equal_digests(timeout_s=READY_S)
    result.take(look(far, far.cluster.servers, writing), writing)


def look(far: Far, servers: Sequence[Server], writing: Writing) -> Verdict:
    """The verdict by what these nodes have."""
    acknowledged = writing.acknowledged()
    paths = paths_of(acknowledged, writing.unresolved)
    tls = None if far.ca_file is None else ssl.create_default_context(cafile=far.ca_file)
    nodes = uvloop.run(_read_all(servers, far.cluster.token, paths, tls))
    return judge(acknowledged, writing.unresolved, nodes)


async def _read_all(
    servers: Sequence[Server], token: str, paths: list[str], tls: ssl.SSLContext | None
) -> dict[str, dict[str, History]]:
    read = await asyncio.gather(*(_read_node(server.api_port, token, paths, tls) for server in servers))
    return {server.node_id: histories for server, histories in zip(servers, read, strict=True)}


async def _read_node(port: int, token: str, paths: list[str], tls: ssl.SSLContext | None) -> dict[str, History]:
    left = iter(paths)
    found: dict[str, History] = {}
    readers = [_reader(Conversation(port, token, tls, READ_S), left, found) for _ in range(READERS)]
    await asyncio.gather(*readers)
    return found


async def _reader(node: Conversation, left: Iterator[str], found: dict[str, History]) -> None:
    for path in left:
        metadata = await _get(node, f"secret/metadata/{path}")
        history: History = {}
        for version in map(int, metadata.json["data"]["versions"] if metadata.status == 200 else ()):
            said = await _get(node, f"secret/data/{path}?version={version}")
            data = said.json["data"]["data"] if said.status == 200 else {}
            by = data.get("by", f"status {said.status}")
            whole = data.get("filler") == filler(by, len(data.get("filler", "")))
            history[version] = by if whole else f"{by}, damaged"
        found[path] = history
    await node.end()


async def _get(node: Conversation, path: str) -> Said:
    """A node that is only busy is asked again."""
    for _ in range(ATTEMPTS):
        try:
            said = await node.ask("GET", path)
        except OSError:
            await asyncio.sleep(BACK_OFF_S)
            continue
        if said.status in {200, 404}:
            return said
        await asyncio.sleep(BACK_OFF_S)
    raise HarnessError(f"no answer to a read of {path}")
