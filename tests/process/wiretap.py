"""A TCP proxy that keeps what passes, both ways."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from tests.process.machine import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_BYTES = 1 << 16


class Wiretap:
    """Listens on a port of its own and leads each connection on to `port`."""

    def __init__(self, port: int) -> None:
        self.streams: list[bytearray] = []  # one for each direction of each connection
        self._target = port
        self._listener = socket.create_server((HOST, 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._go(self._accept)

    @property
    def address(self) -> str:
        return f"{HOST}:{self._listener.getsockname()[1]}"

    def _go(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                self._sockets.append(ours)
                try:
                    theirs = socket.create_connection((HOST, self._target))
                except OSError:
                    ours.close()
                    continue
                self._sockets.append(theirs)
                self._go(self._carry, ours, theirs)
                self._go(self._carry, theirs, ours)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        stream = bytearray()
        self.streams.append(stream)
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                stream += data
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing listens and nothing runs."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)
        for sock in self._sockets:
            sock.close()
