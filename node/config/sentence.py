"""What a key must be, in words: for errors and for the printed reference. Pure."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct
from msgspec.structs import fields

from .secret_text import SecretText

if TYPE_CHECKING:
    from .document import Field

_WORDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    SecretText: "text",
}


def must_be(field: Field) -> str:
    """For example "a whole number, at least 1" or `"json" or "text"`."""
    return _words(field.type)


def _words(wanted: Any) -> str:
    if wanted in _WORDS:
        return _WORDS[wanted]
    origin = get_origin(wanted)
    arguments = get_args(wanted)
    if hasattr(wanted, "__metadata__"):
        bounds = [text for meta in wanted.__metadata__ if isinstance(meta, Meta) for text in _bounds(meta)]
        return ", ".join([_words(wanted.__origin__), *bounds])
    if origin is Literal:
        quoted = [f'"{choice}"' for choice in arguments]
        return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
    if origin in {Union, types.UnionType}:
        return " or ".join(_words(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        inner = arguments[0]
        if isinstance(inner, type) and issubclass(inner, Struct):
            return f"a list of tables {{ {', '.join(info.name for info in fields(inner))} }}"
        return "a list of text"
    raise TypeError(f"no words for {wanted}")


def _bounds(meta: Meta) -> list[str]:
    named = {"at least": meta.ge, "above": meta.gt, "at most": meta.le, "below": meta.lt}
    return [f"{word} {bound:g}" for word, bound in named.items() if bound is not None]
