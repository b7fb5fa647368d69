"""One proxied connection: two ends, and a way for the bytes of each direction. Moves bytes, decides nothing.

Invariants
  P1  bytes reach the other end in order, when they are due, and never after `lose`
  P2  an end that is closed closes the other when everything before it has arrived
  P3  what waits is bounded: a full way stops reading, and so the sender
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from .shape import Shape

WRITE_BUFFER_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no seconds


class Watcher(Protocol):
    """Told of what happens to a passage."""

    def ended(self, passage: Passage) -> None: ...  # noqa: D102 - both ends are closed, told once


class Way:
    """Bytes of one direction: from `push` to the sink, when they are due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shape: Shape) -> None:
        self.shape = shape
        self.source: End
        self.sink: End
        self.waiting_bytes = 0
        self.carried_bytes = 0
        self.blocked = False  # the sink's socket is full
        self._loop = loop
        self._queue: deque[tuple[float, bytes]] = deque()  # b"" is the end
        self._timer: asyncio.TimerHandle | None = None

    def push(self, data: bytes) -> None:
        """Bytes, or b"": the source has closed."""
        self._queue.append((self.shape.due_s(self._loop.time(), len(data)), data))
        self.waiting_bytes += len(data)
        if self.waiting_bytes > self.shape.flight_bytes_max:
            self.source.pause()
        self.deliver()

    def deliver(self) -> None:
        """Everything that is due has gone on (P1)."""
        now_s = self._loop.time()
        while self._queue and not self.shape.cut and not self.blocked and self.sink.open:
            due_s, data = self._queue[0]
            if due_s > now_s:
                if self._timer is None:
                    self._timer = self._loop.call_at(due_s, self._due)
                break
            self._queue.popleft()
            self.waiting_bytes -= len(data)
            self.carried_bytes += len(data)
            if data:
                self.sink.write(data)
            else:
                self.sink.close()
        if self.waiting_bytes <= self.shape.flight_bytes_max // 2:
            self.source.resume()

    def _due(self) -> None:
        self._timer = None
        self.deliver()

    def lose(self) -> int:
        """What is under way never arrives; how many bytes that were."""
        lost_bytes = self.waiting_bytes
        self._queue.clear()
        self.waiting_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.source.resume()  # so that its end is noticed
        return lost_bytes


class End(asyncio.Protocol):
    """One socket of a passage. `host` is who is there."""

    def __init__(self, passage: Passage, host: str, out: Way, into: Way) -> None:
        self.host = host
        self.open = True
        self.silent = False  # what it says is not heard any more
        self._passage = passage
        self._out = out
        self._into = into
        self._transport: asyncio.Transport | None = None
        self._paused = False
        out.source = self
        into.sink = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.open:
            self.reset()
        elif self._paused:
            self._transport.pause_reading()

    @property
    def connected(self) -> bool:
        """Bytes can be written to it."""
        return self._transport is not None

    def data_received(self, data: bytes) -> None:
        """Goes on its way."""
        if not self.silent:
            self._out.push(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """P2."""
        was_open, self.open = self.open, False
        if was_open and not self.silent:
            self._out.push(b"")
        self._passage.closed()

    def pause_writing(self) -> None:
        """Its socket is full."""
        self._into.blocked = True

    def resume_writing(self) -> None:
        """Its socket has room."""
        self._into.blocked = False
        self._into.deliver()

    # ---- from ways
    def write(self, data: bytes) -> None:
        """Bytes have arrived."""
        assert self._transport is not None
        self._transport.write(data)

    def pause(self) -> None:
        """Nothing more is read from it."""
        if not self._paused:
            self._paused = True
            if self._transport is not None and self.open:
                self._transport.pause_reading()

    def resume(self) -> None:
        """It is read from again."""
        if self._paused:
            self._paused = False
            if self._transport is not None and self.open:
                self._transport.resume_reading()

    def close(self) -> None:
        """As the other end did: everything has arrived."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Gone at once, with a RST."""
        self.open = False
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()


class Passage:
    """A connection from `dialler` to `target`; `forth` and `back` are the shapes of its directions."""

    def __init__(self, watcher: Watcher, dialler: str, target: str, forth: Shape, back: Shape) -> None:
        loop = asyncio.get_running_loop()
        self.hosts = (dialler, target)
        self.ways = (Way(loop, forth), Way(loop, back))
        self.near = End(self, dialler, self.ways[0], self.ways[1])
        self.far = End(self, target, self.ways[1], self.ways[0])
        self._watcher = watcher
        self._told = False

    @property
    def ends(self) -> tuple[End, End]:
        """The dialler's and the target's."""
        return self.near, self.far

    def deliver(self) -> None:
        """A shape has changed."""
        for way in self.ways:
            way.deliver()

    def reset(self) -> int:
        """Both ends are told so at once; the bytes under way are lost. How many."""
        lost_bytes = self._lose()
        for end in self.ends:
            end.silent = True
            end.reset()
        self.closed()
        return lost_bytes

    def lose_host(self, host: str) -> int:
        """The host is gone: what is under way is lost both ways, and the other end hears nothing more."""
        lost_bytes = self._lose()
        for end in self.ends:
            end.silent = True
            if end.host == host:
                end.reset()
        return lost_bytes

    def _lose(self) -> int:
        return sum(way.lose() for way in self.ways)

    def closed(self) -> None:
        """An end is closed; the watcher hears when both are."""
        if not self._told and not any(end.open for end in self.ends):
            self._told = True
            self._watcher.ended(self)
