"""The HTTP server: listeners, clocks, limits and the one handler behind them.

A shell around the pure parts: reads a request within its limits, hands it to the handler, writes the answer. Touches
sockets and the loop. Invariants: a request is refused or handed over, never both; every admitted request leaves; an
exception of the handler becomes a fixed 500 and a record of type and place; a FatalError gets no answer at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..request import RawRequest, RawResponse, Refusal
from .accept import Acceptor, Slot
from .admission import Turns
from .errors import BodyTooLargeError, BrokenBodyError, EdgeRefusal, OverloadError
from .headers import Trust
from .hot import Hosts, Hot, fits, match
from .limits import Limited
from .parse import BODIES, Head, Wire, complete, parse_head
from .protocol import EdgeProtocol, Manager
from .quiet import describe, quiet_libraries
from .render import errors_body, refused
from .response import Heads, WireResponse, plain_bytes, wire_bytes
from .seams import Clock, Random, RequestIds
from .streaming import StreamedResponse
from .upload import CONTINUE, Upload

if TYPE_CHECKING:
    import ssl

    from aiohttp.web import BaseRequest, StreamResponse

    from .limits import HttpLimits

Handler = Callable[[RawRequest], Awaitable[RawResponse]]
Limiting = Callable[[Limited, str], None]
SWEEP_S = 1.0
LAG_CHECK_S = 0.05
READ_BUFFER_BYTES = 1 << 16
AT_ONCE = frozenset({"GET", "LIST", "SCAN"})
"""Methods whose answer may need no wait."""
EXEMPT_PATHS = frozenset({"sys/health", "/livez", "/readyz", "/startupz"})
"""Answered however busy the node is: who probes must tell overload from death."""

UPLOAD_PATHS = frozenset({"sys/storage/raft/snapshot", "sys/storage/raft/snapshot-force"})
"""A body that is sent there is no JSON, and large: it is read by the handler, if at all (upload.py)."""


class AtOnce(Protocol):
    """A handler beside the ordinary one, of requests that wait for nothing."""

    def begin(self) -> Any:
        """What requests of this turn can be answered from; None if nothing can."""
        ...

    def answer(self, request: RawRequest, state: Any) -> RawResponse | None:
        """The answer from what `begin` gave; None, and nothing has happened, for what the ordinary handler must do."""
        ...

    def read(self, request: Hot, request_id: str, address: str, state: Any) -> RawResponse | None:
        """As `answer`, for a plain GET: the answer `answer` would give, or None."""
        ...


class Edge:
    """What the connections of one server share."""

    def __init__(
        self, limits: HttpLimits, clock: Clock, trust: Trust, loop: asyncio.AbstractEventLoop, logger: logging.Logger,
        *, secure: bool,
    ) -> None:  # fmt: skip
        self.limits = limits
        self.clock = clock
        self.trust = trust
        self.turns = Turns(limits, loop)
        self.heads = Heads(clock.wall_ns, secure=secure)
        self.manager: Manager = cast("Manager", None)
        self.answer_now: Callable[[Any, EdgeProtocol], bytes | None] = lambda _message, _protocol: None
        self.answer_hot: Callable[[bytes, EdgeProtocol], bytes | None] = lambda _data, _protocol: None
        self.limited: Limiting = lambda _limit, _address: None
        self._loop = loop
        self._unsent: list[tuple[asyncio.Transport, bytes]] = []
        self._logger = logger

    def send_soon(self, transport: asyncio.Transport, data: bytes) -> None:
        """The bytes leave behind this turn's other answers, all in a row: a client is woken once, not for each."""
        if not self._unsent:
            self._loop.call_soon(self.send_now)
        self._unsent.append((transport, data))

    def send_now(self) -> None:
        """Whatever was to be sent soon is with its transport."""
        unsent, self._unsent = self._unsent, []
        for transport, data in unsent:
            if not transport.is_closing():
                transport.write(data)

    def report(self, what: str, error: BaseException | None) -> None:
        """One record: what happened, type and place of the error."""
        level = logging.ERROR if what == "request failed" else logging.DEBUG
        self._logger.log(level, "http: %s: %s", what, "no error" if error is None else describe(error))


