"""The rewriting of LIST, SCAN and HELP, against aiohttp's pure-Python parser, which needs none."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.web import RequestHandler
from aiohttp.web_protocol import _ErrInfo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.http.listparser import CUTS_MAX, ListParser
from node.http.protocol import PRIVATE_NAMES

HEADERS = b"Host: h\r\nX-A: LIST \r\n"
Seen = tuple[str, str, bytes]


def wrapped(loop: asyncio.AbstractEventLoop, **options: Any) -> ListParser:
    """The product's parser around the C parser."""
    protocol = BaseProtocol(loop)
    parser: Any = HttpRequestParser(protocol, loop, 1 << 20, auto_decompress=False, max_msg_queue_size=32)
    protocol._parser = parser
    return ListParser(parser, protocol, **{"head_bytes_max": 16384, "queue_max": 32, **options})


def body_of(payload: Any) -> bytes:
    return b"".join(getattr(payload, "_buffer", ()))


def take(parser: Any, pieces: list[bytes]) -> tuple[list[Seen], int | None]:
    """What came out, and the status of the error that ended it."""
    found = []
    for piece in pieces:
        for message, payload in parser.feed_data(piece)[0]:
            if isinstance(message, _ErrInfo):
                return seen(found), getattr(message.exc, "code", 400)
            parser.message_consumed()
            found.append((message, payload))
    return seen(found), None


def seen(found: list[tuple[Any, Any]]) -> list[Seen]:
    return [(m.method, m.path, body_of(p)) for m, p in found if p.is_eof()]


def reference(loop: asyncio.AbstractEventLoop, data: bytes) -> list[Seen]:
    """What the pure-Python parser makes of the whole."""
    parser = HttpRequestParserPy(BaseProtocol(loop), loop, 1 << 20, auto_decompress=False)
    return [(m.method, m.path, body_of(p)) for m, p in parser.feed_data(data)[0] if p.is_eof()]


def piecewise(loop: asyncio.AbstractEventLoop, data: bytes) -> tuple[list[Seen], bool]:
    """What the pure-Python parser makes of single bytes, and whether it refused one of them."""
    parser = HttpRequestParserPy(BaseProtocol(loop), loop, 1 << 20, auto_decompress=False)
    found: list[tuple[Any, Any]] = []
    try:
        for at in range(len(data)):
            found += parser.feed_data(data[at : at + 1])[0]
    except Exception:  # noqa: BLE001 - whatever it raises is a refusal
        return seen(found), True
    return seen(found), False


def plain(method: bytes, path: bytes = b"/v1/x") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\n" + HEADERS + b"\r\n"


def sized(method: bytes, body: bytes) -> bytes:
    return method + b" /v1/y HTTP/1.1\r\n" + HEADERS + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(method: bytes, parts: list[bytes], trailer: bytes = b"") -> bytes:
    coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
    head = method + b" /v1/z HTTP/1.1\r\n" + HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + coded + b"0\r\n" + trailer + b"\r\n"


TRAPS = [
    b"LIST ",
    b"LINK / HTTP/1.1\r\n\r\n",
    b"\r\n\r\n",
    b"\r\n\r\nLIST /v1/x HTTP/1.1\r\n",
    b"0\r\n\r\n",
    b"\r",
    b"a",
]
STREAMS = [
    plain(b"LIST"),
    plain(b"GET") + plain(b"LIST") + plain(b"SCAN") + plain(b"HELP") + plain(b"GET"),
    sized(b"POST", b"LIST LIST ") + plain(b"LIST"),
    sized(b"PUT", b"") + plain(b"SCAN"),
    sized(b"POST", TRAPS[3]) + sized(b"PATCH", TRAPS[1]) + plain(b"LIST"),
    chunked(b"POST", [b"LIST ", b"\r\n\r\nLIST / ", b"0\r\n\r\n"]) + plain(b"LIST"),
    chunked(b"POST", []) + plain(b"HELP"),
    chunked(b"POST", [b"x"], b"X-T: LIST \r\n") + plain(b"LIST"),
    b"\r\n" + plain(b"LIST") + b"\r\n\r\n" + plain(b"SCAN"),
]


@pytest.mark.parametrize("stream", STREAMS)
async def test_every_split_gives_what_the_python_parser_sees(stream):
    """One cut at every position, and byte by byte."""
    loop = asyncio.get_running_loop()
    expected = reference(loop, stream)

    for cut in range(len(stream) + 1):
        assert take(wrapped(loop), [stream[:cut], stream[cut:]]) == (expected, None)
    assert take(wrapped(loop), [stream[at : at + 1] for at in range(len(stream))]) == (expected, None)


MESSAGES = st.one_of(
    st.sampled_from([b"GET", b"LIST", b"SCAN", b"HELP", b"DELETE", b"HEAD"]).map(plain),
    st.builds(sized, st.sampled_from([b"POST", b"PUT", b"LIST"]), st.lists(st.sampled_from(TRAPS)).map(b"".join)),
    st.builds(
        chunked,
        st.sampled_from([b"POST", b"PATCH", b"SCAN"]),
        st.lists(st.sampled_from(TRAPS), max_size=5),
        st.sampled_from([b"", b"X-T: 1\r\n"]),
    ),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=6), data=st.data())
def test_any_splits_of_any_stream_give_what_the_python_parser_sees(messages, data):
    """Requests in a row, cut anywhere."""
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        expected = reference(loop, stream)

        assert take(wrapped(loop), pieces) == (expected, None)


