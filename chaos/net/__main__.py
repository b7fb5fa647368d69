"""The network as a process: `python -m chaos.net`; see `network.py` for the commands, `listen` is the first.

A shell. It needs no privilege: members are told the proxies' ports as each other's addresses.
"""

from __future__ import annotations

from typing import Any

import uvloop

from .control import obey
from .network import Link, Network


async def main() -> None:
    """Serve until the input ends."""
    network = Network()

    async def handle(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "listen":
            network.seed = int(asked.get("seed", 0))
            for link in asked["links"]:
                await network.listen(Link(**link))
            return {}
        return network.answer(asked)

    try:
        await obey(handle)
    finally:
        network.close()


if __name__ == "__main__":
    uvloop.run(main())
