"""The smallest aiohttp server: three bytes at /ok on uvloop. A yardstick, told its port by the first argument."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web


async def _ok(_request: web.Request) -> web.Response:
    return web.Response(body=b"ok\n")


async def main(port: int) -> None:
    """Serve until the process is ended."""
    application = web.Application()
    application.router.add_get("/ok", _ok)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
