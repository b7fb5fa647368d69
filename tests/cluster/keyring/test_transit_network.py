"""The transit unsealer on a real socket: whom it believes, where its token goes, and how long it waits."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import write_certificates
from cluster.keyring.unsealers import transit
from cluster.keyring.unsealers.transit import HttpsPost, Said, TransitSettings, TransitUnavailableError

HOST = "127.0.0.1"
TOKEN = "hvs.planted"
WAIT_S = 20.0
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":{}}'
Answer = Callable[[socket.socket, threading.Event], None]


class Other:
    """A server that hears what comes, and answers as a test wants until it is closed."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._context = context
        self._closed = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(OSError):
                sock, _ = self._listener.accept()
                sock.settimeout(WAIT_S)
                with self._context.wrap_socket(sock, server_side=True) if self._context else sock as wrapped:
                    self.heard.append(_request(wrapped))
                    self._answer(wrapped, self._closed)


def _request(sock: socket.socket) -> bytes:
    """Up to the end of its body, which every request here has."""
    data = b""
    while b"\r\n\r\n{}" not in data and (more := sock.recv(4096)):
        data += more
    return data


def says(data: bytes) -> Answer:
    return lambda sock, _closed: sock.sendall(data)


def drips(head: bytes, drop: bytes) -> Answer:
    """A byte or so at a time, often enough for every timeout of a socket, and without end."""

    def answer(sock: socket.socket, closed: threading.Event) -> None:
        sock.sendall(head)
        while not closed.wait(0.02):
            sock.sendall(drop)

    return answer


@contextlib.contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Other]:
    other = Other(answer, context)
    try:
        yield other
    finally:
        other.close()


def server_context(folder: Path, names: list[str]) -> ssl.SSLContext:
    write_certificates(folder, {"other": names}, None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "other.pem", folder / "other.key")
    return context


def asked(address: str, ca_file: str = "") -> Said:
    return HttpsPost(TransitSettings(address, "/token", "wraps", tls_ca_file=ca_file))("transit/x", TOKEN, b"{}")


def test_a_certificate_of_its_authority_and_name_is_believed(tmp_path: Path) -> None:
    """Then the token goes there, in its header."""
    with serving(says(OK), server_context(tmp_path / "a", [HOST])) as other:
        said = asked(f"https://{HOST}:{other.port}", str(tmp_path / "a" / "ca.pem"))
    assert (said.status, said.body) == (200, b'{"data":{}}')
    [heard] = other.heard
    assert heard.startswith(b"POST /v1/transit/x HTTP/1.1\r\n")
    assert f"X-Vault-Token: {TOKEN}".encode() in heard


@pytest.mark.parametrize("why", ["another name", "another authority", "the system's authorities"])
def test_any_other_certificate_is_told_nothing(tmp_path: Path, why: str) -> None:
    """No token leaves, and the sentence says where to look."""
    names = ["elsewhere.example"] if why == "another name" else [HOST]
    own, foreign = tmp_path / "a", tmp_path / "b"
    context = server_context(own, names)
    write_certificates(foreign, {"x": [HOST]}, None)
    ca_file = {"another name": str(own / "ca.pem"), "another authority": str(foreign / "ca.pem")}.get(why, "")
    sentence = r"is not trusted: see seal\.transit_tls_ca_file"
    with serving(says(OK), context) as other, pytest.raises(TransitUnavailableError, match=sentence):
        asked(f"https://{HOST}:{other.port}", ca_file)
    assert TOKEN.encode() not in b"".join(other.heard)


def test_a_file_of_no_authorities_is_said(tmp_path: Path) -> None:
    """Before anything is connected."""
    (tmp_path / "ca.pem").write_text("nothing")
    for file in ("ca.pem", "none.pem"):
        with pytest.raises(TransitUnavailableError, match="transit_tls_ca_file cannot be used"):
            asked(f"https://{HOST}:1", str(tmp_path / file))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed(status: int) -> None:
    """The token stays with the one that was asked."""
    with serving(says(OK)) as third:
        location = f"Location: http://{HOST}:{third.port}/v1/transit/x"
        head = f"HTTP/1.1 {status} Moved\r\n{location}\r\nContent-Length: 0\r\n\r\n"
        with serving(says(head.encode())) as other:
            assert asked(f"http://{HOST}:{other.port}").status == status
        assert third.heard == []


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    with serving(says(OK)) as proxy, serving(says(OK)) as other:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{HOST}:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert asked(f"http://{HOST}:{other.port}").status == 200
        assert proxy.heard == []


def test_no_more_is_read_than_an_answer_may_have() -> None:
    """Of one without a length, and of one that names a wrong one."""
    body = b"x" * (transit.ANSWER_BYTES_MAX + 1)
    for head in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"):
        with serving(says(head + body)) as other:
            assert len(asked(f"http://{HOST}:{other.port}").body) <= transit.ANSWER_BYTES_MAX


DRIPS = {
    "its status": drips(b"HTTP/1.1 200 ", b"x"),
    "its headers": drips(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "a body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
    "chunks": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "that it goes on": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": lambda _sock, closed: closed.wait(WAIT_S) and None,
}


@pytest.mark.parametrize("what", DRIPS)
@pytest.mark.parametrize("tls", [False, True])
def test_who_never_comes_to_an_end_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, tls: bool
) -> None:
    """A byte now and then begins a socket's timeout anew: the whole answer has one of its own."""
    monkeypatch.setattr(transit, "TIMEOUT_S", 0.4)
    found: list[str] = []

    def ask() -> None:
        with pytest.raises(TransitUnavailableError) as caught:
            asked(f"http{'s' * tls}://{HOST}:{other.port}", str(tmp_path / "a" / "ca.pem"))
        found.append(str(caught.value))

    with serving(DRIPS[what], server_context(tmp_path / "a", [HOST]) if tls else None) as other:
        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        asker.join(5)
        assert not asker.is_alive()
    endless = "its answer does not come to an end"
    assert found in ([endless], ["it cannot be reached: TimeoutError"] if what == "nothing" else [endless])
