"""The head of a plain GET, told from its bytes: what nearly every read of a running client looks like.

Pure. What matches here needs neither the parser nor the rules for headers, because nothing in it could make them
decide otherwise; whatever is not plainly so is None, and goes to them untouched.

Invariants
  H1  a match is one whole request of HTTP/1.1 in printable ASCII, with a path of plain characters and nothing else:
      no query, no body, no empty segment, none that begins with a dot, no trailing slash
  H2  every header is on a short list, Host and X-Vault-Token came once each, and the connection stays
  H3  what matches means to `parse_head` exactly what is returned here: tests compare the two
  H4  nothing is remembered: a token lives as long as its request
Source: docs/threat-model.md, "HTTP edge"; RFC 9112.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .errors import BadRequestError
from .headers import check_host

if TYPE_CHECKING:
    from .headers import Peer, Trust
    from .limits import HttpLimits

START = b"GET /v1/"
END = b" HTTP/1.1"
HEAD_END = b"\r\n\r\n"
HEAD_BYTES_MAX = 2048
PATH_BYTES_MAX = 512
TOKEN_BYTES_MAX = 512
LINES_MAX = 24
HOSTS_MAX = 256

PRINTABLE = bytes(range(0x20, 0x7F))
PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./"

HOST, TOKEN, KEEP, ANY = range(4)
HEADERS = {
    spelling: kind
    for name, kind in (
        ("host", HOST),
        ("x-vault-token", TOKEN),
        ("connection", KEEP),
        ("x-vault-request", ANY),
        ("accept", ANY),
        ("accept-encoding", ANY),
        ("user-agent", ANY),
    )
    for spelling in (name.encode("ascii"), name.title().encode("ascii"))
}
"""The short list, in the two spellings that clients use."""


class Hot(NamedTuple):
    """What is asked for, with which token, at which host."""

    path: str
    token: str
    host: bytes

    def __repr__(self) -> str:
        return "<Hot>"


def fits(limits: HttpLimits) -> bool:
    """Whether nothing that matches could be more than the limits allow."""
    return (
        limits.path_bytes >= PATH_BYTES_MAX
        and limits.token_bytes >= TOKEN_BYTES_MAX
        and min(limits.line_bytes, limits.header_bytes) >= HEAD_BYTES_MAX
        and limits.headers >= LINES_MAX
    )


def match(data: bytes) -> Hot | None:
    """The request that the bytes are, if they are a plain GET and nothing before or behind it."""
    if not data.startswith(START) or not data.endswith(HEAD_END) or len(data) > HEAD_BYTES_MAX:
        return None
    lines = data.split(b"\r\n", LINES_MAX)
    # Only line ends are not printable: then no line holds half of one, and the only empty line is the last.
    if data.translate(None, PRINTABLE) != b"\r\n" * (len(lines) - 1) or not lines[0].endswith(END):
        return None
    path = lines[0][len(START) : -len(END)]
    if not path or len(path) > PATH_BYTES_MAX or path.translate(None, PLAIN):
        return None
    if path[0] in b"./" or path[-1] == b"/"[0] or b"//" in path or b"/." in path:
        return None
    host: bytes | None = None
    token: bytes | None = None
    for line in lines[1:-2]:
        name, colon, value = line.partition(b": ")
        kind = HEADERS.get(name) if colon else None
        if kind == ANY:
            continue
        if kind == TOKEN and token is None:  # one that came empty came, too
            token = value
        elif kind == HOST and host is None:
            host = value
        elif kind != KEEP or value.lower() != b"keep-alive":
            return None
    if not host or not token or b" " in token or b" " in host or len(token) > TOKEN_BYTES_MAX:
        return None
    return Hot(path.decode("ascii"), token.decode("ascii"), host)


class Hosts:
    """Values of Host that `check_host` accepted, by the local address they were sent to. None but those are kept."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._known: set[tuple[bytes, str]] = set()

    def knows(self, host: bytes, peer: Peer) -> bool:
        """Whether the value names this listener, and the peer speaks for itself alone."""
        if (host, peer.local_address) in self._known:
            return not self._trust.proxies
        try:
            check_host({"host": host.decode("ascii")}, {}, peer, self._trust)
        except BadRequestError:
            return False
        if len(self._known) < HOSTS_MAX:
            self._known.add((host, peer.local_address))
        return not self._trust.proxies
