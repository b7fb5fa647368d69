"""Vault's methods LIST, SCAN and HELP before a parser that does not know them.

aiohttp's C parser (llhttp) answers 400 to unknown methods. This wrapper feeds it one message at a time and rewrites
the method of a message on the way in, and back on the way out. Touches nothing but the parser it wraps.

Invariants
  P1  a rewrite happens at the first byte of a message only, and where a message ends is what the parser says: the
      bytes given to it never reach past a possible end (the blank line of a head, the announced length, a blank
      line in a chunked body)
  P2  the stand-ins never come from the wire: LINK, UNLINK, COPY and MOVE are refused
  P3  an unknown method reaches no parser; the connection ends with 405
  P4  at most one message comes out of one step, and only at the end of its head; anything else is refused
  P5  once a message is whole, nothing here holds its head: the parser keeps it until the next one, and is made anew

Source: hvac and curl users send `LIST`, OpenBao's CLI `SCAN`; RFC 9112 2.2 and 7.1 for the ends of messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestPayloadError, _ErrInfo

from .errors import HeadTooLargeError, MalformedError, UnknownMethodError, VersionError

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_END = b"\r\n\r\n"
REWRITES = {b"LIST": b"LINK", b"SCAN": b"COPY", b"HELP": b"MOVE"}
RESTORES = {"LINK": "LIST", "COPY": "SCAN", "MOVE": "HELP"}
PASSED = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"})
REFUSED = frozenset({*REWRITES.values(), b"UNLINK"})
VERSIONS = frozenset({(1, 0), (1, 1)})
METHOD_BYTES_MAX = 16
BLANK_LINES_MAX = 2
CUTS_MAX = 64
"""Possible ends tried in one chunk of a chunked body: a body full of blank lines must not cost a call for each."""
_METHOD = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,16}")  # METHOD_BYTES_MAX

START, HEAD, BODY, CHUNKED, OVER = range(5)
Messages = list[tuple[Any, Any]]


class ListParser:
    """A parser for aiohttp's RequestHandler, with the methods of Vault's API. `fresh` makes a parser like the first."""

    __slots__ = (
        "_blank_lines", "_edge", "_fresh", "_head_bytes", "_head_bytes_max", "_held", "_in_flight", "_last", "_parser",
        "_payload", "_protocol", "_queue_max", "_remaining", "_rewritten", "_stalled", "_state",
    )  # fmt: skip

    def __init__(
        self, parser: Any, protocol: Any, *, head_bytes_max: int, queue_max: int, fresh: Callable[[], Any] | None = None
    ) -> None:
        self._parser = parser
        self._fresh = fresh
        self._protocol = protocol
        self._head_bytes_max = head_bytes_max
        self._queue_max = queue_max
        self._state = START
        self._held = b""  # bytes of ours that the parser has not seen
        self._edge = b""  # the last bytes it has seen, for an end that two segments share
        self._head_bytes = 0
        self._blank_lines = 0
        self._rewritten = False
        self._payload: Any = None
        self._remaining = 0
        self._stalled = False  # the parser keeps bytes back because the reader of the body is slow
        self._in_flight = 0
        self._last = False  # the message in hand ends the connection

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and not ended."""
        begun = self._state == START and bool(self._held or self._blank_lines) and self._in_flight < self._queue_max
        return begun or self._state == HEAD

    @property
    def between(self) -> bool:
        """Whether the last message is whole, leaves the connection open, and nothing of another one has come."""
        return self._state == START and not self._held and not self._stalled

    def feed_data(self, data: bytes) -> tuple[Messages, bool, bytes]:
        """Messages whose head is complete; the last one is an error if the bytes are no request. Never raises.

        An error stands in the queue behind the requests that came before it, so that those are answered first.
        """
        messages: Messages = []
        try:
            self._feed(bytes(data), messages)
        except Exception as error:  # noqa: BLE001 - whatever a parser raises means that these bytes are refused
            if self._payload is not None and not self._payload.is_eof():
                self._payload.set_exception(RequestPayloadError())  # else its reader waits for ever
            self._state = OVER
            messages.append((_ErrInfo(400, error, ""), EMPTY_PAYLOAD))
        return messages, False, b""

    def message_consumed(self) -> None:
        """A message has left the queue: another may be parsed."""
        self._in_flight = max(0, self._in_flight - 1)
        self._parser.message_consumed()

    def pause_reading(self) -> None:
        """The reader of the body is full."""
        self._parser.pause_reading()

    def feed_eof(self) -> Any:
        """The client has stopped sending."""
        return self._parser.feed_eof()

    def set_upgraded(self, _upgraded: bool) -> None:
        """No connection is ever upgraded."""

    def _feed(self, data: bytes, messages: Messages) -> None:
        if self._stalled and not self._protocol._reading_paused:
            self._stalled = False
            self._body_step(b"")  # the parser goes on with what it kept back
        if self._held:
            data, self._held = self._held + data, b""
        while data:
            if self._protocol._reading_paused:
                self._stalled, self._held = True, data
                return
            if self._state == START:
                data = self._start(data)
            elif self._state == HEAD:
                data = self._head(data, messages)
            elif self._state == BODY:
                data = self._body(data)
            elif self._state == CHUNKED:
                data = self._chunked(data)
            else:
                return  # behind the last message of this connection
        if self._protocol._reading_paused:
            self._stalled = True

    def _start(self, data: bytes) -> bytes:
        if self._in_flight >= self._queue_max:
            self._held = data
            return b""
        while data.startswith(b"\r\n"):
            self._blank_lines += 1
            if self._blank_lines > BLANK_LINES_MAX:
                raise MalformedError
            data = data[2:]
        space = data.find(b" ", 0, METHOD_BYTES_MAX + 1)
        if space < 0:
            if data not in {b"", b"\r"} and not _METHOD.fullmatch(data):
                raise MalformedError
            self._held = data
            return b""
        if len(data) == space + 1:
            self._held = data
            return b""
        if data[space + 1] in b" \t":
            raise MalformedError  # one parser skips a second blank, another does not
        method = data[:space]
        self._rewritten = method in REWRITES
        if self._rewritten:
            data = REWRITES[method] + data[space:]
        elif method not in PASSED:
            raise UnknownMethodError if _METHOD.fullmatch(method) and method not in REFUSED else MalformedError
        self._state, self._edge, self._head_bytes = HEAD, b"", 0
        return data

    def _head(self, data: bytes, messages: Messages) -> bytes:
        joined = self._edge + data
        at = joined.find(HEAD_END)
        cut = len(data) if at < 0 else at + len(HEAD_END) - len(self._edge)
        self._head_bytes += cut
        if self._head_bytes > self._head_bytes_max:
            raise HeadTooLargeError
        found, upgraded, tail = self._parser.feed_data(data[:cut])
        if at < 0:
            if found:
                raise MalformedError
            self._edge = joined[-3:]
            return b""
        if len(found) != 1 or upgraded or tail:
            raise MalformedError
        message, self._payload = found[0]
        if message.version not in VERSIONS:
            raise VersionError
        if self._rewritten:
            message = message._replace(method=RESTORES[message.method])
        messages.append((message, self._payload))
        self._in_flight += 1
        self._blank_lines = 0
        if self._payload.is_eof():
            self._end(last=message.should_close)
        elif message.chunked:
            self._state, self._edge = CHUNKED, b""
        else:
            self._state, self._remaining = BODY, int(message.headers["Content-Length"])
        self._last = message.should_close
        return data[cut:]

    def _body(self, data: bytes) -> bytes:
        piece = data[: self._remaining]
        if not piece:
            raise MalformedError  # the parser wants more than was announced
        self._remaining -= len(piece)
        self._body_step(piece)
        return data[len(piece) :]

    def _chunked(self, data: bytes) -> bytes:
        for _ in range(CUTS_MAX):
            joined = self._edge + data
            at = joined.find(HEAD_END)
            if at < 0:
                self._edge = joined[-3:]
                if self._body_step(data):
                    raise MalformedError  # an end without a blank line
                return b""
            cut = at + len(HEAD_END) - len(self._edge)
            self._edge = joined[at + 1 : at + len(HEAD_END)]
            piece, data = data[:cut], data[cut:]
            if self._body_step(piece) or not data or self._protocol._reading_paused:
                return data
        self._edge = data[-3:]
        if self._body_step(data) and not data.endswith(HEAD_END):
            raise MalformedError  # it ended somewhere inside: what follows could be read as a message, or not
        return b""

    def _body_step(self, piece: bytes) -> bool:
        """Give the parser bytes of a body; whether the message ended with them."""
        found, upgraded, tail = self._parser.feed_data(piece)
        if found or upgraded or tail:
            raise MalformedError
        if not self._payload.is_eof():
            return False
        self._end(last=self._last)
        return True

    def _end(self, *, last: bool) -> None:
        """The message is whole (P5)."""
        self._state = OVER if last else START
        if self._fresh is not None:
            self._parser = self._fresh()
