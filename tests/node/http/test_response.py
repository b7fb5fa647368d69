"""Bytes on the wire of one answer."""

from __future__ import annotations

import pytest

from node.http.response import Heads, WireResponse, wire_bytes
from node.request import RawResponse

SECOND = 1_000_000_000


def heads(secure: bool = False) -> Heads:
    return Heads(lambda: 784111777 * SECOND, secure=secure)


def test_an_answer_is_one_block_of_bytes():
    """Head, length, body."""
    assert wire_bytes(RawResponse(200, b"{}\n", [("A", "b")]), heads(), close=False) == (
        b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-store\r\n"
        b"Content-Type: application/json\r\nA: b\r\nContent-Length: 3\r\n\r\n{}\n"
    )


def test_204_keeps_its_type_and_has_no_length():
    """Vault says application/json on 204 too."""
    data = wire_bytes(RawResponse(204), heads(), close=False)

    assert (data.endswith(b"json\r\n\r\n"), b"Content-Length" in data) == (True, False)


def test_tls_adds_transport_security():
    """And plain HTTP does not."""
    assert b"Strict-Transport-Security: max-age=31536000" in wire_bytes(RawResponse(200), heads(True), close=False)
    assert b"Strict-Transport-Security" not in wire_bytes(RawResponse(200), heads(), close=False)


@pytest.mark.parametrize(
    ("close", "old", "line"),
    [
        (True, False, b"Connection: close"),
        (False, True, b"Connection: keep-alive"),
        (True, True, b"Connection: close"),
        (False, False, b""),
    ],
)
def test_the_connection_header_is_said_where_it_matters(close, old, line):
    """1.1 stays open by itself, 1.0 closes by itself."""
    data = wire_bytes(RawResponse(200), heads(), close=close, old=old)

    assert (line in data, data.count(b"Connection:")) == (True, int(bool(line)))


@pytest.mark.parametrize("header", [("A", "b\r\nX: y"), ("A", "b\n"), ("A\r\nX", "b"), ("A:", "b"), ("A", "b\x00")])
def test_a_header_is_never_two(header):
    """Whoever made it, it is not sent."""
    with pytest.raises(ValueError, match="line break"):
        wire_bytes(RawResponse(200, headers=[header]), heads(), close=False)


def test_a_new_second_has_a_new_date():
    """The cache is of one second."""
    now = [0]
    cached = Heads(lambda: now[0], secure=False)
    first = cached.first_lines(200, "text/plain")
    now[0] = SECOND - 1
    assert cached.first_lines(200, "text/plain") is first

    now[0] = SECOND

    assert b"00:00:01" in cached.first_lines(200, "text/plain")


def test_an_unregistered_status_has_a_phrase():
    """Health uses 472 and 473."""
    assert heads().first_lines(473, "").startswith(b"HTTP/1.1 473 Status\r\n")


def test_a_finished_answer_shows_its_size_only():
    """Not its bytes."""
    assert repr(WireResponse(b"secret", keep_alive=True)) == "<WireResponse 6 bytes>"
