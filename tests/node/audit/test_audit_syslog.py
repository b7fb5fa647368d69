"""What the syslog daemon gets."""

import json
import os
import re

import pytest

from node.audit import Renderer, Rules, verify
from node.audit.endpoint import Endpoint, Syslog
from node.audit.position import Position
from node.audit.syslog import SyslogSink
from tests.node.audit.audit_collectors import Collector, socket_spec
from tests.node.audit.audit_fakes import mac, make_broker, make_entry

# RFC 5424, 6: PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA SP MSG
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32})"
    rb" - (.*)",
    re.DOTALL,
)


@pytest.fixture
def collect(tmp_path):
    """Makes daemons, and stops them."""
    made = []

    def make(kind):
        made.append(Collector(kind, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def counted(daemon, count):
    """Messages of a stream, each behind its length."""
    found, rest, read = [], b"", 0
    while len(found) < count:
        length, space, after = rest.partition(b" ")
        if not space or len(after) < int(length):
            rest += daemon.message(read)
            read += 1
            continue
        found.append(after[: int(length)])
        rest = after[int(length) :]
    return found


def make_sink(tmp_path, node="n1", kind="udp", **syslog):
    endpoint = Endpoint(kind, "127.0.0.1", 514)
    return SyslogSink(endpoint, Syslog(**syslog), Position(tmp_path, node, "syslog/", "x"), node)


@pytest.mark.parametrize("kind", ["unixgram", "udp", "tcp"])
async def test_a_line_is_a_message_of_rfc_5424(tmp_path, collect, kind):
    """The chain goes on in what the daemon writes; over TCP each message says how long it is."""
    daemon = collect(kind)
    options = {"address": daemon.url, "facility": "LOCAL0", "tag": "vault", "hmac_accessor": "false"}
    broker = make_broker(tmp_path)
    assert await broker.sync({"syslog/": socket_spec(options, type_="syslog")}) == {}
    await broker.record(make_entry(b'{"a":"line\\nbreak"}'), Renderer.request)
    raw = counted(daemon, 2) if kind == "tcp" else [daemon.message(0), daemon.message(1)]
    await broker.close()
    parts = [MESSAGE.fullmatch(one).groups() for one in raw]

    assert [part[:6] for part in parts] == [
        (b"134", b"2025-11-24T09:41:00.25Z", b"n1", b"vault", str(os.getpid()).encode(), b"audit")
    ] * 2
    assert [json.loads(part[6])["type"] for part in parts] == ["open", "request"]
    assert verify([part[6] + b"\n" for part in parts], mac).ok


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (b'{"time":"2026-01-02T03:04:05.123456789Z","type":"x"}\n', b"2026-01-02T03:04:05.123456Z"),
        (b'{"time":"2026-01-02T03:04:05Z"}\n', b"2026-01-02T03:04:05Z"),
        (b'{"time":"yesterday"}\n', b"-"),
        (b'{"type":"x"}\n', b"-"),
    ],
)
def test_the_time_of_a_message_is_the_lines(tmp_path, line, time):
    """With as many digits as the RFC allows; else the daemon's own clock must do."""
    assert MESSAGE.fullmatch(make_sink(tmp_path).framed(line))[2] == time


@pytest.mark.parametrize(("node", "host"), [("n1", b"n1"), ("two words", b"-"), ("ä", b"-"), ("x" * 256, b"-")])
def test_a_name_that_is_no_hostname_is_left_out(tmp_path, node, host):
    """It could end the header early."""
    assert MESSAGE.fullmatch(make_sink(tmp_path, node).framed(b"{}\n"))[3] == host


def test_the_longest_line_fits_a_datagram_with_what_stands_before_it():
    """65,507 bytes is what UDP takes."""
    options = Rules("/d", production=True).parse("syslog", {"address": "udp://127.0.0.1:1", "tag": "x" * 48})
    sink = SyslogSink(options.endpoint, options.syslog, None, "n" * 255)

    assert len(sink.framed(b"x" * options.line_bytes_max)) <= 65_507
