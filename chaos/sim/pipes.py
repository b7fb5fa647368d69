"""What stands in for the sockets, the event loop and the process between a node and its journal's child.

`ChildWriter` of cluster/journal/parent.py runs on these unchanged: it sends, hears and dies as over real sockets, but
in simulated time. Its loop's callbacks are events of the node's process, which a pause delays and a crash drops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEAR_S = 0.00005  # until the node's loop finds what the child said


class Pipe:
    """One socket pair. The node's end has a socket's methods; the child's end is `take`, `say` and `end`."""

    def __init__(self, later: Callable[..., None], room_bytes: int) -> None:
        self._later = later
        self._room_bytes = room_bytes
        self._to_child = bytearray()
        self._to_node = bytearray()
        self._ended = False
        self.reader: tuple[Callable[..., None], tuple[Any, ...]] | None = None
        self.writer: Callable[[], None] | None = None
        self.on_arrived: Callable[[], None] = lambda: None

    # ---- the node's end
    def sendmsg(self, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        """As a non-blocking socket: takes what there is room for."""
        room = self._room_bytes - len(self._to_child)
        if room <= 0:
            raise BlockingIOError
        data = b"".join(parts)[:room]
        self._to_child += data
        self.on_arrived()
        return len(data)

    def recv(self, count: int) -> bytes:
        """As a non-blocking socket; nothing at all at the end."""
        if not self._to_node and not self._ended:
            raise BlockingIOError
        data = bytes(self._to_node[:count])
        del self._to_node[:count]
        return data

    def close(self) -> None:
        """Nobody listens any more."""
        self.reader = self.writer = None

    # ---- the child's end
    @property
    def waiting(self) -> int:
        """Bytes that the child has not taken."""
        return len(self._to_child)

    def take(self) -> bytes:
        """Everything that has arrived; room for more is said to the node."""
        data = bytes(self._to_child)
        self._to_child.clear()
        if self.writer is not None:
            self._later(HEAR_S, self._writable)
        return data

    def say(self, data: bytes) -> None:
        """The child answers."""
        self._to_node += data
        self._later(HEAR_S, self._readable)

    def end(self) -> None:
        """The child has ended."""
        self._ended = True
        self._later(HEAR_S, self._readable)

    def _readable(self) -> None:
        while self.reader is not None and (self._to_node or self._ended):
            callback, arguments = self.reader
            callback(*arguments)

    def _writable(self) -> None:
        if self.writer is not None:
            self.writer()


class Loop:
    """The part of an event loop that ChildWriter uses."""

    def __init__(self, later: Callable[..., None]) -> None:
        self._later = later

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """After the present event."""
        self._later(0.0, callback, *arguments)

    def add_reader(self, pipe: Pipe, callback: Callable[..., None], *arguments: Any) -> None:
        """Call it whenever there is something to hear."""
        pipe.reader = (callback, arguments)

    def remove_reader(self, pipe: Pipe) -> None:
        """No more."""
        pipe.reader = None

    def add_writer(self, pipe: Pipe, callback: Callable[[], None]) -> None:
        """Call it when there is room."""
        pipe.writer = callback

    def remove_writer(self, pipe: Pipe) -> None:
        """No more."""
        pipe.writer = None


class Process:
    """The child as its parent sees it: a number and how it ended."""

    pid = 0

    def __init__(self) -> None:
        self.status = 0

    def wait(self, timeout_s: float) -> int:  # noqa: ARG002 - its signature
        """It has ended."""
        return self.status

    def kill(self) -> None:
        """It has ended anyway."""
