"""A process that is told what to do: one JSON line each way, on its standard input and output.

It ends when its input does, so it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LINE_BYTES_MAX = 1 << 20


async def obey(handle: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Every line is a command and is answered with a line, also if it failed; returns at the end of the input."""
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            answer = await handle(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
