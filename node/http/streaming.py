"""An answer whose body comes in pieces: chunked, or to the end of the connection for HTTP/1.0.

Stands in for aiohttp's StreamResponse, as response.py. Touches the connection's writer. Invariants
  S1  a body that breaks off is never taken for a whole one: the connection ends without the last chunk
  S2  the client sets the pace: a piece is asked for when the one before is with the transport, and a client that takes
      nothing for `send_s` is dropped, one that is merely slow is not
  S3  the stream is closed, whatever happens
Source: RFC 9112, 7.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .response import head_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import BaseRequest

    from ..request import RawResponse, Stream
    from .protocol import EdgeProtocol
    from .response import Heads

LAST = b"0\r\n\r\n"


class StreamedResponse:
    """What the protocol sends."""

    __slots__ = ("_chunked", "_head", "_report", "_stream", "keep_alive")

    def __init__(
        self, response: RawResponse, heads: Heads, *, close: bool, old: bool, namespace: str | None,
        report: Callable[[str, BaseException | None], None],
    ) -> None:  # fmt: skip
        assert response.stream is not None
        self._stream: Stream = response.stream
        self._chunked = not old
        self._report = report
        self.keep_alive = not (close or old)
        lines = head_lines(response, heads, close=not self.keep_alive, namespace=namespace)
        self._head = b"".join([*lines, b"\r\n" if old else b"Transfer-Encoding: chunked\r\n\r\n"])

    def __repr__(self) -> str:
        return "<StreamedResponse>"

    async def prepare(self, request: BaseRequest) -> None:
        """Head and body are with the transport. Raises ConnectionError if client or body broke off."""
        writer, protocol = request.writer, cast("EdgeProtocol", request.protocol)
        try:
            await writer.write(self._head)
            async for part in self._stream.parts():
                if part:
                    await writer.write(b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part)
                    protocol.send_since = None  # S2: it took something
            if self._chunked:
                await writer.write(LAST)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - S1: whatever it is, the client must see that it is not all
            self._report("request failed", error)
            if protocol.transport is not None:
                protocol.transport.abort()
            raise ConnectionError("an answer broke off") from None
        finally:
            self._stream.close()

    async def write_eof(self) -> None:
        """The transport takes more: the next request of this connection may be answered."""
