"""Request target → the one path string that routing, policies and keys share, and the query.

Pure. Invariant: the result is decoded exactly once, holds no empty, `.` or `..` segment, nothing that is not
printable, and is at most `path_bytes` long in UTF-8. Below /v1/ it has no leading slash; elsewhere it begins with one.
Source: Vault API, "Paths"; RFC 9112 3.2.1 (origin-form only).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_to_bytes

from .errors import BadRequestError, HeadLimitError, PathTooLongError, RelativePathError

if TYPE_CHECKING:
    from .limits import HttpLimits

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASHES = re.compile(r"//+")
_PLAIN = re.compile(r"/v1/([A-Za-z0-9_.~\-]+(?:/[A-Za-z0-9_.~\-]+)*)/?")
API = "/v1/"


def split_target(target: str) -> tuple[str, str]:
    """(raw path, raw query). Refuses the absolute, authority and asterisk forms, and a fragment."""
    if not target.startswith("/") or "#" in target:
        raise BadRequestError("the request target must be an absolute path")
    raw_path, _, query = target.partition("?")
    return raw_path, query


def decode_path(raw_path: str, limits: HttpLimits) -> str:
    """The path as every later step sees it; see the module's invariant. Raises EdgeRefusal."""
    if _PLAIN.fullmatch(raw_path) and "/." not in raw_path and len(raw_path) <= limits.path_bytes:
        return raw_path[len(API) :]  # nearly every request, at a third of the cost
    if _BROKEN_ESCAPE.search(raw_path):
        raise BadRequestError("the path has a broken percent-encoding")
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8") if "%" in raw_path else raw_path
        size_bytes = len(path.encode("utf-8"))
    except UnicodeError:
        raise BadRequestError("the path is not UTF-8") from None
    if not path.isprintable():
        raise BadRequestError("the path has characters that are not printable")
    path = _SLASHES.sub("/", path)
    if any(segment in {".", ".."} for segment in path.split("/")):
        raise RelativePathError
    if size_bytes > limits.path_bytes:
        raise PathTooLongError(limits.path_bytes)
    return path.removeprefix(API)


def parse_query(query: str, limits: HttpLimits) -> dict[str, str]:
    """Name → value; a name that comes several times has its values joined by commas, as list fields take them.

    Nothing is dropped: a second value that only some reader sees is how parameters get past a policy.
    """
    if not query:
        return {}
    if not query.isascii() or _BROKEN_ESCAPE.search(query):
        raise BadRequestError("the query has a broken percent-encoding")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=limits.query_fields)
    except UnicodeError:
        raise BadRequestError("the query is not UTF-8") from None
    except ValueError:
        raise HeadLimitError("the query has too many fields") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found