@settings(max_examples=100, deadline=None)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=4), data=st.data())
def test_a_damaged_stream_never_makes_a_message_the_python_parser_does_not_see(messages, data):
    """Bytes are replaced, inserted and removed: as long as both accept, both see the same messages."""
    stream = bytearray(b"".join(messages))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b" ", b"LINK ", b"0"])
        )
    cut = data.draw(st.integers(0, len(stream)))
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        found, error = take(wrapped(loop), [bytes(stream[:cut]), bytes(stream[cut:])])
        wanted, raised = piecewise(loop, bytes(stream))

    pairs = list(zip(found, wanted, strict=False))
    assert [mine[:2] for mine, _ in pairs] == [theirs[:2] for _, theirs in pairs]
    assert raised or error is not None or len(found) <= len(wanted)


@pytest.mark.parametrize("method", [b"LINK", b"UNLINK", b"COPY", b"MOVE"])
async def test_a_stand_in_from_the_wire_is_refused(method):
    """Otherwise LINK would be a second spelling of LIST."""
    parser = wrapped(asyncio.get_running_loop())

    assert take(parser, [plain(b"GET") + plain(method)]) == ([("GET", "/v1/x", b"")], 400)


async def test_a_stand_in_behind_a_chunked_body_is_refused():
    """Also where the parser alone would have taken it."""
    parser = wrapped(asyncio.get_running_loop())
    stream = chunked(b"POST", [b"x"]) + plain(b"LINK")

    assert take(parser, [stream]) == ([("POST", "/v1/z", b"x")], 400)


@pytest.mark.parametrize("method", [b"FOO", b"TRACE", b"CONNECT", b"PROPFIND", b"get", b"list", b"M-SEARCH"])
async def test_an_unknown_method_is_405_before_any_parser(method):
    """A token that is no method of the API."""
    assert take(wrapped(asyncio.get_running_loop()), [plain(method)]) == ([], 405)


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00", b" GET / HTTP/1.1\r\n", b"G\x00T / ", b"A" * 40, b"\r\n" * 3, b"\n"]
)
async def test_bytes_that_begin_no_request_are_refused(junk):
    """TLS on a plain port, blanks, line ends."""
    assert take(wrapped(asyncio.get_running_loop()), [junk]) == ([], 400)


@pytest.mark.parametrize("blank", [b"\r\n\r\n" * (CUTS_MAX - 2), b"\r\n\r\n" * 2000])
async def test_a_chunk_full_of_blank_lines_is_read_whole(blank):
    """The bound on tried ends changes nothing for a body that ends with its segment."""
    loop = asyncio.get_running_loop()
    stream = chunked(b"POST", [blank])

    assert take(wrapped(loop), [stream]) == ([("POST", "/v1/z", blank)], None)
    assert take(wrapped(loop), [stream, plain(b"LIST")])[0][1:] == [("LIST", "/v1/x", b"")]


async def test_a_request_behind_an_end_that_was_not_found_is_refused():
    """More blank lines than are tried, and then another request in the same segment: where it begins is unknown."""
    stream = chunked(b"POST", [b"\r\n\r\n" * 2000]) + plain(b"LIST")

    assert take(wrapped(asyncio.get_running_loop()), [stream])[1] == 400


async def test_a_head_beyond_its_bound_is_refused():
    """Many short headers are a large head too."""
    head = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: bbbbbbbbbbbbbbbbbbbb\r\n" * 40

    assert take(wrapped(asyncio.get_running_loop(), head_bytes_max=500), [head]) == ([], 431)
    assert take(wrapped(asyncio.get_running_loop(), head_bytes_max=5000), [head + b"\r\n"])[1] is None


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
async def test_an_upgrade_never_happens(upgrade):
    """h2c is ignored, as RFC 9110 allows; a websocket is refused. Neither leaves the parser."""
    parser = wrapped(asyncio.get_running_loop())
    head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n\r\n"

    found, error = take(parser, [head + plain(b"LIST")])

    expected = ([], 400) if upgrade == b"websocket" else (["GET", "LIST"], None)
    assert ([method for method, _, _ in found], error) == expected


async def test_nothing_is_read_behind_the_last_request_of_a_connection():
    """Connection: close ends it; what follows is dropped."""
    parser = wrapped(asyncio.get_running_loop())
    head = b"GET /v1/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

    assert take(parser, [head + plain(b"LIST"), plain(b"GET")]) == ([("GET", "/v1/x", b"")], None)


async def test_a_full_queue_holds_the_rest_back():
    """No more than `queue_max` requests are parsed ahead of their handling."""
    parser = wrapped(asyncio.get_running_loop(), queue_max=2)
    first, _, _ = parser.feed_data(plain(b"LIST") * 5)
    assert len(first) == 2
    assert parser.feed_data(b"")[0] == []

    parser.message_consumed()

    assert [m.method for m, _ in parser.feed_data(b"")[0]] == ["LIST"]


async def test_a_broken_chunk_ends_the_reading_of_the_body():
    """Whoever waits for the body hears of it, instead of waiting until the client leaves."""
    parser = wrapped(asyncio.get_running_loop())
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    [(_, payload)], _, _ = parser.feed_data(head)

    parser.feed_data(b"zz\r\n")

    assert payload.exception() is not None


def test_the_private_names_exist():
    """The minor version of aiohttp is pinned for these."""
    slots = set(dir(RequestHandler))

    assert [name for name in PRIVATE_NAMES if name not in slots] == []
