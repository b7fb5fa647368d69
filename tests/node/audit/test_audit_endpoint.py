"""Where a device may send its lines, and what is refused before anybody is called."""

import pytest

from node.audit import OptionError, Rules
from node.audit.endpoint import DATAGRAM_BYTES_MAX, Endpoint, Syslog

RULES = Rules("/var/lib/audit", production=True)


@pytest.mark.parametrize(
    ("options", "expected", "name"),
    [
        ({"address": "collector:9090"}, Endpoint("tcp", "collector", 9090), "tcp://collector:9090"),
        ({"address": "192.0.2.7:1", "socket_type": "udp"}, Endpoint("udp", "192.0.2.7", 1), "udp://192.0.2.7:1"),
        ({"address": "[::1]:65535"}, Endpoint("tcp", "::1", 65535), "tcp://[::1]:65535"),
        ({"address": "/run/a.sock", "socket_type": "unix"}, Endpoint("unix", path="/run/a.sock"), "unix:///run/a.sock"),
        ({"address": "/a", "socket_type": "unixgram"}, Endpoint("unixgram", path="/a"), "unixgram:///a"),
        ({"address": "a:1", "write_timeout": "500ms"}, Endpoint("tcp", "a", 1, write_timeout_s=0.5), "tcp://a:1"),
        ({"address": "a:1", "write_timeout": "3"}, Endpoint("tcp", "a", 1, write_timeout_s=3.0), "tcp://a:1"),
    ],
)
def test_addresses_of_a_socket_device(options, expected, name):
    """TCP is what nothing said means; facts call it by how it is reached."""
    parsed = RULES.parse("socket", options)

    assert (parsed.endpoint, parsed.syslog, parsed.file) == (expected, None, name)


@pytest.mark.parametrize(
    ("options", "kind", "syslog"),
    [
        ({}, "unixgram", Syslog(4, "strongroom")),
        ({"facility": "local3", "tag": "vault"}, "unixgram", Syslog(19, "vault")),
        ({"address": "udp://127.0.0.1:514"}, "udp", Syslog()),
        ({"address": "tcp://localhost:601"}, "tcp", Syslog()),
        ({"address": "tcp://[::1]:601"}, "tcp", Syslog()),
        ({"address": "unix:///run/log"}, "unixgram", Syslog()),
    ],
)
def test_addresses_of_a_syslog_device(options, kind, syslog):
    """The machine's own daemon where nothing is said."""
    parsed = RULES.parse("syslog", options)

    assert (parsed.endpoint.kind, parsed.syslog) == (kind, syslog)


@pytest.mark.parametrize(
    ("type_", "options", "text"),
    [
        ("socket", {}, "address is required"),
        ("socket", {"address": "host"}, "HOST:PORT"),
        ("socket", {"address": ":9090"}, "HOST:PORT"),
        ("socket", {"address": "a:0"}, "HOST:PORT"),
        ("socket", {"address": "a:65536"}, "HOST:PORT"),
        ("socket", {"address": "a:\u0661"}, "HOST:PORT"),
        ("socket", {"address": "user@host:1"}, "HOST:PORT"),
        ("socket", {"address": "::1:9090"}, "HOST:PORT"),
        ("socket", {"address": "[fe80::1%eth0]:1"}, "HOST:PORT"),
        ("socket", {"address": "a b:1"}, "HOST:PORT"),
        ("socket", {"address": "a:1", "socket_type": "unix"}, "absolute path"),
        ("socket", {"address": "run/a", "socket_type": "unix"}, "absolute path"),
        ("socket", {"address": "/run/../a", "socket_type": "unix"}, "absolute path"),
        ("socket", {"address": "/run/a\0", "socket_type": "unix"}, "absolute path"),
        ("socket", {"address": "/" + "x" * 107, "socket_type": "unixgram"}, "absolute path"),
        ("socket", {"address": "a:1", "socket_type": "sctp"}, "socket_type"),
        ("socket", {"address": "a:1", "write_timeout": "0"}, "write_timeout"),
        ("socket", {"address": "a:1", "write_timeout": "2m"}, "write_timeout"),
        ("socket", {"address": "a:1", "write_timeout": "hvs.x"}, "write_timeout"),
        ("socket", {"address": "a:1", "facility": "AUTH"}, "not supported: facility"),
        ("socket", {"address": "a:1", "prefix": "x"}, "not supported: prefix"),
        ("socket", {"address": "a:1", "format": "jsonx"}, "only json"),
        ("socket", {"address": "a:1", "log_raw": "true"}, "refused in production"),
        ("socket", {"address": "a:1", "fdatasync": "true"}, "not supported: fdatasync"),
        ("syslog", {"address": "udp://192.0.2.7:514"}, "on this machine"),
        ("syslog", {"address": "udp://collector:514"}, "on this machine"),
        ("syslog", {"address": "127.0.0.1:514"}, "must begin with"),
        ("syslog", {"address": "http://127.0.0.1:514"}, "must begin with"),
        ("syslog", {"facility": "hvs.x"}, "facility"),
        ("syslog", {"tag": "two words"}, "tag"),
        ("syslog", {"tag": "x" * 49}, "tag"),
        ("syslog", {"tag": "a\nb"}, "tag"),
        ("syslog", {"file_path": "a"}, "not supported: file_path"),
        ("file", {"file_path": "a", "address": "b:1"}, "not supported: address"),
        ("file", {"file_path": "a", "facility": "AUTH"}, "not supported: facility"),
        ("file", {"file_path": "stdout", "fdatasync": "true"}, "needs a file"),
        ("file", {"file_path": ".positions/x"}, "positions"),
    ],
)
def test_what_a_device_may_not_be_told(type_, options, text):
    """400; the text names the option and repeats nothing that was sent."""
    with pytest.raises(OptionError) as caught:
        RULES.check_options(type_, options)

    assert caught.value.status == 400
    assert text in caught.value.texts[0]
    assert "hvs." not in caught.value.texts[0]


def test_the_longest_line_is_a_datagrams_and_no_streams():
    """What fits no message is refused before it has a number."""
    limits = [
        RULES.parse(
            "socket", {"address": "/a" if kind.startswith("unix") else "a:1", "socket_type": kind}
        ).line_bytes_max
        for kind in ("tcp", "unix", "udp", "unixgram")
    ]

    assert limits == [None, None, DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MAX]
    assert RULES.parse("file", {"file_path": "a"}).line_bytes_max is None
