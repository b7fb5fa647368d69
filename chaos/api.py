"""HTTP as the run's clients speak it: connections that stay open for the load, a blocking face for setting up.

Decides one thing: whether a request can have reached the cluster. A connection that was refused, or not made within the
time, was never sent; everything after the first byte was may have been done.

Invariants
  AP1  an answer is that of the request that was sent last: what came unasked ends the connection
  AP2  a request is sent once, to the node that it is for: no redirect is followed, no proxy of the environment asked
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
import urllib.response
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .targets.base import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUEST_S = 1.0
ADMIN_S = 30.0
ANSWER_BYTES_MAX = 1 << 22
NO_CONTENT = 204
SEALED = ["Vault is sealed"]
# A DELETE of such a path removes what a write to it made.
MAKING = ("sys/policies/acl/", "sys/mounts/", "sys/auth/", "auth/token/roles/")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: Any  # parsed; None if it was empty or no JSON

    @property
    def applied(self) -> str:
        """What a refusal says of the write: "no", "unknown", or "" if nothing."""
        return str(self.body.get("applied", "")) if isinstance(self.body, dict) else ""

    @property
    def sealed(self) -> bool:
        """The node has no keys: it did nothing."""
        return isinstance(self.body, dict) and self.body.get("errors") == SEALED

    @property
    def errors(self) -> list[Any] | None:
        """What the product says of a refusal; None if it refused nothing, or what refused is not the product."""
        said = self.body.get("errors") if isinstance(self.body, dict) else None
        return said if isinstance(said, list) else None

    @property
    def data(self) -> Any:
        """The `data` of the answer, {} if there is none."""
        return (self.body.get("data") or {}) if isinstance(self.body, dict) else {}

    @property
    def raft_index(self) -> int | None:
        """X-Strongroom-Index."""
        said = self.headers.get("x-strongroom-index", "")
        return int(said) if said.isdigit() else None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request got none."""

    why: str
    never_sent: bool


def tls_of(ca_file: Path | None) -> ssl.SSLContext | None:
    """What clients trust; None for plain HTTP or the machine's own."""
    return None if ca_file is None else ssl.create_default_context(cafile=str(ca_file))


class _Heard(asyncio.StreamReader):
    """Knows whether anything came that nobody waits for: the end of the connection, or an answer to no request."""

    def is_spent(self) -> bool:
        """Nothing may be asked here any more."""
        return bool(self._buffer) or self._eof  # type: ignore[attr-defined]


