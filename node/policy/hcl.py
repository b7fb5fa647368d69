"""The part of HCL 1 that policies are written in: text to a tree that knows its lines and columns.

Pure, strict, bounded. Accepts comments (`#`, `//`, `/* */`), blocks with bare or quoted keywords and labels,
`key = value`, strings with escapes, heredocs, numbers, true and false, lists with a trailing comma, objects, optional
commas between items. Text that begins with `{` is JSON and goes to `json_form`.

Invariants
  H1  any text gives a tree or HclError, never another exception, in time linear in its length
  H2  a key that stands twice is an error: "last wins" would lose a deny
  H3  nesting and length are capped before they cost anything
Source: HCL 1 as Vault uses it for policies; Vault's later refusal of duplicate attributes.
"""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING, NamedTuple

from cluster import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT_CHARACTERS_MAX = 48 * 1024  # at most about 30 ms of parsing on the event loop; real policies have a few thousand
DEPTH_MAX = 16
NUMBER_CHARACTERS_MAX = 40


class HclError(StrongroomError):
    """The text is not what this parser accepts. `line` and `column` count from 1; no value is quoted."""

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(f"At {line}:{column}: {text}")
        self.line = line
        self.column = column
        self.text = text


class Place(NamedTuple):
    """Where something begins, both from 1."""

    line: int
    column: int


class Literal(NamedTuple):
    """A string, number, boolean or (JSON only) null."""

    value: str | int | float | bool | None
    place: Place


class ListNode(NamedTuple):
    """`[a, b]`."""

    items: tuple[Node, ...]
    place: Place


class Item(NamedTuple):
    """`key = value`, `key "label" { … }`: `keys` has the keyword and its labels."""

    keys: tuple[str, ...]
    value: Node
    place: Place


class ObjectNode(NamedTuple):
    """`{ … }`, and the whole text."""

    items: tuple[Item, ...]
    place: Place


Node = Literal | ListNode | ObjectNode


def parse(text: str) -> ObjectNode:
    """The tree of `text`, HCL or JSON. Raises HclError with line and column."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise HclError(1, 1, f"policy is longer than {TEXT_CHARACTERS_MAX} characters")
    if is_json(text):
        from . import json_form

        return json_form.parse(text)
    return _Parser(text).document()


def is_json(text: str) -> bool:
    """Whether the text is taken as JSON: its first character that is no space is `{`."""
    return text.lstrip().startswith("{")


def duplicate(key: str, first: Place, again: Place) -> HclError:
    """The error of a key that stands twice, in Vault's words."""
    return HclError(
        again.line,
        again.column,
        f'The argument "{key}" at {first.line}:{first.column} was already set. Each argument can only be defined once',
    )


class _Token(NamedTuple):
    kind: str  # IDENT STRING NUMBER HEREDOC, LBRACE RBRACE LBRACK RBRACK ASSIGN COMMA, EOF
    text: str
    place: Place


_TOKEN = re.compile(
    r"""
    (?P<SPACE>[ \t\r\n]+)
  | (?P<COMMENT>\#[^\n]*|//[^\n]*|/\*(?s:.*?)\*/)
  | (?P<IDENT>[^\W\d][\w.-]*)
  | (?P<STRING>"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*")
  | (?P<NUMBER>-?(?:0[xX][0-9a-fA-F]+|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))(?![\w.])
  | (?P<HEREDOC><<-?(?P<ANCHOR>[^\W\d]\w*)[ \t]*\r?\n)
  | (?P<LBRACE>\{) | (?P<RBRACE>\}) | (?P<LBRACK>\[) | (?P<RBRACK>\]) | (?P<ASSIGN>=) | (?P<COMMA>,)
    """,
    re.VERBOSE,
)
_SKIPPED = frozenset({"SPACE", "COMMENT"})
_LONE_WORD = re.compile(r"^([ \t]*)([^\W\d]\w*)\r?$", re.MULTILINE)  # a line that may end a heredoc
_LINE_END = re.compile(r"\n|\Z")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


