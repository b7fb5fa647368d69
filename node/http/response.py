"""A finished answer on its way to the socket: head and body in one write.

Stands in for aiohttp's StreamResponse, of which the protocol uses `prepare`, `write_eof` and `keep_alive` only:
building a `web.Response` costs more than everything else a read does. Touches the connection's writer, nothing else.
Invariants: a header never contains a line break; 204 and HEAD have no body; every answer says `no-store`.
Source: RFC 9110 and 9112; Vault API, "Response headers".
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import BaseRequest

    from ..request import RawResponse

NS_PER_S = 1_000_000_000
PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
BODILESS = frozenset({204, 304})


class Heads:
    """The first lines of answers, rendered once a second for each status and content type."""

    def __init__(self, wall_ns: Callable[[], int], *, secure: bool) -> None:
        self._wall_ns = wall_ns
        self._common = b"Cache-Control: no-store\r\n"
        if secure:
            self._common += b"Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
        self._second = -1
        self._cache: dict[tuple[int, str], bytes] = {}

    def first_lines(self, status: int, content_type: str) -> bytes:
        """Status line, Date, Content-Type and what every answer has, each line ended."""
        second = self._wall_ns() // NS_PER_S
        if second != self._second:
            self._second = second
            self._cache.clear()
        lines = self._cache.get((status, content_type))
        if lines is None:
            phrase = PHRASES.get(status, b"Status")
            lines = b"HTTP/1.1 %d %b\r\nDate: %b\r\n%b%b" % (
                status,
                phrase,
                formatdate(second, usegmt=True).encode("ascii"),
                self._common,
                header_line("Content-Type", content_type) if content_type else b"",
            )
            self._cache[status, content_type] = lines
        return lines


def header_line(name: str, value: str) -> bytes:
    """One header line. Raises ValueError if it would be more than one."""
    if not value.isprintable() or not name.isprintable() or ":" in name:
        raise ValueError("a header with a line break or a control character")
    return f"{name}: {value}\r\n".encode("latin-1", "replace")


def wire_bytes(
    response: RawResponse,
    heads: Heads,
    *,
    close: bool,
    old: bool = False,
    head_only: bool = False,
    namespace: str | None = None,
) -> bytes:
    """Everything that goes on the wire. `old`: HTTP/1.0, which must be told if the connection stays."""
    lines = head_lines(response, heads, close=close, old=old, namespace=namespace)
    if response.status in BODILESS:
        lines.append(b"\r\n")
    else:
        lines.append(b"Content-Length: %d\r\n\r\n" % len(response.body))
        if not head_only:
            lines.append(response.body)
    return b"".join(lines)


def head_lines(
    response: RawResponse, heads: Heads, *, close: bool, old: bool = False, namespace: str | None = None
) -> list[bytes]:
    """The head but for what says how long the body is."""
    lines = [heads.first_lines(response.status, response.content_type), response.lines]
    if response.headers:
        lines.extend(header_line(name, value) for name, value in response.headers)
    if namespace is not None:
        lines.append(header_line("X-Vault-Namespace", namespace))
    if close:
        lines.append(b"Connection: close\r\n")
    elif old:
        lines.append(b"Connection: keep-alive\r\n")
    return lines


def plain_bytes(response: RawResponse, heads: Heads) -> bytes:
    """As `wire_bytes`, for an answer with a body and `lines` alone, on a connection that stays."""
    first = heads.first_lines(response.status, response.content_type)
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (first, response.lines, len(response.body), response.body)


class WireResponse:
    """What the protocol sends: `data` once, then the connection stays or not."""

    __slots__ = ("_data", "keep_alive")

    def __init__(self, data: bytes, *, keep_alive: bool) -> None:
        self._data = data
        self.keep_alive = keep_alive

    def __repr__(self) -> str:
        return f"<WireResponse {len(self._data)} bytes>"

    async def prepare(self, request: BaseRequest) -> None:
        """Head and body are with the transport. Raises ConnectionError if the client has gone."""
        data, self._data = self._data, b""
        await request.writer.write(data)

    async def write_eof(self) -> None:
        """The transport takes more: the next request of this connection may be answered."""
