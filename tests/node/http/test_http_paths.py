"""Targets, paths and queries: what is refused before anything looks at a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http import HttpLimits
from node.http.errors import EdgeRefusal
from node.http.paths import decode_path, parse_query

from .conftest import HOST, Serve

LIMITS = HttpLimits()

ACCEPTED = [
    (b"/v1/k/a", "k/a"),
    (b"/v1/k//a", "k/a"),
    (b"//v1///k/a", "k/a"),
    (b"/v1/k/", "k/"),
    (b"/v1//", ""),
    (b"/v1/k/enc%2Fslash", "k/enc/slash"),
    (b"/v1/k/enc%2F%2Fslash", "k/enc/slash"),
    (b"/v1/k/sp%20ace", "k/sp ace"),
    (b"/v1/k/%C3%A9t%C3%A9/%E2%82%AC", "k/été/€"),
    (b"/v1/k/pct%25", "k/pct%"),
    (b"/v1/k/pct%2525", "k/pct%25"),
    (b"/v1/k/q%3Fq", "k/q?q"),
    (b"/v1/k/star*", "k/star*"),
    (b"/v1/k/plus+", "k/plus+"),
    (b"/v1/k/plus%2B", "k/plus+"),
    (b"/v1/k/..a", "k/..a"),
    (b"/v1/k/...", "k/..."),
    (b"/v1/k/a.b/.c", "k/a.b/.c"),
    (b"/v2/sys/health", "/v2/sys/health"),
    (b"/ui/", "/ui/"),
    (b"/v1x", "/v1x"),
]

REFUSED = [
    (b"/v1/k/../sys/mounts", 400),
    (b"/v1/k/./a", 400),
    (b"/v1/k/%2e%2e/sys/mounts", 400),
    (b"/v1/k/%2E/a", 400),
    (b"/v1/k/x/..", 400),
    (b"/v1/k%2F..%2Fa", 400),
    (b"/..", 400),
    (b"/../v1/k", 400),
    (b"/v1/k/ctl%01", 400),
    (b"/v1/k/tab%09", 400),
    (b"/v1/k/nul%00", 400),
    (b"/v1/k/del%7F", 400),
    (b"/v1/k/%0d%0aX:%20y", 400),
    (b"/v1/k/%E2%80%AE", 400),  # right-to-left override
    (b"/v1/k/%C2%A0", 400),  # no-break space looks like a space in a policy
    (b"/v1/k/bad%zz", 400),
    (b"/v1/k/bad%4", 400),
    (b"/v1/k/utf%ff", 400),
    (b"/v1/k/%ED%A0%80", 400),  # a lone surrogate
    (b"/v1/k#fragment", 400),
    (b"http://localhost/v1/k", 400),
    (b"*", 400),
    (b"v1/k", 400),
    (b"/v1/" + b"a" * 1025, 414),
    (b"/v1/k?a=%zz", 400),
    (b"/v1/k?a=%ff", 400),
    (b"/v1/k?" + b"&".join(b"a%d=1" % n for n in range(65)), 400),
]


@pytest.mark.parametrize(("target", "path"), ACCEPTED)
async def test_a_path_is_decoded_once_and_collapsed(serve: Serve, target, path):
    """What arrives is the string policies match and engines use as key."""
    site = await serve()

    await site.get(target)

    assert [request.path for request in site.received] == [path]


@pytest.mark.parametrize(("target", "status"), REFUSED)
async def test_a_path_with_two_readings_is_refused(serve: Serve, target, status):
    """Before routing, policy and audit, and for a write as for a read."""
    site = await serve()

    reply = await site.get(target)
    write = await site.post(b"{}", target=target)

    assert (reply.status, write.status, site.received) == (status, status, [])


async def test_relative_segments_have_their_text(serve: Serve):
    """The text OpenBao sends for encoded ones."""
    site = await serve()

    assert (await site.get(b"/v1/k/%2e%2e/a")).errors == ["relative paths not supported"]


async def test_a_raw_control_character_is_refused_by_the_parser(serve: Serve):
    """Never decoded at all."""
    site = await serve()

    assert (await site.get(b"/v1/a\x01b")).status == 400
    assert (await site.get(b"/v1/\xffb")).status == 400


async def test_the_target_is_kept_as_it_came(serve: Serve):
    """A follower forwards it, the leader decides again."""
    site = await serve()

    await site.get(b"/v1/k%2Fa//b?x=%31")

    assert (site.received[0].target, site.received[0].query) == ("/v1/k%2Fa//b?x=%31", {"x": "1"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("version=2", {"version": "2"}),
        ("versions=1&versions=2", {"versions": "1,2"}),
        ("a=&b", {"a": "", "b": ""}),
        ("a=x+y%2B", {"a": "x y+"}),
        ("", {}),
    ],
)
def test_a_query_loses_nothing(query, expected):
    """Blank values stay, repeated names are joined."""
    assert parse_query(query, LIMITS) == expected


@given(st.text(alphabet="/.%2eE0aé\x00 v1", max_size=30))
def test_whatever_is_accepted_keeps_the_invariant(text):
    """No empty, `.` or `..` segment, printable, bounded: or a refusal, never another error."""
    try:
        path = decode_path("/v1/" + text, LIMITS)
    except EdgeRefusal:
        return

    assert path.isprintable()
    assert not {".", ".."} & set(path.split("/"))
    assert "//" not in path
    assert not path.startswith("/")


async def test_a_long_target_is_refused_by_its_line(serve: Serve):
    """Beyond the line limit the head is not even parsed."""
    site = await serve()

    reply = await site.ask(b"GET /v1/a?", b"x" * 9000, b" HTTP/1.1\r\n", HOST, b"\r\n")

    assert (reply.status, site.received) == (400, [])
