"""Collectors on this machine that take what devices send: each kind of socket, stopped and started as a test wants."""

import contextlib
import socket
import threading
from pathlib import Path

from cluster import AuditDevice
from node.audit import DeviceSpec
from tests.node.audit.audit_fakes import SALT

WAIT_S = 10
PIECE_BYTES = 1 << 16


class Collector:
    """Takes bytes at an address that stays the same when it is started again. `reads` = False: it takes none."""

    def __init__(self, kind, folder, *, reads=True):
        self.kind = kind
        self.reads = reads
        self.received = b""
        self.messages = []
        self._path = str(folder / "collector.sock")
        self._port = 0
        self._guard = threading.Condition()
        self.start()

    @property
    def options(self):
        """Of a socket device."""
        address = self._path if self.kind.startswith("unix") else f"127.0.0.1:{self._port}"
        return {"address": address, "socket_type": self.kind, "write_timeout": "300ms"}

    @property
    def url(self):
        """Of a syslog device."""
        return f"unix://{self._path}" if self.kind == "unixgram" else f"{self.kind}://127.0.0.1:{self._port}"

    def start(self):
        """Somebody listens."""
        unix = self.kind.startswith("unix")
        datagram = self.kind in {"udp", "unixgram"}
        kind = socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM
        listening = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not self.reads:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listening.bind(self._path if unix else ("127.0.0.1", self._port))
        if not unix:
            self._port = listening.getsockname()[1]
        self._sockets, self._threads, self._is_stopped = [listening], [], False
        if datagram:
            self._begin(self._reading, listening)
        else:
            listening.listen(8)
            self._begin(self._accept, listening)

    def stop(self):
        """Nobody listens, and who was connected is hung up on; the threads are gone."""
        with self._guard:
            self._is_stopped = True
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            _shut(one)
        for thread in self._threads:
            thread.join(WAIT_S)
        for one in sockets:
            one.close()
        if self.kind.startswith("unix"):
            Path(self._path).unlink(missing_ok=True)

    def hang_up(self):
        """Who is connected is hung up on; the next is welcome."""
        with self._guard:
            connected, self._sockets = self._sockets[1:], self._sockets[:1]
        for one in connected:
            _shut(one)
            one.close()

    def lines(self, count):
        """The first lines, as many, once they are there."""
        with self._guard:
            assert self._guard.wait_for(lambda: self.received.count(b"\n") >= count, WAIT_S), self.received
            return self.received.splitlines(keepends=True)[:count]

    def message(self, number):
        """One datagram or, of a stream, what arrived together."""
        with self._guard:
            assert self._guard.wait_for(lambda: len(self.messages) > number, WAIT_S)
            return self.messages[number]

    def _begin(self, work, one):
        thread = threading.Thread(target=work, args=(one,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening):
        with contextlib.suppress(OSError):
            while True:
                connected, _ = listening.accept()
                with self._guard:
                    if self._is_stopped:
                        connected.close()
                        return
                    self._sockets.append(connected)
                if self.reads:
                    self._begin(self._reading, connected)

    def _reading(self, connected):
        with contextlib.suppress(OSError):
            while True:
                piece = connected.recv(PIECE_BYTES)
                if not piece and (self._is_stopped or connected.type == socket.SOCK_STREAM):
                    return
                with self._guard:
                    self.received += piece
                    self.messages += [piece] if piece else []
                    self._guard.notify_all()


def _shut(one):
    with contextlib.suppress(OSError):  # a socket that is not connected says so, and wakes its reader all the same
        one.shutdown(socket.SHUT_RDWR)


def socket_spec(options, *, type_="socket", salt=SALT, known=None):
    return DeviceSpec(AuditDevice(type=type_, options=options, box=salt), salt, known)
