"""What dev asks of a node goes to the child it started, or to nobody."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from node.dev_node import HOST, DevError, DevNode, call, check_free, lock_data, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHILD = """
import http.server, sys

class Answers(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        raw = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_PUT

server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
print(server.server_port, flush=True)
server.serve_forever()
"""
SLEEPS = "import sys; print('ready', flush=True); sys.stdin.read()"


class Stranger:
    """Somebody else's server, in this process; remembers every byte that came."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._server = http.server.HTTPServer((HOST, 0), self._handler())
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        heard = self.heard

        class Listens(http.server.BaseHTTPRequestHandler):
            def handle(self) -> None:
                heard.append(self.rfile.read(1))

        return Listens

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    found = Stranger()
    yield found
    found.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[object]:
    """Makes nodes whose process runs the program; the first line it prints is given, too."""
    started: list[subprocess.Popen[bytes]] = []

    def make(program: str, *words: str) -> tuple[DevNode, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        return DevNode("n1", int(line) if line.isdigit() else 0, 0, tmp_path, process), line

    yield make
    for process in started:
        process.kill()
        with process:
            process.wait()


def test_our_child_is_asked(child) -> None:
    """It is alive and its own socket listens."""
    node, _ = child(CHILD, '{"sealed": true}')

    assert call(node, "PUT", "sys/unseal", {"key": "k"}) == (200, {"sealed": True})
    assert status_of(node, "/readyz") == 200


def test_a_stranger_on_the_port_is_sent_nothing(child, stranger) -> None:
    """The child is alive, but the port is somebody else's: not even a connection with the key on it."""
    node, _ = child(SLEEPS)
    node.api_port = stranger.port

    with pytest.raises(DevError, match=f"port {stranger.port} is held by another program"):
        call(node, "PUT", "sys/unseal", {"key": "k"})
    with pytest.raises(DevError, match="nothing was sent"):
        status_of(node, "/readyz")
    assert stranger.heard == []


def test_a_stranger_that_comes_after_the_child_is_sent_nothing(child) -> None:
    """The child had the port and has ended; who has it now gets no key."""
    node, _ = child(CHILD, "{}")
    assert call(node, "PUT", "sys/unseal", {"key": "k"})[0] == 200
    node.process.kill()
    node.process.wait()
    with socket.create_server((HOST, node.api_port)) as server:
        server.setblocking(False)

        with pytest.raises(ConnectionRefusedError, match="n1 has ended"):
            call(node, "PUT", "sys/unseal", {"key": "k"})
        with pytest.raises(BlockingIOError):
            server.accept()


def test_without_proc_a_child_that_ended_is_sent_nothing(child, stranger, monkeypatch, tmp_path) -> None:
    """Who owns a socket cannot be known there: a living child is asked, another is not."""
    monkeypatch.setattr("node.dev_node.PROC", tmp_path / "none")
    node, _ = child(CHILD, "{}")
    assert call(node, "PUT", "sys/unseal", {"key": "k"})[0] == 200
    node.process.kill()
    node.process.wait()
    node.api_port = stranger.port

    with pytest.raises(ConnectionRefusedError, match="n1 has ended"):
        call(node, "PUT", "sys/unseal", {"key": "k"})
    assert stranger.heard == []


def test_a_port_where_nobody_listens_is_not_an_answer(child) -> None:
    """A node that starts is waited for: an OSError, not the end."""
    node, _ = child(SLEEPS)
    with socket.create_server((HOST, 0)) as server:
        node.api_port = server.getsockname()[1]

    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        call(node, "GET", "sys/seal-status")
    assert status_of(node, "/readyz") == 0


@pytest.mark.parametrize("said", ["hello", "[]", "\xff"])
def test_what_is_no_json_object_is_told_in_a_sentence(child, said: str) -> None:
    """No traceback of a parser; the port and the log are named."""
    node, _ = child(CHILD, said)

    with pytest.raises(DevError, match=f"n1 on port {node.api_port} answers, but not in JSON; its log is .*node.log"):
        call(node, "GET", "sys/seal-status")


def test_a_port_in_use_is_named() -> None:
    """Free again, it is fine."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DevError, match=f"port {port} is in use: .*--port-base"):
            check_free(port)

    check_free(port)


def test_a_folder_is_held_by_one_dev_until_it_ends(tmp_path: Path) -> None:
    """The kernel frees it; a child that lives on does not hold it."""
    held = lock_data(tmp_path)
    with subprocess.Popen([sys.executable, "-c", SLEEPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with pytest.raises(DevError, match="another `strongroom dev` runs on"):
            lock_data(tmp_path)
        os.close(held)

        os.close(lock_data(tmp_path))
        process.kill()
