"""HTTP as the run's clients speak it: connections that stay open for the load, a blocking face for setting up.

Decides one thing: whether a request can have reached the cluster. A connection that was refused, or not made within the
time, was never sent; everything after the first byte was may have been done.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
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


class Session:
    """One connection of one client process to each node it talks to. No library's: those repeat requests unasked.

    Every answer of the product has a Content-Length; an answer without one is an error of the edge, and no answer here.
    """

    def __init__(self, ca_file: Path | None, timeout_s: float = REQUEST_S) -> None:
        self._tls = tls_of(ca_file)
        self._timeout_s = timeout_s
        self._streams: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

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
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if url not in self._streams:
            tls = self._tls or (True if parts.scheme == "https" else None)
            port = parts.port or (443 if tls else 80)
            self._streams[url] = await asyncio.open_connection(parts.hostname, port, ssl=tls, limit=ANSWER_BYTES_MAX)
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


class Admin:
    """Blocking requests with the administrator's token, for setting up and looking at the end.

    `made` gets the path of everything that `must` made and DELETE removes, before it is asked for.
    """

    def __init__(
        self, urls: Mapping[str, str], token: str, ca_file: Path | None, made: list[str] | None = None
    ) -> None:
        self.urls = dict(urls)
        self._token = token
        self._tls = tls_of(ca_file)
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
            with urllib.request.urlopen(request, timeout=timeout_s, context=self._tls) as answer:  # noqa: S310
                return Reply(answer.status, {n.lower(): v for n, v in answer.headers.items()}, parsed(answer.read()))
        except urllib.error.HTTPError as error:
            return Reply(error.code, {n.lower(): v for n, v in error.headers.items()}, parsed(error.read()))


def parsed(raw: bytes) -> Any:
    """JSON, or None."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
