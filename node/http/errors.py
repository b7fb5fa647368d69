"""What the edge refuses, as types with status and text.

Pure. Two families: `EdgeRefusal` is a Refusal found in a request that could be read; `WireRefusal` is raised inside
the parser, where the bytes are no request. Invariant: no text contains a byte of the request beyond the few short,
checked excerpts its constructor names (aiohttp's own messages quote the offending line, token included; they are
never used).
Source: Vault API, "HTTP errors"; RFC 9110 and 9112.
"""

from __future__ import annotations

from aiohttp.http_exceptions import HttpProcessingError

from ..request import Refusal
from .limits import Limited


class EdgeRefusal(Refusal):
    """A request that was read and is refused before anything looked at it; `close` ends the connection.

    `limit` is the bound it exceeds, None where it is not a matter of number or size.
    """

    close = False
    limit: Limited | None = None


class BadRequestError(EdgeRefusal):
    """400 with a fixed text, or none."""

    def __init__(self, *texts: str) -> None:
        super().__init__(400, *texts)


class HeadLimitError(BadRequestError):
    """400 for a head that holds too much of something."""

    limit = Limited.HEAD


class BodyLimitError(BadRequestError):
    """400 for a body that holds too much of something."""

    limit = Limited.BODY


class RelativePathError(EdgeRefusal):
    """A `.` or `..` segment, raw or encoded: policies must match exactly the string that is the key."""

    def __init__(self) -> None:
        super().__init__(400, "relative paths not supported")


class PathTooLongError(EdgeRefusal):
    """The decoded path exceeds `path_bytes`."""

    limit = Limited.HEAD

    def __init__(self, limit: int) -> None:
        super().__init__(414, f"the path is longer than {limit} bytes")


class NamespaceNotFoundError(EdgeRefusal):
    """A namespace other than the root: never ignored, because the request meant other data."""

    def __init__(self) -> None:
        super().__init__(404, "namespace not found")


class MethodNotAllowedError(EdgeRefusal):
    """A method Vault's API does not have."""

    def __init__(self) -> None:
        super().__init__(405)


class BodyTooLargeError(EdgeRefusal):
    """The body exceeds `body_bytes`, as announced or as received."""

    close = True
    limit = Limited.BODY

    def __init__(self) -> None:
        super().__init__(413, "http: request body too large")


class BrokenBodyError(EdgeRefusal):
    """The body ended or broke before its announced end."""

    close = True

    def __init__(self) -> None:
        super().__init__(400, "error reading data")


class UnsupportedMediaError(EdgeRefusal):
    """A content type or encoding that is not accepted here."""

    def __init__(self, text: str) -> None:
        super().__init__(415, text)


class ExpectationError(EdgeRefusal):
    """`Expect` with anything but 100-continue."""

    def __init__(self) -> None:
        super().__init__(417, "only 100-continue can be expected")


class OverloadError(EdgeRefusal):
    """429 (this address) or 503 (this node): nothing was begun, so a retry is safe."""

    def __init__(self, status: int, retry_after_s: int) -> None:
        text = "too many requests from this address" if status == 429 else "this node is overloaded"
        super().__init__(status, text, retry_after_s=retry_after_s)
        self.limit = Limited.IN_FLIGHT_PER_ADDRESS if status == 429 else Limited.IN_FLIGHT


class WireRefusal(HttpProcessingError):  # noqa: N818 - an answer, not an error of ours
    """Bytes that are no request. The connection cannot be used further."""

    code = 400

    def __init__(self, message: str = "") -> None:
        super().__init__(code=type(self).code, message=message)


class MalformedError(WireRefusal):
    """Not HTTP, or HTTP that two parsers could read differently."""


class UnknownMethodError(WireRefusal):
    """A method token we do not take."""

    code = 405


class VersionError(WireRefusal):
    """An HTTP version other than 1.0 and 1.1, or none."""

    code = 505


class HeadTooLargeError(WireRefusal):
    """The head exceeds `header_bytes`."""

    code = 431


WIRE_TEXTS: dict[int, tuple[str, ...]] = {
    400: ("malformed HTTP request",),
    405: (),
    408: ("the request did not arrive in time",),
    431: ("the head of the request is too large",),
    500: ("internal error",),
    505: ("only HTTP/1.0 and HTTP/1.1 are spoken here",),
    504: ("internal error",),
}
