"""One HTTP connection to one server, with the standard library alone, and what an answer means.

Shell: it opens sockets and reads certificate files. Invariants: a request that may have reached the server and got no
answer is an unknown outcome unless it only reads; one redirect is followed, never from https to http; no error holds
the token. Source: Vault API, "HTTP status codes"; outcomes of failed writes as the server's `applied` says.
"""

from __future__ import annotations

import http.client
import io
import shutil
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from .failures import LocalError, OutcomeUnknown
from .jsontext import decode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

PIECE_BYTES = 1 << 16
READS = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 307, 308})


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the server is and who asks. `repr` never shows the token."""

    address: str = "https://127.0.0.1:8200"
    token: str | None = field(default=None, repr=False)
    namespace: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    skip_verify: bool = False
    timeout_s: float = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. `repr` shows no body: it may be a secret."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # lower-case names

    @property
    def ok(self) -> bool:
        """The server did what it was asked."""
        return 200 <= self.status < 300

    @property
    def document(self) -> dict[str, Any]:
        """The body as an object; {} if it is none."""
        try:
            value = decode(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of the envelope; {} if there is none."""
        value = self.document.get("data")
        return value if isinstance(value, dict) else {}

    @property
    def entries(self) -> list[tuple[str, dict[str, Any]]]:
        """The objects in `data` by name, sorted: mounts, devices."""
        return [(name, value) for name, value in sorted(self.data.items()) if isinstance(value, dict)]

    @property
    def errors(self) -> list[str]:
        """The server's texts, Go's list marks removed."""
        texts = self.document.get("errors")
        lines = [line.strip() for text in texts if isinstance(text, str) for line in text.splitlines()] if texts else []
        return [
            line.removeprefix("* ")
            for line in lines
            if line and not line.endswith(("error occurred:", "errors occurred:"))
        ]

    @property
    def applied(self) -> str | None:
        """What a failed write says of itself, no, unknown or yes; a 504 that says nothing is unknown."""
        said = self.document.get("applied")
        if said in {"no", "unknown", "yes"}:
            return str(said)
        return "unknown" if self.status == 504 else None


def target(path: str, query: Mapping[str, Any] | None = None) -> str:
    """The request target of an API path ("sys/health", or "/readyz" outside /v1/), encoded."""
    base = quote(path, safe="/~") if path.startswith("/") else f"/v1/{quote(path, safe='/~')}"
    return f"{base}?{urlencode(query)}" if query else base


class Connection:
    """Requests to one server over one kept-alive connection."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.address.rstrip("/")
        self._open: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """The socket is closed."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def request(
        self, method: str, at: str, body: str | BinaryIO | None = None, headers: Mapping[str, str] | None = None,
        into: BinaryIO | None = None,
    ) -> Reply:  # fmt: skip
        """The answer to one request for a target; the body of a success goes `into` a file, if one is given.

        A body that is a file is sent from where it begins, with its size announced.

        Raises LocalError if nothing was sent, OutcomeUnknown if a write was sent and no answer came.
        """
        reply = self._once(method, at, body, headers or {}, into)
        location = reply.headers.get("location", "")
        if reply.status not in _REDIRECTS or not location:
            return reply
        moved = urlsplit(location)
        if moved.netloc:
            if self._url.startswith("https:") and moved.scheme != "https":
                raise LocalError(f"{self._url} redirects from https to {moved.scheme or 'nothing'}; refused")
            self.close()
            self._url = f"{moved.scheme}://{moved.netloc}"
        at = f"{moved.path}?{moved.query}" if moved.query else moved.path
        return self._once(method, at, body, headers or {}, into)

    def _once(
        self, method: str, at: str, body: str | BinaryIO | None, headers: Mapping[str, str], into: BinaryIO | None
    ) -> Reply:
        connection = self._connect()
        sending = {"X-Vault-Request": "true", "Accept": "application/json", **headers}
        if self._settings.token:
            sending["X-Vault-Token"] = self._settings.token
        if self._settings.namespace:
            sending["X-Vault-Namespace"] = self._settings.namespace
        if isinstance(body, str):
            sending.setdefault("Content-Type", "application/json")
        elif body is not None:
            sending |= {"Content-Type": "application/gzip", "Content-Length": str(body.seek(0, io.SEEK_END))}
            body.seek(0)
        try:
            connection.request(method, at, body.encode() if isinstance(body, str) else body, sending)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            if into is not None and answer.status == http.client.OK:
                shutil.copyfileobj(answer, into, PIECE_BYTES)
                return Reply(answer.status, b"", found)
            return Reply(answer.status, answer.read(), found)
        except ValueError:  # http.client refuses a header with a newline; its text would quote the token
            raise LocalError("the token or namespace holds a character that a header cannot carry") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if method in READS:
                raise LocalError(f"{self._url} did not answer: {_reason(error)}") from None
            raise OutcomeUnknown(
                f"{self._url} did not answer: {_reason(error)}\n"
                "The request was sent and may or may not have been applied."
            ) from None

    def _connect(self) -> http.client.HTTPConnection:
        if self._open is not None:
            return self._open
        parts, host, port = _split(self._url)
        timeout_s = self._settings.timeout_s
        if parts == "https":
            self._open = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=_tls(self._settings))
        else:
            self._open = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            self._open.connect()
        except OSError as error:
            self.close()
            raise LocalError(_unreachable(self._url, error)) from None
        return self._open


def _split(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        raise LocalError("-address must be a URL such as https://127.0.0.1:8200")
    return parts.scheme, host, port if port is not None else (443 if parts.scheme == "https" else 80)


def _tls(settings: Settings) -> ssl.SSLContext:
    named = f"-ca-cert: {settings.ca_cert}"
    try:
        context = ssl.create_default_context(cafile=settings.ca_cert)
        if settings.client_cert:
            named = f"-client-cert and -client-key: {settings.client_cert}, {settings.client_key or 'with its key'}"
            context.load_cert_chain(settings.client_cert, settings.client_key)
    except (ssl.SSLError, ValueError):  # the library's text says nothing to whoever gave a wrong file
        raise LocalError(f"{named}: not PEM, or not a certificate and its key") from None
    except OSError as error:
        raise LocalError(f"{named}: cannot be read: {error.strerror}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the time was up"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _unreachable(url: str, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {url} is not trusted: {error.verify_message}\n"
            "next: name its authority with -ca-cert=FILE or STRONGROOM_CACERT"
        )
    if isinstance(error, ssl.SSLError):
        return f"{url} does not speak TLS as asked: {error.reason}\nnext: if the server is plain HTTP, use -address=http://…"
    return (
        f"{url} cannot be reached: {_reason(error)}\nnext: check -address or STRONGROOM_ADDR, and that the server runs"
    )
