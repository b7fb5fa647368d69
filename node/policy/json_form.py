"""The JSON form of a policy, read into the same tree as the HCL form.

Pure, strict, bounded as `hcl`: a key that stands twice is an error, depth and length are capped, nothing may follow
the object. Source: RFC 8259; Vault takes any policy as JSON too.
"""

from __future__ import annotations

import json
import re

from .hcl import DEPTH_MAX, HclError, Item, Lines, ListNode, Literal, Node, ObjectNode, Place, duplicate, number

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> ObjectNode:
    """The tree of a JSON object. Raises HclError with line and column."""
    reader = _Reader(text)
    value = reader.value(0)
    reader.end()
    assert isinstance(value, ObjectNode)  # only text that begins with "{" comes here
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self._offset = 0

    def end(self) -> None:
        """Nothing follows. Raises HclError otherwise."""
        if self._peek():
            raise self._error("unexpected text after the JSON object")

    def value(self, depth: int) -> Node:
        first = self._peek()
        place = self._lines.place(self._offset)
        if first in {"{", "["}:
            if depth >= DEPTH_MAX:
                raise self._error(f"nested deeper than {DEPTH_MAX}")
            self._offset += 1
            return self._object(place, depth + 1) if first == "{" else self._list(place, depth + 1)
        if first == '"':
            return Literal(self._string(), place)
        if match := _NUMBER.match(self._text, self._offset):
            self._offset = match.end()
            return Literal(number(match[0], place), place)
        if match := _WORD.match(self._text, self._offset):
            self._offset = match.end()
            return Literal(_WORDS[match[0]], place)
        raise self._error("expected a JSON value")

    def _object(self, place: Place, depth: int) -> ObjectNode:
        items: list[Item] = []
        seen: dict[str, Place] = {}
        while self._peek() != "}":
            if items:
                self._expect(",")
                self._peek()
            key_place = self._lines.place(self._offset)
            key = self._string()
            if key in seen:
                raise duplicate(key, seen[key], key_place)
            seen[key] = key_place
            self._peek()
            self._expect(":")
            items.append(Item((key,), self.value(depth), key_place))
        self._offset += 1
        return ObjectNode(tuple(items), place)

    def _list(self, place: Place, depth: int) -> ListNode:
        items: list[Node] = []
        while self._peek() != "]":
            if items:
                self._expect(",")
            items.append(self.value(depth))
        self._offset += 1
        return ListNode(tuple(items), place)

    def _string(self) -> str:
        match = _STRING.match(self._text, self._offset)
        if match is None:
            raise self._error("expected a JSON string")
        value = json.loads(match[0])
        assert isinstance(value, str)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self._error("string holds half of a surrogate pair")
        self._offset = match.end()
        return value

    def _peek(self) -> str:
        """Skip space; the character that follows, or "" at the end."""
        match = _SPACE.match(self._text, self._offset)
        assert match is not None
        self._offset = match.end()
        return self._text[self._offset : self._offset + 1]

    def _expect(self, character: str) -> None:
        if not self._text.startswith(character, self._offset):
            raise self._error(f"expected '{character}'")
        self._offset += 1

    def _error(self, text: str) -> HclError:
        place = self._lines.place(self._offset)
        return HclError(place.line, place.column, text)
