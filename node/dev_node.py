"""One node of `strongroom dev`: a child process, its ports, and requests that reach this process or nobody.

A shell. Dev's requests carry the unseal key, so none is sent before it is certain who answers.
Invariants: a connection is used only if our child is alive and its own socket listens on the port, both before the
connection is made and after it, before the first byte: whatever answers on it is then the child. Where /proc does not
tell who owns a socket, a child that is alive and a port that was free before its start have to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

HOST = "127.0.0.1"
LOCK = ".lock"
LISTEN = "0A"  # state of a socket in /proc/net/tcp
PROC = Path("/proc")


class DevError(Exception):
    """The cluster cannot be started; the text says why and what to do."""


@dataclass(slots=True)
class DevNode:
    """One child."""

    node_id: str
    api_port: int
    peer_port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "node.log"


def lock_data(data: Path) -> int:
    """A descriptor that holds the folder for this process alone, until it is closed. Raises DevError, OSError."""
    fd = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise DevError(f"another `strongroom dev` runs on {data}: end it first, or take another folder") from None
    except OSError:
        os.close(fd)
        raise
    return fd


def check_free(port: int) -> None:
    """A node could listen on the port now. Raises DevError."""
    try:
        socket.create_server((HOST, port)).close()  # with SO_REUSEADDR, as the node does
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise DevError(
            f"port {port} {why}: end the program that listens there, or choose other ports with --port-base"
        ) from None


def call(node: DevNode, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """One request to the node's API. Raises OSError; DevError if somebody else has the port, or it is not an API."""
    data = None if body is None else json.dumps(body)
    status, raw = _exchange(node, method, f"/v1/{path}", data, timeout_s=10.0)
    try:
        answer = json.loads(raw) if raw else {}
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise DevError(f"{node.node_id} on port {node.api_port} answers, but not in JSON; its log is {node.log}")
    return status, answer


def status_of(node: DevNode, path: str) -> int:
    """The status of one GET, or 0 without an answer. Raises DevError if somebody else has the port."""
    try:
        return _exchange(node, "GET", path, None, timeout_s=5.0)[0]
    except OSError:
        return 0


def _exchange(node: DevNode, method: str, path: str, data: str | None, *, timeout_s: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, node.api_port, timeout=timeout_s)
    try:
        _check_ours(node)
        connection.connect()
        _check_ours(node)
        connection.request(method, path, data, {"X-Vault-Request": "true"})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"{node.node_id} on port {node.api_port} does not answer in HTTP") from error
    finally:
        connection.close()


def _check_ours(node: DevNode) -> None:
    """Our child is alive and listens on its port. Raises OSError, or DevError if somebody else listens there."""
    if node.process is None:
        raise ConnectionRefusedError(f"{node.node_id} was not started")
    owners = _listening(node.api_port)
    if owners is not None and not owners:
        raise ConnectionRefusedError(f"nobody listens on port {node.api_port}")
    open_ = _open_sockets(node.process.pid)
    if node.process.poll() is not None:  # looked at last: it owned what was found until now
        raise ConnectionRefusedError(f"{node.node_id} has ended; its log is {node.log}")
    if owners is not None and open_ is not None and not owners & open_:
        raise DevError(f"port {node.api_port} is held by another program, not by {node.node_id}: nothing was sent")


def _listening(port: int) -> set[str] | None:
    """The sockets that listen on HOST at the port, as /proc/PID/fd names them; None if that cannot be known."""
    address = f"{int.from_bytes(socket.inet_aton(HOST), sys.byteorder):08X}:{port:04X}"
    try:
        lines = [line.split() for line in (PROC / "self/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return None
    return {f"socket:[{line[9]}]" for line in lines if line[1] == address and line[3] == LISTEN}


def _open_sockets(pid: int) -> set[str] | None:
    """What the process has open; None if that cannot be known."""
    found = set()
    try:
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(entry.readlink()))
    except OSError:
        return None
    return found
