"""HTTP on a connection that stays open, for hundreds of clients in one loop. Raises OSError for whatever breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

REQUEST_S = 8.0
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    retry_after: bool
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}


class Conversation:
    """With one node; dialled when it is needed, closed when anything goes wrong."""

    def __init__(self, port: int, token: str, tls: ssl.SSLContext | None = None, timeout_s: float = REQUEST_S) -> None:
        self._port = port
        self._token = token
        self._tls = tls
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None, headers: str = "") -> Said:
        """`path` below /v1/; `headers` as they are sent, each line with its end."""
        sent = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /v1/{path} HTTP/1.1\r\nHost: {HOST}\r\nX-Vault-Token: {self._token}\r\nX-Vault-Request: true\r\n"
            f"{headers}{f'Content-Length: {len(sent)}' + chr(13) + chr(10) if sent else ''}\r\n"
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(head.encode() + sent)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.close()
            raise OSError(type(error).__name__) from error
        except asyncio.CancelledError:
            self.close()
            raise

    async def _exchange(self, data: bytes) -> Said:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, ssl=self._tls, limit=1 << 22)
        reader, writer = self._streams
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = await reader.readexactly(length)
        if "\r\nconnection: close" in head:
            self.close()
        return Said(int(head[9:12]), "\r\nretry-after:" in head, body)

    def close(self) -> None:
        """Given up at once; the next question dials anew."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def end(self) -> None:
        """Closed as is right, TLS too."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
