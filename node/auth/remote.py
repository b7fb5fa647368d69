"""Asking somebody else's HTTP server: keys of an issuer of tokens, the review of a token.

A shell, and it waits: it runs as an `Errand` (engines/base.py) in threads of its own, never in the loop.
Invariants
  R1  https with verification, or plain http to this machine, unless somebody elsewhere names it; no other scheme, no
      redirect, no proxy of the environment
  R2  an answer is bounded in bytes and in time, connecting and a drop every few seconds included
  R3  what is said of a failure holds neither what was sent nor what came back
Source: Vault API, "JWT/OIDC", "Kubernetes"; docs/threat-model.md.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

SILENCE_S = 5.0  # between two pieces of an answer
WHOLE_S = 10.0  # an answer, from the connection on
BODY_BYTES_MAX = 1 << 20
URL_CHARACTERS_MAX = 2_048
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class RemoteError(Exception):
    """There is no answer, or none that can be used. The text may be shown (R3)."""


def is_allowed(url: str) -> bool:
    """Whether the URL may be asked (R1)."""
    return _split(url) is not None


def may_follow(url: str, origin: str) -> bool:
    """Whether the URL, which an answer from `origin` named, may be asked: nobody elsewhere sends us to ourselves."""
    parts, known = _split(url), _split(origin)
    return parts is not None and (parts.scheme == "https" or (known is not None and known.scheme == "http"))


def check_url(name: str, url: str) -> None:
    """The URL may be asked (R1). Raises Refusal, which names the field."""
    if not is_allowed(url):
        raise Refusal(400, f"{name} must be an https URL without a user; http is for this machine alone")


def ask(
    url: str, ca_pem: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """(status, body) of the answer. `ca_pem`: whom to believe; empty is whom this machine believes.

    Raises RemoteError.
    """
    parts = _split(url)
    if parts is None:
        raise RemoteError("the URL is none that may be asked")
    connection = _connection(parts, ca_pem)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        timer = threading.Timer(WHOLE_S, _end, (connection.sock,))
        timer.daemon = True
        timer.start()
        try:
            connection.request(method, target, body=body, headers={"Connection": "close", **(headers or {})})
            response = connection.getresponse()
            data = response.read(BODY_BYTES_MAX + 1)
            is_whole = not response.length or len(data) > BODY_BYTES_MAX
        finally:
            timer.cancel()
    except ssl.SSLCertVerificationError:
        raise RemoteError("its certificate is not one that is believed") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RemoteError(f"no answer: {type(error).__name__}") from None
    finally:
        connection.close()
    if not is_whole:
        raise RemoteError("no answer: it broke off")
    if len(data) > BODY_BYTES_MAX:
        raise RemoteError(f"the answer is longer than {BODY_BYTES_MAX} bytes")
    return response.status, data


def ask_json(
    url: str, ca_pem: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object of an answer with 200 or 201. Raises RemoteError."""
    status, data = ask(url, ca_pem, method=method, body=body, headers={"Accept": "application/json", **(headers or {})})
    if status not in {200, 201}:
        raise RemoteError(f"the answer has status {status}")
    try:
        decoded = msgspec.json.decode(data)
    except _UNREADABLE:
        raise RemoteError("the answer is not JSON") from None
    if not isinstance(decoded, dict):
        raise RemoteError("the answer is not a JSON object")
    return decoded


def _split(url: str) -> SplitResult | None:
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or port == 0 or parts.username is not None or parts.password is not None or parts.fragment:
        return None
    if parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)):
        return parts
    return None


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _connection(parts: SplitResult, ca_pem: str) -> http.client.HTTPConnection:
    host = parts.hostname
    assert host is not None  # `_split` has seen to it
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=SILENCE_S)
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except (ssl.SSLError, ValueError):
        raise RemoteError("the authority that was configured for it cannot be read") from None
    return http.client.HTTPSConnection(host, parts.port, timeout=SILENCE_S, context=context)


def _end(conn: socket.socket | None) -> None:
    """Whoever reads from the connection reads no more (R2)."""
    if conn is not None:
        with contextlib.suppress(OSError):
            conn.shutdown(socket.SHUT_RDWR)
