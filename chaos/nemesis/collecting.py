"""Whoever collects audit lines from a socket, and can stop reading those of one node.

A thread with a unix socket. What arrives is kept whole in nodes/<id>/audit/, where the checker `audit` reads it; the
kernel says which process a connection is from. What follows the last newline of a connection is left out: its sender
was told that it did not arrive.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.targets.base import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PIECE_BYTES: Final = 1 << 16
TURN_S: Final = 0.05
_PEER: Final = struct.Struct("3i")  # pid, uid, gid


@dataclass(eq=False)
class _Connection:
    sock: socket.socket
    node: str
    rest: bytes = b""


class Collector:
    """Listens from its making until `close`. `folder` is that of the run; files are called `name`."""

    def __init__(self, folder: Path, name: str, owner: Callable[[int], str]) -> None:
        self._folder = folder
        self._owner = owner  # the node of a process
        self._name = name
        self._place = Path(tempfile.mkdtemp(prefix=PREFIX))  # a socket's path is short
        self.path = self._place / "audit.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._deaf: frozenset[str] = frozenset()
        self._connections: list[_Connection] = []
        self.lines: dict[str, int] = {}  # by node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit collector", daemon=True)
        self._thread.start()

    def deafen(self, nodes: Iterable[str]) -> None:
        """Nothing of these nodes is read from now on; {}: everything is."""
        self._deaf = frozenset(nodes)

    def close(self) -> None:
        """What had arrived is kept, nobody listens."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._listener.close()
        for one in self._connections:
            one.sock.close()
        self.path.unlink(missing_ok=True)
        self._place.rmdir()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stop.is_set()  # what arrived before that is read once more
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                for one in self._connections:
                    if one.node not in self._deaf:
                        selector.register(one.sock, selectors.EVENT_READ, one)
                for key, _ in selector.select(0 if last else TURN_S):
                    self._hear(key.data)

    def _hear(self, one: _Connection | None) -> None:
        if one is None:
            with contextlib.suppress(BlockingIOError):
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                pid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0]
                self._connections.append(_Connection(sock, self._owner(pid)))
            return
        try:
            while one.node not in self._deaf:  # asked for each piece: who writes fast is never read empty
                data = one.sock.recv(PIECE_BYTES)
                if not data:
                    break
                self._keep(one, data)
            else:
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        one.sock.close()
        self._connections.remove(one)

    def _keep(self, one: _Connection, data: bytes) -> None:
        whole, newline, one.rest = (one.rest + data).rpartition(b"\n")
        if not newline:
            return
        self.lines[one.node] = self.lines.get(one.node, 0) + whole.count(b"\n") + 1
        folder = self._folder / "nodes" / one.node / "audit"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / self._name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, whole + newline)
        finally:
            os.close(fd)
