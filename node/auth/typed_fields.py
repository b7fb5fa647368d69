"""Typed parameters beside those of `node.engines.fields`: text, lists of names, key-value pairs, times to live.

Pure. Invariant: an error names the field; it repeats what was sent only where that is too short to be a secret.
Source: Vault API, "Input types"; the texts are those of its field validation.
"""

from __future__ import annotations

from ..engines import durations
from ..engines.fields import FieldError, Given
from ..engines.json_values import Kind, kind_of, list_elements, object_fields, string_text

_SHOWN_MAX = 16  # characters: shorter than every token and share


def shown(text: str) -> str:
    """The text, or nothing of it if it is long enough to be a secret in the wrong place."""
    return text if len(text) <= _SHOWN_MAX else "..."


def to_text(name: str, given: Given | None) -> str:
    """A string; numbers as written, absent and null are "". Raises FieldError."""
    if given is None:
        return ""
    text = _text(given)
    if text is None:
        raise FieldError(name, _unconvertible("''", given))
    return text


def to_names(name: str, given: Given | None) -> list[str]:
    """A list of strings, given as a list or as text with commas; trimmed, empty ones left out. Raises FieldError."""
    if given is None:
        return []
    parts: list[Given] = [given]
    if not isinstance(given, str) and kind_of(bytes(given)) is Kind.LIST:
        parts = list(list_elements(bytes(given)))
    texts = [_text(part) for part in parts]
    problems = [_unconvertible(f"'[{at}]'", parts[at]) for at, text in enumerate(texts) if text is None]
    if problems:
        raise FieldError(name, "decoding failed due to the following error(s):\n\n" + "\n".join(problems))
    if len(parts) == 1 and parts[0] is given:
        texts = [*(texts[0] or "").split(",")]
    return [stripped for text in texts if text is not None and (stripped := text.strip())]


def to_pairs(name: str, given: Given | None) -> dict[str, str]:
    """String to string, given as an object, a list of `k=v`, or one `k=v`. Raises FieldError."""
    if given is None:
        return {}
    if not isinstance(given, str):
        kind = kind_of(bytes(given))
        if kind is Kind.NULL:
            return {}
        if kind is Kind.OBJECT:
            return {key: to_text(name, value) for key, value in object_fields(bytes(given)).items()}
    pairs = {}
    for text in to_names(name, given):
        key, equals, value = text.partition("=")
        if not equals:
            raise FieldError(name, f'invalid key pair "{shown(text)}"')
        pairs[key.strip()] = value.strip()
    return pairs


def to_ttl_s(text: str) -> int:
    """Whole seconds of a time to live, "" is 0, may be negative. Raises DurationError with Go's words."""
    try:
        return durations.parse_duration_s(text)
    except durations.DurationError:
        if text.endswith("d"):  # read as days first, and refused by what reads their number
            raise durations.DurationError(f'strconv.ParseInt: parsing "{shown(text[:-1])}": invalid syntax') from None
        raise


def short_duration(duration_s: int) -> str:
    """Go's text without the units that are zero: "768h", "90s" is "1m30s", "1h"."""
    text = durations.format_duration(duration_s)
    if text.endswith("m0s"):
        text = text.removesuffix("0s")
    return text.removesuffix("0m") if text.endswith("h0m") else text


def _text(given: Given) -> str | None:
    """The text of a scalar, None for objects and lists."""
    if isinstance(given, str):
        return given
    value = bytes(given)
    kind = kind_of(value)
    if kind in {Kind.OBJECT, Kind.LIST}:
        return None
    if kind is Kind.STRING:
        return string_text(value)
    if kind is Kind.BOOL:
        return "1" if value == b"true" else "0"
    return "" if kind is Kind.NULL else value.decode()


def _unconvertible(where: str, given: Given) -> str:
    kind = Kind.STRING if isinstance(given, str) else kind_of(bytes(given))
    return f"{where} expected type 'string', got unconvertible type '{kind.value}'"
