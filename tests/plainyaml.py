"""The part of YAML that files of ours are written in: the compose file, and the OpenAPI document.

Blocks, lists and maps in brackets (also over several lines), quoted and plain text, text of several lines (`|-`),
anchors, merges, comments. What is outside it is an error, so that a file is read as it is meant or not at all.
"""

from __future__ import annotations

import json
import re
from typing import Any

_KEY = re.compile(r"""("[^"]*"|'[^']*'|[\w./<$-][\w./{}<+-]*):(?:\s+(.*))?$""")
_ANCHOR = re.compile(r"&(\w+)\s*(.*)$")
_BARE = re.compile(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*'|(?<=\S)[#'"])*""")
_TOKEN = re.compile(
    r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[\[\]{},]|:(?=\s|$)"""  # quoted, a bracket, a comma, the colon behind a key
    r"""|(?:[^\s\[\]{},:"']|:(?!\s|$)|\s+(?=[^\s\[\]{},:]))+)"""  # plain text, which may have spaces within
)
_NOT_PLAIN = re.compile(r"""^[&!|>%@`"'\[\]{}*]""")
_LINES = "|-"
_WORDS = {"true": True, "false": False, "null": None}


class YamlError(ValueError):
    """The line is not in the part of YAML that is understood here."""


def load(text: str) -> dict[str, Any]:
    """The document, which is a map. Raises YamlError."""
    reader = _Reader(text.splitlines())
    found = reader.block(0)
    if not isinstance(found, dict) or reader.next() is not None:
        raise YamlError("the document is no map")
    return found


def _bare(line: str) -> str:
    """Without a comment; quotes keep theirs."""
    match = _BARE.match(line)
    assert match is not None
    return match.group().strip()


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._anchors: dict[str, Any] = {}

    def next(self) -> tuple[int, str] | None:
        """(indent, text) of the next line that says something."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            bare = _bare(line)
            if bare:
                return len(line) - len(line.lstrip()), bare
            self._at += 1
        return None

    def block(self, indent: int) -> Any:
        found = self.next()
        return self._list(indent) if found is not None and found[1].startswith("- ") else self._map(indent)

    def _list(self, indent: int) -> list[Any]:
        items = []
        while (found := self.next()) is not None and found[0] == indent:
            if not found[1].startswith("- "):
                raise YamlError(found[1])
            if _KEY.match(found[1][2:]):  # a map that begins behind the dash: its other keys stand below
                line = self._lines[self._at]
                self._lines[self._at] = line.replace("- ", "  ", 1)
                items.append(self._map(indent + 2))
            else:
                self._at += 1
                items.append(self._value(found[1][2:]))
        return items

    def _map(self, indent: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while (found := self.next()) is not None and found[0] == indent:
            match = _KEY.match(found[1])
            if match is None:
                raise YamlError(found[1])
            key, rest = match.group(1), match.group(2) or ""
            key = key[1:-1] if key[0] in "\"'" else key
            if key in own:
                raise YamlError(f"{key} twice")
            self._at += 1
            anchor = _ANCHOR.match(rest)
            rest = anchor.group(2) if anchor else rest
            value = self._text(indent) if rest == _LINES else self._value(rest) if rest else self._below(indent)
            if anchor:
                self._anchors[anchor.group(1)] = value
            if key == "<<":
                merged |= value
            else:
                own[key] = value
        if found is not None and found[0] > indent:
            raise YamlError(found[1])
        return merged | own

    def _below(self, indent: int) -> Any:
        found = self.next()
        return self.block(found[0]) if found is not None and found[0] > indent else None

    def _text(self, indent: int) -> str:
        """The lines as they stand, without their indent."""
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            lines.append(line.strip())
            self._at += 1
        return "\n".join(lines).strip("\n")

    def _value(self, text: str) -> Any:
        if text.startswith("*"):
            return self._anchors[text[1:]]
        if text[:1] not in "[{\"'":
            return _plain(text)
        tokens = _tokens(text)
        while text[0] in "[{" and _depth(tokens) > 0 and (found := self.next()) is not None:
            self._at += 1
            tokens += _tokens(found[1])
        value = self._flow(tokens)
        if tokens:
            raise YamlError(text)
        return value

    def _flow(self, tokens: list[str]) -> Any:
        """What the tokens begin with, which are taken away."""
        token = _take(tokens)
        if token == "[":
            return self._items(tokens)
        if token == "{":
            return self._pairs(tokens)
        if token in {"]", "}", ",", ":"}:
            raise YamlError(token)
        if token.startswith("*"):
            return self._anchors[token[1:]]
        return json.loads(token) if token[0] == '"' else token[1:-1] if token[0] == "'" else _plain(token)

    def _items(self, tokens: list[str]) -> list[Any]:
        items = []
        while tokens[:1] != ["]"]:
            items.append(self._flow(tokens))
            if tokens[:1] == [","]:
                tokens.pop(0)
        _take(tokens)
        return items

    def _pairs(self, tokens: list[str]) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while tokens[:1] != ["}"]:
            key = _take(tokens)
            key = key[1:-1] if key[0] in "\"'" else key
            if _take(tokens) != ":" or key in pairs:
                raise YamlError(key)
            pairs[key] = self._flow(tokens)
            if tokens[:1] == [","]:
                tokens.pop(0)
        _take(tokens)
        return pairs


def _plain(text: str) -> Any:
    if _NOT_PLAIN.match(text) or re.search(r"[\[\]{}]|: |\s#", text) or text.endswith(":"):
        raise YamlError(text)
    if text.lower() in {"yes", "no", "on", "off", "~"} or (text.lower() in _WORDS and text not in _WORDS):
        raise YamlError(text)  # text to some readers, and not to others
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise YamlError(text)
        tokens.append(match.group(1).strip())
        at = match.end()
    return tokens


def _take(tokens: list[str]) -> str:
    if not tokens:
        raise YamlError("the text ends within brackets")
    return tokens.pop(0)


def _depth(tokens: list[str]) -> int:
    return sum((token in {"[", "{"}) - (token in {"]", "}"}) for token in tokens)
