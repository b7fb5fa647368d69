"""Lines of a device sent to a socket: TCP, UDP, a unix stream or unix datagrams.

A shell: everything here blocks, for `write_timeout` at most each time, in the device's writer thread.
Invariants
  K1  a line counts as written when the kernel has all of it and the peer is still there; a connection that broke with
      or after a sending leaves it unknown, and so it counts as failed (W2)
  K2  before a number goes out, the position says that it may have: no number is used twice, whoever is killed when
  K3  a peer that has closed is called once more before a sending, and otherwise when the device opens again
Source: Vault, "Socket audit device"; tcp(7), udp(7), unix(7).
"""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import TYPE_CHECKING

from .chain import head_of
from .sink import Opened, Rotated, SinkError, Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .chain import Head
    from .endpoint import Endpoint
    from .position import Position

DRAIN_BYTES = 1 << 16
DRAINS_MAX = 16

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR
# The kernel has refused a message and not lost one: what came before it is where it was.
_REFUSED = frozenset({errno.EAGAIN, errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM})


class SocketSink:
    """See the module's paragraph."""

    def __init__(self, endpoint: Endpoint, position: Position) -> None:
        self._endpoint = endpoint
        self._position = position
        self._socket: socket.socket | None = None
        self._sure: Head | None = None

    def open(self) -> Opened:
        """See Sink."""
        self._hang_up()
        sure, unsure = self._position.open()
        try:
            self._socket = self._connected()
        except OSError as error:
            self._position.close()
            why = error.strerror or "no answer in time"
            raise SinkError(f'sanity check failed; unable to connect to "{self._endpoint.name}": {why}') from None
        self._sure = sure
        return Opened(found=sure if sure.sequence else None, unsure=unsure)

    def write(self, data: bytes) -> Written:
        """See Sink."""
        lines = data.splitlines(keepends=True)
        before, sent = self._sure, head_of(lines[-1])
        assert before is not None
        try:
            if self._socket is None or is_gone(self._socket):
                self._hang_up()
                self._socket = self._connected()
            self._position.put(before, sent)
        except OSError as error:
            return self._broken(0, error)
        written = self._datagrams(lines) if self._endpoint.is_datagram else self._stream(lines)
        try:
            self._account(lines, written, before, sent)
        except OSError as error:
            return self._broken(0, error)
        return written

    def rotate(self, unfinished: bytes) -> Rotated | None:  # noqa: ARG002 - there is nothing to rotate
        """See Sink."""
        return None

    def close(self) -> None:
        """See Sink."""
        self._hang_up()
        self._position.close()

    # ---- what the kinds of sockets do
    def framed(self, line: bytes) -> bytes:
        """The line as it is sent."""
        return line

    def _stream(self, lines: Sequence[bytes]) -> Written:
        """All of it or nothing that is sure."""
        assert self._socket is not None
        data = memoryview(b"".join(map(self.framed, lines)))
        done = 0
        try:
            while done < len(data):
                done += self._socket.send(data[done:])
        except TimeoutError as error:
            if done == 0:
                return Written(0, _named(error))  # the kernel took nothing: nothing is unknown
            return self._broken(0, error)
        except OSError as error:
            return self._broken(0, error)
        if is_gone(self._socket):
            return self._broken(0, OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
        return Written(sum(map(len, lines)))

    def _datagrams(self, lines: Sequence[bytes]) -> Written:
        """As many as went, each whole."""
        assert self._socket is not None
        done = 0
        try:
            for line in lines:
                self._send(self.framed(line))
                done += len(line)
        except TimeoutError as error:
            return Written(done, _named(error))
        except OSError as error:
            if error.errno in _REFUSED:
                return Written(done, error)
            return self._broken(done if self._endpoint.path else 0, error)
        # A port where nobody listens answers the first message and is told to whoever sends the second.
        told = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return Written(done) if told == 0 else self._broken(0, OSError(told, os.strerror(told)))

    def _send(self, message: bytes) -> None:
        """One datagram. A unix socket whose reader began anew has surely not had it, and is called once more."""
        assert self._socket is not None
        try:
            self._socket.send(message)
        except (ConnectionError, FileNotFoundError):
            if not self._endpoint.path:
                raise
            self._hang_up()
            self._socket = self._connected()
            self._socket.send(message)

    # ---- inside
    def _account(self, lines: Sequence[bytes], written: Written, before: Head, sent: Head) -> None:
        """The position says what is sure now. Raises OSError."""
        sure, left = before, written.bytes
        for line in lines:
            left -= len(line)
            if left < 0:
                break
            sure = head_of(line)
        self._sure = sure
        self._position.put(sure, sent if written.is_broken else sure)

    def _broken(self, done: int, error: OSError) -> Written:
        self._hang_up()
        return Written(done, _named(error), is_broken=True)

    def _connected(self) -> socket.socket:
        """Raises OSError."""
        endpoint = self._endpoint
        if endpoint.path:
            kind = socket.SOCK_DGRAM if endpoint.is_datagram else socket.SOCK_STREAM
            return _called(socket.AF_UNIX, kind, endpoint.path, endpoint.write_timeout_s)
        kind = socket.SOCK_DGRAM if endpoint.is_datagram else socket.SOCK_STREAM
        failed = OSError(errno.EADDRNOTAVAIL, "the host has no address")
        for family, _, _, _, address in socket.getaddrinfo(endpoint.host, endpoint.port, type=kind):
            try:
                return _called(family, kind, address, endpoint.write_timeout_s)
            except OSError as error:
                failed = error
        raise failed

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def is_gone(connected: socket.socket) -> bool:
    """The peer of a stream has closed, or the kernel knows of an error. What the peer says is thrown away."""
    look = select.poll()
    look.register(connected, select.POLLIN | select.POLLRDHUP)
    for _ in range(DRAINS_MAX):
        found = look.poll(0)
        if not found:
            return False
        if found[0][1] & _GONE:
            return True
        try:
            connected.recv(DRAIN_BYTES)
        except OSError:
            return True
    return False


def _called(family: int, kind: int, address: object, timeout_s: float) -> socket.socket:
    connected = socket.socket(family, kind)
    try:
        connected.settimeout(timeout_s)
        connected.connect(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_DGRAM and family != socket.AF_UNIX:
            # A port of this machine where nobody listens says so at once: to the first message by way of the second.
            connected.send(b"")
            connected.send(b"")
        if kind == socket.SOCK_STREAM and family != socket.AF_UNIX:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # What the peer does not acknowledge in this time ends the connection.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout_s * 1000))
    except OSError:
        connected.close()
        raise
    return connected


def _named(error: OSError) -> OSError:
    """The error with a reason that can be shown."""
    return error if error.strerror else OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
