"""The part of YAML that the compose file is written in: blocks, one-line lists and maps, anchors, merges, comments.

What is outside it is an error, so that the file is read as it is meant or not at all.
"""

from __future__ import annotations

import re
from typing import Any

_KEY = re.compile(r"([\w.<-]+):(?:\s+(.*))?$")
_ANCHOR = re.compile(r"&(\w+)\s*(.*)$")


class YamlError(ValueError):
    """The line is not in the part of YAML that is understood here."""


def load(text: str) -> dict[str, Any]:
    """The document, which is a map. Raises YamlError."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines()]
    found = _Reader([(indent, _bare(line)) for indent, line in lines if _bare(line)]).block(0)
    if not isinstance(found, dict):
        raise YamlError("the document is no map")
    return found


def _bare(line: str) -> str:
    """Without a comment; quotes keep theirs."""
    found = re.match(r"""((?:[^"'#]|"[^"]*"|'[^']*'|(?<=\S)#)*)""", line)
    return found.group(1).strip() if found else ""


class _Reader:
    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self._lines = lines
        self._at = 0
        self._anchors: dict[str, Any] = {}

    def block(self, indent: int) -> Any:
        if self._at < len(self._lines) and self._lines[self._at][1].startswith("- "):
            return self._list(indent)
        return self._map(indent)

    def _list(self, indent: int) -> list[Any]:
        found = []
        while self._at < len(self._lines) and self._lines[self._at][0] == indent:
            line = self._lines[self._at][1]
            if not line.startswith("- "):
                raise YamlError(line)
            self._at += 1
            found.append(self._value(line[2:]))
        return found

    def _map(self, indent: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while self._at < len(self._lines) and self._lines[self._at][0] == indent:
            line = self._lines[self._at][1]
            match = _KEY.match(line)
            if match is None:
                raise YamlError(line)
            key, rest = match.group(1), match.group(2) or ""
            if key in own:
                raise YamlError(f"{key} twice")
            self._at += 1
            anchor = _ANCHOR.match(rest)
            rest = anchor.group(2) if anchor else rest
            value = self._value(rest) if rest else self._below(indent)
            if anchor:
                self._anchors[anchor.group(1)] = value
            if key == "<<":
                merged |= value
            else:
                own[key] = value
        if self._at < len(self._lines) and self._lines[self._at][0] > indent:
            raise YamlError(self._lines[self._at][1])
        return merged | own

    def _below(self, indent: int) -> Any:
        if self._at < len(self._lines) and self._lines[self._at][0] > indent:
            return self.block(self._lines[self._at][0])
        return None

    def _value(self, text: str) -> Any:
        text = text.strip()
        if text.startswith("*"):
            return self._anchors[text[1:]]
        if text[:1] + text[-1:] in {'""', "''"} and len(text) > 1:
            return text[1:-1]
        if text[:1] == "[" and text[-1:] == "]":
            return [self._value(part) for part in _parts(text[1:-1])]
        if text[:1] == "{" and text[-1:] == "}":
            pairs = [_KEY.match(part) for part in _parts(text[1:-1])]
            if None in pairs:
                raise YamlError(text)
            return {pair.group(1): self._value(pair.group(2) or "") for pair in pairs if pair is not None}
        if re.search(r"""^[&!|>%@`]|["'\[\]{}]""", text):
            raise YamlError(text)
        if text in {"true", "false"}:
            return text == "true"
        return int(text) if re.fullmatch(r"-?\d+", text) else text


def _parts(text: str) -> list[str]:
    """Separated by commas that stand outside quotes and brackets."""
    found = re.findall(r"""(?:[^,"\[\]{}]|"[^"]*"|\[[^\]]*\]|\{[^}]*\})+""", text)
    return [part.strip() for part in found if part.strip()]
