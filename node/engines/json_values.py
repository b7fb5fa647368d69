"""JSON values as the bytes they came as: checked, merged and stripped without being rewritten.

Pure. Invariants: a number is never turned into a float (`12345678901234567890123`, `1.10` and `1e3` survive); only
values that `check_json` accepted are stored, so that every stored value can be spliced into an answer.
Source: RFC 8259, RFC 7396 (merge patch), Vault API, KV v2 ("subkeys").
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import orjson

from ..request import Body, Refusal

Fields = dict[str, msgspec.Raw]

_fields = msgspec.json.Decoder(Fields).decode
_string = msgspec.json.Decoder(str).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
encode = msgspec.json.Encoder().encode

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
NULL = b"null"


class Kind(enum.StrEnum):
    """Kinds of JSON values, by the names Vault's errors give them (those of Go's types)."""

    OBJECT = "map[string]interface {}"
    LIST = "[]interface {}"
    STRING = "string"
    NUMBER = "json.Number"
    BOOL = "bool"
    NULL = "nil"


_KINDS = {ord("{"): Kind.OBJECT, ord("["): Kind.LIST, ord('"'): Kind.STRING, ord("n"): Kind.NULL}
_KINDS |= {ord("t"): Kind.BOOL, ord("f"): Kind.BOOL}


def kind_of(value: bytes | memoryview) -> Kind:
    """The kind of a value that is known to be JSON."""
    return _KINDS.get(value[0], Kind.NUMBER)


def body_fields(body: Body) -> Fields:
    """The fields of a body; Refusal with 400 if it is not a JSON object, without repeating any of it."""
    try:
        return body.fields
    except _UNREADABLE:
        raise _not_json() from None


def object_fields(value: bytes) -> Fields:
    """Field name → value of a JSON object."""
    return _fields(value)


def list_elements(value: bytes) -> list[bytes]:
    """The elements of a JSON list."""
    return [bytes(element) for element in _elements(value)]


def string_text(value: bytes) -> str:
    """The text of a JSON string."""
    return _string(value)


def check_json(value: bytes) -> None:
    """Refused with 400 unless `value` is JSON all through: UTF-8, no lone surrogate, each number fits a float64."""
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        raise _not_json() from None


def merge_patch(target: bytes, patch: bytes) -> bytes:
    """`target` with `patch` applied: null removes, an object merges, anything else replaces.

    Values that the patch does not name keep their bytes. Source: RFC 7396, section 2.
    """
    parts: list[bytes | memoryview] = []
    _merge(memoryview(target), memoryview(patch), parts)
    return b"".join(parts)


def subkeys(value: bytes, depth_max: int) -> bytes:
    """The object with every leaf replaced by null; objects below `depth_max` (0: no limit) count as leaves."""
    decoded = orjson.loads(value)
    if not isinstance(decoded, dict):
        return NULL
    return encode(_stripped(decoded, depth_max, 1))


def _merge(target: memoryview, patch: memoryview, parts: list[bytes | memoryview]) -> None:
    """Appends the merged value; slices are joined once at the end, because each level would copy all below it."""
    if kind_of(patch) is not Kind.OBJECT:
        parts.append(patch)
        return
    kept = _fields(target) if kind_of(target) is Kind.OBJECT else {}
    changes = _fields(patch)
    parts.append(b"{")
    comma = b""
    for name in kept | changes:
        change = changes.get(name)
        if change is not None and memoryview(change) == NULL:
            continue
        parts += (comma, encode(name), b":")
        comma = b","
        if change is None:
            parts.append(memoryview(kept[name]))
        else:
            _merge(memoryview(kept.get(name, NULL)), memoryview(change), parts)
    parts.append(b"}")


def _stripped(value: dict[str, Any], depth_max: int, depth: int) -> dict[str, Any]:
    deeper = depth_max == 0 or depth < depth_max
    return {
        name: _stripped(child, depth_max, depth + 1) if isinstance(child, dict) and child and deeper else None
        for name, child in value.items()
    }


def _not_json() -> Refusal:
    return Refusal(400, "failed to decode JSON input: the body is not valid JSON or a number does not fit a float64")
