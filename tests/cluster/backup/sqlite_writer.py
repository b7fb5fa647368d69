"""A process of its own that writes one chain into a SQLite sink until it is fenced or killed: PATH TERM NODE."""

from __future__ import annotations

import asyncio
import sys

from cluster.backup.sinks.base import Claim, FencedError
from cluster.backup.sinks.urls import open_sink
from tests.cluster.backup.crafting import GENERATION, LINE, batch, part


async def write(path: str, term: int, node_id: str) -> None:
    """Prints the last index of each batch once it is stored, and at the end that it was fenced."""
    sink = open_sink(f"sqlite://{path}")
    claim = Claim(GENERATION, term, node_id)
    await sink.open()
    await sink.begin(LINE)
    await sink.claim(claim)
    tip = part(1)
    try:
        await sink.store(claim, *tip)
        while True:
            tip = batch(tip[1].header.last + 1, tip[1].header.last + 10, tip, box=b"b" * 300_000)
            await sink.store(claim, *tip)
            print(tip[1].header.last, flush=True)
    except FencedError:
        print("fenced", flush=True)
    await sink.close()


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
