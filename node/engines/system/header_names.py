"""Names and values of HTTP headers that are given as settings.

Pure. Invariant: what passes here can stand in a head: no line end, no control character, no name that is no token.
Source: RFC 9110, 5.1 and 5.5.
"""

from __future__ import annotations

import re

from ...request import Refusal

NAME_CHARACTERS_MAX = 128
VALUE_CHARACTERS_MAX = 4096
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def header_name(given: str) -> str:
    """The name in lower case. Raises Refusal."""
    if len(given) > NAME_CHARACTERS_MAX or not _NAME.fullmatch(given):
        raise Refusal(400, "this is no name of a header")
    return given.lower()


def check_value(value: str) -> None:
    """The value may stand in a head. Raises Refusal."""
    if len(value) > VALUE_CHARACTERS_MAX or not (value.isascii() and value.isprintable()):
        raise Refusal(400, f"a header's value is printable ASCII, at most {VALUE_CHARACTERS_MAX} characters")
