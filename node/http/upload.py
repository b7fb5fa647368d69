"""A body that is no JSON and may be large: read by whoever asked for it, when the request was judged.

Stands between aiohttp's reader and a handler. Invariants
  U1  nothing is read before somebody asks; who is refused first sends his body for nothing, or, if he waits for a
      `100 Continue`, not at all
  U2  the client's clock runs while it is read, as for any body; a body that breaks off is never taken for a whole one
Source: RFC 9110, 10.1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import BrokenBodyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import StreamReader

    from .protocol import EdgeProtocol

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Upload:
    """See request.Upload."""

    def __init__(
        self, content: StreamReader, protocol: EdgeProtocol, boot: Callable[[], float], *, length: int | None,
        wants_continue: bool,
    ) -> None:  # fmt: skip
        self._content = content
        self._protocol = protocol
        self._boot = boot
        self._wants_continue = wants_continue
        self.length = length

    def __repr__(self) -> str:
        return "<Upload>"

    async def parts(self) -> AsyncIterator[bytes]:
        """See request.Upload."""
        content, protocol = self._content, self._protocol
        if content.at_eof():
            return
        if self._wants_continue and protocol.transport is not None and not content.total_bytes:
            protocol.transport.write(CONTINUE)
        protocol.body_since, protocol.body_received = self._boot(), 0
        try:
            while part := await self._read():
                protocol.body_received += len(part)
                yield part
        finally:
            protocol.body_since = None

    async def _read(self) -> bytes:
        try:
            return await self._content.readany()
        except Exception:  # noqa: BLE001 - aiohttp has many names for a client that broke off
            raise BrokenBodyError from None


__all__ = ["CONTINUE", "Upload"]
