"""Accepting connections: who may connect, and how many TLS handshakes one turn of the loop begins.

Touches sockets. asyncio's own server accepts without bounds; a full handshake costs the loop half a millisecond, so a
reconnecting fleet would stop Raft's heartbeats. Here a connection is counted before anything is read from it, and a
handshake begins only when its first bytes are there: who connects and says nothing holds no place in the queue.
Invariant: every Slot is released exactly once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter, deque
from typing import TYPE_CHECKING

from .headers import plain_address
from .limits import Limited

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .limits import HttpLimits
    from .seams import Clock

ACCEPTS_PER_TURN = 64
NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Slot:
    """A place among the connections of one address."""

    __slots__ = ("_counts", "_open", "address")

    def __init__(self, address: str, counts: Counter[str]) -> None:
        self.address = address
        self._counts = counts
        self._open = True
        counts[address] += 1

    def release(self) -> None:
        """The place is free; a second call changes nothing."""
        if self._open:
            self._open = False
            self._counts[self.address] -= 1
            if not self._counts[self.address]:
                del self._counts[self.address]


class Acceptor:
    """One listening socket. `make` builds the protocol of a connection, `is_exempt` names addresses without a cap.

    `limited(limit, address)` is told of each connection that a limit refuses.
    """

    def __init__(
        self,
        make: Callable[[Slot], asyncio.BaseProtocol],
        *,
        limits: HttpLimits,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        ssl_context: ssl.SSLContext | None,
        is_exempt: Callable[[str], bool],
        report: Callable[[str, BaseException | None], None],
        limited: Callable[[Limited, str], None],
    ) -> None:
        self._make = make
        self._limits = limits
        self._clock = clock
        self._loop = loop
        self.ssl_context = ssl_context
        self._is_exempt = is_exempt
        self._report = report
        self._limited = limited
        self._listener: socket.socket | None = None
        self._reading = False
        self._exhausted = False  # no file descriptors: try again at the next sweep
        self._silent: dict[socket.socket, tuple[Slot, float]] = {}  # accepted, no byte yet; since when
        self._ready: deque[tuple[socket.socket, Slot, float]] = deque()
        self._scheduled = False
        self._opening: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()
        self.refused = 0
        self.handshakes_failed = 0

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Connections are accepted on the address; returns it with the port in use. Raises OSError."""
        found = await self._loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        self._listener = socket.create_server(
            address[:2], family=socket.AddressFamily(family), backlog=self._limits.backlog
        )
        self._listener.setblocking(False)
        self.resume()
        bound = self._listener.getsockname()
        return bound[0], bound[1]

    def pause(self) -> None:
        """The kernel's backlog keeps whoever connects."""
        if self._listener is not None and self._reading:
            self._reading = False
            self._loop.remove_reader(self._listener)

    def resume(self) -> None:
        """Connections are accepted again."""
        if self._listener is not None and not self._reading:
            self._reading = True
            self._loop.add_reader(self._listener, self._accept)

    def sweep(self) -> None:
        """Connections that never began their handshake are closed."""
        if self._exhausted:
            self._exhausted = False
            self.resume()
        now = self._clock.boot()
        late = [conn for conn, (_, since) in self._silent.items() if now - since > self._limits.handshake_timeout_s]
        for conn in late:
            slot, _ = self._silent.pop(conn)
            self._loop.remove_reader(conn)
            self._limited(Limited.TIME, slot.address)
            self._drop(conn, slot)

    async def close(self) -> None:
        """Nothing is accepted, nothing is half open."""
        self.pause()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for conn, (slot, _) in self._silent.items():
            self._loop.remove_reader(conn)
            self._drop(conn, slot)
        self._silent.clear()
        while self._ready:
            conn, slot, _ = self._ready.popleft()
            self._drop(conn, slot)
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTS_PER_TURN):
            try:
                conn, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in NO_DESCRIPTORS:
                    self._report("accepting paused", error)
                    self._exhausted = True
                    self.pause()
                return
            self._take(conn, plain_address(peer[0]))

    def _take(self, conn: socket.socket, address: str) -> None:
        full = self.counts.total() >= self._limits.connections
        if full or (self.counts[address] >= self._limits.connections_per_address and not self._is_exempt(address)):
            self.refused += 1
            self._limited(Limited.CONNECTIONS if full else Limited.CONNECTIONS_PER_ADDRESS, address)
            if not self.counts[address]:
                del self.counts[address]
            conn.close()
            return
        conn.setblocking(False)
        slot = Slot(address, self.counts)
        now = self._clock.boot()
        if self.ssl_context is None:
            self._start(conn, slot, now)
        else:
            self._silent[conn] = (slot, now)
            self._loop.add_reader(conn, self._spoke, conn)

    def _spoke(self, conn: socket.socket) -> None:
        slot, since = self._silent.pop(conn)
        self._loop.remove_reader(conn)
        self._ready.append((conn, slot, since))
        self._schedule()

    def _schedule(self) -> None:
        if self._ready and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        for _ in range(min(len(self._ready), self._limits.handshakes_per_turn)):
            conn, slot, since = self._ready.popleft()
            self._start(conn, slot, since)
        self._schedule()

    def _start(self, conn: socket.socket, slot: Slot, since: float) -> None:
        task = self._loop.create_task(self._open(conn, slot, since))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, conn: socket.socket, slot: Slot, since: float) -> None:
        left_s = max(0.1, self._limits.handshake_timeout_s - (self._clock.boot() - since))
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make(slot),
                conn,
                ssl=self.ssl_context,
                ssl_handshake_timeout=left_s if self.ssl_context is not None else None,
            )
        except Exception as error:  # noqa: BLE001 - whatever a handshake raises concerns that client only
            self.handshakes_failed += 1
            self._report("handshake failed", error)
            if self._clock.boot() - since >= self._limits.handshake_timeout_s:
                self._limited(Limited.TIME, slot.address)
            self._drop(conn, slot)
        except BaseException:
            self._drop(conn, slot)
            raise

    @staticmethod
    def _drop(conn: socket.socket, slot: Slot) -> None:
        slot.release()
        conn.close()