class Lines:
    """Offsets of a text as lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        """Line and column of an offset."""
        line = bisect.bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)


class _Parser:
    """One token ahead, recursive descent; depth is bounded by DEPTH_MAX."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._next = next(self._tokens)

    def document(self) -> ObjectNode:
        items = self._items(closing="EOF", depth=0)
        return ObjectNode(items, Place(1, 1))

    # tokens

    def _scan(self) -> Iterator[_Token]:
        text, offset, line, line_start = self._text, 0, 1, 0
        match_token = _TOKEN.match
        while offset < len(text):
            match = match_token(text, offset)
            if match is None:
                raise self._error(*self._unscannable(offset))
            kind = match.lastgroup or ""
            start, offset = offset, match.end()
            if kind == "HEREDOC":
                body, offset = self._heredoc(match, offset)
                yield _Token(kind, body, Place(line, start - line_start + 1))
            elif kind not in _SKIPPED:
                yield _Token(kind, match[0], Place(line, start - line_start + 1))
                continue
            newlines = text.count("\n", start, offset)
            if newlines:
                line += newlines
                line_start = text.rindex("\n", start, offset) + 1
        # Vault names the column behind the end.
        yield _Token("EOF", "", Place(line, len(text) - line_start + 2))

    def _unscannable(self, offset: int) -> tuple[int, str]:
        """Why no token begins here: the offset to name and the sentence."""
        rest = self._text[offset : offset + 2]
        if rest == "/*":
            return len(self._text), "comment not terminated"
        if rest[0] == '"':
            end = _LINE_END.search(self._text, offset)
            return (end.start() if end else offset), "literal not terminated"
        if rest == "<<":
            return offset, "heredoc without an anchor"
        if rest[0] == "\0":
            return offset, "unexpected null character (0x00)"
        return offset, "illegal char"

    def _heredoc(self, match: re.Match[str], offset: int) -> tuple[str, int]:
        """The lines up to the anchor, with their newlines; `<<-` also takes the anchor's indent off every line."""
        anchor = match["ANCHOR"]
        closing = next((word for word in _LONE_WORD.finditer(self._text, offset) if word[2] == anchor), None)
        if closing is None:
            raise self._error(len(self._text), "heredoc not terminated")
        body, indent = self._text[offset : closing.start()], closing[1]
        if match["HEREDOC"].startswith("<<-") and indent:
            lines = body.splitlines(keepends=True)
            if all(line.startswith(indent) for line in lines):
                body = "".join(line[len(indent) :] for line in lines)
        return body, closing.end()

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "EOF":
            self._next = next(self._tokens)
        return token

    def _error(self, offset: int, text: str) -> HclError:
        place = Lines(self._text).place(offset)
        return HclError(place.line, place.column, text)

    # grammar

    def _items(self, closing: str, depth: int) -> tuple[Item, ...]:
        """Items up to the closing token, which is taken."""
        items: list[Item] = []
        single: dict[str, Place] = {}
        while self._next.kind != closing:
            if self._next.kind == "EOF":
                raise _refused(self._next, "object expected closing RBRACE got: EOF")
            item = self._item(depth)
            items.append(item)
            if len(item.keys) == 1:
                if item.keys[0] in single:
                    raise duplicate(item.keys[0], single[item.keys[0]], item.place)
                single[item.keys[0]] = item.place
            if depth and self._next.kind == "COMMA":
                self._take()
        self._take()
        return tuple(items)

    def _item(self, depth: int) -> Item:
        first = self._next
        keys: list[str] = []
        while self._next.kind in {"IDENT", "STRING"}:
            token = self._take()
            keys.append(token.text if token.kind == "IDENT" else self._string(token))
        if not keys:
            raise _refused(first, f"expected: IDENT | STRING | ASSIGN | LBRACE got: {first.kind}")
        following = self._next
        if following.kind == "ASSIGN":
            if len(keys) > 1:
                raise _refused(following, "nested object expected: LBRACE got: ASSIGN")
            self._take()
            return Item(tuple(keys), self._value(depth), first.place)
        if following.kind == "LBRACE":
            return Item(tuple(keys), self._object(depth), first.place)
        raise _refused(following, "key expected start of object ('{') or assignment ('=')")

    def _object(self, depth: int) -> ObjectNode:
        brace = self._take()
        self._check_depth(brace, depth)
        return ObjectNode(self._items("RBRACE", depth + 1), brace.place)

    def _value(self, depth: int) -> Node:
        token = self._next
        if token.kind == "LBRACE":
            return self._object(depth)
        if token.kind == "LBRACK":
            return self._list(depth)
        self._take()
        place = token.place
        if token.kind == "STRING":
            return Literal(self._string(token), place)
        if token.kind == "HEREDOC":
            return Literal(token.text, place)
        if token.kind == "NUMBER":
            return Literal(number(token.text, place), place)
        if token.kind == "IDENT" and token.text in {"true", "false"}:
            return Literal(token.text == "true", place)
        raise HclError(place.line, place.column, f"Unknown token: {place.line}:{place.column} {token.kind}")

    def _list(self, depth: int) -> ListNode:
        bracket = self._take()
        self._check_depth(bracket, depth)
        items: list[Node] = []
        while self._next.kind != "RBRACK":
            items.append(self._value(depth + 1))
            if self._next.kind == "COMMA":
                self._take()
            elif self._next.kind != "RBRACK":
                found = self._next
                raise _refused(found, f"error parsing list, expected comma or list end, got: {found.kind}")
        self._take()
        return ListNode(tuple(items), bracket.place)

    def _check_depth(self, token: _Token, depth: int) -> None:
        if depth >= DEPTH_MAX:
            raise _refused(token, f"nested deeper than {DEPTH_MAX}")

    def _string(self, token: _Token) -> str:
        if "\\" not in token.text:
            return token.text[1:-1]

        def replace(match: re.Match[str]) -> str:
            simple, byte, short, long, octal, other = match.groups()
            if simple:
                return _SIMPLE[simple]
            code = int(octal, 8) if octal else int(byte or short or long or "110000", 16)
            if other or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise _refused(token, "illegal char escape")
            return chr(code)

        return _ESCAPE.sub(replace, token.text[1:-1])


def _refused(token: _Token, text: str) -> HclError:
    return HclError(token.place.line, token.place.column, text)


def number(text: str, place: Place) -> int | float:
    """The value of a number token. Raises HclError when it is too long or not finite."""
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise HclError(place.line, place.column, f"number is longer than {NUMBER_CHARACTERS_MAX} characters")
    if text.lstrip("-")[:2] in {"0x", "0X"}:
        return int(text, 16)
    if not any(character in ".eE" for character in text):
        return int(text)
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise HclError(place.line, place.column, "number is out of range")
    return value
