"""How the bench talks to a node that runs a load inside itself: one JSON line each way on a Unix socket.

Exists because a load over HTTP measures HTTP. The socket lies in the node's private folder.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

from .processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

LINE_BYTES_MAX = 1 << 20
NAME = "bench.sock"


async def listen(path: Path, handle: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> asyncio.Server:
    """Every line is a request; its answer is a line, also if the work failed. `path` must not exist."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                answer = await handle(json.loads(line))
            except Exception as error:  # noqa: BLE001 - the other side must hear of it, whatever it is
                answer = {"error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(serve, path, limit=LINE_BYTES_MAX)


class Control:
    """The bench's end of one conversation; `send` and `receive` apart load several nodes at once."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def send(self, do: str, **arguments: Any) -> None:
        """Ask for something."""
        self._socket.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Its answer. Raises BenchError if it failed, OSError if it did not come."""
        line = self._file.readline()
        if not line:
            raise OSError("the node closed the conversation")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"a node could not do it: {answer['error']}")
        return answer

    def close(self) -> None:
        """The conversation is over."""
        self._file.close()
        self._socket.close()


def ask(path: Path, do: str, *, timeout_s: float = 60.0, **arguments: Any) -> dict[str, Any]:
    """One request and its answer. Raises BenchError or OSError."""
    control = Control(path, timeout_s)
    try:
        control.send(do, **arguments)
        return control.receive()
    finally:
        control.close()
