"""One client connection: aiohttp's protocol with our parser, our errors and our clocks.

Touches the transport. Uses private names of aiohttp 3.14 (`PRIVATE_NAMES`; a test holds that they exist): the parser
can be wrapped, and errors answered with fixed bodies, in no public way. Invariants: nothing that aiohttp says about a
request, in an answer or in a log, passes here; when a request is answered, its connection holds nothing of its head.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestPayloadError, _ErrInfo

from ..request import RawResponse
from .errors import WIRE_TEXTS, HeadTooLargeError, WireRefusal
from .headers import Peer, plain_address
from .limits import Limited
from .listparser import ListParser, Messages
from .render import errors_body
from .response import WireResponse, wire_bytes
from .tls import presented

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .accept import Slot
    from .server import Edge

PRIVATE_NAMES = (
    "_parser", "_messages", "_reading_paused", "_buffer_paused", "_paused", "_request_in_progress", "_current_request",
    "_pause_transport_reading", "_resume_transport_reading", "_close", "_force_close", "_waiter",
    "_next_keepalive_close_time", "_keepalive_timeout", "_handle_request",
)  # fmt: skip


class EagerParser(ListParser):
    """Keeps back the one message that its connection has answered already: the queue and its task never see it."""

    __slots__ = ()

    def feed_data(self, data: bytes) -> tuple[Messages, bool, bytes]:
        """See ListParser."""
        fed = super().feed_data(data)
        messages = fed[0]
        if len(messages) == 1 and self.between and self._protocol.answer_now(*messages[0]):
            self.message_consumed()
            messages.clear()
        messages[:] = [(_emptiable(message), payload) for message, payload in messages]
        return fed


class EdgeProtocol(RequestHandler):
    """A connection. `head_since`, `body_since`, `send_since` are boot seconds, None while that is not awaited."""

    __slots__ = ("body_received", "body_since", "edge", "head_since", "held", "peer", "send_since", "slot")

    def __init__(self, edge: Edge, slot: Slot, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(edge.manager, loop=loop, **options)
        self.edge = edge
        self.slot = slot
        self.head_since: float | None = None
        self.body_since: float | None = None
        self.body_received = 0
        self.send_since: float | None = None
        self.held = False
        self.peer = Peer("", 0, "")
        self._parser = cast(
            "Any",
            EagerParser(
                self._parser, self, head_bytes_max=edge.limits.header_bytes, queue_max=MAX_MSG_QUEUE_SIZE,
                fresh=partial(
                    HttpRequestParser, self, loop, options["read_bufsize"], max_line_size=options["max_line_size"],
                    max_field_size=options["max_field_size"], max_headers=options["max_headers"],
                    payload_exception=RequestPayloadError, auto_decompress=False, max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
                ),
            ),
        )  # fmt: skip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol. The head's clock starts."""
        super().connection_made(transport)
        address, port = transport.get_extra_info("peername")[:2]
        local = transport.get_extra_info("sockname")[0]
        secure = transport.get_extra_info("sslcontext") is not None
        certificate = presented(transport.get_extra_info("ssl_object")) if secure else b""
        self.peer = Peer(plain_address(address), port, plain_address(local), secure, certificate)
        self.head_since = self.edge.clock.boot()
        if self.edge.turns.admission.paused:
            self.hold()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. The head's clock runs while a head is incomplete."""
        parser = cast("ListParser | None", self._parser)
        if parser is not None and parser.between and self._answered(self.edge.answer_hot, data):
            self.head_since = None
            return
        super().data_received(data)
        parser = cast("ListParser | None", self._parser)
        if parser is None or not parser.in_head:
            self.head_since = None
        elif self.head_since is None:
            self.head_since = self.edge.clock.boot()

    def answer_now(self, message: Any, payload: Any) -> bool:
        """Whether the message is answered, and its bytes leave in this turn; else nothing has happened."""
        return payload is EMPTY_PAYLOAD and self._answered(self.edge.answer_now, message)

    def _answered(self, answer: Callable[[Any, EdgeProtocol], bytes | None], request: Any) -> bool:
        """Only while the connection waits for a message and its client reads: so answers keep their order, and
        whatever waits, has a body, or ends the connection goes the ordinary way.
        """
        waiter = self._waiter
        if waiter is None or waiter.done() or self._paused or self.held:
            return False
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        data = answer(request, self)
        if data is None:
            return False
        self.edge.send_soon(transport, data)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    async def _handle_request(self, request: BaseRequest, *more: Any) -> Any:
        """See RequestHandler, whose loop holds the request until the next one comes: from here on without its token."""
        try:
            return await super()._handle_request(request, *more)
        finally:
            _empty(request._message)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol. The address has a connection less."""
        self.slot.release()
        super().connection_lost(exc)

    def force_close(self) -> None:
        """See RequestHandler. An answer that is due leaves before."""
        self.edge.send_now()
        super().force_close()

    def hold(self) -> None:
        """Nothing more is read from this client until `unhold`."""
        self.held = True
        self._pause_transport_reading()

    def unhold(self) -> None:
        """Reading goes on, unless a buffer of this connection is full; clocks start again, the delay was ours."""
        self.held = False
        now = self.edge.clock.boot()
        self.head_since = None if self.head_since is None else now
        self.body_since = None if self.body_since is None else now
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        if not self.held:
            super()._resume_transport_reading()

    @property
    def idle(self) -> bool:
        """Whether no request is in work, waiting or arriving."""
        parser = cast("ListParser | None", self._parser)
        return not self._request_in_progress and not self._messages and (parser is None or not parser.in_head)

    def overdue(self, now: float) -> bool:
        """Whether the client has taken longer than the limits allow: with its head, its body, or reading an answer."""
        limits = self.edge.limits
        if self.writing_paused:
            self.send_since = now if self.send_since is None else self.send_since
        else:
            self.send_since = None
        if self.send_since is not None and now - self.send_since > limits.send_s:
            return True
        if self.held:
            return False
        if self.head_since is not None and now - self.head_since > limits.head_timeout_s:
            return True
        due_s = limits.body_grace_s + self.body_received / limits.body_rate_min_bytes_s
        return self.body_since is not None and now - self.body_since > due_s

    def expire(self) -> None:
        """The connection ends; 408 says so where it is the next answer the client expects.

        Never while an earlier request is in work: its client would take 408 for the outcome of a write.
        """
        self.edge.send_now()  # what is answered stands before a 408
        transport = self.transport
        if transport is None:
            return
        if self.writing_paused:
            transport.abort()
            return
        in_work = self._request_in_progress or bool(self._messages)
        if self.body_since is not None or not (in_work or self.idle):
            transport.write(self._fixed(408))
        self.force_close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """A fixed body for whatever went wrong in or below aiohttp; the record has type and place."""
        del message  # it quotes the offending line
        if isinstance(exc, (HeadTooLargeError, LineTooLong)):
            self.edge.limited(Limited.HEAD, self.peer.address)
        if isinstance(exc, WireRefusal):
            status = exc.code
        self.edge.report("request refused" if status < 500 else "request failed", exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        return cast("StreamResponse", WireResponse(self._fixed(status), keep_alive=False))

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """See RequestHandler. Its report, without the text."""
        del args
        error = kw.get("exc_info")
        self.edge.report("connection failed", error if isinstance(error, BaseException) else None)

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Nothing: aiohttp's debug lines are about single requests."""

    def _fixed(self, status: int) -> bytes:
        body = errors_body(WIRE_TEXTS.get(status, WIRE_TEXTS[400]))
        return wire_bytes(RawResponse(status, body), self.edge.heads, close=True)


class Manager(Server):
    """aiohttp's registry of connections; ours are made by the acceptor."""

    _changed: asyncio.Future[None] | None = None

    async def empty(self) -> None:
        """Returns when no connection is left."""
        while self._connections:
            self._changed = self._loop.create_future()
            await self._changed

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """See Server. Whoever waits for the last connection looks again."""
        task = handler._task_handler
        super().connection_lost(handler, exc)
        if task is None:
            self._look_again()
        else:
            task.add_done_callback(self._look_again)  # behind the callback that forgets the connection

    def _look_again(self, _task: asyncio.Task[None] | None = None) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    @property
    def protocols(self) -> list[EdgeProtocol]:
        """The open connections."""
        return [cast("EdgeProtocol", connection) for connection in self.connections]


def _emptiable(message: Any) -> Any:
    """The same message with headers that can be taken out of it; an error as it is."""
    if isinstance(message, _ErrInfo):
        return message
    return message._replace(headers=message.headers.copy(), raw_headers=list(message.raw_headers))


def _empty(message: Any) -> None:
    """Nothing is left of the headers of a message that is `_emptiable`."""
    if isinstance(message.raw_headers, list):
        message.headers.clear()
        message.raw_headers.clear()
