"""`key=value` arguments, as Vault reads them: `key=text`, `key=@file`, `key=-`, `@file.json`, `-`.

Shell: reads the named files and standard input. Invariants: later arguments win; no error repeats a value; a number
in a JSON file keeps its digits. Source: Vault's command line, "kv put".
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import LocalError
from .jsontext import decode

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_file(name: str) -> str:
    """The text of a file. Raises LocalError if there is none."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise LocalError(f"file {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LocalError(f"file {name} is not UTF-8 text; encode it first, for example as base64") from None


def read_stdin() -> str:
    """All of standard input."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise LocalError("standard input is not UTF-8 text; encode it first, for example as base64") from None


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        value = decode(text)
    except ValueError:
        raise LocalError(f"{source} is not JSON") from None
    if not isinstance(value, dict):
        raise LocalError(f"{source} must hold a JSON object")
    return value


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """One object from all arguments. Raises LocalError for an argument that is none of the five forms."""
    if sum(word == "-" or word.endswith("=-") for word in arguments) > 1:
        raise LocalError("standard input can be used only once")
    found: dict[str, Any] = {}
    for word in arguments:
        if word == "-":
            found |= _object(read_stdin(), "standard input")
        elif word.startswith("@"):
            found |= _object(read_file(word[1:]), f"file {word[1:]}")
        else:
            key, equals, text = word.partition("=")
            if not equals or not key:
                raise LocalError("each value must be KEY=TEXT, KEY=@FILE, KEY=-, @FILE.json or -")
            found[key] = _value(text)
    return found


def texts(arguments: Sequence[str]) -> dict[str, str]:
    """`key=text` pairs whose values are text alone: options and metadata."""
    found = {}
    for word in arguments:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise LocalError("each pair must be KEY=TEXT")
        found[key] = text
    return found


def _value(text: str) -> str:
    if text == "-":
        return read_stdin()
    if text.startswith("@"):
        return read_file(text[1:])
    return text[1:] if text.startswith(("\\@", "\\-")) else text
