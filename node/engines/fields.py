"""Weakly typed fields of requests: numbers as text, text as numbers, one value as a list.

Pure. A field is either a JSON value as it came (bytes) or a query value (str). Invariant: null is the zero value of
its type and counts as given. Source: Vault API, "Parameters"; the texts are those of its field validation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from ..request import Operation, RawRequest, Refusal
from . import durations
from .json_values import Kind, body_fields, check_json, kind_of, list_elements, object_fields, string_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Given = bytes | str | msgspec.Raw

_RESERVED = frozenset({"list", "scan", "help"})  # query names that choose the operation and are no data
_BODIES = frozenset({Operation.CREATE, Operation.UPDATE, Operation.PATCH})
_WHOLE = re.compile(r"[+-]?[0-9]+")
_INT_MAX = 2**63 - 1
_LIST_BYTES_MAX = 65_536  # of a list of integers: a longer one would hold the event loop
_BOOLS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
_BOOLS |= dict.fromkeys(("", "0", "f", "F", "FALSE", "false", "False"), False)


class FieldError(Exception):
    """A field does not have its type. The text names the field and the kind of what was sent, not its value.

    The one exception is Vault's: a wrong duration is shown to its sender, if it is too short to be a secret.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f'error converting input for field "{name}": {detail}')


def parameters(request: RawRequest) -> Mapping[str, Given]:
    """What the request carries beside its path: the body of a write, the query of anything else."""
    if request.operation in _BODIES:
        return body_fields(request.body)
    return {name: value for name, value in request.query.items() if name not in _RESERVED}


def check_body(request: RawRequest) -> None:
    """Refused with 400 unless the body is JSON all through; fields may then be taken apart without further care."""
    if request.body.raw.strip():
        check_json(request.body.raw)


def ignored_warnings(given: Iterable[str], known: frozenset[str]) -> list[str] | None:
    """Vault's warnings about parameters the endpoint does not know or takes from the path; None = nothing to say."""
    if known.issuperset(given):
        return None
    unknown = sorted(name for name in given if name not in known and name != "path")
    warnings = []
    if unknown:
        warnings.append(f"Endpoint ignored these unrecognized parameters: [{' '.join(unknown)}]")
    if "path" in given:
        warnings.append(
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [path]"
        )
    return warnings


def to_int(name: str, given: Given | None) -> int:
    """A signed 64-bit integer; absent is 0. Raises FieldError."""
    return 0 if given is None else _int(name, given, "''")


def to_bool(name: str, given: Given) -> bool:
    """A boolean. Raises FieldError."""
    kind, text = _scalar(name, given, "bool")
    if kind is Kind.NULL:
        return False
    found = _BOOLS.get(text)
    if found is None:
        raise FieldError(name, "'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax")
    return found


def to_seconds(name: str, given: Given, *, signed: bool) -> int:
    """A duration in whole seconds, negative only if `signed`. Raises FieldError."""
    value = given if isinstance(given, str) else bytes(given)
    kind = Kind.STRING if isinstance(value, str) else kind_of(value)
    if kind is Kind.NULL:
        return 0
    if kind not in {Kind.STRING, Kind.NUMBER}:
        raise FieldError(name, "could not parse duration from input")
    try:
        duration_s = durations.parse_duration_s(_text(value))
    except durations.DurationError as error:
        raise FieldError(name, str(error)) from None
    if duration_s < 0 and not signed:
        raise FieldError(name, f"cannot provide negative value '{duration_s}'")
    return duration_s


def to_ints(name: str, given: Given | None) -> list[int]:
    """A list of integers, given as a list, as one number, or as text with commas. Raises FieldError."""
    if given is None:
        return []
    value = given if isinstance(given, str) else bytes(given)
    if len(value) > _LIST_BYTES_MAX:
        raise FieldError(name, f"the list is longer than {_LIST_BYTES_MAX} bytes")
    kind = Kind.STRING if isinstance(value, str) else kind_of(value)
    parts: list[Given]
    if kind is Kind.NULL:
        parts = []
    elif kind is Kind.LIST:
        assert isinstance(value, bytes)
        parts = list(list_elements(value))
    elif kind is Kind.STRING:
        parts = [part.strip() for part in _text(value).split(",")] if _text(value) else []
    else:
        parts = [value]
    numbers, problems = [], []
    for position, part in enumerate(parts):
        try:
            numbers.append(_int(name, part, f"'[{position}]'"))
        except FieldError as error:
            problems.append(str(error).split(": ", 1)[1])
    if problems:
        raise FieldError(name, "decoding failed due to the following error(s):\n\n" + "\n".join(problems))
    return numbers


def to_object(name: str, given: Given) -> bytes | None:
    """The object's bytes, None for null. Raises FieldError."""
    value = given.encode() if isinstance(given, str) else bytes(given)
    kind = Kind.STRING if isinstance(given, str) else kind_of(value)
    if kind is Kind.OBJECT:
        return value
    if kind is Kind.NULL:
        return None
    where = "''"
    if kind is Kind.LIST:
        for position, element in enumerate(list_elements(value)):
            if kind_of(element) is not Kind.OBJECT:
                where, kind = f"'[{position}]'", kind_of(element)
                break
    raise FieldError(name, f"{where} expected type '{Kind.OBJECT.value}', got unconvertible type '{kind.value}'")


def to_texts(name: str, given: bytes) -> dict[str, str | None]:
    """An object's values as text: numbers as written, true as "1", null as None. Raises FieldError."""
    texts: dict[str, str | None] = {}
    for key, raw in object_fields(given).items():
        value = bytes(raw)
        kind = kind_of(value)
        if kind in {Kind.OBJECT, Kind.LIST}:
            raise FieldError(name, f"'' expected type 'string', got unconvertible type '{kind.value}'")
        texts[key] = None if kind is Kind.NULL else _scalar_text(value, kind)
    return texts


def refusal_of(error: FieldError, *, existence_checked: bool) -> Refusal:
    """The 400 for a wrong field; a path with an existence check says it without "Field validation failed"."""
    return Refusal(400, str(error) if existence_checked else f"Field validation failed: {error}")


def _int(name: str, given: Given, where: str) -> int:
    kind, text = _scalar(name, given, "int", where)
    if kind is Kind.NULL:
        return 0
    if text and not _WHOLE.fullmatch(text):
        raise FieldError(name, f"{where} cannot parse value as 'int': strconv.ParseInt: invalid syntax")
    # Nothing longer than 24 characters is in range, and int() is quadratic.
    number = int(text or "0") if len(text) <= 24 else _INT_MAX + 1
    if not -_INT_MAX - 1 <= number <= _INT_MAX:
        raise FieldError(name, f"{where} cannot parse value as 'int': strconv.ParseInt: value out of range")
    return number


def _scalar(name: str, given: Given, wanted: str, where: str = "''") -> tuple[Kind, str]:
    if isinstance(given, str):
        return Kind.STRING, given
    value = bytes(given)
    kind = kind_of(value)
    if kind in {Kind.OBJECT, Kind.LIST}:
        raise FieldError(name, f"{where} expected type '{wanted}', got unconvertible type '{kind.value}'")
    return kind, _scalar_text(value, kind)


def _scalar_text(value: bytes, kind: Kind) -> str:
    if kind is Kind.BOOL:
        return "1" if value == b"true" else "0"
    return _text(value)


def _text(value: bytes | str) -> str:
    if isinstance(value, str):
        return value
    return string_text(value) if kind_of(value) is Kind.STRING else value.decode()
