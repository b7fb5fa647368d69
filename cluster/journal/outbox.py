"""The sending half of a socket in an asyncio loop: parts leave as they are, without being joined.

Non-blocking; what the socket does not take waits here in order. Works on asyncio and uvloop.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Iterable

    from .wal import Part

_PARTS_MAX: Final = 512  # the kernel takes 1,024


class Outbox:
    """`waiting_bytes` were given to `send` and not yet taken by the socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, failed: Callable[[str], None]) -> None:
        self._loop = loop
        self._socket = sock
        self._failed = failed
        self._parts: deque[Part] = deque()
        self._watching = False
        self.waiting_bytes = 0

    def send(self, parts: Iterable[Part]) -> None:
        """The parts follow what was sent before."""
        for part in parts:
            if part:  # an empty one would never be taken
                self._parts.append(part)
                self.waiting_bytes += len(part)
        if not self._watching:
            self._push()

    def close(self) -> None:
        """Nothing is sent any more."""
        if self._watching:
            self._loop.remove_writer(self._socket)
            self._watching = False
        self._parts.clear()
        self.waiting_bytes = 0

    def _push(self) -> None:
        while self._parts:
            try:
                sent = self._socket.sendmsg(islice(self._parts, _PARTS_MAX))
            except BlockingIOError:
                break
            except OSError as error:
                self._failed(f"sending to the journal's writer failed: {error.strerror}")
                return
            self._taken(sent)
        if bool(self._parts) != self._watching:
            self._watching = bool(self._parts)
            if self._watching:
                self._loop.add_writer(self._socket, self._push)
            else:
                self._loop.remove_writer(self._socket)

    def _taken(self, sent: int) -> None:
        self.waiting_bytes -= sent
        while sent:
            part = self._parts.popleft()
            if sent < len(part):
                self._parts.appendleft(memoryview(part)[sent:])
                return
            sent -= len(part)