class Session:
    """One connection of one client process to each node it talks to. No library's: those repeat requests unasked.

    Every answer of the product has a Content-Length; an answer without one is an error of the edge, and no answer here.
    """

    def __init__(self, ca_file: Path | None, timeout_s: float = REQUEST_S) -> None:
        self._tls = tls_of(ca_file)
        self._timeout_s = timeout_s
        self._streams: dict[str, tuple[_Heard, asyncio.StreamWriter]] = {}

    async def ask(
        self, url: str, method: str, path: str, body: Any, token: str, headers: Mapping[str, str]
    ) -> Reply | NoAnswer:
        """One request; `path` below /v1/ unless it begins with a slash. Redirects are answers like any."""
        parts = urllib.parse.urlsplit(url)
        data = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": parts.netloc, "X-Vault-Request": "true", "X-Vault-Token": token, **headers}
        if data:
            sent["Content-Length"] = str(len(data))
        target = path if path.startswith("/") else f"/v1/{path}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
        written = False
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._dialled(url, parts)
                written = True
                writer.write(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + data)
                return await self._answer(url, reader)
        except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self._drop(url)
            return NoAnswer(type(error).__name__, never_sent=not written)
        except asyncio.CancelledError:
            self._drop(url)
            raise

    async def _dialled(
        self, url: str, parts: urllib.parse.SplitResult
    ) -> tuple[_Heard, asyncio.StreamWriter]:
        """A connection on which nothing is under way (AP1); one that its node has closed is made again."""
        known = self._streams.get(url)
        if known is not None and not known[0].is_spent() and not known[1].is_closing():
            return known
        self._drop(url)
        loop = asyncio.get_running_loop()
        tls = (self._tls or True) if parts.scheme == "https" else None
        reader = _Heard(limit=ANSWER_BYTES_MAX, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        port = parts.port or (443 if tls else 80)
        transport, _ = await loop.create_connection(lambda: protocol, parts.hostname or "", port, ssl=tls)
        self._streams[url] = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        return self._streams[url]

    async def _answer(self, url: str, reader: asyncio.StreamReader) -> Reply:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in head[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        status = int(head[0][9:12])
        raw = await reader.readexactly(int(headers.get("content-length", 0 if status == NO_CONTENT else -1)))
        if headers.get("connection", "").lower() == "close":
            self._drop(url)
        return Reply(status, headers, parsed(raw))

    def _drop(self, url: str) -> None:
        streams = self._streams.pop(url, None)
        if streams is not None:
            streams[1].transport.abort()

    def close(self) -> None:
        """No connection is open."""
        for url in list(self._streams):
            self._drop(url)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """AP2."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None is followed: it is an answer like any."""


class Admin:
    """Blocking requests with the administrator's token, for setting up and looking at the end.

    `made` gets the path of everything that `must` made and DELETE removes, before it is asked for.
    """

    def __init__(
        self, urls: Mapping[str, str], token: str, ca_file: Path | None, made: list[str] | None = None
    ) -> None:
        self.urls = dict(urls)
        self._token = token
        tls = urllib.request.HTTPSHandler(context=tls_of(ca_file))
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls, _NoRedirect())
        self._made = [] if made is None else made
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """No `must` is under way, and none begins: another thread that still prepares something fails."""
        with self._lock:
            self._closed = True

    def ask(
        self, method: str, path: str, body: Any = None, *, node: str = "", token: str | None = None,
        headers: Mapping[str, str] | None = None, timeout_s: float = ADMIN_S,
    ) -> Reply:
        """One request to that node, or the first that answers. Raises OSError if nobody does."""
        failed: OSError = OSError("no node was asked")
        for url in [self.urls[node]] if node else self.urls.values():
            try:
                return self._ask(url, method, path, body, self._token if token is None else token, headers, timeout_s)
            except OSError as error:
                failed = error
        raise failed

    def must(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        """A request that is part of setting up. Raises TargetError unless it is answered 2xx."""
        with self._lock:
            if self._closed:
                raise TargetError("the run is over")
            makes = method in {"POST", "PUT"} and path.startswith(MAKING)
            if makes:
                self._made.append(path)
            try:
                reply = self.ask(method, path, body, **more)
            except OSError as error:
                raise TargetError(f"{method} {path}: {type(error).__name__}") from error
            if makes and 400 <= reply.status < 500:
                self._made.remove(path)  # refused: what may stand there is somebody else's
        if reply.status >= 300:
            raise TargetError(f"{method} {path} answered {reply.status}")
        return reply

    def _ask(
        self, url: str, method: str, path: str, body: Any, token: str, headers: Mapping[str, str] | None,
        timeout_s: float,
    ) -> Reply:
        target = url + (path if path.startswith("/") else f"/v1/{path}")
        data = None if body is None else json.dumps(body).encode()
        sent = {"X-Vault-Request": "true", "X-Vault-Token": token, **(headers or {})}
        request = urllib.request.Request(target, data=data, method=method, headers=sent)  # noqa: S310 - our own URLs
        try:
            with self._opened(request, timeout_s) as answer:
                raw = answer.read()
                found = {n.lower(): v for n, v in answer.headers.items()}
                if answer.status != NO_CONTENT and not {"content-length", "transfer-encoding"} & set(found):
                    raise OSError("no whole answer: nobody said how long it is")  # its head may be cut
                return Reply(answer.status or 0, found, parsed(raw))
        except http.client.HTTPException as error:  # no OSError, though the connection broke in the middle of an answer
            raise OSError(f"no whole answer: {type(error).__name__}") from error

    def _opened(self, request: urllib.request.Request, timeout_s: float) -> urllib.response.addinfourl:
        try:
            opened: urllib.response.addinfourl = self._opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            return error
        return opened


def parsed(raw: bytes) -> Any:
    """JSON, or None."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