class HttpServer:
    """One listener and its handler. Use: `await start(...)`, later `await stop(drain_s)`."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: HttpLimits,
        clock: Clock,
        random: Random,
        trust: Trust | None = None,
        ssl_context: ssl.SSLContext | None = None,
        listener: str = "main",
        on_fatal: Callable[[BaseException], None] | None = None,
        at_once: AtOnce | None = None,
        on_limited: Limiting | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._clock = clock
        self._ids = RequestIds(random)
        self._trust = trust or Trust()
        self._hosts = Hosts(self._trust)
        self._ssl = ssl_context
        self._listener = listener
        self._on_fatal = on_fatal
        self._at_once = at_once
        self._on_limited = on_limited
        self._logger = logger or logging.getLogger("strongroom.http")
        self._timers: list[asyncio.TimerHandle] = []
        self._expected_lag_check = 0.0
        self.draining = False

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Requests are served on the address; returns it with the port in use. Raises OSError."""
        quiet_libraries()
        self._loop = loop = asyncio.get_running_loop()
        self.edge = Edge(self._limits, self._clock, self._trust, loop, self._logger, secure=self._ssl is not None)
        self.edge.manager = Manager(self._serve, loop=loop)
        self.edge.answer_now = self._answer_now
        if self._on_limited is not None:
            self.edge.limited = self._on_limited
        if self._at_once is not None and fits(self._limits):
            self.edge.answer_hot = self._answer_hot
        self.acceptor = Acceptor(
            self._protocol,
            limits=self._limits,
            clock=self._clock,
            loop=loop,
            ssl_context=self._ssl,
            is_exempt=self._trust.is_proxy,
            report=self.edge.report,
            limited=self.edge.limited,
        )
        bound = await self.acceptor.listen(host, port)
        self._expected_lag_check = self._clock.boot() + LAG_CHECK_S
        self._timers = [
            loop.call_later(SWEEP_S, self._sweep_again),
            loop.call_later(LAG_CHECK_S, self._check_lag_again),
        ]
        return bound

    def use(self, ssl_context: ssl.SSLContext) -> None:
        """Connections that begin from now on are shown its certificate; those that stand go on."""
        self._ssl = self.acceptor.ssl_context = ssl_context

    async def stop(self, drain_s: float) -> None:
        """No connection is left. Requests in work are answered if that takes no more than `drain_s`."""
        self.draining = True
        await self.acceptor.close()
        for protocol in self.edge.manager.protocols:
            if protocol.idle:
                protocol.force_close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.edge.manager.empty(), drain_s)
        await self.edge.manager.shutdown(0.1)
        for timer in self._timers:
            timer.cancel()

    def sweep(self) -> None:
        """Clients that take longer than the limits allow are gone."""
        self.acceptor.sweep()
        now = self._clock.boot()
        for protocol in self.edge.manager.protocols:
            if protocol.overdue(now):
                self.edge.limited(Limited.TIME, protocol.peer.address)
                protocol.expire()

    def observe_lag(self, lag_s: float) -> None:
        """The loop was found `lag_s` late: reading from clients pauses or goes on."""
        admission = self.edge.turns.admission
        before = admission.paused
        after = admission.observe(lag_s)
        if before == after:
            return
        (self.acceptor.pause if after else self.acceptor.resume)()
        for protocol in self.edge.manager.protocols:
            (protocol.hold if after else protocol.unhold)()

    def _sweep_again(self) -> None:
        self._timers[0] = self._loop.call_later(SWEEP_S, self._sweep_again)
        self.sweep()

    def _check_lag_again(self) -> None:
        now = self._clock.boot()
        self.observe_lag(now - self._expected_lag_check)
        self._expected_lag_check = now + LAG_CHECK_S
        self._timers[1] = self._loop.call_later(LAG_CHECK_S, self._check_lag_again)

    def _protocol(self, slot: Slot) -> asyncio.BaseProtocol:
        return EdgeProtocol(
            self.edge,
            slot,
            loop=self._loop,
            keepalive_timeout=self._limits.keepalive_s,
            access_log=None,
            logger=self._logger,
            max_line_size=self._limits.line_bytes,
            max_field_size=self._limits.line_bytes,
            max_headers=self._limits.headers,
            auto_decompress=False,
            lingering_time=self._limits.linger_s,
            read_bufsize=READ_BUFFER_BYTES,
        )

    async def _serve(self, request: BaseRequest) -> StreamResponse:
        """The one handler aiohttp knows."""
        protocol = cast("EdgeProtocol", request.protocol)
        close = not request.keep_alive
        head: Head | None = None
        try:
            head = parse_head(_wire(request), protocol.peer, self._trust, self._limits)
            response = await self._admitted(request, protocol, head)
        except Refusal as refusal:
            close = close or (isinstance(refusal, EdgeRefusal) and refusal.close)
            self._count(refusal, protocol, head)
            response = self._refused(refusal, head)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the last handler: whatever it is, the client gets a fixed 500
            response = self._failed(error)
        except BaseException as error:
            self._fatal(protocol, error)
            raise
        close = close or self.draining
        if response.stream is not None:
            return cast("StreamResponse", self._streamed(response, request, head, close=close))
        data = wire_bytes(
            response,
            self.edge.heads,
            close=close,
            old=request.version.minor == 0,
            head_only=request.method == "HEAD",
            namespace=head.facts.namespace if head is not None else None,
        )
        return cast("StreamResponse", WireResponse(data, keep_alive=not close))

    def _streamed(
        self, response: RawResponse, request: BaseRequest, head: Head | None, *, close: bool
    ) -> StreamedResponse:
        return StreamedResponse(
            response, self.edge.heads, close=close, old=request.version.minor == 0,
            namespace=head.facts.namespace if head is not None else None, report=self.edge.report,
        )  # fmt: skip

    def _answer_now(self, message: Any, protocol: EdgeProtocol) -> bytes | None:
        """As `_serve`, for a message that is answered in this turn. None, and nothing has happened, for any other.

        What the edge would refuse, or make wait, goes the ordinary way: the rules about it stand there.
        """
        at_once = self._at_once
        if at_once is None or self.draining or message.method not in AT_ONCE or message.version != (1, 1):
            return None
        turns, peer = self.edge.turns, protocol.peer
        state = at_once.begin()
        if state is None or not turns.admission.may_pass(peer.address):
            return None
        head: Head | None = None
        try:
            wire = Wire(message.method, message.path, message.version, message.raw_headers, 0)
            head = parse_head(wire, peer, self._trust, self._limits)
            if head.facts.remote_address != peer.address:
                return None  # a proxy's: another address to count
            request = complete(head, b"", self._ids.next(), peer, self._listener, self._limits)
            response = at_once.answer(request, state)
        except Refusal:
            return None
        except Exception as error:  # noqa: BLE001 - as in `_serve`
            response = self._failed(error)
        except BaseException as error:
            self._fatal(protocol, error)
            raise
        if response is None:
            return None
        turns.passed()
        namespace = None if head is None else head.facts.namespace
        return wire_bytes(response, self.edge.heads, close=False, namespace=namespace)

    def _answer_hot(self, data: bytes, protocol: EdgeProtocol) -> bytes | None:
        """As `_answer_now`, from the bytes of a plain GET."""
        at_once = self._at_once
        assert at_once is not None
        turns, peer = self.edge.turns, protocol.peer
        if self.draining or (state := at_once.begin()) is None or not turns.admission.may_pass(peer.address):
            return None
        hot = match(data)
        if hot is None or not self._hosts.knows(hot.host, peer):
            return None
        try:
            response = at_once.read(hot, self._ids.next(), peer.address, state)
        except Exception as error:  # noqa: BLE001 - as in `_serve`
            response = self._failed(error)
        except BaseException as error:
            self._fatal(protocol, error)
            raise
        if response is None:
            return None
        turns.passed()
        return plain_bytes(response, self.edge.heads)

    def _failed(self, error: Exception) -> RawResponse:
        self.edge.report("request failed", error)
        return RawResponse(500, errors_body(["internal error"]))

    def _fatal(self, protocol: EdgeProtocol, error: BaseException) -> None:
        protocol.force_close()
        if self._on_fatal is not None:
            self._on_fatal(error)

    async def _admitted(self, request: BaseRequest, protocol: EdgeProtocol, head: Head) -> RawResponse:
        address = head.facts.remote_address
        await self.edge.turns.enter(address, exempt=head.path in EXEMPT_PATHS)
        try:
            is_upload = head.path in UPLOAD_PATHS and head.method in BODIES
            raw = b"" if is_upload else await self._body(request, protocol, head)
            made = complete(head, raw, self._ids.next(), protocol.peer, self._listener, self._limits)
            if is_upload:
                made.upload = Upload(
                    request.content, protocol, self._clock.boot, length=request.content_length,
                    wants_continue=head.wants_continue,
                )  # fmt: skip
            return await self._handler(made)
        finally:
            self.edge.turns.leave(address)

    async def _body(self, request: BaseRequest, protocol: EdgeProtocol, head: Head) -> bytes:
        if (request.content_length or 0) > self._limits.body_bytes:
            raise BodyTooLargeError
        content = request.content
        if content.at_eof():
            return b""
        if head.wants_continue and protocol.transport is not None and not content.total_bytes:
            protocol.transport.write(CONTINUE)
        protocol.body_since, protocol.body_received = self._clock.boot(), 0
        parts: list[bytes] = []
        try:
            while protocol.body_received <= self._limits.body_bytes and (part := await content.readany()):
                parts.append(part)
                protocol.body_received += len(part)
        except Exception:  # noqa: BLE001 - aiohttp has many names for a client that broke off
            raise BrokenBodyError from None
        finally:
            protocol.body_since = None
        if protocol.body_received > self._limits.body_bytes:
            raise BodyTooLargeError
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _count(self, refusal: Refusal, protocol: EdgeProtocol, head: Head | None) -> None:
        if isinstance(refusal, EdgeRefusal) and refusal.limit is not None:
            self.edge.limited(refusal.limit, protocol.peer.address if head is None else head.facts.remote_address)

    def _refused(self, refusal: Refusal, head: Head | None) -> RawResponse:
        if isinstance(refusal, OverloadError):
            return refused(refusal, applied="no", write_id=head.facts.write_id if head is not None else None)
        return refused(refusal)


def _wire(request: BaseRequest) -> Wire:
    message: Any = request._message
    body_bytes = None if message.chunked else request.content_length or 0
    return Wire(message.method, message.path, tuple(message.version), message.raw_headers, body_bytes)
