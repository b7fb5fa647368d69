"""JSON that keeps its numbers: `1.10` and `12345678901234567890123` come out as they went in.

Pure. Also the two other forms of output: YAML, and one line of text for a table. Source: Vault keeps json.Number.
"""

from __future__ import annotations

import json
import re
from typing import Any


class NumberText(str):
    """A JSON number in its own digits."""

    __slots__ = ()


def _integer(text: str) -> int | NumberText:
    return int(text) if len(text) <= 18 and text != "-0" else NumberText(text)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def decode(text: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError; the error does not quote the text."""
    try:
        return json.loads(text, parse_int=_integer, parse_float=NumberText, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def encode(value: Any) -> str:
    """JSON text without needless space; numbers in their own digits."""
    if isinstance(value, NumberText):
        return str(value)
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{encode(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(encode(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def one_line(value: Any) -> str:
    """A value in a table: text as it is, null as `<nil>`, everything else as JSON; control characters made visible."""
    text = "<nil>" if value is None else value if isinstance(value, str) else encode(value)
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/.-]*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def yaml(value: Any, indent: str = "") -> str:
    """YAML in block style, each line ended; texts that could be read as anything else are quoted."""
    if isinstance(value, dict) and value:
        return "".join(f"{indent}{_yaml_scalar(key)}:{_yaml_item(item, indent + '  ')}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{indent}-{_yaml_item(item, indent + '  ')}" for item in value)
    return f"{indent}{_yaml_scalar(value)}\n"


def _yaml_item(value: Any, indent: str) -> str:
    return f"\n{yaml(value, indent)}" if isinstance(value, dict | list) and value else f" {_yaml_scalar(value)}\n"


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, NumberText):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _RESERVED
        return value if plain else json.dumps(value)  # ASCII escapes: valid in YAML's double quotes
    return encode(value)
