"""How complex is this JSON text? Counted on its bytes before any parser sees it.

Pure. Exact for valid JSON, and never too small for text a parser could get far with: strings, nesting, elements.
All passes but one run inside C, and that one is bounded by `json_elements`.
Source: OpenBao, "refused JSON input due to high complexity"; CPython and C parsers hold the GIL while they parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import BodyLimitError

if TYPE_CHECKING:
    from .limits import HttpLimits

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[{,:")


def check_complexity(raw: bytes, limits: HttpLimits) -> None:
    """Raises BodyLimitError if `raw` has more strings, nesting or elements than the limits allow."""
    opening = raw.count(b"[") + raw.count(b"{")
    if (
        raw.count(b'"') <= 2 * limits.json_strings
        and opening <= limits.json_depth
        and opening + raw.count(b",") + raw.count(b":") <= limits.json_elements
    ):
        return  # an upper bound suffices for nearly every body
    # In valid JSON a backslash stands only inside a string, so what is left after these two are the real quotes.
    quoted = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if quoted.count(b'"') > 2 * limits.json_strings:
        raise BodyLimitError("refused JSON input due to high complexity: exceeded maximum number of strings")
    outside = b"".join(quoted.split(b'"')[::2])
    if len(outside.translate(None, _NOT_STRUCTURE)) > limits.json_elements:
        raise BodyLimitError("refused JSON input due to high complexity: exceeded maximum number of elements")
    _check_depth(outside, limits.json_depth)


def _check_depth(outside: bytes, depth_max: int) -> None:
    depth = 0
    for bracket in outside.translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            if depth > depth_max:
                raise BodyLimitError(
                    f"failed to decode JSON input: invalid character '{chr(bracket)}' exceeded max depth"
                )
        else:
            depth -= 1
            if depth < 0:
                return  # no JSON: the parser stops here too
